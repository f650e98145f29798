// The page on which a signer reads: the viewer shows the document, and the page
// follows what the others do. It says yes only by the form.

import { follow, refresh } from "../../frame/web/_live";
import { Viewer } from "../../viewer/web/_viewer";

// The one policy: scripts and workers come from this origin, by their address, and
// from nowhere else.
interface Factory {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): unknown;
}
(window as unknown as { trustedTypes?: Factory }).trustedTypes?.createPolicy("default", {
  createScriptURL(url: string): string {
    if (new URL(url, location.href).origin !== location.origin) throw new TypeError("scripts come from this origin only");
    return url;
  },
});

const byId = (id: string): HTMLElement | null => document.getElementById(id);

function fill(text: string, n: number, of: number): string {
  return text.replace("{N}", String(n)).replace("{Of}", String(of));
}

async function read(root: HTMLElement, folder: string): Promise<void> {
  const sheet = byId("sheet") as HTMLElement;
  const address = root.dataset["file"] ?? "";
  const answer = await fetch(address);
  if (!answer.ok || answer.redirected) throw new Error("no document");
  const viewer = await Viewer.open(folder, await answer.blob(), sheet);
  const memory = `page ${address}`;
  let at = Math.min(Math.max(1, Number(sessionStorage.getItem(memory)) || 1), viewer.pages);
  const buttons = ["previous", "following"].map((id) => byId(id) as HTMLButtonElement);
  const show = async (n: number): Promise<void> => {
    at = Math.min(Math.max(1, n), viewer.pages);
    sessionStorage.setItem(memory, String(at));
    (byId("pages") as HTMLElement).textContent = fill(root.dataset["short"] ?? "", at, viewer.pages);
    buttons.forEach((b, i) => (b.disabled = i === 0 ? at === 1 : at === viewer.pages));
    await viewer.show(at, fill(root.dataset["page"] ?? "", at, viewer.pages));
  };
  await show(at);
  (byId("viewless") as HTMLElement).hidden = true;
  buttons.forEach((b, i) => {
    b.hidden = viewer.pages === 1;
    b.addEventListener("click", () => void show(at + (i === 0 ? -1 : 1)));
  });
  sheet.tabIndex = 0;
  sheet.addEventListener("keydown", (e) => {
    const step = { PageDown: 1, ArrowRight: 1, PageUp: -1, ArrowLeft: -1 }[e.key];
    if (!step || e.altKey || e.ctrlKey || e.metaKey) return;
    e.preventDefault();
    void show(at + step);
  });
  let width = sheet.clientWidth;
  let timer = 0;
  new ResizeObserver(() => {
    if (sheet.clientWidth === width) return;
    width = sheet.clientWidth;
    clearTimeout(timer);
    timer = window.setTimeout(() => void show(at), 200);
  }).observe(sheet);
}

// once keeps a second click from being sent; the server would take it as the first.
function once(): void {
  const yes = byId("yes");
  yes?.closest("form")?.addEventListener("submit", (e) => {
    if (yes.getAttribute("aria-disabled") === "true") e.preventDefault();
    yes.setAttribute("aria-disabled", "true");
  });
  window.addEventListener("pageshow", (e) => {
    if (e.persisted) location.reload(); // the back button: what stands here is old
  });
}

// poll looks now and then where there are no events yet.
const poll = document.querySelector<HTMLElement>("[data-poll]")?.dataset["poll"];
if (poll) setInterval(() => void refresh(), 1000 * Number(poll));

const root = byId("room");
if (root) {
  once();
  follow();
  const folder = root.dataset["viewer"];
  if (folder) {
    read(root, folder).catch(() => {
      const p = byId("loading");
      if (p) p.hidden = true;
    });
  }
}

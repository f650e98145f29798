// A page that follows what happens. Parts that may change carry data-live with a
// name; when there is news, the page is fetched again and these parts are replaced,
// so that nothing else jumps. If the page as a whole is another one (data-state of
// the root), it is loaded again.

function load(address: string): Promise<Document | null> {
  return new Promise((done) => {
    const x = new XMLHttpRequest();
    x.open("GET", address);
    x.responseType = "document";
    x.onload = (): void => done(x.status === 200 ? x.responseXML : null);
    x.onerror = (): void => done(null);
    x.send();
  });
}

const parts = (d: Document): HTMLElement[] => [...d.querySelectorAll<HTMLElement>("[data-live]")];
const state = (d: Document): string => d.querySelector<HTMLElement>("[data-state]")?.dataset["state"] ?? "";

// self is where the page is to be had again: data-self of the root says it for a page
// that answered a form.
const self = (): string => document.querySelector<HTMLElement>("[data-self]")?.dataset["self"] ?? location.href;

// again loads the whole page.
function again(): void {
  const to = new URL(self(), location.href);
  if (to.pathname === location.pathname) location.reload();
  else location.assign(to);
}

// refresh replaces the parts that changed.
export async function refresh(): Promise<void> {
  const now = await load(self());
  if (!now) return;
  if (state(now) !== state(document) || parts(now).length !== parts(document).length) {
    again();
    return;
  }
  for (const part of parts(document)) {
    const other = parts(now).find((p) => p.dataset["live"] === part.dataset["live"]);
    if (!other) {
      again();
      return;
    }
    if (other.textContent === part.textContent) continue;
    const open = [...part.querySelectorAll("details")].map((d) => d.open);
    const fresh = document.importNode(other, true);
    fresh.querySelectorAll("details").forEach((d, i) => (d.open = open[i] ?? false));
    part.replaceWith(fresh);
  }
}

// follow listens to the events at the address in data-events of the root.
export function follow(): void {
  const root = document.querySelector<HTMLElement>("[data-events]");
  const address = root?.dataset["events"];
  if (!address) return;
  let timer = 0;
  const soon = (): void => {
    clearTimeout(timer);
    timer = window.setTimeout(() => void refresh(), 300);
  };
  const events = new EventSource(address);
  events.addEventListener("news", soon);
  events.addEventListener("end", () => {
    events.close();
    soon();
  });
  // Where no events come through, the page looks by itself.
  let poll = 0;
  events.addEventListener("open", () => {
    clearInterval(poll);
    poll = 0;
  });
  events.addEventListener("error", () => {
    if (poll === 0) poll = window.setInterval(() => void refresh(), 5000);
  });
}

// The way through the page.

import { post, sent } from "./_api";
import { toBase64 } from "./_bytes";
import { asProblem, fail, refuse } from "./_failure";
import { busy, bytes, count, element, head, moment, notice, say, setting, show } from "./_page";
import { type Box, Placement } from "./_place";
import { Numbers } from "./_numbers";
import { all, find, keep, remove } from "./_store";
import type { State } from "./_hash";
import type { Appearance, Credential, Prepared, Report, Waiting } from "./_types";
import { ours, tell } from "./_verdict";
import { Work } from "./_work";
import { Viewer } from "../../viewer/web/_viewer";

let worker: Work | null = null;

function work(): Work {
  const { origin } = location;
  worker ??= new Work(setting("worker"), {
    assemble: origin + setting("assemble"), verify: origin + setting("verify"), hash: origin + setting("hash"), api: origin + setting("api"), font: origin + setting("font"),
  });
  return worker;
}

// begin is the page as one comes to it.
export async function begin(): Promise<void> {
  head("choose", say("choose.title"), say("choose.lead"));
  show("drop", "facts-choose");
  listen();
  const [first] = await all();
  if (first) {
    await offer(first);
  }
}

// listen takes files that are chosen or dropped.
function listen(): void {
  const input = element<HTMLInputElement>("pdf");
  input.onchange = () => {
    const file = input.files?.[0];
    if (file) {
      choose(file).catch(fail);
    }
    input.value = ""; // the same file may be chosen again
  };
  const drop = element("drop");
  for (const name of ["dragenter", "dragover"]) {
    document.addEventListener(name, (e) => {
      e.preventDefault();
      drop.classList.add("over");
    });
  }
  document.addEventListener("dragleave", () => drop.classList.remove("over"));
  document.addEventListener("drop", (e) => {
    e.preventDefault();
    drop.classList.remove("over");
    const files = (e as DragEvent).dataTransfer?.files;
    if (drop.hidden || !files || files.length === 0) {
      return;
    }
    if (files.length > 1) {
      notice(say("several.what"), say("several.why"));
      return;
    }
    choose(files[0] as File).catch(fail);
  });
}

// offer says that a document waits for its approval or its download.
async function offer(w: Waiting): Promise<void> {
  if (w.patch) {
    await done(w);
    return;
  }
  try {
    const a = await post<{ waiting?: boolean; signatures?: string[] }>("sign", { state: w.state, address: "" });
    if (a.signatures) {
      await finish(w, a.signatures);
      return;
    }
  } catch (e) {
    if (asProblem(e).code === "offline") {
      throw e;
    }
    await remove(w.state); // it is over
    notice(say("waiting.over", w.name), say("waiting.over.why"));
    return;
  }
  head("approve", say("waiting.title"), say("waiting.lead", w.name, moment(w.began)));
  show("actions-wait");
  element("resume").onclick = () => {
    again(w).catch(fail);
  };
  element("discard").onclick = () => {
    discard(w).catch(fail);
  };
}

// again asks for the approval of the same document anew: the way to the first one was
// for one use.
async function again(w: Waiting): Promise<void> {
  const button = element<HTMLButtonElement>("resume");
  if (button.disabled) {
    return;
  }
  button.disabled = true;
  try {
    const a = await ask(w);
    await keep({ ...w, ...a });
    await remove(w.state);
    await post("forget", { state: w.state });
    location.assign(a.url);
  } finally {
    button.disabled = false;
  }
}

// ask asks for an approval; this is all that the portal learns of the document.
function ask(w: { credential: string; name: string; blob: Blob; prepared: Prepared }): Promise<{ state: string; url: string }> {
  const { dtbsr, signedAttributes, digest } = w.prepared;
  return post("authorize", {
    credential: w.credential,
    documents: [{ label: w.name, size: w.blob.size, dtbsr: toBase64(dtbsr), signedAttributes: toBase64(signedAttributes), digest: toBase64(digest) }],
  });
}

async function discard(w: Waiting): Promise<void> {
  await remove(w.state);
  await post("forget", { state: w.state });
  location.assign(setting("home"));
}

// choose looks at a document: whether it can be signed is said now, not at the end.
async function choose(file: File): Promise<void> {
  notice("", "");
  head("choose", say("reading.title"), say("reading.lead"));
  show("busy");
  busy(say("reading.what", file.name));
  let pages: number;
  try {
    ({ pages } = await work().call<{ pages: number }>("inspect", { blob: file }));
  } catch (e) {
    refuse(file.name, e);
    return;
  }
  const { credentials } = await post<{ credentials: Credential[] }>("credentials", {});
  if (credentials.length === 0) {
    head("choose", say("choose.title"), say("choose.lead"));
    show("drop", "facts-choose");
    notice(say("nokey.what"), say("nokey.why"));
    return;
  }
  await place(file, pages, credentials);
}

// place shows the document, and where the signature will stand.
async function place(file: File, pages: number, credentials: Credential[]): Promise<void> {
  busy("");
  head("place", say("place.title"), say(setting("viewer") === "" ? "place.lead.blind" : "place.lead"));
  show("stage", "actions-place", "facts-place");
  element("name").textContent = file.name;
  element("fact-name").textContent = file.name;
  element("fact-size").textContent = `${count("pages", pages)}, ${bytes(file.size)}`;
  const chosen = chooser(credentials);
  const now = new Date();
  const lines = () => said(chosen(), now);
  const numbers = new Numbers();
  const box = new Placement(element("sheet"), { role: say("box.role"), label: say("box.label"), help: "lead" }, lines(), (b) => numbers.write(b));
  element<HTMLSelectElement>("credential").addEventListener("change", () => box.say(lines()));
  element("sign").onclick = () => {
    const button = element<HTMLButtonElement>("sign");
    if (button.disabled) {
      return;
    }
    button.disabled = true; // a double click signs once
    const where: Appearance | null = box.box ? { ...box.box, lines: lines() } : null;
    sign(file, pages, chosen(), where, now)
      .catch((e: unknown) => {
        show("stage", "actions-place", "facts-place");
        head("place", say("place.title"), say("place.lead"));
        fail(e);
      })
      .finally(() => {
        button.disabled = false;
      });
  };
  element("title").focus();
  const turn = await stage(file, pages, box);
  numbers.listen(pages, shownPage, async (b: Box | null, first: boolean) => {
    if (b) {
      await turn(b.page);
    }
    box.put(b && first ? box.fresh(b.page) : b);
    if (first) {
      box.focus();
    }
    if (box.box) {
      numbers.write(box.box);
    }
  });
}

// chooser fills the list of keys, and returns what is chosen.
function chooser(credentials: Credential[]): () => Credential {
  const select = element<HTMLSelectElement>("credential");
  select.replaceChildren();
  for (const c of credentials) {
    const o = document.createElement("option");
    o.value = c.id;
    const same = credentials.filter((x) => x.name === c.name).length > 1; // then the key's name tells them apart
    o.textContent = same ? say("key.named", c.name, c.id.slice(0, 6)) : c.name;
    select.append(o);
  }
  const chosen = () => credentials.find((c) => c.id === select.value) ?? (credentials[0] as Credential);
  const describe = () => {
    const c = chosen();
    element("fact-key").textContent = say("key.what", c.issuer, new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "long" }).format(new Date(c.ends)));
  };
  select.addEventListener("change", describe);
  describe();
  return chosen;
}

// said is the text of the visible signature: as the command line has it.
function said(c: Credential, at: Date): string[] {
  const offset = -at.getTimezoneOffset();
  const two = (n: number) => String(Math.floor(Math.abs(n))).padStart(2, "0");
  const local = new Date(at.getTime() + offset * 60000).toISOString();
  const zone = `${offset < 0 ? "-" : "+"}${two(offset / 60)}:${two(Math.abs(offset) % 60)}`;
  return [`Signed by ${c.name}`, `${local.slice(0, 10)} ${local.slice(11, 19)} ${zone}`];
}

let shown = 1;
let closing: Promise<void> = Promise.resolve(); // of the document that is shown
let leave = (): unknown => null;

// shownPage is the page that is looked at.
function shownPage(): number {
  return shown;
}

// stage shows the document page by page; the function that it returns turns pages.
async function stage(blob: Blob, pages: number, box: Placement | null): Promise<(page: number) => Promise<void>> {
  const folder = setting("viewer");
  const sheet = element("sheet");
  sheet.querySelectorAll(":scope > canvas.page, :scope > .text").forEach((e) => e.remove());
  element("viewless").hidden = folder !== "";
  const [previous, following] = [element<HTMLButtonElement>("previous"), element<HTMLButtonElement>("following")];
  previous.hidden = following.hidden = sheet.hidden = folder === "";
  element("pages").textContent = count("pages", pages);
  if (folder === "") {
    return async () => {};
  }
  leave();
  await closing;
  const viewer = await Viewer.open(folder, blob, sheet);
  closing = new Promise((close) => {
    leave = () => viewer.close().then(close, close);
  });
  let at = 0;
  const turn = async (page: number) => {
    page = Math.min(Math.max(1, page), viewer.pages);
    if (page === at) {
      return;
    }
    at = shown = page;
    previous.disabled = page === 1;
    following.disabled = page === viewer.pages;
    element("pages").textContent = say("page.of", page, viewer.pages);
    const size = await viewer.show(page, say("page.label", page, viewer.pages));
    box?.show(page, size);
  };
  previous.onclick = () => {
    turn(at - 1).catch(fail);
  };
  following.onclick = () => {
    turn(at + 1).catch(fail);
  };
  await turn(1);
  return turn;
}

// sign prepares the document, keeps all that is needed on return, and goes to the
// approval.
async function sign(file: File, pages: number, c: Credential, box: Appearance | null, now: Date): Promise<void> {
  notice("", "");
  const level = setting("level");
  show("stage", "busy");
  head("place", say("preparing.title"), say("preparing.lead"));
  busy(say("preparing.what", bytes(file.size)));
  const { prepared, state } = await work().call<{ prepared: Prepared; state: State | null }>("prepare", {
    blob: file, algorithm: c.algorithm, chain: c.chain, level, name: c.name, time: now.getTime(), offset: -now.getTimezoneOffset(), appearance: box,
  }, (done, total) => busy(say("preparing.part", bytes(done), bytes(total)), done, total));
  const w = { name: file.name, blob: file, pages, prepared, hashed: state, level, credential: c.id, signer: c.name, began: Date.now(), box, patch: null, report: null };
  const a = await ask(w);
  await keep({ ...w, ...a, sent: sent() });
  head("approve", say("leaving.title"), say("leaving.lead"));
  location.assign(a.url);
}

// resume is the page as the signer comes back to it.
export async function resume(): Promise<void> {
  const address = location.href;
  const state = new URL(address).searchParams.get("state") ?? "";
  head("approve", say("finish.title"), say("finish.lead"));
  show("busy");
  busy(say("finish.signature"));
  const w = await find(state);
  if (!w) {
    lost();
    return;
  }
  show("stage", "busy");
  element("name").textContent = w.name;
  void stage(w.blob, w.pages, null); // to look at meanwhile
  await navigator.locks.request(`direct-${state}`, async () => {
    const latest = (await find(state)) ?? w; // another tab may have come further
    if (latest.patch) {
      await done(latest);
      return;
    }
    try {
      await finish(latest, await signatures(state, address));
    } catch (e) {
      await over(state, e);
    }
  });
}

// lost is what to say when this browser does not have the document.
function lost(): void {
  busy("");
  head("choose", say("lost.title"), say("lost.lead"));
  show("drop", "facts-choose");
  listen();
}

// over says that nothing came of it. What is kept goes when nothing can come of it.
async function over(state: string, e: unknown): Promise<void> {
  const p = asProblem(e);
  if (["approval_refused", "request_unknown", "lost", "refused"].includes(p.code)) {
    await remove(state);
  }
  history.replaceState(null, "", setting("home"));
  head("approve", say(p.code === "approval_refused" ? "refused.approval" : "failed.title"), say("failed.lead"));
  show("drop", "facts-choose");
  listen();
  fail(e);
}

// signatures gets them, also when another tab is at it.
async function signatures(state: string, address: string): Promise<string[]> {
  for (let tries = 0; ; tries++) {
    try {
      const a = await post<{ signatures?: string[] }>("sign", { state, address });
      if (a.signatures) {
        return a.signatures;
      }
      throw { kind: "unavailable", code: "garbage", message: "no signature" };
    } catch (e) {
      if (asProblem(e).code !== "busy" || tries > 60) {
        throw e;
      }
      await new Promise((r) => setTimeout(r, 1000));
    }
  }
}

// finish completes the document, and verifies it before anybody gets it.
async function finish(w: Waiting, values: string[]): Promise<void> {
  show("stage", "busy");
  busy(say("finish.complete"));
  const before = await work().call<number>("sent", {});
  const { patch, report } = await work().call<{ patch: Uint8Array; report: Report }>("finish", {
    id: w.state, blob: w.blob, prepared: w.prepared, signature: values[0], level: w.level, state: w.hashed,
  });
  w.patch = patch;
  w.report = report;
  w.sent += sent() + (await work().call<number>("sent", {})) - before;
  if (ours(report, w.prepared["field"])?.verdict !== "TOTAL-PASSED") {
    head("approve", say("invalid.title"), say("failed.lead"));
    tell(w, report);
    show("facts-done");
    busy("");
    return;
  }
  await keep(w);
  await done(w);
}

function result(original: Blob, patch: Uint8Array): Blob {
  return new Blob([original, patch as Uint8Array<ArrayBuffer>], { type: "application/pdf" });
}

// done offers the signed document. What is kept goes when it was downloaded.
async function done(w: Waiting): Promise<void> {
  if (!w.patch || !w.report) {
    throw new Error("nothing was signed");
  }
  history.replaceState(null, "", setting("home"));
  busy("");
  head("done", say("done.title"), say("done.lead", w.name));
  show("stage", "actions-done", "facts-done");
  tell(w, w.report);
  element("name").textContent = signedName(w.name);
  const blob = result(w.blob, w.patch);
  const link = element<HTMLAnchorElement>("download");
  link.href = URL.createObjectURL(blob);
  link.download = signedName(w.name);
  link.onclick = () => {
    setTimeout(() => {
      void remove(w.state).then(() => post("forget", { state: w.state }));
    }, 1000);
    element("lead").textContent = say("done.downloaded", signedName(w.name));
  };
  const turn = await stage(blob, w.pages, null);
  if (w.box) {
    await turn(w.box.page);
  }
  element("title").focus();
}

function signedName(name: string): string {
  return `${name.replace(/\.pdf$/i, "")}-signed.pdf`;
}

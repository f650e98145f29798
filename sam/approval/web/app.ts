// The app: the list of what waits for this device, and the page of one request.

import { call, explain, Malformed, Refusal } from "./_api";
import { base64, type Bytes, digest, equal, fromBase64, groups, utf8 } from "./_bytes";
import { canonical, current, type DeviceKey, forget, sign } from "./_key";
import { busy, byId, clock, day, fill, need, part, say, size, stamp, time, wrong } from "./_page";
import { digests, most } from "./_pdf";
import { parse, type SAD } from "./_sad";

interface Item {
  sid: string;
  state: string;
  party: string;
  names: string[];
  expires: string;
  ended?: string;
}

interface Inbox {
  device: { name: string; enrolled: string };
  signerName: string;
  pending: Item[];
  finished: Item[];
}

interface Detail {
  sid: string;
  state: string;
  sad: string;
  words: string[][];
  gateway: string;
  key: { holder: string; notAfter: string; qualified: boolean };
}

const root = byId("app");
let device: DeviceKey | null = null;
let events: EventSource | null = null;
let live = false;
let retry = 0;
let listed = ""; // the requests that the list shows
let reading: string | null = null; // the request whose page is open and not decided

function show(id: string): DocumentFragment {
  return stamp(id);
}

function put(view: DocumentFragment): void {
  root?.replaceChildren(view);
  root?.querySelector<HTMLElement>("h1")?.focus();
}

// session proves that this browser holds the device's key: it signs a nonce of the
// module, for this purpose and no other.
async function session(d: DeviceKey): Promise<void> {
  const n = await call<{ module: string; nonce: string }>("/app/api/nonce", {});
  if (n.module !== d.module) throw new Malformed("another module than this device is enrolled at");
  const statement = canonical({ v: 1, module: n.module, authenticator: d.authenticator, nonce: n.nonce });
  await call("/app/api/session", {
    authenticator: d.authenticator, nonce: n.nonce, signature: await sign(d.key, "countersign-device-session-v1", statement),
  });
}

// asked calls the API in a session, and opens one where there is none.
async function asked<T>(path: string, body?: unknown): Promise<T> {
  try {
    return await call<T>(path, body);
  } catch (err) {
    if (!(err instanceof Refusal) || err.code !== "session_invalid" || !device) throw err;
    await session(device);
    return call<T>(path, body);
  }
}

function place(): string | null {
  const m = /^\/app\/r\/([A-Za-z0-9_-]{1,100})$/.exec(location.pathname);
  return m?.[1] ?? null;
}

function go(path: string): void {
  history.pushState(null, "", path);
  void route();
}

async function route(): Promise<void> {
  clearTimeout(retry);
  reading = null;
  try {
    device = await current();
    if (!device) {
      put(show("none"));
      return;
    }
    const sid = place();
    if (sid) await detail(sid);
    else await inbox();
    listen();
  } catch (err) {
    failed(err);
  }
}

function failed(err: unknown): void {
  reading = null;
  if (err instanceof Refusal && (err.code === "device_revoked" || err.code === "session_invalid")) {
    events?.close();
    events = null;
    put(show("revoked"));
    return;
  }
  if (err instanceof Refusal && err.kind === "not found") {
    ended("done-other", say("done.gone"), say("done.gone.text"));
    return;
  }
  if (err instanceof Malformed) {
    ended("done-other", say("error.malformed"), "");
    return;
  }
  put(show("lost"));
  retry = window.setTimeout(() => void route(), 5000);
}

// listen has the list follow the module's events; without them it looks itself.
function listen(): void {
  if (events && events.readyState !== EventSource.CLOSED) return;
  const e = new EventSource("/app/api/events");
  events = e;
  e.addEventListener("state", (news) => {
    online(true);
    const pending = String(news.data).split(" ");
    // What came between the list and these events is in the first of them.
    if (reading ? !pending.includes(reading) : !place() && listed !== pending.join(" ")) void (reading ? route() : refresh());
  });
  e.addEventListener("end", () => {
    e.close();
    events = null;
    online(false);
    retry = window.setTimeout(() => void route(), 1000);
  });
  e.addEventListener("error", () => {
    online(false);
    if (e.readyState === EventSource.CLOSED) {
      events = null;
      retry = window.setTimeout(() => void (place() ? listen() : refresh()), 5000);
    }
  });
}

function online(yes: boolean): void {
  live = yes;
  if (root) fill(root, "live", say(yes ? "live.on" : "live.off"));
}

async function refresh(): Promise<void> {
  try {
    if (!place()) await inbox(false);
    listen();
  } catch (err) {
    failed(err);
  }
}

async function inbox(focus = true): Promise<void> {
  const list = await asked<Inbox>("/app/api/inbox");
  listed = list.pending.map((r) => r.sid).sort().join(" ");
  const view = show("list");
  fill(view, "title", list.pending.length ? say("waiting", { Count: list.pending.length }) : say("empty"));
  fill(view, "for", say("for", { Name: list.signerName }));
  fill(view, "device", list.device.name);
  fill(view, "bound", say("keyof", { Name: list.signerName }));
  fill(view, "since", day(new Date(list.device.enrolled)));
  fill(view, "live", say(live ? "live.on" : "live.off"));
  part(view, "empty").hidden = list.pending.length > 0;
  part(view, "pending").hidden = list.pending.length === 0;
  part(view, "past").hidden = list.finished.length === 0;
  for (const i of list.pending) part(view, "pending").append(pending(i));
  for (const i of list.finished) part(view, "finished").append(finished(i));
  const open = root?.querySelector<HTMLDetailsElement>('[data-part="past"]')?.open ?? false;
  part<HTMLDetailsElement>(view, "past").open = open;
  if (focus) put(view);
  else root?.replaceChildren(view);
}

function what(i: Item): string {
  const first = i.names[0] ?? "";
  return `${say("documents", { Count: i.names.length })}: ${first}${i.names.length > 1 ? ", …" : ""}`;
}

function pending(i: Item): DocumentFragment {
  const row = show("item");
  fill(row, "party", i.party);
  fill(row, "what", what(i));
  const minutes = Math.round((new Date(i.expires).getTime() - Date.now()) / 60_000);
  fill(row, "left", minutes < 1 ? say("left.none") : say("left", { Count: minutes }));
  const a = need<HTMLAnchorElement>(row, "a");
  a.href = `/app/r/${encodeURIComponent(i.sid)}`;
  return row;
}

function finished(i: Item): DocumentFragment {
  const row = show(i.state === "approved" ? "past-approved" : "past-other");
  fill(row, "party", i.party);
  fill(row, "what", what(i));
  fill(row, "state", say(`state.${i.state}`, { Date: day(new Date(i.ended ?? i.expires)) }));
  return row;
}

async function detail(sid: string): Promise<void> {
  const d = await asked<Detail>(`/app/api/requests/${encodeURIComponent(sid)}`);
  if (d.state !== "pending") {
    if (d.state === "expired") ended("done-other", say("done.expired"), say("done.expired.text"));
    else ended("done-other", say("done.gone"), say("done.gone.text"));
    return;
  }
  const raw = fromBase64(d.sad);
  const sad = await parse(raw);
  if (!device || sad.issuer !== device.module || sad.sid !== sid || sad.signer !== device.signer || !sad.auth.includes(device.authenticator)) {
    throw new Malformed("a request for another device");
  }
  if (d.words.length !== sad.docs.length) throw new Malformed("words for other documents");
  new Page(d, raw, sad, device).show();
}

// Page is the page of one request.
class Page {
  private readonly own = new Set<number>(); // documents whose digest was computed here
  private view: HTMLElement | null = null;

  constructor(
    private readonly d: Detail,
    private readonly raw: Bytes,
    private readonly sad: SAD,
    private readonly device: DeviceKey,
  ) {}

  show(): void {
    const v = show("detail");
    const { sad, d } = this;
    fill(v, "asks", say("asks", { Party: sad.party, Count: sad.docs.length }));
    fill(v, "until", say("until", { Time: clock(sad.expires) }));
    fill(v, "approve", say("approve", { Count: sad.docs.length }));
    fill(v, "party", sad.party);
    fill(v, "gateway", d.gateway);
    fill(v, "asked", time(sad.issued));
    fill(v, "holder", d.key.holder);
    fill(v, "valid", say("valid", { Date: day(new Date(d.key.notAfter)) }));
    fill(v, "level", say(d.key.qualified ? "qualified" : "advanced"));
    fill(v, "notlevel", d.key.qualified ? "" : say("notqualified"));
    this.documents(part(v, "docs"), part(v, "prints"));
    put(v);
    this.view = root;
    reading = sad.sid;
    this.bind();
  }

  private documents(docs: HTMLElement, prints: HTMLElement): void {
    this.sad.docs.forEach((doc, i) => {
      const row = show("doc");
      fill(row, "name", doc.name);
      fill(row, "size", doc.size ? size(doc.size) : "");
      claim(row, "claim", say(doc.checked ? "doc.checked" : "doc.unchecked"), doc.checked);
      const words = part(row, "words");
      for (const w of this.d.words[i] ?? []) {
        const s = document.createElement("span");
        s.textContent = w;
        words.append(s, " ");
      }
      docs.append(row);
      const print = show("print");
      fill(print, "name", doc.name);
      fill(print, "value", `${this.sad.hash} ${groups(doc.checked && doc.docHash ? doc.docHash : doc.dtbsr)}`);
      prints.append(print);
    });
  }

  private bind(): void {
    const v = this.view;
    if (!v) return;
    need<HTMLFormElement>(v, "form").addEventListener("submit", (e) => {
      e.preventDefault();
      this.submit();
    });
    need<HTMLElement>(v, '[data-do="reject"]').addEventListener("click", () => ask("ask-reject", (why) => this.reject(why, false)));
    need<HTMLElement>(v, '[data-do="notme"]').addEventListener("click", () => ask("ask-notme", () => this.reject("", true)));
    const drop = part(v, "drop");
    const file = need<HTMLInputElement>(drop, "input");
    file.addEventListener("change", () => void this.compare(file.files?.[0]));
    drop.addEventListener("dragover", (e) => e.preventDefault());
    drop.addEventListener("drop", (e) => {
      e.preventDefault();
      void this.compare(e.dataTransfer?.files[0]);
    });
  }

  // compare computes the digest of a file here and looks which document it is.
  private async compare(file: File | undefined): Promise<void> {
    const v = this.view;
    if (!v || !file) return;
    const told = (text: string, good = false): void => claim(part(v, "own"), "own", text, good);
    if (this.sad.docs.every((d) => !d.checked)) return told(say("own.unknown"));
    if (file.size > most) return told(say("own.large"));
    const found = await digests(new Uint8Array(await file.arrayBuffer()), this.sad.hash);
    const at = this.sad.docs.findIndex((d) => d.checked && d.docHash && found.some((f) => equal(f, d.docHash as Bytes)));
    const doc = this.sad.docs[at];
    if (!doc) return told(say("own.wrong"));
    this.own.add(at);
    told(say("own.match", { Name: doc.name }), true);
    const row = part(v, "docs").children[at];
    if (row) claim(row, "claim", say("doc.own"), true);
  }

  private submit(): void {
    const v = this.view;
    if (!v) return;
    const number = need<HTMLInputElement>(v, "#number");
    const pin = need<HTMLInputElement>(v, "#pin");
    wrong("wrong", "");
    wrong("number-wrong", "", number);
    wrong("pin-wrong", "", pin);
    if (!/^\d{2,4}$/.test(number.value.trim())) return wrong("number-wrong", say("error.number.empty"), number);
    if (!/^\d{6,12}$/.test(pin.value)) return wrong("pin-wrong", say("error.pin.empty"), pin);
    void busy(need<HTMLButtonElement>(v, 'button[type="submit"]'), async () => {
      reading = null; // what the module tells of it now is our own doing
      try {
        await this.approve(number.value.trim(), pin.value);
        ended("done-good", say("done.approved", { Count: this.sad.docs.length }), say("done.approved.text", { Party: this.sad.party }));
      } catch (err) {
        this.refused(err, number, pin);
      }
    });
  }

  private async approve(number: string, pin: string): Promise<void> {
    const yes: Record<string, unknown> = {
      authenticator: this.device.authenticator, signature: await sign(this.device.key, "countersign-sad-v1", this.raw), pin, number,
    };
    if (this.sad.wysiwys === 1 && this.own.size === this.sad.docs.length) yes.statement = await this.statement();
    await call(`/a/${encodeURIComponent(this.sad.sid)}/approve`, yes);
  }

  // statement says, under this device's key, that it computed every digest itself.
  private async statement(): Promise<{ statement: string; signature: string }> {
    const text = utf8(JSON.stringify({ v: 1, sadHash: base64(await digest("SHA-256", this.raw)), wysiwys: 2 }));
    return { statement: base64(text), signature: await sign(this.device.key, "countersign-device-statement-v1", text) };
  }

  private refused(err: unknown, number: HTMLInputElement, pin: HTMLInputElement): void {
    const code = err instanceof Refusal ? err.code : "";
    pin.value = "";
    reading = this.sad.sid;
    switch (code) {
      case "number_wrong":
        wrong("number-wrong", explain(err), number);
        break;
      case "pin_wrong":
      case "pin_locked":
      case "pin_blocked":
        wrong("pin-wrong", explain(err), pin);
        break;
      case "sad_expired":
        ended("done-other", say("done.expired"), say("done.expired.text"));
        break;
      case "rejected":
        ended("done-other", say("done.rejected"), explain(err));
        break;
      case "sad_invalid":
        ended("done-other", say("done.gone"), say("done.gone.text"));
        break;
      case "device_revoked":
        failed(err);
        break;
      default:
        wrong("wrong", explain(err));
    }
  }

  private async reject(reason: string, notMe: boolean): Promise<void> {
    reading = null;
    try {
      await asked(`/app/api/requests/${encodeURIComponent(this.sad.sid)}/reject`, { reason, notMe });
      const key = notMe ? "done.notme" : "done.rejected";
      ended("done-other", say(key), say(`${key}.text`, { Party: this.sad.party }));
    } catch (err) {
      if (err instanceof Refusal && ["rejected", "sad_expired", "sad_invalid", "device_revoked"].includes(err.code)) {
        this.refused(err, need(document, "#number"), need(document, "#pin"));
      } else {
        reading = this.sad.sid;
        wrong("wrong", explain(err));
      }
    }
  }
}

// claim says something beside the sign that its proof deserves.
function claim(where: ParentNode, name: string, text: string, good: boolean): void {
  fill(where, name, text);
  for (const e of where.querySelectorAll<HTMLElement>("[data-sign]")) e.hidden = (e.dataset.sign === "good") !== good;
}

function ended(id: "done-good" | "done-other", title: string, text: string): void {
  reading = null;
  const v = show(id);
  fill(v, "title", title);
  fill(v, "text", text);
  put(v);
}

// ask puts one question before something that cannot be taken back.
function ask(id: string, yes: (why: string) => Promise<void>): void {
  document.body.append(show(id));
  const box = need<HTMLDialogElement>(document, "body > dialog");
  const close = (): void => {
    box.close();
    box.remove();
  };
  box.addEventListener("cancel", close);
  need<HTMLElement>(box, '[data-do="no"]').addEventListener("click", close);
  const sure = need<HTMLButtonElement>(box, '[data-do="yes"]');
  sure.addEventListener("click", () => {
    const why = box.querySelector("textarea")?.value.trim() ?? "";
    void busy(sure, () => yes(why)).then(close);
  });
  box.showModal();
}

async function removeDevice(): Promise<void> {
  try {
    await asked("/app/api/device/remove", {});
    if (device) await forget(device.authenticator);
    events?.close();
    events = null;
    await route();
  } catch (err) {
    failed(err);
  }
}

document.addEventListener("click", (e) => {
  const t = e.target instanceof Element ? e.target.closest<HTMLElement>("a[href], [data-do]") : null;
  if (!t || e.defaultPrevented || e.metaKey || e.ctrlKey || e.shiftKey) return;
  switch (t.dataset.do) {
    case "again":
      void route();
      return;
    case "forget":
      if (device) void forget(device.authenticator).then(route);
      return;
    case "remove":
      ask("ask-remove", removeDevice);
      return;
  }
  if (t instanceof HTMLAnchorElement && root?.contains(t) && new URL(t.href).pathname.startsWith("/app/")) {
    e.preventDefault();
    go(new URL(t.href).pathname);
  }
});

if (root) {
  put(show("loading"));
  window.addEventListener("popstate", () => void route());
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible" && device && !place()) void refresh();
  });
  void navigator.serviceWorker?.register(root.dataset.worker ?? "", { scope: "/app/" }).catch(() => undefined);
  void route();
}

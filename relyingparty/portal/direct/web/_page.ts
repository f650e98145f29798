// The page's elements and words.

export function element<T extends HTMLElement>(id: string): T {
  const e = document.getElementById(id);
  if (!e) {
    throw new Error(`the page has no #${id}`);
  }
  return e as T;
}

export const root = element<HTMLElement>("direct");

const texts = JSON.parse(root.dataset["texts"] ?? "{}") as Record<string, string>;

// say is a message in the reader's language.
export function say(key: string, a: string | number = "", b: string | number = ""): string {
  return (texts[key] ?? key).replace("{A}", String(a)).replace("{B}", String(b));
}

// knows says whether there is a message.
export function knows(key: string): boolean {
  return key in texts;
}

export function setting(name: string): string {
  return root.dataset[name] ?? "";
}

export const lang = document.documentElement.lang || "en";

export function bytes(n: number): string {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
  let unit = 0;
  while (n >= 1000 && unit < units.length - 1) {
    n /= 1000;
    unit++;
  }
  return new Intl.NumberFormat(lang, { style: "unit", unit: units[unit] ?? "byte", unitDisplay: "short", maximumFractionDigits: n < 10 && unit > 0 ? 1 : 0 }).format(n);
}

export function count(key: string, n: number): string {
  const form = new Intl.PluralRules(lang).select(n) === "one" ? "one" : "other";
  return say(`${key}.${form}`, new Intl.NumberFormat(lang).format(n));
}

export function moment(text: string | number): string {
  return new Intl.DateTimeFormat(lang, { dateStyle: "long", timeStyle: "long" }).format(new Date(text));
}

// show makes these parts visible, and hides the other ones.
export function show(...ids: string[]): void {
  for (const id of ["drop", "stage", "actions-place", "actions-wait", "actions-done", "busy", "facts-choose", "facts-place", "facts-done"]) {
    element(id).hidden = !ids.includes(id);
  }
}

const steps = ["choose", "place", "approve", "done"];

// head says where the reader is and what this is about.
export function head(step: string, title: string, lead: string): void {
  for (const li of root.querySelectorAll<HTMLElement>("[data-step]")) {
    const at = steps.indexOf(li.dataset["step"] ?? "");
    li.classList.toggle("done", at < steps.indexOf(step));
    if (at === steps.indexOf(step)) {
      li.setAttribute("aria-current", "step");
    } else {
      li.removeAttribute("aria-current");
    }
  }
  element("title").textContent = title;
  element("lead").textContent = lead;
  document.title = document.title.replace(/^.*?( – |$)/, `${title}$1`);
}

// notice says what went wrong; nothing takes it away.
export function notice(what: string, why: string): void {
  element("notice-what").textContent = what;
  element("notice-why").textContent = why;
  element("notice").hidden = what === "";
}

// busy shows progress that is true: a part of a whole, or that something is done.
export function busy(what: string, done?: number, total?: number): void {
  const bar = element<HTMLProgressElement>("progress");
  element("busy").hidden = what === "";
  element("busy-what").textContent = what;
  if (done === undefined || total === undefined) {
    bar.removeAttribute("value");
    return;
  }
  bar.max = total;
  bar.value = done;
}

// fact adds a name with its value to a list.
export function fact(list: HTMLElement, name: string, ...values: (string | Node)[]): void {
  const row = document.createElement("div");
  const dt = document.createElement("dt");
  const dd = document.createElement("dd");
  dt.textContent = name;
  dd.append(...values);
  row.append(dt, dd);
  list.append(row);
}

// words shows a fingerprint, three words and three.
export function words(list: string[]): HTMLElement {
  const span = document.createElement("span");
  span.className = "words";
  for (const w of list) {
    const one = document.createElement("span");
    one.textContent = w;
    span.append(one, " ");
  }
  return span;
}

// icon is a copy of one of the page's icons.
export function icon(name: "check" | "cross" | "unchecked"): Node {
  return element<HTMLTemplateElement>(`icon-${name}`).content.cloneNode(true);
}

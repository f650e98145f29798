// What every page's script needs of its page: elements, messages, times.

// The one policy of Trusted Types: scripts, and workers, of this origin alone.
// Markup and code from text are never made.
interface Policies {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): unknown;
}
const policies = (window as unknown as { trustedTypes?: Policies }).trustedTypes;
policies?.createPolicy("default", {
  createScriptURL(url) {
    if (new URL(url, location.origin).origin !== location.origin) throw new TypeError("a script of another origin");
    return url;
  },
});

export function byId(id: string): HTMLElement | null {
  return document.getElementById(id);
}

export function need<T extends Element>(root: ParentNode, selector: string): T {
  const e = root.querySelector<T>(selector);
  if (!e) throw new Error(`the page lacks ${selector}`);
  return e;
}

type Texts = Record<string, [string, string]>;
let texts: Texts | undefined;

const lang = document.documentElement.lang || "en";

// dates as the server writes them: the day before the month
const region = lang === "en" ? "en-GB" : lang;

// say is a message in the page's language; values fill its place holders.
export function say(key: string, values: Record<string, string | number> = {}): string {
  texts ??= JSON.parse(byId("texts")?.textContent || "{}") as Texts;
  const forms = texts[key];
  if (!forms) return key;
  const one = typeof values.Count === "number" && forms[0] !== "" && new Intl.PluralRules(lang).select(values.Count) === "one";
  const form = one ? forms[0] : forms[1];
  return form.replace(/\{\{\s*\.(\w+)\s*\}\}/g, (_, name: string) => String(values[name] ?? ""));
}

export function fill(root: ParentNode, name: string, text: string): void {
  for (const e of root.querySelectorAll(`[data-text="${name}"]`)) e.textContent = text;
}

export function part<T extends HTMLElement>(root: ParentNode, name: string): T {
  return need<T>(root, `[data-part="${name}"]`);
}

export function stamp(id: string): DocumentFragment {
  return need<HTMLTemplateElement>(document, `template#${id}`).content.cloneNode(true) as DocumentFragment;
}

export function time(at: Date): string {
  return `${day(at)}, ${clock(at)}`;
}

export function clock(at: Date): string {
  return new Intl.DateTimeFormat(region, { hour: "2-digit", minute: "2-digit", timeZoneName: "short" }).format(at);
}

export function day(at: Date): string {
  return new Intl.DateTimeFormat(region, { dateStyle: "long" }).format(at);
}

// size is a number of bytes in units of 1000, as the server writes it.
export function size(n: number): string {
  if (n < 1000) return `${n} bytes`;
  let v = n / 1000;
  let u = 0;
  while (v >= 999.5 && u < 4) {
    v /= 1000;
    u++;
  }
  const digits = v < 9.95 ? 1 : 0;
  return `${new Intl.NumberFormat(lang, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(v)} ${"KMGTP"[u]}B`;
}

// wrong shows an error beside a field, or takes it away.
export function wrong(id: string, text: string, field?: HTMLElement | null): void {
  const p = byId(id);
  if (p) {
    need<HTMLElement>(p, "span").textContent = text;
    p.hidden = text === "";
  }
  if (field) {
    if (text === "") field.removeAttribute("aria-invalid");
    else {
      field.setAttribute("aria-invalid", "true");
      field.focus();
      if (field instanceof HTMLInputElement) field.select(); // to type over it
    }
  }
}

// busy keeps a button from being pressed twice.
export async function busy(button: HTMLButtonElement, work: () => Promise<void>): Promise<void> {
  if (button.disabled) return;
  const label = button.textContent;
  button.disabled = true;
  button.textContent = say("busy");
  try {
    await work();
  } finally {
    button.disabled = false;
    button.textContent = label;
  }
}

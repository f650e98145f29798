// The module's answers, and its refusals as words for people.

import { say } from "./_page";

export class Refusal extends Error {
  constructor(
    readonly code: string,
    readonly kind: string,
  ) {
    super(code || kind);
  }
}

export async function call<T>(path: string, body?: unknown): Promise<T> {
  const init: RequestInit = { credentials: "same-origin", cache: "no-store", redirect: "error", headers: { Accept: "application/json" } };
  if (body !== undefined) {
    init.method = "POST";
    init.headers = { Accept: "application/json", "Content-Type": "application/json" };
    init.body = JSON.stringify(body);
  }
  let answer: Response;
  try {
    answer = await fetch(path, init);
  } catch {
    throw new Refusal("", "network");
  }
  let said: unknown;
  try {
    said = await answer.json();
  } catch {
    throw new Refusal("", "network");
  }
  if (!answer.ok) {
    const p = said as { kind?: unknown; code?: unknown };
    throw new Refusal(typeof p.code === "string" ? p.code : "", typeof p.kind === "string" ? p.kind : "");
  }
  return said as T;
}

export async function bytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
  let answer: Response;
  try {
    answer = await fetch(path, { credentials: "same-origin", cache: "no-store", redirect: "error" });
  } catch {
    throw new Refusal("", "network");
  }
  if (!answer.ok) throw new Refusal("sad_invalid", "");
  return new Uint8Array(await answer.arrayBuffer());
}

const messages: Record<string, string> = {
  number_wrong: "error.number",
  pin_wrong: "error.pin",
  pin_locked: "error.pin.locked",
  pin_blocked: "error.pin.blocked",
  activation_invalid: "error.code",
  assertion_invalid: "error.assertion",
  statement_invalid: "error.assertion",
  rejected: "error.rejected",
  sad_expired: "error.expired",
  sad_invalid: "error.decided",
  unknown_device: "error.revoked",
  device_revoked: "error.revoked",
  other_browser: "error.elsewhere",
  credential_disabled: "error.disabled",
};

// explain says what went wrong, that nothing was lost, and what to do.
export function explain(err: unknown): string {
  if (err instanceof Refusal) {
    const key = messages[err.code];
    if (key) return say(key);
    if (err.kind === "too many") return say("error.many");
    if (err.kind === "network" || err.kind === "unavailable" || err.kind === "internal") return say("error.network");
    return say("error.other");
  }
  if (err instanceof DOMException && (err.name === "NotAllowedError" || err.name === "AbortError")) return say("error.cancelled");
  if (err instanceof DOMException && (err.name === "NotSupportedError" || err.name === "SecurityError")) return say("error.unsupported");
  if (err instanceof Malformed) return say("error.malformed");
  return say("error.other");
}

// Malformed says that what came must not be shown or signed.
export class Malformed extends Error {}

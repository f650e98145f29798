// The portal's API. Nothing else of this page reaches the network, and no part of a
// document is ever among what it sends.

import type { Problem } from "./_types";

let base = "";
let total = 0;

// setBase says where the API is.
export function setBase(path: string): void {
  base = path;
}

// sent is how many bytes of requests went out from here.
export function sent(): number {
  return total;
}

// longest is what the portal takes at most.
const longest = 256 * 1024;

// post asks the portal. A refusal is thrown as a Problem.
export async function post<T>(operation: string, body: unknown): Promise<T> {
  const text = JSON.stringify(body);
  if (text.length > longest) {
    throw problem("too large", "too_large", "the request is too large");
  }
  total += text.length;
  let answer: Response;
  try {
    answer = await fetch(base + operation, { method: "POST", headers: { "Content-Type": "application/json" }, body: text, cache: "no-store" });
  } catch {
    throw problem("unavailable", "offline", "the portal cannot be reached");
  }
  let said: unknown = null;
  try {
    said = await answer.json();
  } catch {
    throw problem("unavailable", "garbage", `the portal answered ${answer.status}`);
  }
  if (!answer.ok) {
    const p = said as { code?: string; detail?: string; title?: string };
    throw problem(String(answer.status), p.code ?? "", p.detail ?? p.title ?? `the portal answered ${answer.status}`);
  }
  return said as T;
}

export function problem(kind: string, code: string, message: string): Problem {
  return { kind, code, message };
}

// Bytes, digests and the forms in which they travel.

export type Bytes = Uint8Array<ArrayBuffer>;

const encoder = new TextEncoder();

export function utf8(text: string): Bytes {
  return encoder.encode(text) as Bytes;
}

export function concat(...parts: Uint8Array[]): Bytes {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((v, i) => v === b[i]);
}

// base64 is the standard form with padding (RFC 4648 §4), as Go writes []byte.
export function base64(b: Uint8Array): string {
  let s = "";
  for (const v of b) s += String.fromCharCode(v);
  return btoa(s);
}

export function fromBase64(s: string): Bytes {
  const text = atob(s);
  const out = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) out[i] = text.charCodeAt(i);
  if (base64(out) !== s) throw new Error("base64 in another form than the one");
  return out;
}

// groups writes a digest as every other screen does.
export function groups(b: Uint8Array): string {
  const hex = Array.from(b, (v) => v.toString(16).padStart(2, "0")).join("");
  return hex.replace(/.{8}(?=.)/g, "$& ");
}

export async function digest(hash: string, data: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest(hash, data));
}

// separated is what a signature for one purpose is over: domain ‖ 0x00 ‖ data.
export function separated(domain: string, data: Uint8Array): Bytes {
  return concat(utf8(domain), new Uint8Array([0]), data);
}

// derSignature turns WebCrypto's r ‖ s into ASN.1 DER (RFC 3279 §2.2.3).
export function derSignature(raw: Uint8Array): Bytes {
  const half = raw.length / 2;
  const int = (b: Uint8Array): Bytes => {
    let i = 0;
    while (i < b.length - 1 && b[i] === 0) i++;
    const body = b.slice(i);
    const pad = (body[0] ?? 0) & 0x80 ? new Uint8Array([0]) : new Uint8Array(0);
    return concat(new Uint8Array([2, pad.length + body.length]), pad, body);
  };
  const body = concat(int(raw.subarray(0, half)), int(raw.subarray(half)));
  return concat(new Uint8Array([0x30, body.length]), body);
}

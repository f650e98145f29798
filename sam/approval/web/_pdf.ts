// The digest of a file as it is to be signed: of the whole file, or of the byte
// ranges that a PDF's last signature covers (ISO 32000-2 §12.8.1).

import { type Bytes, concat, digest } from "./_bytes";

// most is the largest file that is read into memory here.
export const most = 256 << 20;

// ranges finds what the last signature of a prepared PDF covers. It takes only the
// one form in which nothing but the signature itself is left out: from the first
// byte to the last, around one string of hexadecimal digits.
export function ranges(file: Uint8Array): [number, number] | null {
  const text = new TextDecoder("latin1").decode(file);
  const at = text.lastIndexOf("/ByteRange");
  if (at < 0) return null;
  const m = /^\/ByteRange\s*\[\s*0\s+(\d{1,10})\s+(\d{1,10})\s+(\d{1,10})\s*\]/.exec(text.slice(at, at + 200));
  if (!m) return null;
  const [end, from, count] = [Number(m[1]), Number(m[2]), Number(m[3])];
  if (from <= end + 1 || from + count !== file.length) return null;
  if (!/^<[0-9A-Fa-f]*>$/.test(text.slice(end, from))) return null;
  return [end, from];
}

// digests are those under which a file may be known.
export async function digests(file: Bytes, hash: string): Promise<Bytes[]> {
  const out = [await digest(hash, file)];
  const r = ranges(file);
  if (r) out.unshift(await digest(hash, concat(file.subarray(0, r[0]), file.subarray(r[1]))));
  return out;
}

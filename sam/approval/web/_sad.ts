// Signature activation data: parsed strictly, from the very bytes that are signed.

import { Malformed } from "./_api";
import { type Bytes, concat, digest, equal, fromBase64 } from "./_bytes";

export interface Doc {
  name: string;
  size: number;
  docHash: Bytes | null;
  dtbsr: Bytes;
  checked: boolean; // the signed attributes hash to what is signed and hold docHash
}

export interface SAD {
  sid: string;
  issuer: string;
  signer: string;
  signerName: string;
  auth: string[];
  issued: Date;
  expires: Date;
  party: string;
  client: string;
  hash: string; // WebCrypto's name
  docs: Doc[];
  wysiwys: number;
}

const hashes: Record<string, string> = {
  "2.16.840.1.101.3.4.2.1": "SHA-256",
  "2.16.840.1.101.3.4.2.2": "SHA-384",
  "2.16.840.1.101.3.4.2.3": "SHA-512",
};

// The members in their order; ? marks those that may be missing. There are no others.
const members = [
  "v", "typ", "iss", "sid", "nonce", "iat", "exp", "signer", "signerName", "auth", "scal", "loa", "cred", "key", "cert", "hash", "algs", "docs",
  "rp", "path?", "req", "wysiwys",
];
const docMembers = ["name", "size?", "docHash?", "signedAttrs?", "dtbsr"];

type Obj = Record<string, unknown>;

function fits(v: unknown, names: string[]): v is Obj {
  if (typeof v !== "object" || v === null || Array.isArray(v)) return false;
  const have = Object.keys(v);
  let at = 0;
  for (const n of names) {
    if (have[at] === n.replace("?", "")) at++;
    else if (!n.endsWith("?")) return false;
  }
  return at === have.length;
}

function text(v: unknown): string {
  if (typeof v !== "string" || v === "") throw new Malformed("a text is missing");
  return v;
}

function list(v: unknown): unknown[] {
  if (!Array.isArray(v) || v.length === 0) throw new Malformed("a list is missing");
  return v;
}

function moment(v: unknown): Date {
  const s = text(v);
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(s)) throw new Malformed("a time is not in UTC");
  return new Date(s);
}

function blob(v: unknown): Bytes {
  try {
    return fromBase64(text(v));
  } catch {
    throw new Malformed("a digest is unreadable");
  }
}

// parse reads signature activation data to its last byte: what it accepts has one
// reading, because writing it again gives the same bytes.
export async function parse(raw: Bytes): Promise<SAD> {
  let s: unknown;
  let source: string;
  try {
    source = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(raw);
    s = JSON.parse(source);
  } catch {
    throw new Malformed("not JSON");
  }
  if (raw.length > 64 << 10 || JSON.stringify(s) !== source) throw new Malformed("not in its one form");
  if (!fits(s, members) || s.v !== 1 || s.typ !== "sign") throw new Malformed("not a request to sign");
  const rp = s.rp;
  if (!fits(rp, ["client", "name"])) throw new Malformed("nobody asks");
  const hash = hashes[text(s.hash)];
  if (!hash) throw new Malformed("an unknown digest algorithm");
  if (s.wysiwys !== 0 && s.wysiwys !== 1) throw new Malformed("wysiwys is neither 0 nor 1");
  const docs: Doc[] = [];
  for (const d of list(s.docs)) docs.push(await parseDoc(d, hash));
  if (s.wysiwys === 1 && docs.some((d) => !d.checked)) throw new Malformed("a document is not what it is said to be");
  return {
    sid: text(s.sid), issuer: text(s.iss), signer: text(s.signer), signerName: text(s.signerName), auth: list(s.auth).map(text),
    issued: moment(s.iat), expires: moment(s.exp), party: text(rp.name), client: text(rp.client), hash, docs, wysiwys: s.wysiwys,
  };
}

async function parseDoc(d: unknown, hash: string): Promise<Doc> {
  if (!fits(d, docMembers)) throw new Malformed("a document in another form");
  const dtbsr = blob(d.dtbsr);
  if (dtbsr.length * 8 !== Number(hash.slice(4))) throw new Malformed("a digest of the wrong length");
  const size = d.size === undefined ? 0 : d.size;
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) throw new Malformed("a size is no number");
  const doc: Doc = { name: text(d.name), size, docHash: d.docHash === undefined ? null : blob(d.docHash), dtbsr, checked: false };
  if (d.signedAttrs !== undefined) {
    const attrs = blob(d.signedAttrs);
    if (!doc.docHash || !equal(await digest(hash, attrs), dtbsr) || !holds(attrs, doc.docHash)) {
      throw new Malformed("what is to be signed is not the document");
    }
    doc.checked = true;
  }
  return doc;
}

// The start of the attribute messageDigest (RFC 5652 §11.2), in DER: its OID, a set
// of one, an octet string.
const messageDigest = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04];

// holds says whether the signed attributes name exactly this digest. Their digest
// was compared before, and the module parsed them whole.
function holds(attrs: Uint8Array, want: Uint8Array): boolean {
  const found: number[] = [];
  for (let i = 0; i + messageDigest.length <= attrs.length; i++) {
    if (messageDigest.every((v, j) => attrs[i + j] === v)) found.push(i);
  }
  const at = found[0];
  if (at === undefined || found.length !== 1) return false;
  const value = concat(new Uint8Array([0x31, want.length + 2, 0x04, want.length]), want);
  return equal(attrs.subarray(at + messageDigest.length, at + messageDigest.length + value.length), value);
}

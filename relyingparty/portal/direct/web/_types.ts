// What the page, its worker and the portal say to each other.

import type { State } from "./_hash";

// Prepared is a signature that waits for its value; the worker's programs make and
// read it, everybody else only keeps it.
export interface Prepared {
  size: number;
  bytes: Uint8Array;
  hash: string;
  digest: Uint8Array;
  algorithm: string;
  signer: Uint8Array;
  signedAttributes: Uint8Array;
  dtbsr: Uint8Array;
  warnings: string[];
  words: string[];
  [more: string]: unknown;
}

// Appearance is where a visible signature stands and what it says: points from the
// upper left corner of the page as it is shown.
export interface Appearance {
  page: number;
  x: number;
  y: number;
  width: number;
  height: number;
  lines: string[];
}

// Credential is a key that can sign.
export interface Credential {
  id: string;
  name: string;
  description?: string;
  issuer: string;
  ends: string;
  scal?: string;
  qualifier?: string;
  algorithm: string;
  chain: string[]; // base64
}

// Waiting is a signing that waits in this browser for the signer to come back.
export interface Waiting {
  state: string;
  url: string;
  name: string;
  blob: Blob;
  pages: number;
  prepared: Prepared;
  hashed: State | null; // the digest's state after a large document
  level: string;
  credential: string;
  signer: string;
  began: number;
  box: Appearance | null;
  patch: Uint8Array | null; // all that is appended, once it is signed
  report: Report | null;
  sent: number; // bytes that went to the portal
}

// Report is the outcome of verification, as the command line's verify --json.
export interface Report {
  signatures: Signature[];
  [more: string]: unknown;
}

export interface Signature {
  field: string;
  level: string;
  verdict: string;
  subindication?: string;
  signer: string;
  time?: string;
  errors?: string[];
  [more: string]: unknown;
}

// Problem is a refusal, with a sentence that may be shown.
export interface Problem {
  kind: string;
  code: string;
  message: string;
}

export function isProblem(e: unknown): e is Problem {
  return typeof e === "object" && e !== null && "code" in e && "message" in e && "kind" in e;
}

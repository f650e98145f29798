// The worker that reads, prepares, completes and judges documents with the
// WebAssembly programs. The document stays a file of the browser: it is read in
// pieces, and the result is the file and what is appended to it.

import "wasm_exec";
import { post, sent, setBase } from "./_api";
import { fromBase64, toBase64 } from "./_bytes";
import { verifies } from "./_check";
import { Hasher, type Part, type State } from "./_hash";
import type { Appearance, Prepared, Problem, Report } from "./_types";

declare const self: DedicatedWorkerGlobalScope & Record<string, unknown>;

type Program = Record<string, (args: unknown) => Promise<unknown>>;

let setting = { assemble: "", verify: "", hash: "", api: "", font: "" };
const programs = new Map<string, Promise<Program>>();

// program loads one of the two when it is first needed.
function program(name: "assemble" | "verify"): Promise<Program> {
  let p = programs.get(name);
  if (!p) {
    p = start(name, setting[name]);
    p.catch(() => programs.delete(name)); // offline for a moment: the next try loads it anew
    programs.set(name, p);
  }
  return p;
}

async function start(name: string, url: string): Promise<Program> {
  const go = new Go();
  const { instance } = await WebAssembly.instantiateStreaming(fetch(url), go.importObject);
  void go.run(instance);
  return self[name] as Program;
}

async function call<T>(name: "assemble" | "verify", operation: string, args: unknown): Promise<T> {
  const f = (await program(name))[operation];
  if (!f) {
    throw new Error(`${name} has no ${operation}`);
  }
  return (await f(args)) as T;
}

// hashing gives the programs the browser's digests: over the document and a tail.
function hashing(h: Hasher): { digest: (name: string, parts: Part[]) => Promise<Uint8Array> } {
  return { digest: (name, parts) => h.digest(name, parts.slice(1) as Uint8Array[]) };
}

interface PrepareArgs {
  blob: Blob;
  algorithm: string;
  chain: string[];
  level: string;
  name: string;
  time: number;
  offset: number;
  appearance: Appearance | null;
}

async function prepare(a: PrepareArgs, told: Told): Promise<{ prepared: Prepared; state: State | null }> {
  const hasher = new Hasher(setting.hash, a.blob, told);
  const chain = a.chain.map(fromBase64);
  const fonts: Uint8Array[] = [];
  if (a.appearance) {
    fonts.push(new Uint8Array(await (await fetch(setting.font)).arrayBuffer()));
  }
  const prepared = await call<Prepared>("assemble", "prepare", {
    blob: a.blob, algorithm: a.algorithm, signer: chain[0], chain: chain.slice(1), level: a.level, name: a.name,
    time: a.time, offset: a.offset, appearance: a.appearance, fonts, ...hashing(hasher),
  });
  return { prepared, state: hasher.kept };
}

interface FinishArgs {
  id: string; // of the signing
  blob: Blob;
  prepared: Prepared;
  signature: string;
  level: string;
  state: State | null;
}

// finish returns what has to be appended to the document, and verifies the result.
async function finish(a: FinishArgs): Promise<{ patch: Uint8Array; report: Report }> {
  const hasher = new Hasher(setting.hash, a.blob);
  hasher.kept = a.state;
  const patch = await complete(a, hasher);
  return { patch, report: await judge(a.blob, patch, hasher) };
}

async function complete(a: FinishArgs, hasher: Hasher): Promise<Uint8Array> {
  const signature = fromBase64(a.signature);
  if (!(await verifies(a.prepared, signature))) {
    const wrong: Problem = { kind: "unavailable", code: "signature_wrong", message: "the signature does not verify" };
    throw wrong;
  }
  if (a.level === "B-B") {
    return (await call<{ bytes: Uint8Array }>("assemble", "embed", { prepared: a.prepared, signature })).bytes;
  }
  const patch = await call<{ bytes: Uint8Array }>("verify", "finish", {
    blob: a.blob, prepared: a.prepared, signature, level: a.level, ...hashing(hasher),
    timestamp: (imprint: Uint8Array, hash: string, nonce: string) => timestamp(a.id, imprint, hash, nonce),
    evidence: (leaves: Uint8Array[], known: Uint8Array[]) => evidence(a.id, leaves, known),
  });
  return patch.bytes;
}

async function timestamp(state: string, imprint: Uint8Array, hash: string, nonce: string): Promise<Uint8Array> {
  const a = await post<{ token: string }>("timestamp", { state, imprint: toBase64(imprint), hash, nonce });
  return fromBase64(a.token);
}

interface Evidence {
  certificates: string[] | null;
  crls: string[] | null;
  ocsps: string[] | null;
}

async function evidence(state: string, leaves: Uint8Array[], known: Uint8Array[]): Promise<object> {
  const e = await post<Evidence>("evidence", { state, leaves: leaves.map(toBase64), known: known.map(toBase64) });
  const bytes = (list: string[] | null) => (list ?? []).map(fromBase64);
  return { certificates: bytes(e.certificates), crls: bytes(e.crls), ocsps: bytes(e.ocsps) };
}

// judge verifies the document with what was appended. Digests go over the document as
// it lies here and over the bytes that were appended, never over what was computed
// before; a large document, which is the same file still, is not read once more.
async function judge(blob: Blob, patch: Uint8Array, hasher: Hasher): Promise<Report> {
  const { anchors } = await post<{ anchors: string[] }>("anchors", {});
  const result = new Blob([blob, patch as Uint8Array<ArrayBuffer>]);
  const digest = async (name: string, ranges: number[]): Promise<Uint8Array | null> => {
    const [start, first, second, last] = ranges as [number, number, number, number];
    if (start !== 0 || first < blob.size) {
      return null; // an earlier signature of the document
    }
    const at = second - blob.size;
    return hasher.digest(name, [patch.subarray(0, first - blob.size), patch.subarray(at, at + last)]);
  };
  const text = await call<string>("verify", "judge", { blob: result, anchors: anchors.map(fromBase64), digest });
  return JSON.parse(text) as Report;
}

type Told = (done: number, total: number) => void;

const operations: Record<string, (args: never, told: Told) => Promise<unknown>> = {
  inspect: (a: { blob: Blob }) => call("assemble", "inspect", a),
  prepare,
  finish,
  hash: async (a: { blob: Blob; name: string }) => new Hasher(setting.hash, a.blob).digest(a.name, []),
  sent: async () => sent(),
  ready: async (a: { name: "assemble" | "verify" }) => {
    const start = performance.now();
    await program(a.name);
    return performance.now() - start;
  },
};

self.onmessage = async (e: MessageEvent) => {
  const { id, operation, args } = e.data as { id: number; operation: string; args: unknown };
  if (operation === "set") {
    setting = args as typeof setting;
    setBase(setting.api);
    return;
  }
  try {
    const f = operations[operation];
    if (!f) {
      throw new Error(`no operation ${operation}`);
    }
    self.postMessage({ id, value: await f(args as never, (done, total) => self.postMessage({ id, done, total })) });
  } catch (err) {
    self.postMessage({ id, problem: told(err) });
  }
};

// told makes a Problem of whatever was thrown.
function told(err: unknown): Problem {
  if (typeof err === "object" && err !== null && "code" in err && "kind" in err) {
    const p = err as Problem;
    return { kind: String(p.kind), code: String(p.code), message: String(p.message) };
  }
  if (err instanceof DOMException && (err.name === "NotFoundError" || err.name === "NotReadableError")) {
    return { kind: "invalid", code: "file_changed", message: err.message };
  }
  return { kind: "internal", code: "", message: err instanceof Error ? err.message : String(err) };
}

// The key of this browser as a device: made here, never to leave it, kept in
// IndexedDB beside what it was enrolled as.

import { base64, type Bytes, derSignature, separated, utf8 } from "./_bytes";

export interface DeviceKey {
  authenticator: string;
  key: CryptoKey;
  module: string;
  signer: string;
  signerName: string;
  name: string;
  enrolled: number;
}

const algorithm = { name: "ECDSA", namedCurve: "P-256" };

// make makes a key whose private half no script can read, ours included.
export async function make(): Promise<{ key: CryptoKey; spki: Bytes }> {
  const pair = (await crypto.subtle.generateKey(algorithm, false, ["sign", "verify"])) as CryptoKeyPair;
  return { key: pair.privateKey, spki: new Uint8Array(await crypto.subtle.exportKey("spki", pair.publicKey)) };
}

// sign signs data for one purpose, as DER in base64.
export async function sign(key: CryptoKey, domain: string, data: Uint8Array): Promise<string> {
  const raw = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, key, separated(domain, data));
  return base64(derSignature(new Uint8Array(raw)));
}

// canonical writes an object of plain texts and numbers as the module does; the
// members keep their order.
export function canonical(v: Record<string, string | number>): Bytes {
  return utf8(JSON.stringify(v));
}

function open(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const r = indexedDB.open("countersign-device", 1);
    r.onupgradeneeded = () => r.result.createObjectStore("keys", { keyPath: "authenticator" });
    r.onsuccess = () => resolve(r.result);
    r.onerror = () => reject(r.error);
  });
}

async function run<T>(mode: IDBTransactionMode, work: (s: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const db = await open();
  try {
    return await new Promise<T>((resolve, reject) => {
      const tx = db.transaction("keys", mode);
      const r = work(tx.objectStore("keys"));
      tx.oncomplete = () => resolve(r.result);
      tx.onabort = tx.onerror = () => reject(tx.error);
    });
  } finally {
    db.close();
  }
}

export async function keep(k: DeviceKey): Promise<void> {
  await run("readwrite", (s) => s.put(k));
  await navigator.storage?.persist?.().catch(() => false);
}

export async function forget(authenticator: string): Promise<void> {
  await run("readwrite", (s) => s.delete(authenticator));
}

// current is the key that was enrolled last; a browser is one device.
export async function current(): Promise<DeviceKey | null> {
  const all = (await run("readonly", (s) => s.getAll())) as DeviceKey[];
  all.sort((a, b) => b.enrolled - a.enrolled);
  return all[0] ?? null;
}

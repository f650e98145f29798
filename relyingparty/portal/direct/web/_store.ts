// What waits in this browser for the signer to come back: the document, the prepared
// signature, and later what is appended to the document. It is deleted after the
// download, and when it is older than a day.

import type { Waiting } from "./_types";

const dayMs = 24 * 3600 * 1000;

function open(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const r = indexedDB.open("direct", 1);
    r.onupgradeneeded = () => r.result.createObjectStore("waiting", { keyPath: "state" });
    r.onsuccess = () => resolve(r.result);
    r.onerror = () => reject(r.error);
  });
}

async function run<T>(mode: IDBTransactionMode, work: (s: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const db = await open();
  try {
    return await new Promise<T>((resolve, reject) => {
      const t = db.transaction("waiting", mode);
      const r = work(t.objectStore("waiting"));
      t.oncomplete = () => resolve(r.result);
      t.onabort = t.onerror = () => reject(t.error ?? r.error);
    });
  } finally {
    db.close();
  }
}

// keep returns when it is on disk.
export async function keep(w: Waiting): Promise<void> {
  await run("readwrite", (s) => s.put(w));
}

export async function find(state: string): Promise<Waiting | undefined> {
  return run<Waiting | undefined>("readonly", (s) => s.get(state) as IDBRequest<Waiting | undefined>);
}

export async function remove(state: string): Promise<void> {
  await run("readwrite", (s) => s.delete(state));
}

// all returns what waits, the newest first, and drops what is too old.
export async function all(): Promise<Waiting[]> {
  const list = await run<Waiting[]>("readonly", (s) => s.getAll() as IDBRequest<Waiting[]>);
  const old = list.filter((w) => w.began < Date.now() - dayMs);
  for (const w of old) {
    await remove(w.state);
  }
  return list.filter((w) => !old.includes(w)).sort((a, b) => b.began - a.began);
}

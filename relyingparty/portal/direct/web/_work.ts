// The page's side of its worker.

import type { Problem } from "./_types";

export type Progress = (done: number, total: number) => void;

// Work runs operations in a worker, one after the other or at once.
export class Work {
  private readonly worker: Worker;
  private readonly calls = new Map<number, { resolve: (v: unknown) => void; reject: (e: unknown) => void; progress: Progress | undefined }>();
  private next = 1;

  constructor(url: string, setting: { assemble: string; verify: string; hash: string; api: string; font: string }) {
    this.worker = new Worker(url);
    this.worker.onmessage = (e: MessageEvent) => this.answered(e.data as Answer);
    this.worker.onerror = (e) => {
      const broken: Problem = { kind: "internal", code: "worker", message: e.message };
      for (const c of this.calls.values()) {
        c.reject(broken);
      }
      this.calls.clear();
    };
    this.worker.postMessage({ id: 0, operation: "set", args: setting });
  }

  // call runs an operation. A refusal is thrown as a Problem.
  call<T>(operation: string, args: unknown, progress?: Progress): Promise<T> {
    const id = this.next++;
    return new Promise<T>((resolve, reject) => {
      this.calls.set(id, { resolve: resolve as (v: unknown) => void, reject, progress });
      this.worker.postMessage({ id, operation, args });
    });
  }

  private answered(a: Answer): void {
    const c = this.calls.get(a.id);
    if (!c) {
      return;
    }
    if (a.done !== undefined && a.total !== undefined) {
      c.progress?.(a.done, a.total);
      return;
    }
    this.calls.delete(a.id);
    if (a.problem !== undefined) {
      c.reject(a.problem);
      return;
    }
    c.resolve(a.value);
  }
}

interface Answer {
  id: number;
  value?: unknown;
  problem?: Problem;
  done?: number;
  total?: number;
}

// Digests of parts of files. Up to a size that any device has memory for, WebCrypto
// computes them on one buffer; beyond it, a small WebAssembly program goes through
// the file in pieces and keeps its state after the document, from which later digests
// go on: what is appended to the document is small.

export type Part = Blob | Uint8Array;

// oneBuffer is how much is hashed at once.
export const oneBuffer = 256 * 1024 * 1024;

// State is a digest that has read some bytes, as it can be kept.
export interface State {
  name: string;
  words: Uint8Array; // of the program's memory
  rest: Uint8Array; // less than a block
  length: number;
}

interface Exports {
  memory: WebAssembly.Memory;
  sha256(blocks: number): void;
  sha512(blocks: number): void;
}

const dataAt = 1 << 16;
const piece = 4 << 20;

const kinds: Record<string, { block: number; word: number; size: number; start: bigint[] }> = {
  "SHA-256": {
    block: 64, word: 4, size: 32,
    start: [0x6a09e667n, 0xbb67ae85n, 0x3c6ef372n, 0xa54ff53an, 0x510e527fn, 0x9b05688cn, 0x1f83d9abn, 0x5be0cd19n],
  },
  "SHA-384": {
    block: 128, word: 8, size: 48,
    start: [0xcbbb9d5dc1059ed8n, 0x629a292a367cd507n, 0x9159015a3070dd17n, 0x152fecd8f70e5939n, 0x67332667ffc00b31n, 0x8eb44a8768581511n, 0xdb0c2e0d64f98fa7n, 0x47b5481dbefa4fa4n],
  },
  "SHA-512": {
    block: 128, word: 8, size: 64,
    start: [0x6a09e667f3bcc908n, 0xbb67ae8584caa73bn, 0x3c6ef372fe94f82bn, 0xa54ff53a5f1d36f1n, 0x510e527fade682d1n, 0x9b05688c2b3e6c1fn, 0x1f83d9abfb41bd6bn, 0x5be0cd19137e2179n],
  },
};

let loading: Promise<Exports> | null = null;

function load(url: string): Promise<Exports> {
  loading ??= WebAssembly.instantiateStreaming(fetch(url)).then((m) => m.instance.exports as unknown as Exports);
  return loading;
}

// Stream is a digest that is fed piece by piece.
class Stream {
  private readonly kind;
  private words: Uint8Array;
  private rest = new Uint8Array(0);
  private total = 0;

  constructor(
    private readonly program: Exports,
    private readonly name: string,
    from?: State,
  ) {
    const kind = kinds[name];
    if (!kind) {
      throw new Error(`no digest ${name}`);
    }
    this.kind = kind;
    this.words = new Uint8Array(8 * kind.word);
    if (from) {
      this.words.set(from.words);
      this.rest = new Uint8Array(from.rest);
      this.total = from.length;
      return;
    }
    const view = new DataView(this.words.buffer);
    kind.start.forEach((n, i) => (kind.word === 4 ? view.setUint32(4 * i, Number(n), true) : view.setBigUint64(8 * i, n, true)));
  }

  state(): State {
    return { name: this.name, words: new Uint8Array(this.words), rest: new Uint8Array(this.rest), length: this.total };
  }

  update(data: Uint8Array): void {
    this.total += data.length;
    const memory = new Uint8Array(this.program.memory.buffer);
    for (let at = 0; at < data.length; ) {
      memory.set(this.rest, dataAt);
      const n = Math.min(data.length - at, piece - this.rest.length);
      memory.set(data.subarray(at, at + n), dataAt + this.rest.length);
      const have = this.rest.length + n;
      const blocks = Math.floor(have / this.kind.block);
      this.run(memory, blocks);
      this.rest = memory.slice(dataAt + blocks * this.kind.block, dataAt + have);
      at += n;
    }
  }

  digest(): Uint8Array {
    const bits = BigInt(this.total) * 8n;
    const end = this.kind.block - (this.kind.word === 4 ? 8 : 16); // where the length stands
    const after = this.rest.length + 1;
    const pad = new Uint8Array((after <= end ? this.kind.block : 2 * this.kind.block) - this.rest.length);
    pad[0] = 0x80;
    new DataView(pad.buffer).setBigUint64(pad.length - 8, bits);
    this.update(pad);
    const out = new Uint8Array(this.words.length);
    const words = new DataView(this.words.buffer);
    const view = new DataView(out.buffer);
    for (let i = 0; i < 8; i++) {
      if (this.kind.word === 4) {
        view.setUint32(4 * i, words.getUint32(4 * i, true));
      } else {
        view.setBigUint64(8 * i, words.getBigUint64(8 * i, true));
      }
    }
    return out.slice(0, this.kind.size);
  }

  private run(memory: Uint8Array, blocks: number): void {
    if (blocks === 0) {
      return;
    }
    memory.set(this.words, 0);
    if (this.kind.word === 4) {
      this.program.sha256(blocks);
    } else {
      this.program.sha512(blocks);
    }
    this.words = memory.slice(0, this.words.length);
  }
}

export type Told = (done: number, total: number) => void;

// Hasher computes the digests over one document and what is appended to it.
export class Hasher {
  kept: State | null = null; // after the document

  constructor(
    private readonly url: string,
    private readonly document: Blob,
    private readonly told: Told = () => {},
  ) {}

  // large says whether the document is gone through in pieces.
  get large(): boolean {
    return this.document.size > oneBuffer;
  }

  // digest is that of the document followed by the tail.
  async digest(name: string, tail: Uint8Array[]): Promise<Uint8Array> {
    if (!this.large) {
      const whole = await new Blob([this.document, ...(tail as Uint8Array<ArrayBuffer>[])]).arrayBuffer();
      return new Uint8Array(await crypto.subtle.digest(name, whole));
    }
    const program = await load(this.url);
    let s: Stream;
    if (this.kept?.name === name && this.kept.length === this.document.size) {
      s = new Stream(program, name, this.kept);
    } else {
      s = new Stream(program, name);
      await this.read(s);
      this.kept = s.state();
    }
    tail.forEach((t) => s.update(t));
    return s.digest();
  }

  // read feeds the document; the next piece is read while one is hashed.
  private async read(s: Stream): Promise<void> {
    const size = this.document.size;
    const get = (at: number) => this.document.slice(at, Math.min(at + piece, size)).arrayBuffer();
    let next = get(0);
    for (let at = 0; at < size; at += piece) {
      const data = new Uint8Array(await next);
      if (at + piece < size) {
        next = get(at + piece);
      }
      s.update(data);
      this.told(Math.min(at + piece, size), size);
    }
  }
}

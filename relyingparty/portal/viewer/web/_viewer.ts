// Viewer shows one page of a PDF at a time, drawn by pdf.js from a file of the
// browser, with a text layer that can be selected and read aloud. It reads the file
// in pieces: a long document costs no more than the pages that are looked at.

import type { PDFDocumentProxy, PDFDocumentLoadingTask, RenderTask } from "pdfjs-dist";

type Library = typeof import("pdfjs-dist");

// Size of a page as it is shown, in points.
export interface Size {
  width: number;
  height: number;
}

const piece = 256 * 1024;

export class Viewer {
  private constructor(
    private readonly library: Library,
    private readonly task: PDFDocumentLoadingTask,
    private readonly document: PDFDocumentProxy,
    private readonly sheet: HTMLElement,
  ) {}

  private drawing: RenderTask | null = null;
  private asked = 0;

  // open loads pdf.js from folder and the document's first pieces.
  static async open(folder: string, blob: Blob, sheet: HTMLElement): Promise<Viewer> {
    const library = (await import(folder + "pdf.min.mjs")) as Library;
    library.GlobalWorkerOptions.workerSrc = folder + "pdf.worker.min.mjs";
    const first = new Uint8Array(await blob.slice(0, piece).arrayBuffer());
    const transport = new (class extends library.PDFDataRangeTransport {
      override requestDataRange(begin: number, end: number): void {
        void blob
          .slice(begin, end)
          .arrayBuffer()
          .then((b) => this.onDataRange(begin, new Uint8Array(b)));
      }
    })(blob.size, first);
    const task = library.getDocument({
      range: transport, rangeChunkSize: piece, disableAutoFetch: true, disableStream: true, enableXfa: false, stopAtErrors: false,
      cMapUrl: folder + "cmaps/", cMapPacked: true, standardFontDataUrl: folder + "standard_fonts/", wasmUrl: folder + "wasm/", iccUrl: folder + "iccs/",
      verbosity: 0,
    });
    return new Viewer(library, task, await task.promise, sheet);
  }

  get pages(): number {
    return this.document.numPages;
  }

  // size of a page as it is shown.
  async size(number: number): Promise<Size> {
    const page = await this.document.getPage(number);
    const v = page.getViewport({ scale: 1 });
    return { width: v.width, height: v.height };
  }

  // show draws a page. What stands in the sheet beside canvas and text stays.
  async show(number: number, label: string): Promise<Size> {
    const turn = ++this.asked;
    this.drawing?.cancel();
    const page = await this.document.getPage(number);
    const plain = page.getViewport({ scale: 1 });
    const size = { width: plain.width, height: plain.height };
    if (turn !== this.asked) {
      return size;
    }
    const width = this.sheet.clientWidth || 600;
    const scale = width / plain.width;
    const viewport = page.getViewport({ scale });
    const sharp = Math.min(window.devicePixelRatio || 1, 2);
    const canvas = document.createElement("canvas");
    canvas.className = "page";
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", label);
    canvas.width = Math.floor(viewport.width * sharp);
    canvas.height = Math.floor(viewport.height * sharp);
    this.drawing = page.render({ canvas, viewport, ...(sharp !== 1 ? { transform: [sharp, 0, 0, sharp, 0, 0] } : {}) });
    try {
      await this.drawing.promise;
    } catch (e) {
      if (turn !== this.asked) {
        return size;
      }
      throw e;
    }
    const text = document.createElement("div");
    text.className = "text";
    const layer = new this.library.TextLayer({ textContentSource: page.streamTextContent(), container: text, viewport });
    text.style.setProperty("--total-scale-factor", String(scale));
    await layer.render();
    if (turn !== this.asked) {
      return size;
    }
    this.sheet.querySelectorAll(":scope > canvas.page, :scope > .text").forEach((e) => e.remove());
    this.sheet.prepend(canvas, text);
    page.cleanup();
    return size;
  }

  async close(): Promise<void> {
    this.asked++;
    this.drawing?.cancel();
    await this.task.destroy();
  }
}

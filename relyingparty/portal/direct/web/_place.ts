// The box of the visible signature on the page that is shown: moved and sized by
// mouse, touch or keys, and by numbers elsewhere. All in points from the upper left
// corner of the page.

export interface Box {
  page: number;
  x: number;
  y: number;
  width: number;
  height: number;
}

const svg = "http://www.w3.org/2000/svg";
const least = { width: 90, height: 30 };
const grip = 10;
const step = 6;

export class Placement {
  box: Box | null = null;
  private shown = 0; // the page
  private size = { width: 595, height: 842 };
  private readonly overlay: SVGSVGElement;
  private readonly group: SVGGElement;

  constructor(
    sheet: HTMLElement,
    private readonly words: { role: string; label: string; help: string },
    private lines: string[],
    private readonly changed: (b: Box) => void,
  ) {
    this.overlay = document.createElementNS(svg, "svg");
    this.overlay.setAttribute("class", "overlay");
    this.group = document.createElementNS(svg, "g");
    this.group.setAttribute("class", "box");
    this.group.setAttribute("tabindex", "0");
    this.group.setAttribute("role", "group");
    this.group.setAttribute("aria-roledescription", words.role);
    this.group.setAttribute("aria-describedby", words.help);
    this.overlay.append(this.group);
    this.overlay.style.setProperty("pointer-events", "none");
    this.group.style.setProperty("pointer-events", "all");
    this.group.addEventListener("keydown", (e) => this.key(e));
    this.group.addEventListener("pointerdown", (e) => this.grab(e));
    sheet.append(this.overlay);
  }

  // show says which page is shown, and how large it is.
  show(page: number, size: { width: number; height: number }): void {
    this.shown = page;
    this.size = size;
    this.overlay.setAttribute("viewBox", `0 0 ${size.width} ${size.height}`);
    this.draw();
  }

  // put places the box, inside of the page.
  put(b: Box | null): void {
    this.box = b && this.inside(b);
    this.draw();
  }

  // fresh is a box where people look for a signature: at the lower left.
  fresh(page: number): Box {
    const width = Math.min(220, this.size.width - 24);
    return { page, x: Math.min(72, (this.size.width - width) / 2), y: Math.max(this.size.height - 54 - 96, 0), width, height: 54 };
  }

  // say changes what the box shows.
  say(lines: string[]): void {
    this.lines = lines;
    this.draw();
  }

  focus(): void {
    this.group.focus({ preventScroll: false });
  }

  remove(): void {
    this.overlay.remove();
  }

  private inside(b: Box): Box {
    if (b.page !== this.shown) {
      return b; // its page is looked at when it is shown
    }
    const width = Math.min(Math.max(b.width, least.width), this.size.width);
    const height = Math.min(Math.max(b.height, least.height), this.size.height);
    const x = Math.min(Math.max(b.x, 0), this.size.width - width);
    const y = Math.min(Math.max(b.y, 0), this.size.height - height);
    return { page: b.page, x, y, width, height };
  }

  private set(b: Box): void {
    this.box = this.inside(b);
    this.draw();
    this.changed(this.box);
  }

  private draw(): void {
    const b = this.box;
    this.group.replaceChildren();
    if (!b || b.page !== this.shown) {
      this.overlay.setAttribute("hidden", "");
      this.overlay.style.setProperty("display", "none");
      return;
    }
    this.overlay.removeAttribute("hidden");
    this.overlay.style.removeProperty("display");
    this.group.setAttribute("aria-label", this.words.label);
    this.rect("edge", b.x, b.y, b.width, b.height);
    const size = Math.min(11, (b.height - 6) / (this.lines.length * 1.25));
    this.lines.forEach((line, i) => {
      const t = document.createElementNS(svg, "text");
      t.setAttribute("x", String(b.x + 6));
      t.setAttribute("y", String(b.y + 4 + size * (1 + 1.25 * i)));
      t.setAttribute("font-size", String(size));
      t.textContent = line;
      this.group.append(t);
    });
    for (const [cx, cy, name] of [[b.x, b.y, "nw"], [b.x + b.width, b.y, "ne"], [b.x, b.y + b.height, "sw"], [b.x + b.width, b.y + b.height, "se"]] as const) {
      const g = this.rect("grip", cx - grip / 2, cy - grip / 2, grip, grip);
      g.dataset["corner"] = name;
      const reach = this.rect("reach", cx - 14, cy - 14, 28, 28);
      reach.dataset["corner"] = name;
    }
  }

  private rect(kind: string, x: number, y: number, width: number, height: number): SVGRectElement {
    const r = document.createElementNS(svg, "rect");
    r.setAttribute("class", kind);
    for (const [name, value] of Object.entries({ x, y, width, height })) {
      r.setAttribute(name, String(value));
    }
    this.group.append(r);
    return r;
  }

  private key(e: KeyboardEvent): void {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[e.key];
    if (!way || !this.box || e.ctrlKey || e.metaKey || e.altKey) {
      return;
    }
    e.preventDefault();
    const [dx, dy] = [(way[0] ?? 0) * step, (way[1] ?? 0) * step];
    const b = this.box;
    this.set(e.shiftKey ? { ...b, width: b.width + dx, height: b.height + dy } : { ...b, x: b.x + dx, y: b.y + dy });
  }

  private grab(e: PointerEvent): void {
    if (!this.box || e.button !== 0) {
      return;
    }
    e.preventDefault();
    this.focus();
    const start = { box: this.box, at: this.point(e) };
    const corner = (e.target as SVGElement).dataset["corner"] ?? "";
    const move = (m: PointerEvent) => this.drag(start, corner, this.point(m));
    const drop = () => {
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", drop);
      window.removeEventListener("pointercancel", drop);
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", drop);
    window.addEventListener("pointercancel", drop);
  }

  private drag(start: { box: Box; at: { x: number; y: number } }, corner: string, to: { x: number; y: number }): void {
    const [dx, dy] = [to.x - start.at.x, to.y - start.at.y];
    const b = { ...start.box };
    if (corner === "") {
      b.x += dx;
      b.y += dy;
      this.set(b);
      return;
    }
    if (corner.includes("e")) {
      b.width += dx;
    }
    if (corner.includes("s")) {
      b.height += dy;
    }
    if (corner.includes("w")) {
      const d = Math.min(dx, b.width - least.width);
      b.x += d;
      b.width -= d;
    }
    if (corner.includes("n")) {
      const d = Math.min(dy, b.height - least.height);
      b.y += d;
      b.height -= d;
    }
    this.set(b);
  }

  // point is where the pointer is on the page.
  private point(e: PointerEvent): { x: number; y: number } {
    const r = this.overlay.getBoundingClientRect();
    return { x: ((e.clientX - r.left) / r.width) * this.size.width, y: ((e.clientY - r.top) / r.height) * this.size.height };
  }
}

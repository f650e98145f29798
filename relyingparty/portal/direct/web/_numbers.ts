// The position of the visible signature in numbers: for people who do not drag, and
// for those who want it exact. Millimetres from the upper left corner.

import { element, lang } from "./_page";
import type { Box } from "./_place";

const point = 25.4 / 72; // millimetres

export class Numbers {
  private readonly visible = element<HTMLInputElement>("visible");
  private readonly fields = {
    page: element<HTMLInputElement>("box-page"),
    x: element<HTMLInputElement>("box-x"),
    y: element<HTMLInputElement>("box-y"),
    width: element<HTMLInputElement>("box-w"),
    height: element<HTMLInputElement>("box-h"),
  };

  // write shows a box.
  write(b: Box): void {
    this.visible.checked = true;
    this.enable(true);
    const mm = (points: number) => new Intl.NumberFormat(lang, { maximumFractionDigits: 1, useGrouping: false }).format(points * point);
    this.fields.page.value = String(b.page);
    for (const name of ["x", "y", "width", "height"] as const) {
      this.fields[name].value = mm(b[name]);
    }
  }

  // listen tells of each change: a box, or null for an invisible signature. A first box
  // is on the page that is shown.
  listen(pages: number, shown: () => number, changed: (b: Box | null, first: boolean) => Promise<void>): void {
    this.visible.checked = false;
    this.enable(false);
    this.visible.onchange = () => {
      this.enable(this.visible.checked);
      void changed(this.visible.checked ? { page: shown(), x: 0, y: 0, width: 0, height: 0 } : null, this.visible.checked);
    };
    for (const f of Object.values(this.fields)) {
      f.onchange = () => {
        const page = Math.min(Math.max(1, Math.round(this.read("page", 1))), pages);
        void changed({ page, x: this.read("x", 20) / point, y: this.read("y", 20) / point, width: this.read("width", 70) / point, height: this.read("height", 18) / point }, false);
      };
    }
  }

  private enable(on: boolean): void {
    for (const f of Object.values(this.fields)) {
      f.disabled = !on;
    }
  }

  // read understands the decimal comma too.
  private read(name: keyof Numbers["fields"], otherwise: number): number {
    const n = Number.parseFloat(this.fields[name].value.replace(",", "."));
    return Number.isFinite(n) ? n : otherwise;
  }
}

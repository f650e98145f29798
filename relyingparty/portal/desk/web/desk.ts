// The sender's pages: files that are dropped or chosen go up one by one, with
// progress; a request that runs is followed.

import { follow, refresh } from "../../frame/web/_live";

const byId = (id: string): HTMLElement | null => document.getElementById(id);

// row adds a line from a template, with a file's name.
function row(template: string, name: string): HTMLElement {
  const t = byId(template) as HTMLTemplateElement;
  const li = (t.content.cloneNode(true) as DocumentFragment).firstElementChild as HTMLElement;
  const title = li.querySelector(".name");
  if (title) title.textContent = name;
  byId("progress")?.append(li);
  return li;
}

// send uploads one file and returns why it was refused, or "".
function send(form: HTMLFormElement, file: File, bar: HTMLProgressElement): Promise<string> {
  return new Promise((done) => {
    const x = new XMLHttpRequest();
    x.open("POST", form.action);
    x.setRequestHeader("Accept", "application/problem+json");
    x.upload.onprogress = (e): void => {
      // The last part of the way is the check of the file.
      if (e.lengthComputable && e.total > 0) bar.value = 0.95 * (e.loaded / e.total);
    };
    const broken = form.dataset["broken"] ?? "";
    x.onerror = (): void => done(broken);
    x.onload = (): void => {
      if (x.status === 204) {
        done("");
        return;
      }
      if (x.status === 401) {
        location.reload();
        return;
      }
      try {
        done((JSON.parse(x.responseText) as { detail?: string }).detail || broken);
      } catch {
        done(broken);
      }
    };
    const body = new FormData();
    body.append("file", file, file.name);
    x.send(body);
  });
}

// upload sends files one after the other, and says whether all were taken.
async function upload(form: HTMLFormElement, files: File[]): Promise<boolean> {
  let all = true;
  form.setAttribute("aria-busy", "true");
  for (const file of files) {
    const moving = row("moving", file.name);
    const bar = moving.querySelector("progress") as HTMLProgressElement;
    bar.setAttribute("aria-label", file.name);
    const why = await send(form, file, bar);
    moving.remove();
    if (why === "") {
      await refresh();
      continue;
    }
    all = false;
    const failed = row("failed", file.name);
    const text = failed.querySelector(".why");
    if (text) text.textContent = why;
  }
  form.removeAttribute("aria-busy");
  return all;
}

function uploads(form: HTMLFormElement): void {
  const input = byId("pdf") as HTMLInputElement;
  const drop = byId("drop") as HTMLElement;
  const button = byId("send");
  if (button) button.hidden = true;
  const title = byId("title") as HTMLInputElement | null;
  let going: Promise<boolean> = Promise.resolve(true);
  let waiting = 0;
  const take = (list: FileList | null | undefined): void => {
    const files = [...(list ?? [])];
    if (files.length === 0) return;
    const first = files[0];
    if (title && title.value === "" && first) title.value = first.name.replace(/\.pdf$/i, "").slice(0, 200);
    waiting++;
    going = going.then(() => upload(form, files)).finally(() => waiting--);
  };
  // Who goes on before all files are here goes on when they are; if one was refused,
  // the reader sees that first.
  const next = title?.form;
  next?.addEventListener("submit", (e) => {
    if (waiting === 0) return;
    e.preventDefault();
    void going.then((all) => {
      if (all) next.requestSubmit();
    });
  });
  window.addEventListener("beforeunload", (e) => {
    if (waiting > 0) e.preventDefault();
  });
  input.addEventListener("change", () => {
    take(input.files);
    input.value = "";
  });
  for (const type of ["dragenter", "dragover"]) {
    drop.addEventListener(type, (e) => {
      e.preventDefault();
      drop.classList.add("over");
    });
  }
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (e) => {
    e.preventDefault();
    drop.classList.remove("over");
    take((e as DragEvent).dataTransfer?.files);
  });
  // A file that misses the place is not opened instead of the page.
  for (const type of ["dragover", "drop"]) window.addEventListener(type, (e) => e.preventDefault());
}

const form = byId("upload");
if (form instanceof HTMLFormElement) uploads(form);
follow();

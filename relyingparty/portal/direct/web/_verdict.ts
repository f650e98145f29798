// What verification found, in words.

import { element, fact, icon, moment, say, words } from "./_page";
import { hex } from "./_bytes";
import type { Report, Signature, Waiting } from "./_types";

// ours is the signature that was made here.
export function ours(r: Report, field: unknown): Signature | undefined {
  return r.signatures.find((s) => s.field === field);
}

function row(state: "check" | "cross" | "unchecked", text: string): HTMLElement {
  const li = document.createElement("li");
  const status = document.createElement("span");
  status.className = { check: "status good", cross: "status danger", unchecked: "status" }[state];
  const said = document.createElement("span");
  said.textContent = text;
  status.append(icon(state), said);
  li.append(status);
  return li;
}

// tell writes the verdict and its evidence into the page.
export function tell(w: Waiting, r: Report): void {
  const s = ours(r, w.prepared["field"]);
  const list = element("verdict");
  list.replaceChildren();
  if (s?.verdict === "TOTAL-PASSED") {
    list.append(row("check", say("verdict.unchanged")), row("check", say("verdict.signer", w.signer)), row("check", say("verdict.certificate")));
    if (s.level !== "PAdES-B-B") {
      list.append(row("check", say("verdict.time")));
    }
  } else {
    list.append(row("cross", say("verdict.not", s?.subindication ?? s?.verdict ?? "")));
    for (const e of s?.errors ?? []) {
      list.append(row("cross", e));
    }
  }
  list.append(row("unchecked", say("verdict.content")));
  element("meaning").textContent = say("verdict.meaning");
  const facts = element("evidence");
  facts.replaceChildren();
  fact(facts, say("fact.format"), s?.level.replace("PAdES-", "PAdES ") ?? "");
  fact(facts, say("fact.signer"), s?.signer ?? "");
  if (s?.time) {
    fact(facts, say("fact.time"), moment(s.time));
  }
  fact(facts, say("fact.words"), words(w.prepared.words));
  const digest = document.createElement("span");
  digest.className = "hex";
  digest.textContent = `${w.prepared.hash} ${hex(w.prepared.digest)}`;
  fact(facts, say("fact.digest"), digest);
  fact(facts, say("fact.sent"), say("fact.sent.what", w.sent));
}

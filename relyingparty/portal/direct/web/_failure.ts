// Trouble in the reader's words: what happened, that nothing was lost, what to do.

import { busy, element, head, knows, notice, say, show } from "./_page";
import { isProblem, type Problem } from "./_types";

// explain finds the words for a problem.
export function explain(p: Problem): string {
  if (knows(`problem.${p.code}`)) {
    return say(`problem.${p.code}`);
  }
  return p.message === "" ? say("problem.unknown") : say("problem.other", p.message);
}

// asProblem makes a problem of whatever was thrown.
export function asProblem(e: unknown): Problem {
  if (isProblem(e)) {
    return e;
  }
  if (e instanceof DOMException && e.name === "QuotaExceededError") {
    return { kind: "too large", code: "quota", message: e.message };
  }
  return { kind: "internal", code: "", message: e instanceof Error ? e.message : String(e) };
}

// refuse says why a document cannot be signed, and offers to choose another one.
export function refuse(name: string, e: unknown): void {
  busy("");
  head("choose", say("refused.title"), say("refused.lead", name));
  notice(say("refused.what", name), explain(asProblem(e)));
  show("drop", "facts-choose");
  element("title").focus();
}

// fail says that it did not work, and that nothing was lost.
export function fail(e: unknown): void {
  const p = asProblem(e);
  busy("");
  notice(say(p.code === "approval_refused" ? "failed.refused" : "failed.what"), explain(p));
  element("title").focus();
}

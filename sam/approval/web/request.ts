// The page of a request, in the browser that started it or on the phone that came
// by the code: it follows the state, and approves with a passkey.

import { bytes, call, explain, Malformed, Refusal } from "./_api";
import { base64, digest, fromBase64, separated } from "./_bytes";
import { busy, byId, say, wrong } from "./_page";
import { parse } from "./_sad";

interface Allowed {
  authenticator: string;
  handle: string;
}

// follow loads the page again when the request's state changes: by events, and
// where they do not come through, every few seconds.
function follow(page: HTMLElement): void {
  const state = page.dataset.state;
  const events = new EventSource(page.dataset.live ?? "");
  events.addEventListener("state", (e) => {
    if (e.data !== state) location.reload();
  });
  let timer = 0;
  events.addEventListener("open", () => {
    clearInterval(timer);
    timer = 0;
  });
  events.addEventListener("error", () => {
    if (events.readyState !== EventSource.CLOSED || timer) return;
    timer = window.setInterval(() => {
      if (document.activeElement === document.body || document.activeElement === null) location.reload();
    }, 5000);
  });
}

// approve asks the passkey for its signature over exactly the bytes of the SAD,
// after reading them as strictly as the module does.
async function approve(page: HTMLElement, number: string): Promise<void> {
  const raw = await bytes(page.dataset.sad ?? "");
  const sad = await parse(raw);
  const allowed = JSON.parse(page.dataset.allowed ?? "[]") as Allowed[];
  if (sad.sid !== page.dataset.sid || sad.issuer === "") throw new Malformed("another request than the page shows");
  const challenge = await digest("SHA-256", separated("countersign-sad-v1", raw));
  const got = (await navigator.credentials.get({
    publicKey: {
      challenge,
      rpId: page.dataset.rp ?? "",
      allowCredentials: allowed.map((a) => ({ type: "public-key" as const, id: fromBase64(a.handle) })),
      userVerification: "required",
      timeout: Math.max(1000, Math.min(120_000, sad.expires.getTime() - Date.now())),
    },
  })) as PublicKeyCredential | null;
  if (!got) throw new DOMException("no passkey", "NotAllowedError");
  const id = base64(new Uint8Array(got.rawId));
  const authenticator = allowed.find((a) => a.handle === id)?.authenticator;
  if (!authenticator) throw new Refusal("unknown_device", "");
  const r = got.response as AuthenticatorAssertionResponse;
  const yes: Record<string, unknown> = {
    authenticator,
    webauthn: {
      id,
      clientDataJSON: base64(new Uint8Array(r.clientDataJSON)),
      authenticatorData: base64(new Uint8Array(r.authenticatorData)),
      signature: base64(new Uint8Array(r.signature)),
    },
    number,
  };
  if (page.dataset.view) yes.view = page.dataset.view; // this browser started the request
  await call(page.dataset.approve ?? "", yes);
  if (page.dataset.return) location.assign(page.dataset.return);
  else location.reload();
}

function start(page: HTMLElement): void {
  follow(page);
  const act = byId("act");
  const button = byId("approve");
  if (page.dataset.passkey !== "true" || !act || !(button instanceof HTMLButtonElement)) return;
  act.hidden = false;
  const field = byId("number") as HTMLInputElement | null;
  const go = (e: Event): void => {
    e.preventDefault();
    wrong("wrong", "", field);
    const number = field?.value.trim() ?? "";
    if (field && !/^\d{2,4}$/.test(number)) {
      wrong("wrong", say("error.number.empty"), field);
      return;
    }
    void busy(button, async () => {
      try {
        if (!window.PublicKeyCredential) throw new DOMException("no passkeys", "NotSupportedError");
        await approve(page, number);
      } catch (err) {
        const number = err instanceof Refusal && err.code === "number_wrong";
        wrong("wrong", explain(err), number ? field : null);
        if (err instanceof Refusal && ["rejected", "sad_expired", "sad_invalid"].includes(err.code)) location.reload();
      }
    });
  };
  const form = byId("numbered");
  if (form) form.addEventListener("submit", go);
  else button.addEventListener("click", go);
}

const page = byId("request");
if (page) start(page);

// The page on which a browser becomes a device, or a passkey an authenticator.

import { call, explain } from "./_api";
import { base64, type Bytes, fromBase64 } from "./_bytes";
import { keep, make, sign } from "./_key";
import { busy, byId, need, say, wrong } from "./_page";

interface Enrolled {
  authenticator: string;
  signer: string;
  signerName: string;
  module: string;
}

// weak refuses the PINs that the module refuses, before anything is sent.
function weak(pin: string): boolean {
  if (!/^\d{6,12}$/.test(pin)) return true;
  const step = pin.charCodeAt(1) - pin.charCodeAt(0);
  if (Math.abs(step) > 1) return false;
  for (let i = 2; i < pin.length; i++) if (pin.charCodeAt(i) - pin.charCodeAt(i - 1) !== step) return false;
  return true;
}

function value(id: string): string {
  return (byId(id) as HTMLInputElement | null)?.value.trim() ?? "";
}

// mistake is the first field that is wrong, with what to say of it.
function mistake(passkey: boolean): [string, string] | null {
  if (value("code").replace(/[-\s]/g, "").length !== 20) return ["code", "error.code.empty"];
  if (value("name") === "") return ["name", "error.name.empty"];
  if (passkey) return null;
  if (weak(value("pin"))) return ["pin", "error.pin.weak"];
  if (value("pin") !== value("pin2")) return ["pin2", "error.pin.differ"];
  return null;
}

async function enrolKey(form: HTMLFormElement): Promise<Enrolled> {
  const { key, spki } = await make();
  const statement = JSON.stringify({ v: 1, enrolment: form.dataset.id, mechanism: "devicekey", spki: base64(spki) });
  const signature = await sign(key, "countersign-enrol-v1", new TextEncoder().encode(statement));
  const done = await call<Enrolled>(form.dataset.post ?? "", {
    code: value("code"), mechanism: "devicekey", name: value("name"), spki: base64(spki), signature, pin: value("pin"),
  });
  await keep({ ...done, key, name: value("name"), enrolled: Date.now() });
  return done;
}

async function enrolPasskey(form: HTMLFormElement): Promise<Enrolled> {
  const user = crypto.getRandomValues(new Uint8Array(16)) as Bytes;
  const made = (await navigator.credentials.create({
    publicKey: {
      challenge: fromBase64(form.dataset.challenge ?? ""),
      rp: { id: form.dataset.rp ?? "", name: form.dataset.org ?? "" },
      user: { id: user, name: value("name"), displayName: value("name") },
      pubKeyCredParams: [{ type: "public-key", alg: -7 }],
      authenticatorSelection: { userVerification: "required", residentKey: "preferred" },
      attestation: "none",
      timeout: 120_000,
    },
  })) as PublicKeyCredential | null;
  if (!made) throw new DOMException("no passkey", "NotAllowedError");
  const r = made.response as AuthenticatorAttestationResponse;
  return call<Enrolled>(form.dataset.post ?? "", {
    code: value("code"), mechanism: "webauthn", name: value("name"),
    webauthn: {
      id: base64(new Uint8Array(made.rawId)),
      clientDataJSON: base64(new Uint8Array(r.clientDataJSON)),
      authenticatorData: base64(new Uint8Array(r.getAuthenticatorData())),
    },
  });
}

function start(form: HTMLFormElement): void {
  const passkey = form.dataset.mechanism === "webauthn";
  form.hidden = false;
  const button = need<HTMLButtonElement>(form, "#add");
  let marked: HTMLElement | null = null;
  form.addEventListener("submit", (e) => {
    e.preventDefault();
    wrong("wrong", "", marked);
    const bad = mistake(passkey);
    if (bad) {
      marked = byId(bad[0]);
      wrong("wrong", say(bad[1]), marked);
      return;
    }
    void busy(button, async () => {
      try {
        const done = passkey ? await enrolPasskey(form) : await enrolKey(form);
        const who = need<HTMLElement>(document, "#who");
        who.textContent = (who.dataset.text ?? "").replace("\u0001", done.signerName);
        need<HTMLElement>(document, "#ask").hidden = true;
        const after = need<HTMLElement>(document, "#done");
        after.hidden = false;
        need<HTMLElement>(after, "h1").focus();
      } catch (err) {
        wrong("wrong", explain(err));
      }
    });
  });
}

const form = byId("enrol");
if (form instanceof HTMLFormElement) start(form);

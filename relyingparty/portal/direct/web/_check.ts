// The signature value is verified with WebCrypto before it is put into a document.

import { plainECDSA, publicKey } from "./_der";
import type { Prepared } from "./_types";

const curves: Record<string, { name: string; size: number }> = {
  "2a8648ce3d030107": { name: "P-256", size: 32 },
  "2b81040022": { name: "P-384", size: 48 },
  "2b81040023": { name: "P-521", size: 66 },
};

// verifies says whether the signature is over the prepared document's signed
// attributes, by the key of its certificate.
export async function verifies(p: Prepared, signature: Uint8Array): Promise<boolean> {
  const spki = publicKey(p.signer);
  const hash = p.algorithm.replace(/^.* with /, "");
  if (p.algorithm.startsWith("ECDSA")) {
    const text = Array.from(spki.subarray(0, 32), (b) => b.toString(16).padStart(2, "0")).join("");
    const curve = Object.entries(curves).find(([oid]) => text.includes(oid))?.[1];
    if (!curve) {
      return false;
    }
    const key = await crypto.subtle.importKey("spki", own(spki), { name: "ECDSA", namedCurve: curve.name }, false, ["verify"]);
    const value = signature[0] === 0x30 && signature.length !== 2 * curve.size ? plainECDSA(signature, curve.size) : signature;
    return crypto.subtle.verify({ name: "ECDSA", hash }, key, own(value), own(p.signedAttributes));
  }
  const name = p.algorithm.startsWith("RSA-PSS") ? "RSA-PSS" : "RSASSA-PKCS1-v1_5";
  const key = await crypto.subtle.importKey("spki", own(spki), { name, hash }, false, ["verify"]);
  const length = { "SHA-256": 32, "SHA-384": 48, "SHA-512": 64 }[hash] ?? 32;
  return crypto.subtle.verify(name === "RSA-PSS" ? { name, saltLength: length } : { name }, key, own(signature), own(p.signedAttributes));
}

// own is a copy in a buffer of its own, as WebCrypto's types want it.
function own(b: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(b);
}

// As much of DER as it takes to hand a certificate's key to WebCrypto.

interface Element {
  tag: number;
  start: number; // of the element
  body: number; // of its content
  end: number;
}

function read(der: Uint8Array, at: number): Element {
  const tag = der[at];
  let length = der[at + 1];
  let body = at + 2;
  if (tag === undefined || length === undefined) {
    throw new Error("DER ends early");
  }
  if (length > 0x80) {
    const bytes = length - 0x80;
    if (bytes > 4) {
      throw new Error("DER too long");
    }
    length = 0;
    for (let i = 0; i < bytes; i++) {
      length = length * 256 + (der[body++] ?? 0);
    }
  }
  if (length === 0x80 || body + length > der.length) {
    throw new Error("DER ends early");
  }
  return { tag, start: at, body, end: body + length };
}

function members(der: Uint8Array, of: Element): Element[] {
  const list: Element[] = [];
  for (let at = of.body; at < of.end; ) {
    const e = read(der, at);
    list.push(e);
    at = e.end;
  }
  return list;
}

// publicKey is the SubjectPublicKeyInfo of a certificate.
export function publicKey(certificate: Uint8Array): Uint8Array {
  const tbs = members(certificate, read(certificate, 0))[0];
  if (!tbs) {
    throw new Error("no certificate");
  }
  const fields = members(certificate, tbs).filter((e) => e.tag !== 0xa0); // without the version
  const spki = fields[5]; // serial, algorithm, issuer, validity, subject, key
  if (!spki) {
    throw new Error("no key in the certificate");
  }
  return certificate.slice(spki.start, spki.end);
}

// plainECDSA turns SEQUENCE{r,s} into r‖s, which WebCrypto wants.
export function plainECDSA(signature: Uint8Array, size: number): Uint8Array {
  const out = new Uint8Array(2 * size);
  members(signature, read(signature, 0)).forEach((e, i) => {
    let start = e.body;
    while (start < e.end - 1 && signature[start] === 0) {
      start++;
    }
    const n = signature.subarray(start, e.end);
    if (n.length > size || i > 1) {
      throw new Error("the signature does not fit its curve");
    }
    out.set(n, (i + 1) * size - n.length);
  });
  return out;
}

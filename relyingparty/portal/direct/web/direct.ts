// The direct page: choose a PDF, place the signature, have it approved elsewhere,
// come back, and download the signed document, which never left this browser.

import { fail } from "./_failure";
import { begin, resume } from "./_flow";
import { setting } from "./_page";
import { setBase } from "./_api";

// The one policy: scripts and workers come from this origin, by their address, and
// from nowhere else.
interface Factory {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): unknown;
}
(window as unknown as { trustedTypes?: Factory }).trustedTypes?.createPolicy("default", {
  createScriptURL(url: string): string {
    if (new URL(url, location.href).origin !== location.origin) {
      throw new TypeError("scripts come from this origin only");
    }
    return url;
  },
});

setBase(setting("api"));
(setting("returned") !== "" ? resume() : begin()).catch(fail);

package oauth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// FuzzDetails: what is accepted can be approved, and reads the same when it is
// written again.
func FuzzDetails(f *testing.F) {
	sum := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, seed := range []string{
		`[{"type":"credential","credentialID":"c","documentDigests":[{"hash":"` + sum + `","label":"a"}],"hashAlgorithmOID":"2.16.840.1.101.3.4.2.1"}]`,
		`[{"type":"https://cloudsignatureconsortium.org/2025/credential","credentialID":"c","numSignatures":"1","documentDigests":[{"hash":"` + strings.TrimRight(sum, "=") + `","hashType":"DTBSR","size":7}]}]`,
		`[]`, `[{}]`, `[null]`, `{"type":"credential"}`, `[{"type":"credential","type":"credential"}]`, `[[[[[[[[[[[[[[[[[[[[[[`,
		`[{"type":"credential","credentialID":"c","documentDigests":[{"hash":"%2B%2B"}]}]`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		in, err := parseDetails(text)
		if err != nil {
			return
		}
		if in.Credential == "" || len(in.Documents) == 0 || len(in.Documents) > maxDocuments {
			t.Fatalf("accepted %q as %+v", text, in)
		}
		type doc struct {
			Hash        string `json:"hash"`
			Label       string `json:"label"`
			Size        int64  `json:"size"`
			DocHash     []byte `json:"docHash,omitempty"`
			SignedAttrs []byte `json:"signedAttrs,omitempty"`
		}
		docs := make([]doc, len(in.Documents))
		for i, d := range in.Documents {
			if oidByLength(len(d.DTBSR)) != in.HashOID || !presentable(d.Label) || d.Size < 0 {
				t.Fatalf("accepted %q with document %+v", text, d)
			}
			docs[i] = doc{base64.RawURLEncoding.EncodeToString(d.DTBSR), d.Label, d.Size, d.DocHash, d.SignedAttrs}
		}
		again, err := json.Marshal([]any{map[string]any{"type": "credential", "credentialID": in.Credential, "hashAlgorithmOID": in.HashOID, "documentDigests": docs}})
		if err != nil {
			t.Fatal(err)
		}
		other, err := parseDetails(string(again))
		if err != nil {
			t.Fatalf("%q was accepted, %q was not: %v", text, again, err)
		}
		if other.Credential != in.Credential || !slices.EqualFunc(in.Documents, other.Documents, func(a, b Document) bool {
			return a.Label == b.Label && a.Size == b.Size && bytes.Equal(a.DTBSR, b.DTBSR) && bytes.Equal(a.DocHash, b.DocHash) && bytes.Equal(a.SignedAttrs, b.SignedAttrs)
		}) {
			t.Fatalf("%q reads as %+v and, written again, as %+v", text, in, other)
		}
		if !sameJSON(text, text) {
			t.Fatalf("%q differs from itself", text)
		}
	})
}

// FuzzHashes: a list that is accepted is the same digests in any spelling.
func FuzzHashes(f *testing.F) {
	for _, seed := range []string{"", "AAAA", "AA==,AA", "-_-_;+/+/", "a b ", "%2B%2B%2C", ",,,", "AA=", "A", "%", "AAAA\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		digests, err := parseHashes(list)
		if err != nil {
			return
		}
		spelled := make([]string, len(digests))
		for i, d := range digests {
			if len(d) == 0 {
				t.Fatalf("%q has an empty digest", list)
			}
			spelled[i] = base64.RawURLEncoding.EncodeToString(d)
		}
		again, err := parseHashes(strings.Join(spelled, ","))
		if err != nil || !slices.EqualFunc(digests, again, bytes.Equal) {
			t.Fatalf("%q reads as %x and, written again, as %x, %v", list, digests, again, err)
		}
	})
}

// FuzzProof: no proof is accepted that its own key did not sign.
func FuzzProof(f *testing.F) {
	// The proof of RFC 9449 §4.1, figure 1.
	const rfc = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
	p, err := parseProof(rfc)
	if err != nil || p.jkt != "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" {
		f.Fatalf("the proof of the RFC is %+v, %v", p, err)
	}
	f.Add(rfc)
	for _, seed := range []string{"", "..", "e30.e30.", "eyJhbGciOiJub25lIn0.e30.", rfc[:len(rfc)-1], rfc + ".", "eyJhbGciOiJIUzI1NiJ9.e30.AAAA"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		p, err := parseProof(raw)
		if err != nil {
			return
		}
		// Only its signer can make a proof: what was found must be the RFC's own.
		if jti, _ := p.claims.text("jti"); jti != "-BwC3ESc6acc2lTc" || p.jkt != "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" {
			t.Fatalf("accepted %q", raw)
		}
	})
}

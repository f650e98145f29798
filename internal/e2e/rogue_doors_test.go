package e2e_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/crypto/ocsp"

	"github.com/countersign/countersign/cmd/countersign/sockets"
	"github.com/countersign/countersign/internal/ui"
	"github.com/countersign/countersign/pki"
	"github.com/countersign/countersign/sam/sad"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

func decode(t testing.TB, b []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("%q: %v", b, err)
	}
}

// canonical writes the members of a changed payload in the order of the original,
// so that nothing but the signature can be wrong with it.
func canonical(t testing.TB, original []byte, changed map[string]any) []byte {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(original))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for d.More() {
		name, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		var skip json.RawMessage
		if err := d.Decode(&skip); err != nil {
			t.Fatal(err)
		}
		value, err := signing.EncodeCanonical(changed[fmt.Sprint(name)])
		if err != nil {
			t.Fatal(err)
		}
		if out.Len() > 0 {
			out.WriteByte(',')
		}
		fmt.Fprintf(&out, "%q:%s", name, value)
	}
	return []byte("{" + out.String() + "}")
}

// onApproval is what the rogue tries on the approval origin. It knows the address
// of every request that it began itself.
func (r *rogue) onApproval() map[string][]attempt {
	sid := r.pending.SID
	page, _, _ := strings.Cut(r.pending.URL, "?")
	view := r.pending.URL[len(page):]
	fetch := func(name, address, refused string) attempt {
		return attempt{name: name, do: func() (int, []byte) { return r.get(r.browser, address) }, refused: refused}
	}
	send := func(name, address string, v any, refused string) attempt {
		return attempt{name: name, do: func() (int, []byte) { return r.post(r.browser, address, v) }, refused: refused}
	}
	_, raw := r.get(r.browser, page+"/sad"+view)
	parsed, err := sad.Parse(raw)
	if err != nil {
		r.t.Fatal(err)
	}
	var shown struct{ Number string }
	_, b := r.get(r.browser, r.pending.URL)
	decode(r.t, b, &shown)
	challenge := sad.Challenge(raw)
	own := func(digest []byte) []byte {
		sig, err := ecdsa.SignASN1(rand.Reader, r.key, digest)
		if err != nil {
			r.t.Fatal(err)
		}
		return sig
	}
	ada := parsed.Authenticators[0]
	yes := samapi.Approval{Authenticator: ada, Signature: own(challenge[:]), PIN: pin, Number: shown.Number}
	with := func(f func(*samapi.Approval)) samapi.Approval {
		y := yes
		f(&y)
		return y
	}
	enrol := func(f func(*samapi.Enrol)) samapi.Enrol {
		c, err := samapi.EnrolChallenge(r.enrolment.ID, samapi.DeviceKey, r.spki)
		if err != nil {
			r.t.Fatal(err)
		}
		e := samapi.Enrol{Code: samapi.NewActivationCode(), Mechanism: samapi.DeviceKey, Name: "phone", SPKI: r.spki, Signature: own(c), PIN: pin}
		f(&e)
		return e
	}
	enrolAt := r.in.approval + "/enrol/"
	return and(and(and(map[string][]attempt{
		"GET /a/{sid}":     {fetch("its own request", r.pending.URL, ""), fetch("without the view", page, samapi.CodeSADInvalid), fetch("Ada's", r.in.approval+"/a/"+r.approved.sid+view, samapi.CodeSADInvalid)},
		"GET /a/{sid}/sad": {fetch("its own request", page+"/sad"+view, ""), fetch("without the view", page+"/sad", samapi.CodeSADInvalid)},
		"GET /a/{sid}/return": {
			fetch("before the approval", page+"/return"+view, samapi.CodeUnfinished),
			fetch("Ada's", r.in.approval+"/a/"+r.approved.sid+"/return"+view, samapi.CodeSADInvalid),
		},
		"POST /a/{sid}/approve": {
			send("its own key in the name of Ada's device", page+"/approve", yes, samapi.CodeAssertion),
			send("its own device", page+"/approve", with(func(y *samapi.Approval) { y.Authenticator = r.own.key.Authenticator }), samapi.CodeUnknownDevice),
			send("no device", page+"/approve", with(func(y *samapi.Approval) { y.Authenticator = "" }), samapi.CodeUnknownDevice),
			send("no signature", page+"/approve", with(func(y *samapi.Approval) { y.Signature = nil }), samapi.CodeAssertion),
			send("a passkey's assertion", page+"/approve", with(func(y *samapi.Approval) {
				y.Signature, y.WebAuthn = nil, &samapi.Assertion{ID: []byte("x"), ClientDataJSON: []byte("{}"), AuthenticatorData: make([]byte, 37), Signature: yes.Signature}
			}), samapi.CodeAssertion),
			send("what decides the state itself", page+"/approve", map[string]any{"state": "approved"}, "json"),
			send("a request that is not there", r.in.approval+"/a/none/approve", yes, samapi.CodeSADInvalid),
			send("what was rejected", r.in.approval+"/a/"+r.rejected.SID+"/approve", yes, samapi.CodeRejected),
		},
		"POST /a/{sid}/reject": {send("without the view", page+"/reject", map[string]string{"reason": "rogue"}, samapi.CodeSADInvalid)},
		"POST /enrol/{id}": {
			send("a guessed code", enrolAt+r.enrolment.ID, enrol(func(*samapi.Enrol) {}), samapi.CodeActivation),
			send("the hash of the code", enrolAt+r.enrolment.ID, enrol(func(e *samapi.Enrol) { e.Code = base64.StdEncoding.EncodeToString(r.codeHash) }), samapi.CodeActivation),
			send("no code", enrolAt+r.enrolment.ID, enrol(func(e *samapi.Enrol) { e.Code = "" }), samapi.CodeActivation),
			send("an enrolment that is not there", enrolAt+"none", enrol(func(*samapi.Enrol) {}), samapi.CodeActivation),
		},
		"GET ": {fetch("a file of the pages", r.in.approval+r.file(), "")},
		"/":    {fetch("another page", r.in.approval+"/admin", "not found"), send("another page", r.in.approval+"/v1/sign", r.wish(sid, r.hash), "not found")},
	}, r.onApp(fetch, send, own, ada)), r.withDevices()), r.phone.attempts())
}

// file is the path of a file that a page uses. The page is of the request that was
// rejected: the first browser that opens a page holds it.
func (r *rogue) file() string {
	r.t.Helper()
	p := get(r.t, r.browser, r.rejected.URL, "Accept", "text/html")
	path := regexp.MustCompile(regexp.QuoteMeta(ui.Prefix) + `[^"'? ]+`).FindString(p.body)
	if path == "" {
		r.t.Fatalf("the page uses no file: %s", p.body)
	}
	return path
}

// onPKI is what the rogue tries on the certification authority.
func (r *rogue) onPKI() map[string][]attempt {
	at := func(path string) string { return r.in.pki + path }
	fetch := func(name, path, refused string) attempt {
		return attempt{name: name, do: func() (int, []byte) { return r.get(r.browser, at(path)) }, refused: refused}
	}
	send := func(name, path string, v any, refused string) attempt {
		return attempt{name: name, do: func() (int, []byte) { return r.post(r.browser, at(path), v) }, refused: refused}
	}
	binary := func(name, path, kind string, body []byte, refused string) attempt {
		return attempt{name: name, do: func() (int, []byte) {
			req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, at(path), bytes.NewReader(body))
			if err != nil {
				r.t.Fatal(err)
			}
			req.Header.Set("Content-Type", kind)
			return r.send(r.browser, req)
		}, refused: refused}
	}
	question, err := ocsp.CreateRequest(r.leaf, r.issuer, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	order := r.orders["revoke"]
	var revocation map[string]any
	decode(r.t, order.Payload, &revocation)
	revocation["serial"] = fmt.Sprintf("%x", r.leaf.SerialNumber)
	adas := canonical(r.t, order.Payload, revocation)
	return map[string][]attempt{
		"GET /root.crt":        {fetch("read", "/root.crt", "")},
		"GET /ca.crt":          {fetch("read", "/ca.crt", "")},
		"GET /anchors.pem":     {fetch("read", "/anchors.pem", "")},
		"GET /root.crl":        {fetch("read", "/root.crl", "")},
		"GET /ca.crl":          {fetch("read", "/ca.crl", "")},
		"GET /chain/{keyhash}": {fetch("of its own key", "/chain/"+r.keyHash(), "not found")},
		"/ocsp":                {binary("the status of Ada's certificate", "/ocsp", "application/ocsp-request", question, ""), fetch("nothing", "/ocsp", "method")},
		"/ocsp/":               {fetch("something else", "/ocsp/"+base64.StdEncoding.EncodeToString(r.spki), "")},
		"POST /tsa":            {binary("a time-stamp request that is none", "/tsa", "application/timestamp-query", r.spki, ""), send("JSON", "/tsa", map[string]any{}, "content_type")},
		"POST /issue":          r.onIssue(send),
		"POST /revoke": {
			send("Ada's certificate, in its own name", "/revoke", r.forge(pki.DomainRevocation, adas, ""), "unknown_ra"),
			send("Ada's certificate, in the authority's name", "/revoke", r.forge(pki.DomainRevocation, adas, order.Key), "bad_ra_signature"),
			send("a genuine order, changed", "/revoke", signing.Signed{Payload: adas, Signature: order.Signature, Key: order.Key}, "bad_ra_signature"),
			send("an order of another kind", "/revoke", r.orders["destroy-key"], "bad_ra_signature"),
		},
	}
}

func (r *rogue) onIssue(send func(string, string, any, string) attempt) []attempt {
	ownKey := func(payload []byte) []byte {
		var o map[string]any
		decode(r.t, payload, &o)
		if _, ok := o["spki"]; ok {
			o["spki"] = r.spki
		}
		if _, ok := o["keyHash"]; ok {
			sum := signing.Domain("", nil)
			o["keyHash"] = sum[:]
		}
		return canonical(r.t, payload, o)
	}
	record, proofing := ownKey(r.record.Payload), ownKey(r.proofing.Payload)
	ask := func(name string, k, p signing.Signed, refused string) attempt {
		return send(name, "/issue", pki.IssueRequest{KeyRecord: k, Proofing: p}, refused)
	}
	return []attempt{
		ask("its own word for both", r.forge(signing.DomainKeyRecord, record, ""), r.forge(signing.DomainProofing, proofing, ""), "unknown_sam"),
		ask("its own word in their names", r.forge(signing.DomainKeyRecord, record, r.record.Key), r.forge(signing.DomainProofing, proofing, r.proofing.Key), "bad_sam_signature"),
		ask("its key in the module's record", signing.Signed{Payload: record, Signature: r.record.Signature, Key: r.record.Key}, r.proofing, "bad_sam_signature"),
		ask("its own record, a genuine proofing", r.forge(signing.DomainKeyRecord, record, r.record.Key), r.proofing, "bad_sam_signature"),
		ask("a genuine record, its own proofing", r.record, r.forge(signing.DomainProofing, proofing, r.proofing.Key), "bad_ra_signature"),
		ask("the proofing as the record", r.proofing, r.proofing, "unknown_sam"),
		ask("the record as the proofing", r.record, r.record, "unknown_ra"),
		ask("what was issued already", r.record, r.proofing, "proofing_used"),
		send("nothing", "/issue", map[string]any{}, "unknown_sam"),
	}
}

func (r *rogue) keyHash() string {
	id, err := signing.KeyID(r.key.Public())
	if err != nil {
		r.t.Fatal(err)
	}
	return id
}

// operatorsSocketsAreShut looks at who may open the doors of the operators: nobody
// but the user of the process.
func (r *rogue) operatorsSocketsAreShut(t *testing.T) {
	for _, name := range []string{sockets.SAMAdmin, sockets.PKIAdmin} {
		info, err := os.Stat(r.in.path("run", name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
	if os.Getuid() != 0 {
		t.Log("LEFT OUT: another user's connection, which takes root to try")
		return
	}
	for _, name := range []string{sockets.SAM, sockets.SAMAdmin, sockets.PKIAdmin, sockets.GatewayAdmin} {
		// The folders are opened up, so that only the socket itself is in the way.
		for _, dir := range []string{r.in.dir, r.in.path("run")} {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		path := r.in.path("run", name)
		if err := os.Chmod(path, 0o666); err != nil {
			t.Fatal(err)
		}
		if got := asNobody(t, path); got != "refused" {
			t.Errorf("another user at %s, whose mode lets everybody in: %s", name, got)
		}
	}
}

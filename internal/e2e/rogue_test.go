package e2e_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/pki"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// rogue is a gateway that wants a signature of Ada's. It holds the secret file,
// the database, every client's secret and every token of its tier, the socket to
// the module, what a registration authority ever sent through it, and a device
// and key of its own that were honestly enrolled. It does not hold Ada's device,
// the registration authority's key, or a way to the operators' sockets.
type rogue struct {
	t       *testing.T
	in      *installation
	module  *http.Client // the gateway's socket
	browser *http.Client
	key     *ecdsa.PrivateKey // its own
	spki    []byte
	own     *party // Mallory, with a device that was enrolled

	leaf, issuer *x509.Certificate // of Ada
	status       []byte            // a fresh OCSP answer about her

	pending  samapi.Begun // asked for, not approved
	hash     []byte       // of pending
	rejected samapi.Begun
	approved struct { // two hashes, of which the first was signed
		sid    string
		hashes [2][]byte
	}

	orders      map[string]signing.Signed // genuine orders that passed through, by operation
	orderDomain map[string]string         // and their domains
	record      signing.Signed            // the module's key record of Ada's key
	proofing    signing.Signed            // the registration authority's word on it
	enrolment   samapi.Enrolment          // opened and not used yet
	codeHash    []byte                    // which its order carries
	fresh       func() samapi.Order       // heads of orders as it would write them
	seal        func(operation, domain string, order any) signing.Signed

	sealed samapi.Intent // for a seal, ordered by its machine
	order  string        // that order, which was carried out
	unused samapi.Intent // the same, ordered and not asked for yet
	// Genuine orders that were never used: of unused, too old, and to another gateway.
	next, late, elsewhere string
	sealSID               string // of what the first one allowed
	sealLeaf              *x509.Certificate
	sealStatus            []byte

	ada, mallory, eve *holder // devices and their owners' browsers
	overheard         overheard
	phone             *phone
}

// attempt is one thing that the rogue tries on a route.
type attempt struct {
	name string
	do   func() (status int, body []byte)
	// refused is the fault's code, or its kind where it has none. Empty means that
	// the route answers: then nothing of what the rogue wants may be in it.
	refused string
	without string // must not be in the answer
}

func TestRogueGatewayGetsNoSignatureNoDeviceAndNoCertificate(t *testing.T) {
	t.Attr("feature", "R3")
	t.Attr("control", "D01")
	t.Attr("control", "D26")
	r := newRogue(t)
	before := r.inventory()
	tried := 0
	for _, door := range []struct {
		name     string
		routes   []string
		attempts map[string][]attempt
	}{
		{"module", samRoutes(t), r.onModule()},
		{"approval", approvalRoutes(t), r.onApproval()},
		{"pki", pkiRoutes(t), r.onPKI()},
	} {
		t.Run(door.name, func(t *testing.T) {
			if d := cmp.Diff(door.routes, slices.Sorted(maps.Keys(door.attempts))); d != "" {
				t.Errorf("every route needs an attempt, and nothing else has one (-routes +attempts):\n%s", d)
			}
			for _, route := range slices.Sorted(maps.Keys(door.attempts)) {
				for _, a := range door.attempts[route] {
					tried++
					r.try(t, route, a)
				}
				if len(door.attempts[route]) == 0 {
					t.Errorf("%s: nothing is tried", route)
				}
			}
		})
	}
	t.Run("database", func(t *testing.T) { tried += r.withForgedRows(t) })
	t.Run("sockets", func(t *testing.T) { r.operatorsSocketsAreShut(t) })
	if d := cmp.Diff(before, r.inventory()); d != "" {
		t.Errorf("the rogue changed something (-before +after):\n%s", d)
	}
	r.wasWorthTrying()
	t.Logf("%d attempts on %d+%d+%d routes; no signature, no device, no certificate", tried, len(samRoutes(t)), len(approvalRoutes(t)), len(pkiRoutes(t)))
}

// try makes an attempt and looks at the answer.
func (r *rogue) try(t *testing.T, route string, a attempt) {
	t.Helper()
	status, body := a.do()
	var f struct{ Kind, Code, Detail string }
	_ = json.Unmarshal(body, &f) // what is no fault is no refusal
	said := f.Code
	if said == "" {
		said = f.Kind
	}
	switch {
	case a.refused != "" && (status < 400 || said != a.refused):
		t.Errorf("%s, %s: answered %d %q (%.200s), want refusal %q", route, a.name, status, said, body, a.refused)
	case a.refused == "" && status >= 400:
		t.Errorf("%s, %s: answered %d (%.200s), want an answer", route, a.name, status, body)
	case status == http.StatusInternalServerError:
		t.Errorf("%s, %s: answered %d (%.200s)", route, a.name, status, body)
	}
	if a.without != "" && bytes.Contains(body, []byte(a.without)) {
		t.Errorf("%s, %s: the answer has %q: %.400s", route, a.name, a.without, body)
	}
	r.holdsNothing(t, route+", "+a.name, body)
}

// holdsNothing checks that an answer holds no signature of Ada's key over
// anything but the one hash that she had signed, and no certificate for the
// rogue's key.
func (r *rogue) holdsNothing(t *testing.T, what string, body []byte) {
	t.Helper()
	if bytes.Contains(body, r.spki) || bytes.Contains(body, []byte(base64.StdEncoding.EncodeToString(r.spki)[8:40])) {
		t.Errorf("%s: the rogue's key is in the answer", what)
	}
	var m struct {
		Signatures [][]byte `json:"signatures"`
	}
	if json.Unmarshal(body, &m) != nil {
		return
	}
	for _, s := range m.Signatures {
		if signing.Verify(r.leaf.PublicKey, signing.ECDSAWithSHA256, r.approved.hashes[0], s) != nil {
			t.Errorf("%s: the answer holds a signature", what)
		}
	}
}

// inventory is what must not change: who may give orders, which devices and keys
// there are and how they are protected, what was signed and which certificates
// were issued.
type inventory struct {
	Authorities  []samapi.Authority
	Gateways     []samapi.Gateway
	Devices      []samapi.Device
	Credentials  []samapi.Credential
	Signers      int
	Batches      map[string]int
	Certificates []string
	Parties      []pki.Party
	Findings     []samapi.Finding
	LogError     string
	Blocked      string // what the client is told that Ada does not want to hear
}

func (r *rogue) inventory() inventory {
	r.t.Helper()
	bound := map[string]string{"ada": samapi.DeviceKey, "mallory": samapi.DeviceKey, "grace": samapi.WebAuthn, "acme": samapi.Delegation}
	ctx, admin, ca := r.t.Context(), r.in.sockets().ModuleAdmin(), r.in.sockets().PKIAdmin()
	var (
		i    inventory
		errs [9]error
	)
	i.Authorities, errs[0] = admin.Authorities(ctx)
	i.Gateways, errs[1] = admin.Gateways(ctx)
	i.Devices, errs[2] = admin.Devices(ctx, "")
	i.Credentials, errs[3] = r.in.sockets().Module().Credentials(ctx, samapi.CredentialQuery{Signers: slices.Collect(maps.Keys(bound))})
	var st samapi.Status
	st, errs[4] = admin.Status(ctx)
	i.Signers, i.Batches = st.Signers, st.Batches
	var v samapi.Verification
	v, errs[5] = admin.Verify(ctx)
	i.Findings, i.LogError = v.Findings, v.LogError
	i.Parties, errs[6] = ca.Parties(ctx)
	var certs []pki.Certificate
	certs, errs[7] = ca.Certificates(ctx, "", 500)
	for _, c := range certs {
		i.Certificates = append(i.Certificates, fmt.Sprintf("%s %s %s revoked %s", c.Role, c.Subject, c.KeyHash, c.Revoked))
		if c.KeyHash == fmt.Sprintf("%x", sha256.Sum256(r.spki)) {
			r.t.Errorf("the rogue's key has a certificate: %+v", c)
		}
	}
	if err := errors.Join(errs[:]...); err != nil {
		r.t.Fatal(err)
	}
	if len(i.Findings) > 0 || i.LogError != "" {
		r.t.Errorf("the module finds %+v %s", i.Findings, i.LogError)
	}
	for _, c := range i.Credentials {
		level := 2
		if c.Mechanism == samapi.Delegation {
			level = 1
		}
		if c.SCAL != level || c.Mechanism != bound[c.Signer] {
			r.t.Errorf("credential %+v", c)
		}
	}
	i.Blocked = r.blocked()
	return i
}

// wasWorthTrying shows that nothing was refused for want of a working
// installation: what Ada approved is still signed, and only that.
func (r *rogue) wasWorthTrying() {
	r.t.Helper()
	res, err := r.in.sockets().Module().Sign(r.t.Context(), r.wish(r.approved.sid, r.approved.hashes[1]))
	if err != nil {
		r.t.Fatalf("what Ada approved is not signed: %v", err)
	}
	if err := signing.Verify(r.leaf.PublicKey, signing.ECDSAWithSHA256, r.approved.hashes[1], res.Signatures[0]); err != nil {
		r.t.Error(err)
	}
	final, err := r.in.party(r.t).approve(r.t.Context(), r.pending.URL, &thumb{})
	if err != nil {
		r.t.Fatalf("Ada cannot approve the request that was tampered with in vain: %v", err)
	}
	if !strings.HasPrefix(final, r.in.issuer+"/oauth2/approved?") {
		r.t.Errorf("the approval ends at %s", final)
	}
	if _, err := r.in.sockets().Module().Sign(r.t.Context(), r.wish(r.pending.SID, r.hash)); err != nil {
		r.t.Errorf("the same call that was refused before is refused after the approval: %v", err)
	}
	r.sealStillSigns()
	r.ada.stillReads()
	r.phone.stillApproves()
	r.liftBlock()
	if got := r.blocked(); got != "" {
		r.t.Errorf("after the block was lifted: %s", got)
	}
}

// wish is a call that would be granted if Ada had approved it.
func (r *rogue) wish(sid string, hashes ...[]byte) samapi.SignRequest {
	return samapi.SignRequest{
		SID: sid, Client: clientID, Credential: r.in.signer.Credential, Algorithm: signing.ECDSAWithSHA256, Hashes: hashes, OCSP: r.status,
	}
}

// post sends JSON and returns the answer as it is.
func (r *rogue) post(c *http.Client, address string, v any) (int, []byte) {
	r.t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		r.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, address, bytes.NewReader(b))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	return r.send(c, req)
}

func (r *rogue) get(c *http.Client, address string) (int, []byte) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.send(c, req)
}

func (r *rogue) send(c *http.Client, req *http.Request) (int, []byte) {
	r.t.Helper()
	res, err := c.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res.StatusCode, b
}

// forge seals a payload with the rogue's own key, and may put another's name on it.
func (r *rogue) forge(domain string, payload []byte, as string) signing.Signed {
	r.t.Helper()
	s, err := signing.Seal(domain, payload, r.key)
	if err != nil {
		r.t.Fatal(err)
	}
	if as != "" {
		s.Key = as
	}
	return s
}

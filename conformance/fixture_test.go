package conformance_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/conformance"
	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

const commit = "0123456789abcdef0123456789abcdef01234567"

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// whole is the evidence of an installation in order, on hardware, whose tests claim
// every control and passed.
func whole() *conformance.Evidence {
	spki, cert := strings.Repeat("a", 64), strings.Repeat("c", 64)
	end := noon.AddDate(1, 0, 0)
	e := &conformance.Evidence{
		Begun: noon, Ended: noon.Add(2 * time.Second), Installation: "https://approve.example", Version: "v1.0.0", Commit: commit,
		Missing: []conformance.Missing{}, Previous: &conformance.Previous{ID: "report-0123456789abcdef", Ended: noon.AddDate(0, 0, -7), Size: 10},
		Clock: &conformance.Clock{Synchronised: true, MaxError: 3 * time.Millisecond, Module: time.Millisecond, Stamp: 20 * time.Millisecond},
		Module: &conformance.Module{
			Probe: keystore.Capabilities{Driver: "pkcs11", Module: "Example HSM 7", Hardware: true, WrapsKeys: true, RefusesTamper: true, NonExtractable: true},
			Inventory: samapi.Inventory{
				Keys: []samapi.Key{{
					Credential: "cred-1", Type: signing.P256, Mechanism: samapi.DeviceKey, SCAL: 2, State: samapi.CredentialActive, KEK: 1, Assurance: "high",
					Multisign: 10, Made: noon.AddDate(0, -1, 0), NotAfter: end, Certificate: cert, SPKIHash: spki,
				}},
				Devices: map[string]int{samapi.DeviceKey: 1}, Approval: 5 * time.Minute, Redeem: 5 * time.Minute, OCSPAge: 10 * time.Minute,
			},
			Ledger: samapi.Ledger{
				VerifierKey: "x", Checkpoint: samapi.Checkpoint{Size: 12, Note: "x"}, First: noon.AddDate(0, -1, 0), Last: noon,
				Events: map[string]int{
					"audit.started": 1, "authority.registered": 1, "gateway.registered": 1, "signer.registered": 1, "enrolment.opened": 1, "device.enrolled": 1,
					"key.assigned": 1, "certificate.bound": 1, "sad.created": 1, "sad.approved": 1, "sad.consumed": 1, "signature.created": 1,
				},
				Signatures: 1, Anomalies: []string{}, Kept: 1,
			},
			Verification: samapi.Verification{Records: 6, Findings: []samapi.Finding{}, LogSize: 12},
			Status:       samapi.Status{Module: "https://approve.example", Now: noon, Signers: 1},
		},
		Authority: &conformance.Authority{
			Certificates: []conformance.Certificate{
				{Serial: "1", Role: "signer", Credential: "cred-1", Key: "P-256", Signature: "ECDSA-SHA256", SPKIHash: spki, NotBefore: noon.AddDate(0, -1, 0), NotAfter: end},
				{Serial: "2", Role: "tsa", Key: "RSA-3072", Signature: "SHA256-RSAPSS", SPKIHash: strings.Repeat("b", 64), NotBefore: noon.AddDate(0, -1, 0), NotAfter: end},
			},
			Parties: map[string]int{"sam": 1, "ra": 1}, Findings: []string{},
		},
		Tests: &conformance.Tests{Commit: commit, Ended: noon.Add(-time.Hour), Passed: 3000, Claims: map[string][]conformance.Claim{}},
	}
	for _, role := range []string{"pki", "sam", "gateway", "portal"} {
		e.Roles = append(e.Roles, conformance.Role{
			Role: role, Ready: true, Commit: commit, Started: noon.Add(-time.Hour), Checks: map[string]string{"database": "ok"}, Facts: map[string]string{},
		})
	}
	for _, c := range conformance.Catalogue() {
		e.Tests.Claims[c.ID] = []conformance.Claim{{Test: "example.org/x.Test" + c.ID, Outcome: "pass"}}
	}
	return e
}

// auditor has an event log and a time-stamp authority.
type auditor struct {
	log *audit.Log
	db  *store.DB
	pki *adestest.PKI
}

func newAuditor(t testing.TB) *auditor {
	t.Helper()
	db := storetest.SQLite(t)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	log, err := audit.New(t.Context(), audit.Config{
		DB: db, Origin: "approve.example/sam", Signer: key, Now: func() time.Time { return noon.Add(3 * time.Second) },
	})
	if err != nil {
		t.Fatal(err)
	}
	a := &auditor{log: log, db: db, pki: adestest.New(t, adestest.Config{})}
	for range whole().Module.Ledger.Checkpoint.Size {
		a.add(t, audit.Event{Type: "device.enrolled", Actor: "admin"})
	}
	return a
}

func (a *auditor) add(t testing.TB, e audit.Event) {
	t.Helper()
	if err := a.db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error { return a.log.Append(ctx, tx, e) }); err != nil {
		t.Fatal(err)
	}
}

// whole is the evidence of the installation whose log this is.
func (a *auditor) whole() *conformance.Evidence {
	e := whole()
	e.Module.Ledger.VerifierKey = a.log.VerifierKey()
	return e
}

func (a *auditor) trust() conformance.Trust {
	return conformance.Trust{Key: a.log.VerifierKey(), Anchors: []*x509.Certificate{a.pki.Root.Cert}}
}

// attest does what the module does, with a type of event of the test's choice.
func (a *auditor) attest(t testing.TB, kind string) func(id string, sum []byte) (json.RawMessage, error) {
	return func(id string, sum []byte) (json.RawMessage, error) {
		err := a.db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			return a.log.Append(ctx, tx, audit.Event{Type: kind, Actor: "admin", SID: id, Subject: hex.EncodeToString(sum)})
		})
		if err != nil {
			return nil, err
		}
		b, err := a.log.Bundle(t.Context(), id)
		if err != nil {
			return nil, err
		}
		return json.Marshal(b)
	}
}

func (a *auditor) stamp(sum []byte) ([]byte, error) {
	r, err := cms.NewTimestampRequest(signing.Digest{Hash: crypto.SHA256, Sum: sum})
	if err != nil {
		return nil, err
	}
	return a.pki.TokenFor(r, a.pki.Now), nil
}

func (a *auditor) seal(t testing.TB, e *conformance.Evidence) *conformance.Signed {
	t.Helper()
	s, err := conformance.Seal(conformance.New(e), a.attest(t, "report.attested"), a.stamp)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

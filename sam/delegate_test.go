package sam_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samtest"
	"github.com/countersign/countersign/signing"
)

// order is a machine's order that fits an intent.
func machineOrder(r *samtest.Rig, in samapi.Intent) signing.Delegation {
	d := signing.Delegation{
		Audience: in.Gateway, Client: in.Client, Credential: in.Credential, HashOID: in.HashOID, By: "user u1",
		ID: strings.Repeat("x", 4) + store.NewID(), Issued: r.Clock.Now().Unix(), Expires: r.Clock.Now().Add(time.Minute).Unix(),
	}
	for _, doc := range in.Documents {
		d.Hashes = append(d.Hashes, doc.DTBSR)
	}
	return d
}

func sealed(t *testing.T, d signing.Delegation, by *samtest.Device) string {
	t.Helper()
	jws, err := signing.SealDelegation(d, by.Key)
	if err != nil {
		t.Fatal(err)
	}
	return jws
}

func TestMachineSignsWithItsSealOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{})
		p := r.Person(samtest.Wish{Mechanism: samapi.Delegation})
		hashes := [][]byte{samtest.Hash("a"), samtest.Hash("b")}
		in := r.Intent(p, hashes...)
		object := sealed(t, machineOrder(r, in), p.Device)
		var (
			won  atomic.Int64
			done samapi.Outcome
			wg   sync.WaitGroup
		)
		for range 8 { // the same order at once
			wg.Go(func() {
				out, err := r.Delegate(t.Context(), samapi.Delegated{Intent: in, Object: object})
				if err == nil {
					won.Add(1)
					done = out
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || done.State != samapi.Approved || done.Count != 2 || done.Signer != p.ID {
			t.Fatalf("%d calls got an approval: %+v", won.Load(), done)
		}
		got, err := r.Sign(t.Context(), samapi.SignRequest{
			SID: done.SID, Client: in.Client, Credential: p.Credential, Algorithm: signing.ECDSAWithSHA256, Hashes: hashes, OCSP: r.CA.OCSP(p.Leaf, 0),
		})
		if err != nil {
			t.Fatal(err)
		}
		for i, sig := range got.Signatures {
			if err := signing.Verify(p.Leaf.PublicKey, signing.ECDSAWithSHA256, hashes[i], sig); err != nil {
				t.Error(err)
			}
		}
		if diff := cmp.Diff([]string{"sad.created", "sad.approved", "sad.consumed", "signature.created"}, r.Events(done.SID)); diff != "" {
			t.Error(diff)
		}
		list, err := r.Credentials(t.Context(), samapi.CredentialQuery{IDs: []string{p.Credential}})
		if err != nil || len(list) != 1 || list[0].SCAL != 1 || list[0].Mechanism != samapi.Delegation {
			t.Errorf("credential %+v, %v", list, err)
		}
	})
}

func TestMachinesOrderMustFit(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{})
	p := r.Person(samtest.Wish{Mechanism: samapi.Delegation})
	other := r.Person(samtest.Wish{Mechanism: samapi.Delegation})
	in := r.Intent(p, samtest.Hash("a"), samtest.Hash("b"))
	for name, change := range map[string]func(d *signing.Delegation){
		"another gateway":    func(d *signing.Delegation) { d.Audience = "https://evil.example" },
		"another client":     func(d *signing.Delegation) { d.Client = "mallory" },
		"another credential": func(d *signing.Delegation) { d.Credential = other.Credential },
		"another digest":     func(d *signing.Delegation) { d.HashOID = signing.OIDSHA384 },
		"another hash":       func(d *signing.Delegation) { d.Hashes[1] = samtest.Hash("c") },
		"fewer hashes":       func(d *signing.Delegation) { d.Hashes = d.Hashes[:1] },
		"more hashes":        func(d *signing.Delegation) { d.Hashes = append(d.Hashes, samtest.Hash("c")) },
		"another order":      func(d *signing.Delegation) { d.Hashes[0], d.Hashes[1] = d.Hashes[1], d.Hashes[0] },
		"expired":            func(d *signing.Delegation) { d.Issued, d.Expires = d.Issued-120, d.Issued-60 },
		"made ahead":         func(d *signing.Delegation) { d.Issued, d.Expires = d.Issued+120, d.Issued+180 },
		"for ever":           func(d *signing.Delegation) { d.Expires += 3600 },
	} {
		d := machineOrder(r, in)
		change(&d)
		_, err := r.Delegate(t.Context(), samapi.Delegated{Intent: in, Object: sealed(t, d, p.Device)})
		t.Run(name, func(t *testing.T) { refused(t, err, samapi.CodeAssertion) })
	}
	_, err := r.Delegate(t.Context(), samapi.Delegated{Intent: in, Object: sealed(t, machineOrder(r, in), other.Device)})
	refused(t, err, samapi.CodeAssertion)
	_, err = r.Delegate(t.Context(), samapi.Delegated{Intent: in, Object: "nonsense"})
	refused(t, err, samapi.CodeAssertion)
}

func TestMechanismsAreNotMixed(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{})
	person, machine := r.Person(samtest.Wish{}), r.Person(samtest.Wish{Mechanism: samapi.Delegation})
	in := r.Intent(person, samtest.Hash("a"))
	_, err := r.Delegate(t.Context(), samapi.Delegated{Intent: in, Object: sealed(t, machineOrder(r, in), person.Device)})
	refused(t, err, samapi.CodeUnknownDevice)
	_, err = r.Begin(t.Context(), r.Intent(machine, samtest.Hash("a")))
	refused(t, err, samapi.CodeCredentialDisabled)
}

func TestRevokedMachineSignsNothing(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{})
	p := r.Person(samtest.Wish{Mechanism: samapi.Delegation})
	in := r.Intent(p, samtest.Hash("a"))
	object := sealed(t, machineOrder(r, in), p.Device)
	if err := r.RevokeDevice(t.Context(), r.Seal(samapi.DomainRevokeDevice, samapi.RevokeDevice{Order: r.Order(), Authenticator: p.Device.ID, Reason: "stolen"})); err != nil {
		t.Fatal(err)
	}
	_, err := r.Delegate(t.Context(), samapi.Delegated{Intent: in, Object: object})
	refused(t, err, samapi.CodeCredentialDisabled)
}

//go:build cgo

package pkcs11_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/cmd/countersign/ra"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/keystore/keystoretest"
	"github.com/countersign/countersign/keystore/pkcs11"
	"github.com/countersign/countersign/keystore/soft"
	"github.com/countersign/countersign/pki"
	"github.com/countersign/countersign/sam"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samtest"
	"github.com/countersign/countersign/signing"
)

// onHSM is an activation module whose keys are in a token.
func onHSM(tb testing.TB, s keystore.Store) *samtest.Rig {
	tb.Helper()
	return samtest.New(tb, storetest.SQLite(tb), samtest.Config{
		Wrap:   func(keystore.Store) keystore.Store { return s },
		Limits: sam.Limits{Pending: 1 << 30, Redeem: 30 * time.Minute},
	})
}

// job is an approval and what became of it.
type job struct {
	person *samtest.Person
	hashes [][]byte
	sid    string
	req    samapi.SignRequest
	got    [][]byte
	err    error
}

// TestHSMFaultsAreSurvived restarts the module and ends its sessions while the
// activation module signs for several people.
func TestHSMFaultsAreSurvived(t *testing.T) {
	t.Attr("feature", "R4")
	s := open(t, keystoretest.SoftHSM(t))
	r := onHSM(t, s)
	var jobs []*job
	for i := range 4 {
		p := r.Person(samtest.Wish{})
		for j := range 20 {
			hashes := [][]byte{samtest.Hash(fmt.Sprint(i, j, "a")), samtest.Hash(fmt.Sprint(i, j, "b")), samtest.Hash(fmt.Sprint(i, j, "c"))}
			q := r.Approved(p, hashes...)
			jobs = append(jobs, &job{person: p, hashes: hashes, sid: q.SID, req: r.SignRequest(p, q, hashes...)})
		}
	}
	taken := underLosses(t, s, func() { signAll(t, r, jobs) })
	given := 0
	for _, j := range jobs {
		if j.err == nil {
			given++
			checkOwner(t, jobs, j)
		} else if !errors.Is(j.err, fault.Unavailable) {
			t.Errorf("refused with %v", j.err)
		}
		// Once more, on the module as it stands: what was spent stays spent.
		again, err := r.Sign(t.Context(), j.req)
		created := count(r.Events(j.sid), "signature.created")
		consumed := count(r.Events(j.sid), "sad.consumed")
		switch {
		case created > 1 || consumed > 1:
			t.Errorf("%s: %d times signed, %d times consumed", j.sid, created, consumed)
		case j.err == nil && (err == nil || created != 1):
			t.Errorf("%s: signed twice (%v), %d events", j.sid, err, created)
		case err == nil && consumed == 1: // it had been refused before anything was spent
			j.got = again.Signatures
			checkOwner(t, jobs, j)
		}
	}
	t.Logf("%d of %d approvals were signed at once while the module was taken away %d times", given, len(jobs), taken)
	if given == 0 || taken < 10 {
		t.Errorf("%d signed, %d losses: this proves nothing", given, taken)
	}
	p := jobs[0].person
	q := r.Approved(p, samtest.Hash("after"))
	if got, err := r.Sign(t.Context(), r.SignRequest(p, q, samtest.Hash("after"))); err != nil || len(got.Signatures) != 1 {
		t.Errorf("the service is not back: %v", err)
	}
}

// underLosses does something while the module is taken away again and again.
func underLosses(t *testing.T, s *pkcs11.Store, do func()) (taken int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int)
	go func() {
		n := 0
		defer func() { done <- n }()
		for {
			for name, lose := range losses(s) {
				if err := lose(t.Context()); err != nil && !errors.Is(err, keystore.ErrUnavailable) {
					t.Errorf("%s: %v", name, err)
				}
				n++
				select {
				case <-ctx.Done():
					return
				case <-time.After(7 * time.Millisecond):
				}
			}
		}
	}()
	do()
	cancel()
	return <-done
}

func signAll(t *testing.T, r *samtest.Rig, jobs []*job) {
	t.Helper()
	var (
		wg   sync.WaitGroup
		next atomic.Int64
	)
	for range 6 {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(jobs) {
					return
				}
				got, err := r.Sign(t.Context(), jobs[i].req)
				jobs[i].got, jobs[i].err = got.Signatures, err
			}
		})
	}
	wg.Wait()
}

// checkOwner checks that the signatures are this person's, over these hashes, and
// nobody else's.
func checkOwner(t *testing.T, all []*job, j *job) {
	t.Helper()
	if len(j.got) != len(j.hashes) {
		t.Errorf("%d signatures for %d hashes", len(j.got), len(j.hashes))
		return
	}
	for i, sig := range j.got {
		if err := signing.Verify(j.person.Leaf.PublicKey, signing.ECDSAWithSHA256, j.hashes[i], sig); err != nil {
			t.Errorf("a signature is not %s's: %v", j.person.ID, err)
		}
		others := map[*samtest.Person]bool{j.person: true}
		for _, other := range all {
			if others[other.person] {
				continue // one look at each person is enough
			}
			others[other.person] = true
			if signing.Verify(other.person.Leaf.PublicKey, signing.ECDSAWithSHA256, j.hashes[i], sig) == nil {
				t.Errorf("a signature of %s is %s's", j.person.ID, other.person.ID)
			}
		}
	}
}

func count(events []string, kind string) (n int) {
	for _, e := range events {
		if e == kind {
			n++
		}
	}
	return n
}

// TestATokenThatIsRemovedCostsNoApproval: what cannot be signed for want of the
// module is refused before it is spent, and signed when the module is back.
func TestATokenThatIsRemovedCostsNoApproval(t *testing.T) {
	token := keystoretest.SoftHSM(t)
	s := open(t, token)
	r := onHSM(t, s)
	p := r.Person(samtest.Wish{})
	h := samtest.Hash("x")
	q := r.Approved(p, h)
	token.Remove(t)
	if err := s.LoseSessions(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Sign(t.Context(), r.SignRequest(p, q, h)); !errors.Is(err, fault.Unavailable) || !errors.Is(err, keystore.ErrUnavailable) {
		t.Errorf("signed without a module: %v", err)
	}
	if err := r.Ready(t.Context()); !errors.Is(err, fault.Unavailable) {
		t.Errorf("ready without a module: %v", err)
	}
	token.PutBack(t)
	time.Sleep(5 * time.Millisecond)
	got, err := r.Sign(t.Context(), r.SignRequest(p, q, h))
	if err != nil || len(got.Signatures) != 1 {
		t.Fatalf("the approval was lost with the module: %v", err)
	}
	if err := r.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

// watched looks at each handle that the activation module uses.
type watched struct {
	*pkcs11.Store

	t    *testing.T
	seen []pkcs11.Inspection
}

func (w *watched) Open(ctx context.Context, k keystore.WrappedKey) (keystore.Handle, error) {
	h, err := w.Store.Open(ctx, k)
	if err != nil {
		return nil, err
	}
	seen, err := pkcs11.Inspect(h)
	if err != nil {
		w.t.Error(err)
	}
	w.seen = append(w.seen, seen)
	return h, nil
}

// TestQualifiedKeysAreInTheModuleOnly looks at the key that signs, and asks for
// certificates that say the key is in a device.
func TestQualifiedKeysAreInTheModuleOnly(t *testing.T) {
	t.Attr("feature", "A6")
	t.Attr("control", "D22")
	w := &watched{Store: open(t, keystoretest.SoftHSM(t)), t: t}
	r := onHSM(t, w)
	p := r.Person(samtest.Wish{})
	h := samtest.Hash("x")
	q := r.Approved(p, h)
	if n, err := w.SessionObjects(); err != nil || n != 0 {
		t.Errorf("%d keys are in sessions before anything is activated, %v", n, err)
	}
	if _, err := r.Sign(t.Context(), r.SignRequest(p, q, h)); err != nil {
		t.Fatal(err)
	}
	want := pkcs11.Inspection{Sensitive: true, SessionObjects: 1}
	if len(w.seen) != 1 || !w.seen[0].RefusesWrap || !w.seen[0].RefusesValue {
		t.Fatalf("the key in use: %+v", w.seen)
	}
	if got := w.seen[0]; got.Sensitive != want.Sensitive || got.Extractable || got.Token || got.SessionObjects != want.SessionObjects {
		t.Errorf("the key in use: %+v", got)
	}
	if n, err := w.SessionObjects(); err != nil || n != 0 {
		t.Errorf("%d keys are in sessions afterwards, %v", n, err)
	}
	for name, c := range map[string]struct {
		keys   func(keystore.Store) keystore.Store
		called string
		ok     bool
	}{
		"software store":        {func(s keystore.Store) keystore.Store { return s }, "soft", false},
		"a token without a box": {func(keystore.Store) keystore.Store { return w.Store }, "pkcs11-software", false},
		"a token in hardware":   {func(keystore.Store) keystore.Store { return hardware{w.Store} }, "pkcs11", true},
	} {
		t.Run(name, func(t *testing.T) { tryQualified(t, c.keys, c.called, c.ok) })
	}
}

// hardware is a token whose slot says that it is hardware.
type hardware struct{ *pkcs11.Store }

func (h hardware) Probe(ctx context.Context) (keystore.Capabilities, error) {
	c, err := h.Store.Probe(ctx)
	c.Hardware = true
	return c, err
}

// tryQualified enrols a person and asks an authority whose certificates are
// qualified, and say that the key is in a device, for a certificate.
func tryQualified(t *testing.T, keys func(keystore.Store) keystore.Store, called string, ok bool) {
	t.Helper()
	ca := qualified(t)
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{Wrap: keys})
	id, err := r.Identity(t.Context())
	if err != nil || id.Keystore != called {
		t.Fatalf("the module says its keystore is %q, %v, want %q", id.Keystore, err, called)
	}
	r.Config.Anchors = []*x509.Certificate{ca.Root()}
	r.Restart()
	spki, err := x509.MarshalPKIXPublicKey(r.RA.Public())
	if err != nil {
		t.Fatal(err)
	}
	for role, key := range map[pki.PartyRole][]byte{pki.Module: id.SPKI, pki.RA: spki} {
		name := "ra-1"
		if role == pki.Module {
			name = id.Module
		}
		if _, err := ca.Register(t.Context(), role, name, key); err != nil {
			t.Fatal(err)
		}
	}
	p := r.Enrolled("")
	a := &ra.Authority{Name: "ra-1", Key: r.RA, Now: time.Now}
	got, err := a.Certify(t.Context(), r, ca, ra.Person{ID: p.ID, Assurance: "high", Method: "test", Subject: p.Subject},
		ra.Wish{Mechanism: p.Mechanism, KeyType: signing.P256, Multisign: 1})
	if ok != (err == nil) {
		t.Fatalf("got %v", err)
	}
	if !ok && (!errors.Is(err, fault.Forbidden) || fault.Of(err).Code != "not_in_device") {
		t.Errorf("refused with %v", err)
	}
	if !ok {
		return
	}
	leaf, err := x509.ParseCertificate(got.Chain[0])
	if err != nil || !slices.ContainsFunc(leaf.Extensions, func(e pkix.Extension) bool { return e.Id.String() == "1.3.6.1.5.5.7.1.3" }) {
		t.Errorf("no qcStatements, %v", err)
	}
}

func qualified(t *testing.T) *pki.Authority {
	t.Helper()
	keys, err := soft.Open(t.Context(), soft.Config{Dir: t.TempDir() + "/keys", Passphrase: []byte("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keys.Close() })
	a, err := pki.New(t.Context(), pki.Config{
		Keys: keys, DB: storetest.SQLite(t), BaseURL: "http://127.0.0.1:1", Name: "Test",
		QC: &pki.QCStatements{Compliance: true, SSCD: true, PDS: []pki.PDSLocation{{URL: "https://example.org/pds", Language: "en"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

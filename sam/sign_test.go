package sam_test

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ocsp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samtest"
	"github.com/countersign/countersign/signing"
)

// refused fails the test unless err is a fault of that code.
func refused(t *testing.T, err error, code string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s", code)
	}
	if f := fault.Of(err); f.Code != code {
		t.Fatalf("got %q (%s): %v, want %s", f.Code, f.Kind, err, code)
	}
}

func TestApprovedHashIsSignedAndRecorded(t *testing.T) {
	t.Attr("control", "D35")
	t.Attr("control", "D04")
	t.Attr("control", "D28")
	for _, mechanism := range []string{samapi.DeviceKey, samapi.WebAuthn} {
		t.Run(mechanism, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				r := samtest.New(t, db, samtest.Config{})
				p := r.Person(samtest.Wish{Mechanism: mechanism})
				hashes := [][]byte{samtest.Hash("a"), samtest.Hash("b"), samtest.Hash("a")}
				q := r.Approved(p, hashes...)
				got, err := r.Sign(t.Context(), r.SignRequest(p, q, hashes...))
				if err != nil {
					t.Fatal(err)
				}
				if len(got.Signatures) != 3 {
					t.Fatalf("%d signatures", len(got.Signatures))
				}
				for i, sig := range got.Signatures {
					if err := signing.Verify(p.Leaf.PublicKey, signing.ECDSAWithSHA256, hashes[i], sig); err != nil {
						t.Errorf("signature %d: %v", i, err)
					}
				}
				want := []string{"sad.created", "sad.approved", "sad.consumed", "signature.created"}
				if diff := cmp.Diff(want, r.Events(q.SID)); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
				_, err = r.Sign(t.Context(), r.SignRequest(p, q, hashes[0]))
				refused(t, err, samapi.CodeHashNotAuthorized)
			})
		})
	}
}

func TestEveryKeyTypeSigns(t *testing.T) {
	db := storetest.SQLite(t)
	r := samtest.New(t, db, samtest.Config{})
	for _, row := range []struct {
		key  signing.KeyType
		algs []signing.Algorithm
	}{
		{signing.P256, []signing.Algorithm{signing.ECDSAWithSHA256}},
		{signing.P384, []signing.Algorithm{signing.ECDSAWithSHA256}},
		{signing.P521, []signing.Algorithm{signing.ECDSAWithSHA256}},
		{signing.RSA3072, []signing.Algorithm{signing.RSAPSSWithSHA256, signing.RSAPKCS1WithSHA256}},
	} {
		t.Run(string(row.key), func(t *testing.T) {
			p := r.Person(samtest.Wish{KeyType: row.key})
			for _, alg := range row.algs {
				q := r.Approved(p, samtest.Hash("x"))
				req := r.SignRequest(p, q, samtest.Hash("x"))
				req.Algorithm = alg
				got, err := r.Sign(t.Context(), req)
				if err != nil {
					t.Fatalf("%s: %v", alg, err)
				}
				if err := signing.Verify(p.Leaf.PublicKey, alg, samtest.Hash("x"), got.Signatures[0]); err != nil {
					t.Errorf("%s: %v", alg, err)
				}
			}
		})
	}
}

// TestOnlyApprovedAlgorithmsSign narrows the SAD to one of the key's algorithms.
func TestOnlyApprovedAlgorithmsSign(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{})
	p := r.Person(samtest.Wish{KeyType: signing.RSA3072})
	in := r.Intent(p, samtest.Hash("x"))
	in.Algorithms = []signing.Algorithm{signing.RSAPSSWithSHA256}
	q := r.Started(in)
	if _, err := r.Approve(t.Context(), q.SID, p.Yes(q)); err != nil {
		t.Fatal(err)
	}
	req := r.SignRequest(p, q, samtest.Hash("x"))
	req.Algorithm = signing.RSAPKCS1WithSHA256
	_, err := r.Sign(t.Context(), req)
	refused(t, err, samapi.CodeAlgorithm)
	req.Algorithm = signing.RSAPSSWithSHA256
	if _, err := r.Sign(t.Context(), req); err != nil {
		t.Error(err)
	}
}

func TestHundredParallelSubmissionsGiveOneSignaturePerOccurrence(t *testing.T) {
	t.Attr("control", "D24")
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{})
		p := r.Person(samtest.Wish{})
		h := samtest.Hash("twice")
		q := r.Approved(p, h, h, samtest.Hash("once"))
		req := r.SignRequest(p, q, h)
		var made, wrong atomic.Int64
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				got, err := r.Sign(t.Context(), req)
				switch {
				case err == nil:
					made.Add(int64(len(got.Signatures)))
				case fault.Of(err).Code != samapi.CodeHashNotAuthorized && fault.Of(err).Code != samapi.CodeSADInvalid:
					wrong.Add(1)
					t.Errorf("unexpected: %v", err)
				}
			})
		}
		wg.Wait()
		if made.Load() != 2 {
			t.Errorf("%d signatures for a hash that was approved twice", made.Load())
		}
		created := slices.DeleteFunc(r.Events(q.SID), func(e string) bool { return e != "signature.created" })
		if len(created) != 2 {
			t.Errorf("%d events signature.created", len(created))
		}
		if _, err := r.Sign(t.Context(), r.SignRequest(p, q, samtest.Hash("once"))); err != nil {
			t.Errorf("the third hash: %v", err)
		}
	})
}

func TestNothingIsSignedWithoutApproval(t *testing.T) {
	t.Attr("control", "D01")
	t.Attr("control", "D14")
	t.Attr("control", "D21")
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		faults := &samtest.Faults{}
		r := samtest.New(t, db, samtest.Config{Wrap: faults.Around})
		p := r.Person(samtest.Wish{})
		h := samtest.Hash("x")
		pending := r.Request(p, h)
		_, err := r.Sign(t.Context(), r.SignRequest(p, pending, h))
		refused(t, err, samapi.CodeNotApproved)

		rejected := r.Request(p, h)
		if err := r.Reject(t.Context(), rejected.SID, rejected.View, "not mine"); err != nil {
			t.Fatal(err)
		}
		_, err = r.Sign(t.Context(), r.SignRequest(p, rejected, h))
		refused(t, err, samapi.CodeRejected)

		unknown := r.SignRequest(p, pending, h)
		unknown.SID = store.NewID()
		_, err = r.Sign(t.Context(), unknown)
		refused(t, err, samapi.CodeSADInvalid)

		r.Clock.Add(301 * time.Second)
		_, err = r.Sign(t.Context(), r.SignRequest(p, pending, h))
		refused(t, err, samapi.CodeSADExpired)
		if n := faults.Used("open"); n != 0 {
			t.Errorf("the key was opened %d times", n)
		}
	})
}

func TestSignRefusesWhatWasNotApproved(t *testing.T) {
	db := storetest.SQLite(t)
	r := samtest.New(t, db, samtest.Config{})
	p, other := r.Person(samtest.Wish{}), r.Person(samtest.Wish{})
	h := samtest.Hash("x")
	q := r.Approved(p, h, samtest.Hash("y"))
	for _, row := range []struct {
		name string
		edit func(*samapi.SignRequest)
		code string
	}{
		{"another hash", func(s *samapi.SignRequest) { s.Hashes = [][]byte{samtest.Hash("z")} }, samapi.CodeHashNotAuthorized},
		{"one of two is another", func(s *samapi.SignRequest) { s.Hashes = [][]byte{h, samtest.Hash("z")} }, samapi.CodeHashNotAuthorized},
		{"the same hash twice", func(s *samapi.SignRequest) { s.Hashes = [][]byte{h, h} }, samapi.CodeHashNotAuthorized},
		{"more hashes", func(s *samapi.SignRequest) { s.Hashes = [][]byte{h, samtest.Hash("y"), h} }, samapi.CodeTooMany},
		{"a SHA-1 as SHA-256", func(s *samapi.SignRequest) { s.Hashes = [][]byte{h[:20]} }, samapi.CodeHashLength},
		{"a longer hash", func(s *samapi.SignRequest) { s.Hashes = [][]byte{append(h[:32:32], 0)} }, samapi.CodeHashLength},
		{"another digest algorithm", func(s *samapi.SignRequest) { s.Algorithm = signing.ECDSAWithSHA384 }, samapi.CodeAlgorithm},
		{"an algorithm of another key", func(s *samapi.SignRequest) { s.Algorithm = signing.RSAPSSWithSHA256 }, samapi.CodeAlgorithm},
		{"no algorithm", func(s *samapi.SignRequest) { s.Algorithm = 0 }, samapi.CodeAlgorithm},
		{"an algorithm that does not exist", func(s *samapi.SignRequest) { s.Algorithm = 99 }, samapi.CodeAlgorithm},
		{"another client", func(s *samapi.SignRequest) { s.Client = "mallory" }, samapi.CodeSADInvalid},
		{"another credential", func(s *samapi.SignRequest) { s.Credential = other.Credential }, samapi.CodeSADInvalid},
		{"no status", func(s *samapi.SignRequest) { s.OCSP = nil }, samapi.CodeStatusUnknown},
		{"another certificate's status", func(s *samapi.SignRequest) { s.OCSP = r.CA.OCSP(other.Leaf, ocsp.Good) }, samapi.CodeStatusUnknown},
		{"revoked", func(s *samapi.SignRequest) { s.OCSP = r.CA.OCSP(p.Leaf, ocsp.Revoked) }, samapi.CodeCertificateRevoked},
		{"unknown to the responder", func(s *samapi.SignRequest) { s.OCSP = r.CA.OCSP(p.Leaf, ocsp.Unknown) }, samapi.CodeStatusUnknown},
	} {
		t.Run(row.name, func(t *testing.T) {
			req := r.SignRequest(p, q, h)
			row.edit(&req)
			_, err := r.Sign(t.Context(), req)
			refused(t, err, row.code)
		})
	}
	empty := r.SignRequest(p, q)
	if _, err := r.Sign(t.Context(), empty); !errors.Is(err, fault.Invalid) {
		t.Errorf("no hashes: %v", err)
	}
	if got, err := r.Sign(t.Context(), r.SignRequest(p, q, h)); err != nil || len(got.Signatures) != 1 {
		t.Errorf("after all these refusals: %v", err)
	}
}

// TestNoSignerReachesAnothersKey tries every device and every approval with every
// credential.
func TestNoSignerReachesAnothersKey(t *testing.T) {
	t.Attr("control", "D35")
	t.Attr("control", "D03")
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{Limits: noLimits})
		var people []*samtest.Person
		for i := range 4 {
			people = append(people, r.Person(samtest.Wish{Mechanism: []string{samapi.DeviceKey, samapi.WebAuthn}[i%2]}))
		}
		h := samtest.Hash("x")
		for i, owner := range people {
			approved := r.Approved(owner, h)
			for k, other := range people {
				q := r.Request(owner, h)
				_, err := r.Approve(t.Context(), q.SID, other.Yes(q))
				if (err == nil) != (i == k) {
					t.Errorf("device of %s approves for %s: %v", other.ID, owner.ID, err)
				}
				if i == k {
					continue
				}
				refused(t, err, samapi.CodeUnknownDevice)
				// The other's key, under the name of a device of the owner.
				yes := other.Yes(q)
				yes.Authenticator = owner.Device.ID
				if _, err := r.Approve(t.Context(), q.SID, yes); err == nil {
					t.Errorf("device of %s approves as that of %s", other.ID, owner.ID)
				}
				req := r.SignRequest(owner, approved, h)
				req.Credential = other.Credential
				_, err = r.Sign(t.Context(), req)
				refused(t, err, samapi.CodeSADInvalid)
			}
		}
	})
}

func TestApprovalIsUsedInTime(t *testing.T) {
	db := storetest.SQLite(t)
	r := samtest.New(t, db, samtest.Config{})
	p := r.Person(samtest.Wish{})
	h := samtest.Hash("x")
	q := r.Approved(p, h)
	r.Clock.Add(5*time.Minute - time.Second)
	late := r.Approved(p, h)
	if _, err := r.Sign(t.Context(), r.SignRequest(p, q, h)); err != nil {
		t.Errorf("within five minutes: %v", err)
	}
	r.Clock.Add(5 * time.Minute)
	_, err := r.Sign(t.Context(), r.SignRequest(p, late, h))
	refused(t, err, samapi.CodeSADExpired)

	in := r.Intent(p, h)
	in.Redeem = 30*time.Minute + 1
	if _, err := r.Begin(t.Context(), in); !errors.Is(err, fault.Invalid) {
		t.Errorf("redemption beyond the limit: %v", err)
	}
}

func TestCertificateMustBeValidNow(t *testing.T) {
	t.Attr("control", "D27")
	db := storetest.SQLite(t)
	r := samtest.New(t, db, samtest.Config{})
	p := r.Person(samtest.Wish{})
	h := samtest.Hash("x")
	r.Clock.Add(p.Leaf.NotAfter.Sub(r.Clock.Now()) - time.Minute)
	q := r.Approved(p, h, samtest.Hash("y"))
	if _, err := r.Sign(t.Context(), r.SignRequest(p, q, h)); err != nil {
		t.Fatalf("in the last minute: %v", err)
	}
	r.Clock.Add(2 * time.Minute)
	_, err := r.Sign(t.Context(), r.SignRequest(p, q, samtest.Hash("y")))
	refused(t, err, samapi.CodeCertificateExpired)
	_, err = r.Begin(t.Context(), r.Intent(p, h))
	refused(t, err, samapi.CodeCertificateExpired)
	_, err = r.Sign(t.Context(), func() samapi.SignRequest {
		req := r.SignRequest(p, q, samtest.Hash("y"))
		req.OCSP = r.CA.OCSP(p.Leaf, ocsp.Revoked)
		return req
	}())
	refused(t, err, samapi.CodeCertificateExpired)
}

func TestClockThatGoesBackStopsTheModule(t *testing.T) {
	db := storetest.SQLite(t)
	r := samtest.New(t, db, samtest.Config{})
	p := r.Person(samtest.Wish{})
	h := samtest.Hash("x")
	q := r.Approved(p, h)
	r.Clock.Add(-20 * time.Second) // as NTP may
	if _, err := r.Sign(t.Context(), r.SignRequest(p, q, h)); err != nil {
		t.Fatalf("after a small step: %v", err)
	}
	r.Clock.Add(-time.Hour)
	_, err := r.Begin(t.Context(), r.Intent(p, h))
	if !errors.Is(err, fault.Unavailable) {
		t.Errorf("after an hour back: %v", err)
	}
	r.Restart() // it remembers from the database
	if _, err := r.Begin(t.Context(), r.Intent(p, h)); !errors.Is(err, fault.Unavailable) {
		t.Errorf("after an hour back and a restart: %v", err)
	}
}

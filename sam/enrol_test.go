package sam_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samtest"
	"github.com/countersign/countersign/signing"
)

func TestEnrolmentNeedsTheRightCode(t *testing.T) {
	t.Attr("control", "C13")
	for _, mechanism := range []string{samapi.DeviceKey, samapi.WebAuthn} {
		t.Run(mechanism, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				r := samtest.New(t, db, samtest.Config{})
				p := r.Enrolled(mechanism)
				e, code := r.Ticket(p)
				_, req := r.NewDevice(e.ID, mechanism, samapi.NewActivationCode())
				for range 4 {
					_, err := r.Enrol(t.Context(), e.ID, req)
					refused(t, err, samapi.CodeActivation)
				}
				req.Code = strings.ToLower(strings.ReplaceAll(code, "-", " ")) // as people type
				if _, err := r.Enrol(t.Context(), e.ID, req); err != nil {
					t.Fatalf("the right code at the fifth try: %v", err)
				}
				_, again := r.NewDevice(e.ID, mechanism, code)
				_, err := r.Enrol(t.Context(), e.ID, again)
				refused(t, err, samapi.CodeActivation)

				e, code = r.Ticket(p)
				_, req = r.NewDevice(e.ID, mechanism, "no code at all")
				for range 5 {
					_, err := r.Enrol(t.Context(), e.ID, req)
					refused(t, err, samapi.CodeActivation)
				}
				req.Code = code
				_, err = r.Enrol(t.Context(), e.ID, req)
				refused(t, err, samapi.CodeActivation)
			})
		})
	}
}

func TestEnrolmentEnds(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{})
	p := r.Enrolled(samapi.DeviceKey)
	e, code := r.Ticket(p)
	_, req := r.NewDevice(e.ID, samapi.DeviceKey, code)
	_, err := r.Enrol(t.Context(), store.NewID(), req)
	refused(t, err, samapi.CodeActivation)
	r.Clock.Add(7*24*time.Hour + time.Second)
	_, err = r.Enrol(t.Context(), e.ID, req)
	refused(t, err, samapi.CodeActivation)
}

func TestOneEnrolmentIsOneDevice(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{})
		p := r.Enrolled(samapi.DeviceKey)
		e, code := r.Ticket(p)
		var done atomic.Int64
		var wg sync.WaitGroup
		for range 5 {
			_, req := r.NewDevice(e.ID, samapi.DeviceKey, code)
			wg.Go(func() {
				if _, err := r.Enrol(t.Context(), e.ID, req); err == nil {
					done.Add(1)
				}
			})
		}
		wg.Wait()
		if done.Load() != 1 {
			t.Errorf("%d devices were enrolled with one code", done.Load())
		}
	})
}

func TestEnrolmentNeedsProofOfTheKey(t *testing.T) {
	t.Attr("control", "D06")
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{})
	p := r.Enrolled(samapi.DeviceKey)
	other, _ := r.Ticket(p)
	e, code := r.Ticket(p)
	challenge := func(spki []byte) []byte {
		c, err := samapi.EnrolChallenge(e.ID, samapi.DeviceKey, spki)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, row := range []struct {
		name string
		edit func(*samtest.Device, *samapi.Enrol)
		code string
	}{
		{"no signature", func(_ *samtest.Device, q *samapi.Enrol) { q.Signature = nil }, samapi.CodeAssertion},
		{"signature of another key", func(_ *samtest.Device, q *samapi.Enrol) {
			q.Signature = (&samtest.Device{Key: samtest.Key(t)}).Sign(challenge(q.SPKI))
		}, samapi.CodeAssertion},
		{"somebody else's key", func(d *samtest.Device, q *samapi.Enrol) { q.SPKI = spki(t, samtest.Key(t)) }, samapi.CodeAssertion},
		{"proof for another enrolment", func(d *samtest.Device, q *samapi.Enrol) {
			c, err := samapi.EnrolChallenge(other.ID, samapi.DeviceKey, q.SPKI)
			if err != nil {
				t.Fatal(err)
			}
			q.Signature = d.Sign(c)
		}, samapi.CodeAssertion},
		{"proof for another mechanism", func(d *samtest.Device, q *samapi.Enrol) {
			c, err := samapi.EnrolChallenge(e.ID, samapi.WebAuthn, q.SPKI)
			if err != nil {
				t.Fatal(err)
			}
			q.Signature = d.Sign(c)
		}, samapi.CodeAssertion},
		{"a P-384 key", func(_ *samtest.Device, q *samapi.Enrol) {
			k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			q.SPKI = spki(t, k)
			q.Signature = (&samtest.Device{Key: k}).Sign(challenge(q.SPKI))
		}, samapi.CodeAssertion},
		{"an Ed25519 key", func(_ *samtest.Device, q *samapi.Enrol) {
			_, k, err := ed25519.GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			q.SPKI = spki(t, k)
			q.Signature = ed25519.Sign(k, challenge(q.SPKI))
		}, samapi.CodeAssertion},
		{"key and garbage", func(d *samtest.Device, q *samapi.Enrol) {
			q.SPKI = append(q.SPKI, 0)
			q.Signature = d.Sign(challenge(q.SPKI))
		}, samapi.CodeAssertion},
		{"passkey for a device key", func(d *samtest.Device, q *samapi.Enrol) { q.WebAuthn = &samapi.Registration{} }, samapi.CodeAssertion},
		{"other mechanism", func(d *samtest.Device, q *samapi.Enrol) { q.Mechanism = samapi.WebAuthn }, samapi.CodeActivation},
		{"short PIN", func(_ *samtest.Device, q *samapi.Enrol) { q.PIN = "27182" }, samapi.CodePIN},
		{"long PIN", func(_ *samtest.Device, q *samapi.Enrol) { q.PIN = "2718281828459" }, samapi.CodePIN},
		{"PIN with letters", func(_ *samtest.Device, q *samapi.Enrol) { q.PIN = "27182a" }, samapi.CodePIN},
		{"PIN all the same", func(_ *samtest.Device, q *samapi.Enrol) { q.PIN = "000000" }, samapi.CodePIN},
		{"PIN in a row", func(_ *samtest.Device, q *samapi.Enrol) { q.PIN = "345678" }, samapi.CodePIN},
		{"PIN in a row backwards", func(_ *samtest.Device, q *samapi.Enrol) { q.PIN = "987654" }, samapi.CodePIN},
	} {
		t.Run(row.name, func(t *testing.T) {
			d, req := r.NewDevice(e.ID, samapi.DeviceKey, code)
			row.edit(d, &req)
			_, err := r.Enrol(t.Context(), e.ID, req)
			refused(t, err, row.code)
		})
	}
	d, req := r.NewDevice(e.ID, samapi.DeviceKey, code)
	if _, err := r.Enrol(t.Context(), e.ID, req); err != nil {
		t.Fatalf("a right enrolment after these: %v", err)
	}
	// The same key for another person.
	next := r.Enrolled(samapi.DeviceKey)
	e, code = r.Ticket(next)
	req.Code = code
	req.Signature = d.Sign(challenge(req.SPKI))
	_, err := r.Enrol(t.Context(), e.ID, req)
	refused(t, err, samapi.CodeAssertion)
}

// TestOrdersNeedARegisteredAuthority brings each kind of order without the right
// signature, late, for another module, in another's name, and twice.
func TestOrdersNeedARegisteredAuthority(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{})
		p := r.Person(samtest.Wish{})
		fresh := r.Assign(p, samtest.Wish{})
		leaf := r.CA.Leaf(p.Subject, r.Record(fresh).SPKI)
		codeHash := samtest.Hash("code")
		rejectOne(r, p, true) // there is a block to be lifted
		for _, kind := range orderKinds(r) {
			t.Run(kind.domain, func(t *testing.T) {
				payload := func(o samapi.Order) any {
					switch kind.domain {
					case samapi.DomainEnrolSigner:
						return samapi.EnrolSigner{Order: o, Signer: "new", Subject: p.Subject, Assurance: "high", Mechanism: samapi.DeviceKey, CodeHash: codeHash, CodeExpires: r.Clock.Now().Add(time.Hour)}
					case samapi.DomainAssignKey:
						return samapi.AssignKey{Order: o, Signer: p.ID, Mechanism: samapi.DeviceKey, KeyType: "P-256", Multisign: 1}
					case samapi.DomainBindCertificate:
						return samapi.BindCertificate{Order: o, Credential: fresh.Credential, Chain: [][]byte{leaf.Raw, r.CA.Cert.Raw}}
					case samapi.DomainCredentialState:
						return samapi.CredentialState{Order: o, Credential: p.Credential, State: samapi.CredentialSuspended}
					case samapi.DomainRevokeDevice:
						return samapi.RevokeDevice{Order: o, Authenticator: p.Device.ID}
					case samapi.DomainLiftBlock:
						return samapi.LiftBlock{Order: o, Signer: p.ID, Client: samtest.Client}
					}
					return samapi.DestroyKey{Order: o, Credential: p.Credential}
				}
				good := r.Order()
				stranger := r.SealWith(samtest.Key(t), kind.domain, payload(good))
				refused(t, kind.do(stranger), samapi.CodeOrder)
				stranger.Key = r.Seal(kind.domain, payload(good)).Key
				refused(t, kind.do(stranger), samapi.CodeOrder)

				for name, edit := range map[string]func(*samapi.Order){
					"late":           func(o *samapi.Order) { o.Expires = r.Clock.Now().Add(-time.Second) },
					"too early":      func(o *samapi.Order) { o.Expires = r.Clock.Now().Add(25 * time.Hour) },
					"another module": func(o *samapi.Order) { o.Module = "https://other.example" },
					"other version":  func(o *samapi.Order) { o.Version = 2 },
					"guessable id":   func(o *samapi.Order) { o.ID = "1" },
				} {
					o := good
					edit(&o)
					if err := kind.do(r.Seal(kind.domain, payload(o))); fault.Of(err).Code != samapi.CodeOrder {
						t.Errorf("%s: %v", name, err)
					}
				}
				for _, other := range orderKinds(r) {
					if other.domain == kind.domain {
						continue
					}
					if err := kind.do(r.Seal(other.domain, payload(good))); fault.Of(err).Code != samapi.CodeOrder {
						t.Errorf("sealed as %s: %v", other.domain, err)
					}
				}
				changed := r.Seal(kind.domain, payload(good))
				changed.Payload = append(changed.Payload[:len(changed.Payload)-1:len(changed.Payload)-1], ' ', '}')
				refused(t, kind.do(changed), samapi.CodeOrder)

				s := r.Seal(kind.domain, payload(good))
				if err := kind.do(s); err != nil {
					t.Fatalf("the right order: %v", err)
				}
				if err := kind.do(s); !errors.Is(err, fault.Conflict) {
					t.Errorf("the same order again: %v", err)
				}
			})
		}
	})
}

func TestOrderIsCarriedOutOnceAtTheSameMoment(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{})
		p := r.Person(samtest.Wish{})
		order := r.Seal(samapi.DomainAssignKey, samapi.AssignKey{Order: r.Order(), Signer: p.ID, Mechanism: samapi.DeviceKey, KeyType: "P-256", Multisign: 1})
		var done atomic.Int64
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if _, err := r.AssignKey(t.Context(), order); err == nil {
					done.Add(1)
				} else if fault.Of(err).Code != samapi.CodeOrderReplayed {
					t.Errorf("unexpected: %v", err)
				}
			})
		}
		wg.Wait()
		if list, err := r.Credentials(t.Context(), samapi.CredentialQuery{Signers: []string{p.ID}}); err != nil || len(list) != 2 || done.Load() != 1 {
			t.Errorf("%d keys for one order carried out %d times, %v", len(list)-1, done.Load(), err)
		}
	})
}

func TestRevokedAuthorityGivesNoOrders(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{})
		p := r.Person(samtest.Wish{})
		list, err := r.Authorities(t.Context())
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		if err := r.RevokeAuthority(t.Context(), list[0].Key); err != nil {
			t.Fatal(err)
		}
		_, err = r.AssignKey(t.Context(), r.Seal(samapi.DomainAssignKey, samapi.AssignKey{Order: r.Order(), Signer: p.ID, Mechanism: samapi.DeviceKey, KeyType: "P-256", Multisign: 1}))
		refused(t, err, samapi.CodeOrder)
		if _, err := r.RegisterAuthority(t.Context(), "ra-1", list[0].SPKI); !errors.Is(err, fault.Conflict) {
			t.Errorf("the revoked key registered again: %v", err)
		}
	})
}

func TestKeyNeedsAProvedSigner(t *testing.T) {
	t.Attr("control", "C02")
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{})
	p := r.Enrolled(samapi.DeviceKey)
	assign := func(edit func(*samapi.AssignKey)) error {
		o := samapi.AssignKey{Order: r.Order(), Signer: p.ID, Mechanism: samapi.DeviceKey, KeyType: "P-256", Multisign: 1}
		edit(&o)
		_, err := r.AssignKey(t.Context(), r.Seal(samapi.DomainAssignKey, o))
		return err
	}
	if err := assign(func(o *samapi.AssignKey) { o.Signer = "nobody" }); !errors.Is(err, fault.NotFound) {
		t.Errorf("an unknown signer: %v", err)
	}
	low := samapi.EnrolSigner{
		Order: r.Order(), Signer: "low", Subject: p.Subject, Assurance: "low", Mechanism: samapi.DeviceKey,
		CodeHash: samtest.Hash("x"), CodeExpires: r.Clock.Now().Add(time.Hour),
	}
	if _, err := r.EnrolSigner(t.Context(), r.Seal(samapi.DomainEnrolSigner, low)); err != nil {
		t.Fatal(err)
	}
	refused(t, assign(func(o *samapi.AssignKey) { o.Signer = "low" }), samapi.CodeOrder)
	for _, k := range []string{"RSA-2048", "P-224", "Ed25519", ""} {
		refused(t, assign(func(o *samapi.AssignKey) { o.KeyType = signing.KeyType(k) }), samapi.CodeOrder)
	}
	refused(t, assign(func(o *samapi.AssignKey) { o.Mechanism = "otp" }), samapi.CodeOrder)
	refused(t, assign(func(o *samapi.AssignKey) { o.Multisign = 0 }), samapi.CodeOrder)
	refused(t, assign(func(o *samapi.AssignKey) { o.Multisign = 201 }), samapi.CodeOrder)

	// The same name for another person, or for less assurance.
	for name, edit := range map[string]func(*samapi.EnrolSigner){
		"another subject": func(o *samapi.EnrolSigner) { o.Subject.CommonName = "Mallory" },
		"less assurance":  func(o *samapi.EnrolSigner) { o.Assurance = "low" },
	} {
		o := low
		o.Order, o.Signer, o.Assurance = r.Order(), p.ID, "high"
		edit(&o)
		if _, err := r.EnrolSigner(t.Context(), r.Seal(samapi.DomainEnrolSigner, o)); !errors.Is(err, fault.Conflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestKeyIsUselessBeforeItsCertificateAndHasOne binds wrong certificates, the right
// one, and another.
func TestKeyIsUselessBeforeItsCertificateAndHasOne(t *testing.T) {
	t.Attr("control", "D33")
	t.Attr("control", "D19")
	t.Attr("control", "B16")
	t.Attr("control", "C10")
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{})
		p, other := r.Enrolled(samapi.DeviceKey), r.Person(samtest.Wish{})
		a := r.Assign(p, samtest.Wish{})
		p.Credential = a.Credential
		record := r.Record(a)
		if record.Signer != p.ID || record.Credential != a.Credential || record.SCAL != 2 || record.Mechanism != samapi.DeviceKey {
			t.Errorf("key record %+v", record)
		}
		_, err := r.Begin(t.Context(), r.Intent(p, samtest.Hash("x")))
		refused(t, err, samapi.CodeCredentialDisabled)

		right := r.CA.Leaf(p.Subject, record.SPKI)
		stranger := samtest.NewCA(t, r.Clock)
		named := func(edit func(*x509.Certificate)) []byte {
			c := &x509.Certificate{Subject: samtest.Name(p.Subject), KeyUsage: x509.KeyUsageContentCommitment}
			edit(c)
			pub, err := x509.ParsePKIXPublicKey(record.SPKI)
			if err != nil {
				t.Fatal(err)
			}
			return r.CA.Sign(c, pub).Raw
		}
		wrongName, lessName, moreName := p.Subject, p.Subject, p.Subject
		wrongName.CommonName, lessName.SerialNumber, moreName.Organization = "Mallory", "", "Other Ltd"
		for name, chain := range map[string][][]byte{
			"no certificate":        {},
			"garbage":               {[]byte("certificate")},
			"another key":           {r.CA.Leaf(p.Subject, spki(t, samtest.Key(t))).Raw, r.CA.Cert.Raw},
			"another's certificate": {other.Leaf.Raw, r.CA.Cert.Raw},
			"another name":          {r.CA.Leaf(wrongName, record.SPKI).Raw, r.CA.Cert.Raw},
			"a name less":           {r.CA.Leaf(lessName, record.SPKI).Raw, r.CA.Cert.Raw},
			"a name more":           {r.CA.Leaf(moreName, record.SPKI).Raw, r.CA.Cert.Raw},
			"another CA":            {stranger.Leaf(p.Subject, record.SPKI).Raw, stranger.Cert.Raw},
			"without its issuer":    {right.Raw},
			"others in between":     {right.Raw, other.Leaf.Raw, r.CA.Cert.Raw},
			"a CA certificate":      {named(func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }), r.CA.Cert.Raw},
			"not for signatures":    {named(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }), r.CA.Cert.Raw},
			"expired":               {named(func(c *x509.Certificate) { c.NotAfter = r.Clock.Now().Add(-time.Second) }), r.CA.Cert.Raw},
		} {
			if err := r.Bind(a.Credential, chain...); fault.Of(err).Code != samapi.CodeCertificate {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := r.Bind(a.Credential, right.Raw, r.CA.Cert.Raw, r.CA.Root.Raw); err != nil {
			t.Fatalf("the right certificate: %v", err)
		}
		refused(t, r.Bind(a.Credential, right.Raw, r.CA.Cert.Raw), samapi.CodeCertificate)
		refused(t, r.Bind(a.Credential, r.CA.Leaf(p.Subject, record.SPKI).Raw, r.CA.Cert.Raw), samapi.CodeCertificate)
		p.Leaf = right
		if _, err := r.Sign(t.Context(), r.SignRequest(p, r.Approved(p, samtest.Hash("x")), samtest.Hash("x"))); err != nil {
			t.Error(err)
		}
	})
}

// TestRewrappedKeysSurviveTheirOldKEK rolls the key-encryption key, also under an
// approval that is not used yet, and destroys the old one.
func TestRewrappedKeysSurviveTheirOldKEK(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{})
		p, gone := r.Person(samtest.Wish{}), r.Person(samtest.Wish{})
		h := samtest.Hash("x")
		q, lost := r.Approved(p, h), r.Approved(gone, h)
		if _, err := r.Config.Keys.RotateKEK(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n, err := r.Rewrap(t.Context()); err != nil || n != 2 {
			t.Fatalf("rewrapped %d keys, %v", n, err)
		}
		if n, err := r.Rewrap(t.Context()); err != nil || n != 0 {
			t.Errorf("again %d keys, %v", n, err)
		}
		if err := r.Config.Keys.DestroyKEK(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		for person, approved := range map[*samtest.Person]*samtest.Pending{p: q, gone: lost} {
			if _, err := r.Sign(t.Context(), r.SignRequest(person, approved, h)); err != nil {
				t.Errorf("after the old KEK is gone: %v", err)
			}
		}
		if v, err := r.Verify(t.Context()); err != nil || len(v.Findings) > 0 {
			t.Errorf("verify %+v, %v", v, err)
		}
	})
}

func TestDestroyedKeyIsGone(t *testing.T) {
	t.Attr("control", "B21")
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{})
		p := r.Person(samtest.Wish{})
		h := samtest.Hash("x")
		approved := r.Approved(p, h)
		destroy := func() error {
			return r.DestroyKey(t.Context(), r.Seal(samapi.DomainDestroyKey, samapi.DestroyKey{Order: r.Order(), Credential: p.Credential, Reason: "the signer asked for it"}))
		}
		if err := destroy(); err != nil {
			t.Fatal(err)
		}
		_, err := r.Sign(t.Context(), r.SignRequest(p, approved, h))
		refused(t, err, samapi.CodeCredentialDisabled)
		_, err = r.Begin(t.Context(), r.Intent(p, h))
		refused(t, err, samapi.CodeCredentialDisabled)
		refused(t, destroy(), samapi.CodeCredentialDisabled)
		var blob []byte
		if err := db.QueryRow(t.Context(), `SELECT blob FROM sam_credential WHERE id = $1`, p.Credential).Scan(&blob); err != nil || len(blob) != 0 {
			t.Errorf("the wrapped key still has %d bytes, %v", len(blob), err)
		}
		if !slices.Contains(r.Events(""), "key.destroyed") {
			t.Error("no event key.destroyed")
		}
		resume := samapi.CredentialState{Order: r.Order(), Credential: p.Credential, State: samapi.CredentialActive}
		refused(t, r.SetCredentialState(t.Context(), r.Seal(samapi.DomainCredentialState, resume)), samapi.CodeCredentialDisabled)
	})
}

package cscsam_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/csc/cscsam"
	"github.com/countersign/countersign/csc/csctest"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// counted counts what the module is asked.
func (d *desk) counted() func(op string) int {
	var mu sync.Mutex
	asked := map[string]int{}
	d.SAM.Before = func(op string) error {
		mu.Lock()
		defer mu.Unlock()
		asked[op]++
		return nil
	}
	return func(op string) int {
		mu.Lock()
		defer mu.Unlock()
		return asked[op]
	}
}

// own is a service in front of the desk's module, and who asks it for n signatures.
func (d *desk) own(n int) (s *cscsam.Service, by csc.Caller, raw [][]byte, text []string) {
	d.Helper()
	ocsp := &responder{answer: d.PKI.OCSPResponse(adestest.Answer{Cert: d.PKI.Signer.Cert})}
	s, err := cscsam.New(cscsam.Config{SAM: d.SAM, Links: d.Service, OCSP: ocsp})
	d.must(err)
	_, sid, raw, text := d.approved(n)
	return s, csc.Caller{Org: csctest.Org, Client: csctest.ClientID, Scope: csc.ScopeCredential, Credential: csctest.CredentialID, SID: sid}, raw, text
}

func one(hash string) *csc.SignHashRequest {
	return &csc.SignHashRequest{CredentialID: csctest.CredentialID, Hashes: []string{hash}, SignAlgo: signing.ECDSAWithSHA256.OID()}
}

func TestModuleDescribesABusyCredentialOnce(t *testing.T) {
	d := newDesk(t, signing.P256)
	s, by, _, text := d.own(5)
	asked := d.counted()
	for _, h := range text {
		_, err := s.SignHash(t.Context(), by, one(h))
		d.must(err)
	}
	if asked("Credentials") != 1 || asked("Sign") != 5 {
		t.Errorf("described %d times for %d signatures", asked("Credentials"), asked("Sign"))
	}
}

// TestCredentialThatChangedIsSeenAtOnce: what is remembered of a credential must not
// outlive the module's own word.
func TestCredentialThatChangedIsSeenAtOnce(t *testing.T) {
	d := newDesk(t, signing.P256)
	s, by, _, text := d.own(4)
	_, err := s.SignHash(t.Context(), by, one(text[0]))
	d.must(err)
	c := csctest.Credential(csctest.CredentialID, csctest.SignerID, signing.P256, d.PKI.Signer.Cert, d.PKI.CA.Cert)
	for state, want := range map[string]string{
		samapi.CredentialSuspended: csc.ErrCredentialDisabled.Description,
		samapi.CredentialDestroyed: csc.InvalidParameter("credentialID").Description,
	} {
		c.State = state
		d.SAM.Add(c, d.PKI.Signer.Key)
		var refused *csc.Error
		if _, err := s.SignHash(t.Context(), by, one(text[1])); !errors.As(err, &refused) || refused.Description != want {
			t.Errorf("%s: %v, want %q", state, err, want)
		}
	}
	c.State = samapi.CredentialActive
	d.SAM.Add(c, d.PKI.Signer.Key)
	if _, err := s.SignHash(t.Context(), by, one(text[2])); err != nil {
		t.Errorf("active again: %v", err)
	}
	if d.SAM.Made() != 2 {
		t.Errorf("%d signatures, want 2", d.SAM.Made())
	}
}

// TestRenewedCertificateIsTakenUp: the module refuses the status of the old one, and
// the signature is verified with the new one.
func TestRenewedCertificateIsTakenUp(t *testing.T) {
	d := newDesk(t, signing.P256)
	ocsp := &responder{answer: d.PKI.OCSPResponse(adestest.Answer{Cert: d.PKI.Signer.Cert})}
	s, err := cscsam.New(cscsam.Config{SAM: d.SAM, Links: d.Service, OCSP: ocsp})
	d.must(err)
	_, by, raw, text := d.own(2)
	_, err = s.SignHash(t.Context(), by, one(text[0]))
	d.must(err)
	other := adestest.New(t, adestest.Config{})
	d.SAM.Add(csctest.Credential(csctest.CredentialID, csctest.SignerID, signing.P256, other.Signer.Cert, other.CA.Cert), other.Signer.Key)
	ocsp.answer = other.OCSPResponse(adestest.Answer{Cert: other.Signer.Cert})
	order, err := one(text[1]).Order()
	d.must(err)
	v, err := s.Sign(t.Context(), by, order)
	d.must(err)
	v.Each(func(i int, sig []byte) {
		if err := signing.Verify(other.Signer.Cert.PublicKey, signing.ECDSAWithSHA256, raw[i+1], sig); err != nil || !v.Certificate().Equal(other.Signer.Cert) {
			t.Errorf("signature: %v; certificate of %s", err, v.Certificate().Subject)
		}
	})
	if err := v.For(order); err != nil {
		t.Error(err)
	}
	if again, err := one(text[1]).Order(); err != nil || v.For(again) == nil {
		t.Errorf("it passes for another request, %v", err)
	}
}

func TestManyDeliveriesAreAcknowledgedTogether(t *testing.T) {
	d := newDesk(t, signing.P256)
	s, by, _, text := d.own(3)
	asked := d.counted()
	for _, h := range text {
		answer, err := s.SignHash(t.Context(), by, one(h))
		d.must(err)
		s.Delivered(t.Context(), by, one(h), answer)
	}
	if asked("Acknowledge") != 0 {
		t.Errorf("acknowledged %d times before anything could come together", asked("Acknowledge"))
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := d.SAM.Result(t.Context(), by.SID, by.Client); errors.Is(err, fault.NotFound) {
			break
		} else if time.Now().After(end) {
			t.Fatalf("not acknowledged by itself: %v", err)
		}
	}
	if asked("Acknowledge") != 1 {
		t.Errorf("acknowledged %d times, want once", asked("Acknowledge"))
	}
}

// TestOneBadAcknowledgementKeepsNoOthers: the module takes all of a call or nothing.
func TestOneBadAcknowledgementKeepsNoOthers(t *testing.T) {
	d := newDesk(t, signing.P256)
	s, by, _, text := d.own(1)
	_, otherSID, _, _ := d.approved(1)
	other := by
	other.SID = otherSID
	for _, who := range []csc.Caller{by, other} {
		answer, err := s.SignHash(t.Context(), who, one(text[0]))
		d.must(err)
		s.Delivered(t.Context(), who, one(text[0]), answer)
	}
	calls := 0
	d.SAM.Before = func(op string) error {
		if op != "Acknowledge" {
			return nil
		}
		if calls++; calls <= 2 { // together, and the first alone
			return errors.New("unreadable")
		}
		return nil
	}
	s.Flush(t.Context())
	if kept, err := d.SAM.Result(t.Context(), by.SID, by.Client); err != nil || len(kept.Signatures) != 1 {
		t.Errorf("the unreadable one: %v, %v", kept, err)
	}
	if _, err := d.SAM.Result(t.Context(), other.SID, other.Client); !errors.Is(err, fault.NotFound) {
		t.Errorf("the other one: %v", err)
	}
	if calls != 3 {
		t.Errorf("%d calls, want 3", calls)
	}
}

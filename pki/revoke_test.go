package pki_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/pki"
)

func TestRevocationIsOrderedByARegistrationAuthority(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	s := f.issue()
	now := f.clock.now().UTC()
	good := pki.Revocation{Version: 1, Serial: s.serial, Reason: "superseded", Time: now}
	for name, c := range map[string]struct {
		change func(*pki.Revocation)
		key    crypto.Signer
		kind   fault.Kind
		code   string
	}{
		"by a stranger":      {nil, newKey(t), fault.Forbidden, "unknown_ra"},
		"by the module":      {nil, f.sam, fault.Forbidden, "unknown_ra"},
		"of nothing":         {func(r *pki.Revocation) { r.Serial = "1234" }, f.ra, fault.NotFound, ""},
		"of the issuing CA":  {func(r *pki.Revocation) { r.Serial = f.Issuer().SerialNumber.Text(16) }, f.ra, fault.Forbidden, ""},
		"of the TSA":         {func(r *pki.Revocation) { r.Serial = f.TSA().SerialNumber.Text(16) }, f.ra, fault.Forbidden, ""},
		"as a suspension":    {func(r *pki.Revocation) { r.Reason = "certificateHold" }, f.ra, fault.Invalid, "reason"},
		"ordered long ago":   {func(r *pki.Revocation) { r.Time = now.Add(-25 * time.Hour) }, f.ra, fault.Expired, "revocation_expired"},
		"ordered tomorrow":   {func(r *pki.Revocation) { r.Time = now.Add(time.Hour) }, f.ra, fault.Expired, "revocation_expired"},
		"of another version": {func(r *pki.Revocation) { r.Version = 0 }, f.ra, fault.Invalid, "revocation"},
	} {
		t.Run(name, func(t *testing.T) {
			r := good
			if c.change != nil {
				c.change(&r)
			}
			order, err := pki.SealRevocation(r, c.key)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.client.Revoke(t.Context(), order)
			refused(t, err, c.kind, c.code)
		})
	}
	if r := f.ocsp(s.cert, f.Issuer()); r.Status != ocsp.Good {
		t.Fatalf("status %d after refused orders", r.Status)
	}
	order, err := pki.SealRevocation(good, f.ra)
	if err != nil {
		t.Fatal(err)
	}
	first, err := f.client.Revoke(t.Context(), order)
	if err != nil {
		t.Fatal(err)
	}
	f.clock.add(time.Hour)
	again, err := f.client.Revoke(t.Context(), order)
	if err != nil || again != first {
		t.Errorf("the second order gives %v, %v, want %v", again, err, first)
	}
	if n := len(f.events("pki.certificate.revoked")); n != 1 {
		t.Errorf("%d events for one revocation", n)
	}
}

func TestRegisteredKeysKeepTheirRole(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		key := spkiOf(t, newKey(t).Public())
		p, err := f.Register(ctx, pki.RA, "second", key)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := f.Register(ctx, pki.RA, "second", key); err != nil || again.KeyID != p.KeyID {
			t.Errorf("registered again: %v", err)
		}
		_, err = f.Register(ctx, pki.Module, "second", key)
		refused(t, err, fault.Conflict, "key_role")
		if err := f.Remove(ctx, p.KeyID); err != nil {
			t.Fatal(err)
		}
		_, err = f.Register(ctx, pki.RA, "second", key)
		refused(t, err, fault.Conflict, "key_removed")
		refused(t, f.Remove(ctx, p.KeyID), fault.NotFound, "")
		_, err = f.Register(ctx, "admin", "x", spkiOf(t, newKey(t).Public()))
		refused(t, err, fault.Invalid, "")
		_, ed, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Register(ctx, pki.RA, "x", spkiOf(t, ed.Public()))
		refused(t, err, fault.Invalid, "")
	})
}

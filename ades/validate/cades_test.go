package validate_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/ades/validate"
	"github.com/countersign/countersign/internal/fault"
)

func TestCAdESSignaturesAreJudged(t *testing.T) {
	k := adestest.New(t, adestest.Config{})
	letter := []byte("Dear Bob")
	stamp := func(sig []byte) []byte { return k.Token(sig, k.Now) }
	for name, row := range map[string]struct {
		forge   adestest.Forgery
		content []byte
		verdict validate.Verdict
		sub     validate.Sub
		level   string
	}{
		"detached":              {adestest.Forgery{SigningTime: k.Now}, letter, validate.Passed, "", "CAdES-B-B"},
		"enveloping":            {adestest.Forgery{SigningTime: k.Now, Encapsulate: true}, nil, validate.Passed, "", "CAdES-B-B"},
		"time-stamped":          {adestest.Forgery{SigningTime: k.Now, Timestamp: stamp}, letter, validate.Passed, "", "CAdES-B-T"},
		"BER":                   {adestest.Forgery{SigningTime: k.Now, BER: true}, letter, validate.Passed, "", "CAdES-B-B"},
		"two signers":           {adestest.Forgery{SigningTime: k.Now, TwoSigners: true}, letter, validate.Passed, "", "CAdES-B-B"},
		"other content":         {adestest.Forgery{SigningTime: k.Now}, []byte("Dear Eve"), validate.Failed, validate.HashFailure, "CAdES-B-B"},
		"bad signature":         {adestest.Forgery{SigningTime: k.Now, BadSignature: true}, letter, validate.Failed, validate.SigCryptoFailure, "CAdES-B-B"},
		"no signing-time":       {adestest.Forgery{}, letter, validate.Indeterminate, validate.SigConstraintsFailure, "CAdES-BES"},
		"no ESS":                {adestest.Forgery{SigningTime: k.Now, NoESS: true}, letter, validate.Indeterminate, validate.SigConstraintsFailure, "CMS-NOT-ETSI"},
		"content-type missing":  {adestest.Forgery{SigningTime: k.Now, NoContentType: true}, letter, validate.Failed, validate.FormatFailure, "CAdES-BES"},
		"no signed attributes":  {adestest.Forgery{NoAttributes: true}, letter, validate.Indeterminate, validate.SigConstraintsFailure, "CMS-NOT-ETSI"},
		"bare, other content":   {adestest.Forgery{NoAttributes: true}, []byte("Dear Eve"), validate.Failed, validate.SigCryptoFailure, "CMS-NOT-ETSI"},
		"time-stamp over other": {adestest.Forgery{SigningTime: k.Now, Timestamp: func([]byte) []byte { return stamp(letter) }}, letter, validate.Indeterminate, validate.SigConstraintsFailure, "CAdES-B-B"},
	} {
		row.forge.Content = letter
		o := validate.Options{Anchors: k.Anchors(), ExtraCRLs: k.CRLs(), Now: func() time.Time { return k.Now.Add(time.Minute) }}
		der := k.Forge(row.forge)
		var r *validate.Report
		var err error
		if row.content == nil {
			r, err = validate.CMS(der, nil, o)
		} else {
			r, err = validate.CMS(der, bytes.NewReader(row.content), o)
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, s := range r.Signatures {
			if s.Verdict != row.verdict || s.Subindication != row.sub || s.Level != row.level {
				t.Errorf("%s: %s %s %s, want %s %s %s\n%s", name, s.Verdict, s.Subindication, s.Level, row.verdict, row.sub, row.level, text(r))
			}
		}
	}
}

func TestADetachedSignatureNeedsItsFile(t *testing.T) {
	k := adestest.New(t, adestest.Config{})
	r, err := validate.CMS(k.Forge(adestest.Forgery{Content: []byte("x")}), nil, validate.Options{})
	if !errors.Is(err, fault.Invalid) || !strings.Contains(r.Error, "--original") {
		t.Errorf("%v %q", err, r.Error)
	}
	inside := k.Forge(adestest.Forgery{Content: []byte("x"), Encapsulate: true})
	if _, err := validate.CMS(inside, strings.NewReader("y"), validate.Options{}); !errors.Is(err, fault.Invalid) {
		t.Errorf("another file than the content inside: %v", err)
	}
	if _, err := validate.CMS(inside, strings.NewReader("x"), validate.Options{}); err != nil {
		t.Errorf("the content inside, given again: %v", err)
	}
	if _, err := validate.CMS([]byte("PK\x03\x04"), nil, validate.Options{}); !errors.Is(err, fault.Invalid) {
		t.Errorf("no CMS: %v", err)
	}
	if _, err := validate.CMS(k.Forge(adestest.Forgery{NoSigner: true}), nil, validate.Options{}); !errors.Is(err, validate.ErrNoSignature) {
		t.Errorf("no signer: %v", err)
	}
}

func TestOnlyWhatPassedAtItsLevelIsDelivered(t *testing.T) {
	k := adestest.New(t, adestest.Config{})
	p := adestest.NewPDF(t)
	p.Level(k, "LT", adestest.Sig{})
	r := judge(t, k, p.Data, false)
	for level, want := range map[string]bool{"PAdES-B-B": true, "PAdES-B-T": true, "PAdES-B-LT": true, "PAdES-B-LTA": false, "B-LT": false, "": false} {
		if err := r.Require("Signature1", level); (err == nil) != want {
			t.Errorf("%q: %v", level, err)
		}
	}
	if err := r.Require("other", "PAdES-B-B"); !errors.Is(err, fault.Unavailable) {
		t.Errorf("another field: %v", err)
	}
	bad := adestest.NewPDF(t)
	bad.Sign(forged(k, adestest.Forgery{BadSignature: true}))
	bad.Sign(forged(k, adestest.Forgery{}))
	r = judge(t, k, bad.Data, true)
	if err := r.Require("Signature2", "PAdES-B-B"); err == nil {
		t.Error("a broken earlier signature is let through")
	}
	if err := r.Require("Signature2", "PAdES-B-B", "Signature1"); err != nil {
		t.Errorf("it was broken before: %v", err)
	}
	if err := r.Require("Signature1", "PAdES-B-B"); err == nil {
		t.Error("a broken signature is let through")
	}
}

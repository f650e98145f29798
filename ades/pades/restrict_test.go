package pades_test

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"testing"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/ades/pdf/pdftest"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/signing"
)

// prepare prepares with options changed.
func (s *signer) prepare(doc []byte, change func(*pades.Options)) (*pades.Prepared, error) {
	o := s.options()
	if change != nil {
		change(&o)
	}
	return pades.Prepare(bytes.NewReader(doc), int64(len(doc)), o)
}

func wantRefusal(t *testing.T, err error, code string) {
	t.Helper()
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || e.Kind != fault.Invalid || e.Code != code {
		t.Fatalf("got %v, want a refusal with code %s", err, code)
	}
}

// withField is One with a form of signature fields, object 10 on.
func withFields(bodies ...string) *pdftest.Doc {
	d := pdftest.One()
	fields := ""
	for i, b := range bodies {
		fields += fmt.Sprintf("%d 0 R ", 10+i)
		d.Objects[10+i] = b
	}
	d.Objects[1] = "<< /Type /Catalog /Pages 2 0 R /AcroForm 9 0 R >>"
	d.Objects[9] = "<< /Fields [" + fields + "] /SigFlags 3 /DA @(/Helv 0 Tf) >>"
	return d
}

const emptyField = "<< /FT /Sig /T @(Sig) /Type /Annot /Subtype /Widget /F 132 /Rect [0 0 0 0] /P 3 0 R %s >>"

func TestCertificationIsObeyed(t *testing.T) {
	s := newSigner(t)
	for p := 1; p <= 3; p++ {
		t.Run(fmt.Sprintf("level %d", p), func(t *testing.T) {
			doc := pdftest.One().Bytes()
			o := s.options()
			o.Certify = p
			certified, _ := s.sign(t, doc, pades.LTA, o)
			assertAppended(t, doc, certified, "")
			assertVerifies(t, certified, "", 2)
			f := open(t, certified, "")
			if got, by, err := f.Certification(); err != nil || got != p || by == (pdf.Ref{}) {
				t.Fatalf("certification reads %d by %v, %v", got, by, err)
			}
			signed, err := s.prepare(certified, nil)
			if p == 1 {
				wantRefusal(t, err, pades.CodeCertified)
			} else if err != nil {
				t.Fatal(err)
			} else if signed.Field != "Signature2" {
				t.Errorf("field %s", signed.Field)
			}
			// A document time-stamp and validation data are allowed after any level.
			patch, err := pades.Begin(int64(len(certified)), s.alg.Hash()).Archive(t.Context(), bytes.NewReader(certified), s.sources().TimeStamp, pades.AugmentOptions{})
			if err != nil {
				t.Fatal(err)
			}
			assertVerifies(t, whole(t, certified, patch), "", 3)
		})
	}
}

func TestOnlyTheFirstSignatureCertifies(t *testing.T) {
	s := newSigner(t)
	signed, _ := s.sign(t, pdftest.One().Bytes(), pades.B, s.options())
	_, err := s.prepare(signed, func(o *pades.Options) { o.Certify = 2 })
	wantRefusal(t, err, pades.CodeCertified)
}

func TestLocksOfEarlierSignaturesHold(t *testing.T) {
	s := newSigner(t)
	for _, c := range []struct {
		lock  string
		field string // signed next
		code  string
	}{
		{"/Action /All", "", pades.CodeLocked},
		{"/Action /All", "Second", pades.CodeLocked},
		{"/Action /Include /Fields [@(Second)]", "Second", pades.CodeLocked},
		{"/Action /Include /Fields [@(Second)]", "", ""},
		{"/Action /Include /Fields [@(Sec)]", "Second", ""},
		{"/Action /Exclude /Fields [@(Second)]", "Second", ""},
		{"/Action /Exclude /Fields [@(Second)]", "", pades.CodeLocked},
		{"/Action /Include /Fields [@(Other)] /P 1", "Second", pades.CodeCertified},
		{"/Action /Include /Fields [@(Other)] /P 2", "Second", ""},
	} {
		t.Run(c.lock+" then "+c.field, func(t *testing.T) {
			doc := withFields(fmt.Sprintf(emptyField, "/Lock << /Type /SigFieldLock "+c.lock+" >>"),
				"<< /FT /Sig /T @(Second) /Subtype /Widget /Rect [0 0 0 0] >>").Bytes()
			o := s.options()
			o.Field = "Sig"
			first, _ := s.sign(t, doc, pades.B, o)
			assertAppended(t, doc, first, "")
			found := assertVerifies(t, first, "", 1)
			if len(found[0].References) != 1 || found[0].References[0].Method != "FieldMDP" || found[0].References[0].Lock.Action != found[0].Lock.Action {
				t.Fatalf("references = %+v, lock = %+v", found[0].References, found[0].Lock)
			}
			_, err := s.prepare(first, func(o *pades.Options) { o.Field = c.field })
			if c.code != "" {
				wantRefusal(t, err, c.code)
			} else if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestALockHoldsWithoutFieldMDP is about writers that leave the lock in the field
// and say nothing of it in the signature.
func TestALockHoldsWithoutFieldMDP(t *testing.T) {
	s := newSigner(t)
	p := adestest.NewPDF(t)
	p.Level(s.pki, "B", adestest.Sig{FieldEntries: "/Lock << /Type /SigFieldLock /Action /All >>"})
	_, err := s.prepare(p.Data, nil)
	wantRefusal(t, err, pades.CodeLocked)
}

func TestSeedValuesAreObeyed(t *testing.T) {
	s := newSigner(t)
	signer := fmt.Sprintf("<%x>", s.pki.Signer.Cert.Raw)
	ca, other := fmt.Sprintf("<%x>", s.pki.CA.Cert.Raw), fmt.Sprintf("<%x>", s.pki.TSA.Cert.Raw)
	at := func(l pades.Level) func(*pades.Options) { return func(o *pades.Options) { o.Level = l } }
	reason := func(r string) func(*pades.Options) { return func(o *pades.Options) { o.Reason = r } }
	for _, c := range []struct {
		sv      string
		change  func(*pades.Options)
		refused bool
	}{
		{"/Filter /Other", nil, false},
		{"/Ff 1 /Filter /Other", nil, true},
		{"/Ff 1 /Filter /Adobe.PPKLite", nil, false},
		{"/SubFilter [/adbe.pkcs7.detached]", nil, false},
		{"/Ff 2 /SubFilter [/adbe.pkcs7.detached]", nil, true},
		{"/Ff 2 /SubFilter [/adbe.pkcs7.detached /ETSI.CAdES.detached]", nil, false},
		{"/Ff 4 /V 2", nil, false},
		{"/Ff 4 /V 9", nil, true},
		{"/Ff 8 /Reasons [@(agreed) @(seen)]", nil, true},
		{"/Ff 8 /Reasons [@(agreed) @(seen)]", reason("seen"), false},
		{"/Reasons [@(agreed)]", reason("other"), false},
		{"/Ff 8 /Reasons [@(.)]", reason("x"), true},
		{"/Ff 8 /Reasons [@(.)]", nil, false},
		{"/Ff 32 /AddRevInfo true", at(pades.T), true},
		{"/Ff 32 /AddRevInfo true", at(pades.LT), false},
		{"/Ff 64 /DigestMethod [/SHA512]", nil, true},
		{"/Ff 64 /DigestMethod [@(SHA256) @(SHA512)]", nil, false},
		{"/Ff 128 /LockDocument true", nil, true},
		{"/Ff 256 /AppearanceFilter @(x)", nil, true},
		{"/MDP << /P 2 >>", nil, true},
		{"/MDP << /P 2 >>", func(o *pades.Options) { o.Certify = 2 }, false},
		{"/MDP << /P 0 >>", func(o *pades.Options) { o.Certify = 2 }, true},
		{"/MDP << /P 0 >>", nil, false},
		{"/TimeStamp << /URL @(http://x) /Ff 1 >>", at(pades.B), true},
		{"/TimeStamp << /URL @(http://x) /Ff 1 >>", at(pades.T), false},
		{"/TimeStamp << /URL @(http://x) >>", at(pades.B), false},
		{"/Cert << /Ff 1 /Subject [" + signer + "] >>", nil, false},
		{"/Cert << /Ff 1 /Subject [" + other + "] >>", nil, true},
		{"/Cert << /Subject [" + other + "] >>", nil, false},
		{"/Cert << /Ff 2 /Issuer [" + ca + "] >>", nil, false},
		{"/Cert << /Ff 2 /Issuer [" + other + "] >>", nil, true},
		{"/Cert << /Ff 4 /OID [@(1.2.3)] >>", nil, true},
	} {
		doc := withFields(fmt.Sprintf(emptyField, "/SV << /Type /SV "+c.sv+" >>")).Bytes()
		_, err := s.prepare(doc, func(o *pades.Options) {
			o.Field = "Sig"
			if c.change != nil {
				c.change(o)
			}
		})
		e, _ := errors.AsType[*fault.Error](err)
		if refused := err != nil; refused != c.refused || (refused && e.Code != pades.CodeSeedValue) {
			t.Errorf("%s: got %v, want a refusal: %v", c.sv, err, c.refused)
		}
	}
}

func TestEncryptionPermissionsAreObeyed(t *testing.T) {
	s := newSigner(t)
	for _, c := range []struct {
		permissions int32
		owner       bool
		field       string
		refused     bool
	}{
		{-1, false, "", false},
		{-1 &^ 8, false, "", true},            // no changes: no new field
		{-1 &^ 8, false, "Sig", false},        // filling is allowed
		{-1 &^ (8 | 32), false, "Sig", false}, // only filling is
		{-1 &^ (8 | 32 | 256), false, "Sig", true},
		{-1 &^ (8 | 32 | 256), true, "Sig", false},
		{0, true, "", false},
	} {
		d := withFields(fmt.Sprintf(emptyField, ""))
		d.Encrypt = &pdftest.Encryption{Version: 4, Revision: 4, Streams: "AESV2", Strings: "AESV2", User: "u", Owner: "o", Permissions: c.permissions}
		_, err := s.prepare(d.Bytes(), func(o *pades.Options) {
			o.Field = c.field
			o.Password = func() ([]byte, error) {
				if c.owner {
					return []byte("o"), nil
				}
				return []byte("u"), nil
			}
		})
		if c.refused {
			wantRefusal(t, err, pades.CodePermission)
		} else if err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestUsageRightsBrokenSignaturesAndXFAAreToldToTheSigner(t *testing.T) {
	s := newSigner(t)
	d := withFields("<< /FT /Sig /T @(Old) /V 11 0 R >>")
	d.Objects[1] = "<< /Type /Catalog /Pages 2 0 R /AcroForm 9 0 R /Perms << /UR3 11 0 R >> >>"
	d.Objects[9] = "<< /Fields [10 0 R] /XFA [] >>"
	d.Objects[11] = "<< /Type /Sig /ByteRange [0 10 20 30] /Contents <00> >>"
	p, err := s.prepare(d.Bytes(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Warnings) != 3 {
		t.Errorf("warnings = %q", p.Warnings)
	}
}

func TestLevelsAreReadAsTheyAreWritten(t *testing.T) {
	for _, l := range []pades.Level{pades.B, pades.T, pades.LT, pades.LTA} {
		if got, err := pades.ParseLevel(l.String()); err != nil || got != l {
			t.Errorf("%s is read as %s, %v", l, got, err)
		}
	}
	if l, err := pades.ParseLevel(""); err != nil || l != pades.LTA {
		t.Errorf("no level is %s, %v", l, err)
	}
	if _, err := pades.ParseLevel("B-X"); !errors.Is(err, fault.Invalid) {
		t.Errorf("B-X: %v", err)
	}
}

func TestTimestampMayUseAnotherDigestThanTheSignature(t *testing.T) {
	s := newSigner(t)
	signed, _ := s.sign(t, pdftest.One().Bytes(), pades.LT, s.options())
	r := bytes.NewReader(signed)
	begin := pades.Begin(int64(len(signed)), crypto.SHA256)
	patch, err := begin.Archive(t.Context(), r, s.sources().TimeStamp, pades.AugmentOptions{Hash: crypto.SHA512})
	if err != nil {
		t.Fatal(err)
	}
	assertVerifies(t, whole(t, signed, patch), "", 2)
	if patch.Hash != "SHA-512" {
		t.Errorf("digest algorithm %s", patch.Hash)
	}
	if _, err := begin.DocTimeStamp(r, pades.AugmentOptions{Hash: crypto.SHA1}); !errors.Is(err, signing.ErrAlgorithm) {
		t.Errorf("SHA-1: %v", err)
	}
}

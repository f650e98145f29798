package validate_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/ades/validate"
	"github.com/countersign/countersign/internal/fault"
)

// judge validates with the PKI's root and, unless the file has its own, with its
// revocation data.
func judge(t *testing.T, k *adestest.PKI, data []byte, extra bool) *validate.Report {
	t.Helper()
	o := validate.Options{Anchors: k.Anchors(), Now: func() time.Time { return k.Now.Add(time.Minute) }}
	if extra {
		o.ExtraCRLs = k.CRLs()
	}
	r, err := validate.File(bytes.NewReader(data), int64(len(data)), o)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return r
}

func text(r *validate.Report) string {
	var b bytes.Buffer
	if err := r.Text(&b); err != nil {
		return err.Error()
	}
	return b.String()
}

// one checks the only signature's verdict.
func one(t *testing.T, r *validate.Report, verdict validate.Verdict, sub validate.Sub) *validate.Signature {
	t.Helper()
	if len(r.Signatures) != 1 {
		t.Fatalf("%d signatures, want one\n%s", len(r.Signatures), text(r))
	}
	s := r.Signatures[0]
	if s.Verdict != verdict || s.Subindication != sub {
		t.Errorf("got %s %s, want %s %s\n%s", s.Verdict, s.Subindication, verdict, sub, text(r))
	}
	return s
}

func TestEachLevelPassesAndIsNamed(t *testing.T) {
	k := adestest.New(t, adestest.Config{})
	for _, level := range []string{"B", "T", "LT", "LTA"} {
		t.Run(level, func(t *testing.T) {
			p := adestest.NewPDF(t)
			p.Level(k, level, adestest.Sig{Entries: "/Reason (agreed)"})
			s := one(t, judge(t, k, p.Data, level == "B" || level == "T"), validate.Passed, "")
			if s.Level != "PAdES-B-"+level {
				t.Errorf("level %s", s.Level)
			}
			if s.Signer != k.Signer.Cert.Subject.String() || !s.ClaimedTime.Equal(k.Now) {
				t.Errorf("signer %q, claimed %s", s.Signer, s.ClaimedTime)
			}
			if want := level != "B"; s.BestTime.IsZero() == want {
				t.Errorf("best time %s", s.BestTime)
			}
			wantStamps := map[string]int{"B": 0, "T": 1, "LT": 1, "LTA": 2}[level]
			if len(s.Timestamps) != wantStamps {
				t.Errorf("%d time-stamps, want %d", len(s.Timestamps), wantStamps)
			}
			whole := level == "B" || level == "T"
			if s.WholeDocument != whole {
				t.Errorf("covers %q", s.Covers)
			}
			for _, c := range s.Changes {
				if !c.Permitted {
					t.Errorf("change %s", c)
				}
			}
		})
	}
}

func TestWithoutTrustAnchorsNothingPasses(t *testing.T) {
	k := adestest.New(t, adestest.Config{})
	p := adestest.NewPDF(t)
	p.Level(k, "LTA", adestest.Sig{})
	r, err := validate.File(bytes.NewReader(p.Data), int64(len(p.Data)), validate.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := one(t, r, validate.Indeterminate, validate.NoChain)
	if !strings.Contains(strings.Join(s.Errors, " "), "--trust") {
		t.Errorf("errors %q do not name --trust", s.Errors)
	}
	if s.Level != "PAdES-B-T" {
		t.Errorf("level %s: LT speaks of a chain up to an anchor", s.Level)
	}
	other := adestest.New(t, adestest.Config{})
	r = judge(t, other, p.Data, false)
	one(t, r, validate.Indeterminate, validate.NoChain)
}

// forged signs with a Forgery.
func forged(k *adestest.PKI, f adestest.Forgery) adestest.Sig {
	return adestest.Sig{Time: k.Now, CMS: func(signed []byte) []byte {
		f.Content = signed
		return k.Forge(f)
	}}
}

// faultRow is a signature with a fault, and the verdict on it.
type faultRow struct {
	name    string
	sig     adestest.Sig
	verdict validate.Verdict
	sub     validate.Sub
	level   string
}

func faultRows(t *testing.T, k *adestest.PKI) []faultRow {
	mallory := k.NewSigner("Mallory Sample", k.Signer.Key)
	stranger := adestest.New(t, adestest.Config{})
	with := func(s adestest.Sig, change func(*adestest.Sig)) adestest.Sig {
		change(&s)
		return s
	}
	good := func() adestest.Sig { return forged(k, adestest.Forgery{}) }
	return []faultRow{
		{"good", good(), validate.Passed, "", "PAdES-B-B"},
		{"good adbe.pkcs7", with(forged(k, adestest.Forgery{NoESS: true, SigningTime: k.Now}), func(s *adestest.Sig) { s.SubFilter = "adbe.pkcs7.detached" }), validate.Passed, "", "PKCS7-B"},
		{"byte flipped", with(good(), func(s *adestest.Sig) {
			s.Touch = func(d []byte) { d[bytes.Index(d, []byte("100 euros"))] = '9' }
		}), validate.Failed, validate.HashFailure, "PAdES-B-B"},
		{"signature value flipped", forged(k, adestest.Forgery{BadSignature: true}), validate.Failed, validate.SigCryptoFailure, "PAdES-B-B"},
		{"bytes smuggled into the gap", with(good(), func(s *adestest.Sig) { s.Smuggle = " /Evil (x)" }), validate.Failed, validate.FormatFailure, ""},
		{"ByteRange does not begin at 0", with(good(), func(s *adestest.Sig) {
			s.Range = func(r [4]int) [4]int { return [4]int{10, r[1] - 10, r[2], r[3]} }
		}), validate.Failed, validate.FormatFailure, ""},
		{"ByteRange ends early", with(good(), func(s *adestest.Sig) {
			s.Range = func(r [4]int) [4]int { r[3] -= 40; return r }
		}), validate.Failed, validate.FormatFailure, ""},
		{"gap larger than the contents", with(good(), func(s *adestest.Sig) {
			s.Range = func(r [4]int) [4]int { r[1] -= 5; return r }
		}), validate.Failed, validate.FormatFailure, ""},
		{"ByteRange missing", with(good(), func(s *adestest.Sig) { s.DropRange = true }), validate.Failed, validate.FormatFailure, ""},
		{"contents zeroed", with(good(), func(s *adestest.Sig) { s.DropContents = true }), validate.Failed, validate.FormatFailure, ""},
		{"contents are no CMS", with(good(), func(s *adestest.Sig) { s.CMS = func([]byte) []byte { return []byte("hello") } }), validate.Failed, validate.FormatFailure, ""},
		{"no signing-certificate attribute", forged(k, adestest.Forgery{NoESS: true}), validate.Indeterminate, validate.SigConstraintsFailure, "PDF-NOT-ETSI"},
		{"ESS names the CA", forged(k, adestest.Forgery{ESS: k.CA.Cert}), validate.Indeterminate, validate.NoSigningCertificate, ""},
		{"ESS names another certificate of the key", forged(k, adestest.Forgery{ESS: mallory.Cert}), validate.Indeterminate, validate.NoSigningCertificate, ""},
		{"ESS names a certificate of another chain", forged(k, adestest.Forgery{ESS: stranger.Signer.Cert}), validate.Indeterminate, validate.NoSigningCertificate, ""},
		{"signing-time present", forged(k, adestest.Forgery{SigningTime: k.Now}), validate.Indeterminate, validate.SigConstraintsFailure, "PAdES-BES"},
		{"/M missing", with(good(), func(s *adestest.Sig) { s.M = "-" }), validate.Indeterminate, validate.SigConstraintsFailure, "PAdES-BES"},
		{"/M is no date", with(good(), func(s *adestest.Sig) { s.M = "yesterday" }), validate.Indeterminate, validate.SigConstraintsFailure, "PAdES-BES"},
		{"/M before the certificate", with(good(), func(s *adestest.Sig) { s.Time = k.Now.AddDate(-1, 0, 0) }), validate.Indeterminate, validate.SigConstraintsFailure, ""},
		{"neither /M nor signing-time", with(forged(k, adestest.Forgery{}), func(s *adestest.Sig) {
			s.SubFilter, s.M = "adbe.pkcs7.detached", "-"
		}), validate.Indeterminate, validate.SigConstraintsFailure, ""},
		{"/Cert present", with(good(), func(s *adestest.Sig) { s.Entries = "/Cert (x)" }), validate.Indeterminate, validate.SigConstraintsFailure, "PAdES-BES"},
		{"/Reason beside a commitment", with(forged(k, adestest.Forgery{Commitment: "approval"}), func(s *adestest.Sig) { s.Entries = "/Reason (x)" }), validate.Indeterminate, validate.SigConstraintsFailure, "PAdES-BES"},
		{"commitment without /Reason", forged(k, adestest.Forgery{Commitment: "approval"}), validate.Passed, "", "PAdES-B-B"},
		{"time-stamp over other bytes", forged(k, adestest.Forgery{Timestamp: func([]byte) []byte { return k.Token([]byte("other"), k.Now) }}), validate.Indeterminate, validate.SigConstraintsFailure, "PAdES-B-B"},
		{"SHA-1", forged(k, adestest.Forgery{Hash: crypto.SHA1}), validate.Indeterminate, validate.CryptoNoPOE, ""},
		{"content-type missing", forged(k, adestest.Forgery{NoContentType: true}), validate.Failed, validate.FormatFailure, ""},
		{"content-type wrong", forged(k, adestest.Forgery{WrongContentType: true}), validate.Failed, validate.FormatFailure, ""},
		{"message-digest missing", forged(k, adestest.Forgery{NoMessageDigest: true}), validate.Failed, validate.FormatFailure, ""},
		{"two SignerInfos", forged(k, adestest.Forgery{TwoSigners: true}), validate.Failed, validate.FormatFailure, ""},
		{"no SignerInfo", forged(k, adestest.Forgery{NoSigner: true}), validate.Failed, validate.FormatFailure, ""},
		{"encapsulated content", with(forged(k, adestest.Forgery{Encapsulate: true}), func(s *adestest.Sig) { s.Hole = 40_000 }), validate.Failed, validate.FormatFailure, ""},
		{"attributes unsorted and signed so", forged(k, adestest.Forgery{Unsorted: true}), validate.Failed, validate.SigCryptoFailure, ""},
		{"attributes stored unsorted", forged(k, adestest.Forgery{UnsortedStored: true}), validate.Indeterminate, validate.SigConstraintsFailure, ""},
		{"no signed attributes", forged(k, adestest.Forgery{NoAttributes: true}), validate.Indeterminate, validate.SigConstraintsFailure, "PDF-NOT-ETSI"},
		{"BER", forged(k, adestest.Forgery{BER: true}), validate.Indeterminate, validate.SigConstraintsFailure, "PAdES-BES"},
		{"signer's certificate missing", forged(k, adestest.Forgery{NoCertificate: true}), validate.Indeterminate, validate.SigConstraintsFailure, ""},
		{"unknown SubFilter", with(good(), func(s *adestest.Sig) { s.SubFilter = "Acme.own" }), validate.Indeterminate, validate.Generic, ""},
	}
}

func TestEveryKnownFaultIsSeen(t *testing.T) {
	k := adestest.New(t, adestest.Config{})
	for _, row := range faultRows(t, k) {
		t.Run(row.name, func(t *testing.T) {
			p := adestest.NewPDF(t)
			p.Sign(row.sig)
			s := one(t, judge(t, k, p.Data, true), row.verdict, row.sub)
			if row.level != "" && s.Level != row.level {
				t.Errorf("level %s, want %s", s.Level, row.level)
			}
			if (s.Verdict == validate.Passed) != (len(s.Errors) == 0) {
				t.Errorf("verdict %s with errors %q", s.Verdict, s.Errors)
			}
		})
	}
}

func TestCertificateFaultsAreSeen(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	hour := time.Hour
	rows := []struct {
		name    string
		adjust  func(role string, c *x509.Certificate)
		after   time.Duration
		extras  func(k *adestest.PKI) (crls, ocsps [][]byte)
		level   string
		verdict validate.Verdict
		sub     validate.Sub
	}{
		{name: "good with OCSP", extras: func(k *adestest.PKI) ([][]byte, [][]byte) {
			return [][]byte{k.CRL(k.Root, now)}, [][]byte{k.OCSPResponse(adestest.Answer{Cert: k.Signer.Cert})}
		}, verdict: validate.Passed},
		{name: "OCSP by name", extras: func(k *adestest.PKI) ([][]byte, [][]byte) {
			return [][]byte{k.CRL(k.Root, now)}, [][]byte{k.OCSPResponse(adestest.Answer{Cert: k.Signer.Cert, ByName: true})}
		}, verdict: validate.Passed},
		{name: "OCSP by the CA itself", extras: func(k *adestest.PKI) ([][]byte, [][]byte) {
			return [][]byte{k.CRL(k.Root, now)}, [][]byte{k.OCSPResponse(adestest.Answer{Cert: k.Signer.Cert, Responder: k.CA})}
		}, verdict: validate.Passed},
		{name: "OCSP by the signer", extras: func(k *adestest.PKI) ([][]byte, [][]byte) {
			return [][]byte{k.CRL(k.Root, now)}, [][]byte{k.OCSPResponse(adestest.Answer{Cert: k.Signer.Cert, Responder: k.Signer})}
		}, verdict: validate.Indeterminate, sub: validate.TryLater},
		{name: "OCSP about another certificate", extras: func(k *adestest.PKI) ([][]byte, [][]byte) {
			return [][]byte{k.CRL(k.Root, now)}, [][]byte{k.OCSPResponse(adestest.Answer{Cert: k.TSA.Cert})}
		}, verdict: validate.Indeterminate, sub: validate.TryLater},
		{name: "responder without ocsp-nocheck", adjust: func(role string, c *x509.Certificate) {
			if role == "ocsp" {
				c.ExtraExtensions = nil
			}
		}, extras: func(k *adestest.PKI) ([][]byte, [][]byte) {
			return [][]byte{k.CRL(k.Root, now)}, [][]byte{k.OCSPResponse(adestest.Answer{Cert: k.Signer.Cert})}
		}, verdict: validate.Indeterminate, sub: validate.TryLater},
		{name: "revoked by CRL", extras: func(k *adestest.PKI) ([][]byte, [][]byte) {
			return [][]byte{k.CRL(k.Root, now), k.CRL(k.CA, now.Add(-hour), k.Signer.Cert)}, nil
		}, verdict: validate.Indeterminate, sub: validate.RevokedNoPOE},
		{name: "revoked by OCSP, CRL says nothing", extras: func(k *adestest.PKI) ([][]byte, [][]byte) {
			return k.CRLs(), [][]byte{k.OCSPResponse(adestest.Answer{Cert: k.Signer.Cert, RevokedAt: now.Add(-hour)})}
		}, verdict: validate.Indeterminate, sub: validate.RevokedNoPOE},
		{name: "revoked after the time-stamp", level: "T", extras: func(k *adestest.PKI) ([][]byte, [][]byte) {
			return [][]byte{k.CRL(k.Root, now), k.CRL(k.CA, now.Add(30*time.Second), k.Signer.Cert)}, nil
		}, verdict: validate.Passed},
		{name: "CA revoked", extras: func(k *adestest.PKI) ([][]byte, [][]byte) {
			return [][]byte{k.CRL(k.Root, now.Add(-hour), k.CA.Cert), k.CRL(k.CA, now)}, nil
		}, verdict: validate.Indeterminate, sub: validate.RevokedCANoPOE},
		{name: "no revocation data", extras: func(*adestest.PKI) ([][]byte, [][]byte) { return nil, nil }, verdict: validate.Indeterminate, sub: validate.TryLater},
		{name: "stale CRL", after: 30 * 24 * hour, verdict: validate.Indeterminate, sub: validate.TryLater},
		{name: "stale CRL, but it covers the time-stamp", level: "T", after: 30 * 24 * hour, verdict: validate.Passed},
		{name: "expired", after: 3 * 365 * 24 * hour, verdict: validate.Indeterminate, sub: validate.OutOfBoundsNoPOE},
		{name: "expired, but time-stamped before", level: "T", after: 3 * 365 * 24 * hour, verdict: validate.Passed},
		{name: "expired, and the time-stamp's too", level: "T", after: 6 * 365 * 24 * hour, verdict: validate.Indeterminate, sub: validate.OutOfBoundsNoPOE},
		{name: "CA is no CA", adjust: func(role string, c *x509.Certificate) {
			if role == "ca" {
				c.IsCA, c.MaxPathLenZero, c.KeyUsage = false, false, x509.KeyUsageDigitalSignature
			}
		}, extras: func(k *adestest.PKI) ([][]byte, [][]byte) { return [][]byte{k.CRL(k.Root, now)}, nil }, verdict: validate.Indeterminate, sub: validate.ChainConstraints},
		{name: "key is for encryption", adjust: func(role string, c *x509.Certificate) {
			if role == "signer" {
				c.KeyUsage = x509.KeyUsageKeyEncipherment
			}
		}, verdict: validate.Indeterminate, sub: validate.ChainConstraints},
		{name: "nonRepudiation only", adjust: func(role string, c *x509.Certificate) {
			if role == "signer" {
				c.KeyUsage = x509.KeyUsageContentCommitment
			}
		}, verdict: validate.Passed},
		{name: "short-lived, never revoked", adjust: func(role string, c *x509.Certificate) {
			if role == "signer" {
				c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 56}, Value: []byte{5, 0}})
			}
		}, extras: func(k *adestest.PKI) ([][]byte, [][]byte) { return [][]byte{k.CRL(k.Root, now)}, nil }, verdict: validate.Passed},
		{name: "the signer claims ocsp-nocheck", adjust: func(role string, c *x509.Certificate) {
			if role == "signer" {
				c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}, Value: []byte{5, 0}})
			}
		}, extras: func(k *adestest.PKI) ([][]byte, [][]byte) { return [][]byte{k.CRL(k.Root, now)}, nil }, verdict: validate.Indeterminate, sub: validate.TryLater},
		{name: "outside the CA's name constraints", adjust: func(role string, c *x509.Certificate) {
			if role == "ca" {
				c.PermittedEmailAddresses, c.PermittedDNSDomainsCritical = []string{"example.org"}, true
			}
			if role == "signer" {
				c.EmailAddresses = []string{"alice@example.com"}
			}
		}, verdict: validate.Indeterminate, sub: validate.ChainConstraints},
		{name: "inside the CA's name constraints", adjust: func(role string, c *x509.Certificate) {
			if role == "ca" {
				c.PermittedEmailAddresses, c.PermittedDNSDomainsCritical = []string{"example.org"}, true
			}
			if role == "signer" {
				c.EmailAddresses = []string{"alice@example.org"}
			}
		}, verdict: validate.Passed},
		{name: "unknown critical extension", adjust: func(role string, c *x509.Certificate) {
			if role == "signer" {
				c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}})
			}
		}, verdict: validate.Indeterminate, sub: validate.ChainConstraints},
		{name: "CRL from before the certificate", adjust: func(role string, c *x509.Certificate) {
			if role == "signer" {
				c.NotBefore = now
			}
		}, verdict: validate.Indeterminate, sub: validate.TryLater},
		{name: "time-stamping usage not critical", level: "T", adjust: func(role string, c *x509.Certificate) {
			if role == "tsa" {
				c.ExtraExtensions[0] = adestest.TimeStampingUsage(false)
			}
		}, verdict: validate.Passed}, // the stamp proves nothing, the signature stands by itself
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			k := adestest.New(t, adestest.Config{Now: now, Adjust: row.adjust})
			p := adestest.NewPDF(t)
			level := row.level
			if level == "" {
				level = "B"
			}
			p.Level(k, level, adestest.Sig{})
			o := validate.Options{Anchors: k.Anchors(), Now: func() time.Time { return k.Now.Add(time.Minute + row.after) }, ExtraCRLs: nil}
			if row.extras != nil {
				o.ExtraCRLs, o.ExtraOCSPs = row.extras(k)
			} else {
				o.ExtraCRLs = k.CRLs()
			}
			r, err := validate.File(bytes.NewReader(p.Data), int64(len(p.Data)), o)
			if err != nil {
				t.Fatal(err)
			}
			one(t, r, row.verdict, row.sub)
		})
	}
}

func TestATimeStampThatIsNotTrustedProvesNothing(t *testing.T) {
	k := adestest.New(t, adestest.Config{})
	other := adestest.New(t, adestest.Config{})
	p := adestest.NewPDF(t)
	p.Sign(forged(k, adestest.Forgery{Timestamp: func(sig []byte) []byte { return other.Token(sig, other.Now.AddDate(0, 0, -1)) }}))
	s := one(t, judge(t, k, p.Data, true), validate.Passed, "")
	if !s.BestTime.IsZero() || s.Timestamps[0].Verdict != validate.Indeterminate {
		t.Errorf("best time %s by a time-stamp that is %s", s.BestTime, s.Timestamps[0].Verdict)
	}
}

func TestAForgedTimeStampSignatureIsSeen(t *testing.T) {
	k := adestest.New(t, adestest.Config{})
	p := adestest.NewPDF(t)
	p.Sign(forged(k, adestest.Forgery{Timestamp: func(sig []byte) []byte {
		token := k.Token(sig, k.Now)
		token[len(token)-1] ^= 1
		return token
	}}))
	s := one(t, judge(t, k, p.Data, true), validate.Indeterminate, validate.SigConstraintsFailure)
	if s.Timestamps[0].Verdict != validate.Failed || s.Timestamps[0].Subindication != validate.SigCryptoFailure {
		t.Errorf("time-stamp %s %s", s.Timestamps[0].Verdict, s.Timestamps[0].Subindication)
	}
}

func TestFilesThatAreNotSignedPDFsAreRefused(t *testing.T) {
	for name, data := range map[string][]byte{"empty": {}, "text": []byte("hello"), "unsigned": adestest.NewPDF(t).Data} {
		r, err := validate.File(bytes.NewReader(data), int64(len(data)), validate.Options{})
		if !errors.Is(err, fault.Invalid) || r.Error == "" || r.Passed() {
			t.Errorf("%s: %v, report error %q", name, err, r.Error)
		}
		if want := name == "unsigned"; errors.Is(err, validate.ErrNoSignature) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestJSONHasExactlyThePromisedShape(t *testing.T) {
	k := adestest.New(t, adestest.Config{Now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)})
	p := adestest.NewPDF(t)
	p.Level(k, "LTA", adestest.Sig{})
	r := judge(t, k, p.Data, false)
	r.File = "a.pdf"
	got, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"file":"a.pdf","signatures":[{"field":"Signature1","level":"PAdES-B-LTA","verdict":"TOTAL-PASSED","subindication":null,` +
		`"signer":"CN=Alice Sample,O=Sample,C=BE","claimedTime":"2026-11-21T12:00:00Z","bestTime":"2026-11-21T12:00:00Z","covers":"revision 2 of 4",` +
		`"changes":["revision 3: validation data (DSS) added (permitted)","revision 4: document time-stamp \"Signature2\" added (permitted)"],` +
		`"timestamps":[{"kind":"signature-time-stamp","verdict":"TOTAL-PASSED","time":"2026-11-21T12:00:00Z"},{"kind":"document-time-stamp","verdict":"TOTAL-PASSED","time":"2026-11-21T12:00:00Z"}],"errors":[]}],"error":null}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	bad, _ := validate.File(strings.NewReader("x"), 1, validate.Options{})
	got, err = bad.JSON()
	if err != nil || !strings.HasPrefix(string(got), `{"file":"","signatures":[],"error":"`) {
		t.Errorf("%s %v", got, err)
	}
}

func TestTheTextSaysWhatAReaderWillSay(t *testing.T) {
	k := adestest.New(t, adestest.Config{})
	p := adestest.NewPDF(t)
	p.Level(k, "T", adestest.Sig{Entries: "/Reason (esc\x1b[31m)"})
	out := text(judge(t, k, p.Data, true))
	for _, want := range []string{"TOTAL-PASSED", "Alice Sample", "PAdES-B-T", "Sample Root CA", "not qualified", "whole document", "proved time"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if strings.ContainsRune(out, 0x1b) {
		t.Error("the file's escape sequence reaches the terminal")
	}
	r, err := validate.File(bytes.NewReader(p.Data), int64(len(p.Data)), validate.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text(r), "--trust") {
		t.Error("the text does not name --trust")
	}
}

// sign adds a signature at a level with the product's own CMS builder.
func sign(k *adestest.PKI, p *adestest.PDF, level string) {
	alg := k.Algorithm(k.Signer)
	p.Level(k, level, adestest.Sig{CMS: func(signed []byte) []byte {
		h := alg.Hash().New()
		h.Write(signed)
		der := k.SignedData(k.Signer, alg, h.Sum(nil), cms.AttributeOptions{})
		if level == "B" {
			return der
		}
		value, err := cms.SignatureValue(der)
		if err != nil {
			panic(err)
		}
		der, err = cms.AddSignatureTimestamp(der, k.Token(value, k.Now))
		if err != nil {
			panic(err)
		}
		return der
	}})
}

func TestNoByteOfASignedFileCanBeChanged(t *testing.T) {
	k := adestest.New(t, adestest.Config{})
	p := adestest.NewPDF(t)
	p.Level(k, "B", adestest.Sig{Hole: 1800})
	o := validate.Options{Anchors: k.Anchors(), ExtraCRLs: k.CRLs(), Now: func() time.Time { return k.Now.Add(time.Minute) }}
	if !judge(t, k, p.Data, true).Passed() {
		t.Fatal("the file does not pass as it is")
	}
	for i := range p.Data {
		p.Data[i] ^= 1
		if r, _ := validate.File(bytes.NewReader(p.Data), int64(len(p.Data)), o); r.Passed() {
			t.Errorf("passes with byte %d changed to %q in %q", i, p.Data[i], p.Data[max(0, i-20):min(len(p.Data), i+20)])
		}
		p.Data[i] ^= 1
	}
}

func TestACallerMayBringTheDigests(t *testing.T) {
	k := adestest.New(t, adestest.Config{})
	p := adestest.NewPDF(t)
	p.Level(k, "LTA", adestest.Sig{})
	judged := func(digest func(crypto.Hash, []int64) ([]byte, error)) (*validate.Report, error) {
		return validate.File(bytes.NewReader(p.Data), int64(len(p.Data)), validate.Options{
			Anchors: k.Anchors(), Now: func() time.Time { return k.Now.Add(time.Minute) }, Digest: digest,
		})
	}
	asked := 0
	right := func(h crypto.Hash, r []int64) ([]byte, error) {
		asked++
		w := h.New()
		w.Write(p.Data[r[0] : r[0]+r[1]])
		w.Write(p.Data[r[2] : r[2]+r[3]])
		return w.Sum(nil), nil
	}
	if r, err := judged(right); err != nil || !r.Passed() || asked != 2 {
		t.Errorf("right digests: %v, asked %d times\n%s", err, asked, text(r))
	}
	if r, err := judged(func(crypto.Hash, []int64) ([]byte, error) { return nil, nil }); err != nil || !r.Passed() {
		t.Errorf("no digests: %v", err)
	}
	if r, err := judged(func(h crypto.Hash, _ []int64) ([]byte, error) { return make([]byte, h.Size()), nil }); err != nil || r.Signatures[0].Subindication != validate.HashFailure {
		t.Errorf("wrong digests: %v\n%s", err, text(r))
	}
	if _, err := judged(func(crypto.Hash, []int64) ([]byte, error) { return nil, errDisk }); !errors.Is(err, errDisk) {
		t.Errorf("no digest at all: %v", err)
	}
}

package e2e_test

import (
	"crypto/x509"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ocsp"

	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/sam/samapi"
)

// verdict is what verify --json prints for a file.
type verdict struct {
	File       string `json:"file"`
	Error      string `json:"error"`
	Signatures []struct {
		Field, Level, Verdict, Signer string
		Errors                        []string
		Timestamps                    []struct{ Kind, Verdict string }
	} `json:"signatures"`
}

// verify judges files, which must pass, with the command and returns its answers.
func (in *installation) verify(t testing.TB, files ...string) []verdict {
	t.Helper()
	r := in.must(t, append([]string{"verify", "--json"}, files...)...)
	return r.verdicts(t, files)
}

func (r *result) verdicts(t testing.TB, files []string) []verdict {
	t.Helper()
	var list []verdict
	for line := range strings.Lines(r.out) {
		var v verdict
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		list = append(list, v)
	}
	if len(list) != len(files) {
		t.Fatalf("%d answers for %d files: %v", len(list), len(files), r)
	}
	return list
}

// passed checks that a file has one signature of Ada's at that level.
func (v verdict) passed(t testing.TB, level string, stamps int) {
	t.Helper()
	if len(v.Signatures) != 1 {
		t.Fatalf("%s has %d signatures: %+v", v.File, len(v.Signatures), v)
	}
	s := v.Signatures[0]
	if s.Verdict != "TOTAL-PASSED" || s.Level != "PAdES-"+level || !strings.Contains(s.Signer, "Ada Lovelace") || len(s.Timestamps) != stamps {
		t.Errorf("%s: %+v; want TOTAL-PASSED, PAdES-%s by Ada Lovelace with %d time-stamps", v.File, s, level, stamps)
	}
	for _, stamp := range s.Timestamps {
		if stamp.Verdict != "TOTAL-PASSED" {
			t.Errorf("%s: time-stamp %+v", v.File, stamp)
		}
	}
}

// eachEngine runs a test on a whole installation with each database.
func eachEngine(t *testing.T, o options, test func(t *testing.T, in *installation)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, install(t, o)) })
	t.Run("postgres", func(t *testing.T) {
		o.postgres = true
		test(t, install(t, o))
	})
}

func TestAPDFIsSignedByItsSignersDeviceAtEveryLevel(t *testing.T) {
	t.Attr("feature", "A14")
	t.Attr("feature", "P6")
	eachEngine(t, options{}, func(t *testing.T, in *installation) {
		before := in.document(t, "contract.pdf", 4000)
		for level, stamps := range map[string]int{"B-LTA": 2, "B-LT": 1} {
			in.verify(t, in.signed(t, level))[0].passed(t, level, stamps)
		}
		// What has no revocation data cannot be judged without a network.
		for level, stamps := range map[string]int{"B-T": 1, "B-B": 0} {
			out := in.signed(t, level)
			r := in.run(t, "verify", "--json", out)
			v := r.verdicts(t, []string{out})[0]
			if r.code != 1 || len(v.Signatures) != 1 || v.Signatures[0].Verdict != "INDETERMINATE" || v.Signatures[0].Level != "PAdES-"+level ||
				len(v.Signatures[0].Timestamps) != stamps || !strings.HasPrefix(v.Signatures[0].Errors[0], "no revocation data") {
				t.Errorf("at level %s: %v", level, r)
			}
		}
		in.statusIsPublished(t)
		in.must(t, "sign", in.path("contract.pdf"), "-o", in.path("default.pdf"))
		in.verify(t, in.path("default.pdf"))[0].passed(t, "B-LTA", 2)
		after, err := os.ReadFile(in.path("contract.pdf"))
		if err != nil || string(after) != string(before) {
			t.Errorf("the input was touched: %v", err)
		}
	})
}

// signed signs the contract at a level.
func (in *installation) signed(t *testing.T, level string) string {
	t.Helper()
	out := in.path("signed-" + level + ".pdf")
	r := in.must(t, "sign", in.path("contract.pdf"), "-o", out, "--level", level)
	if !strings.Contains(r.err, "0 of them were bytes of a document") {
		t.Errorf("sign does not say what left the machine: %v", r)
	}
	return out
}

// statusIsPublished asks for the status of the signer's certificate where it says.
func (in *installation) statusIsPublished(t *testing.T) {
	t.Helper()
	list, err := in.sockets().Module().Credentials(t.Context(), samapi.CredentialQuery{IDs: []string{in.signer.Credential}})
	if err != nil || len(list) != 1 {
		t.Fatalf("%d credentials, %v", len(list), err)
	}
	chain, err := x509.ParseCertificates(slices.Concat(list[0].Chain...))
	if err != nil {
		t.Fatal(err)
	}
	leaf, issuer := chain[0], chain[1]
	if leaf.Subject.CommonName != "Ada Lovelace" || len(leaf.CRLDistributionPoints) != 1 || len(leaf.OCSPServer) != 1 {
		t.Fatalf("certificate of %s, CRL at %q, OCSP at %q", leaf.Subject, leaf.CRLDistributionPoints, leaf.OCSPServer)
	}
	fetch := cscclient.NewFetcher(cscclient.FetcherConfig{Loopback: true})
	der, err := fetch.CRL(t.Context(), leaf.CRLDistributionPoints[0])
	if err != nil {
		t.Fatal(err)
	}
	crl, err := x509.ParseRevocationList(der)
	if err != nil || crl.CheckSignatureFrom(issuer) != nil {
		t.Errorf("CRL: %v, %v", err, crl.CheckSignatureFrom(issuer))
	}
	request, err := ocsp.CreateRequest(leaf, issuer, nil)
	if err != nil {
		t.Fatal(err)
	}
	if der, err = fetch.OCSP(t.Context(), leaf.OCSPServer[0], request); err != nil {
		t.Fatal(err)
	}
	if answer, err := ocsp.ParseResponseForCert(der, leaf, issuer); err != nil || answer.Status != ocsp.Good {
		t.Errorf("OCSP: %+v, %v", answer, err)
	}
}

func TestSeveralFilesAreSignedWithOneApproval(t *testing.T) {
	eachEngine(t, options{}, func(t *testing.T, in *installation) {
		args, outs := []string{"sign"}, []string{}
		for _, name := range []string{"a.pdf", "b.pdf", "c.pdf", "d.pdf", "e.pdf"} {
			in.document(t, name, 2000)
			args = append(args, in.path(name))
			outs = append(outs, in.path("out", name))
		}
		r := in.must(t, append(args, "--out-dir", in.path("out"))...)
		for _, v := range in.verify(t, outs...) {
			v.passed(t, "B-LTA", 2)
		}
		log := in.events(t)
		if a, s := count(log, "sad.approved"), count(log, "signature.created"); a != 1 || s != 1 {
			t.Errorf("%d approvals and %d acts of signing for %d files: %v", a, s, len(outs), r)
		}
	})
}

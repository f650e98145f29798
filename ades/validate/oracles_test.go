package validate_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/signing"
)

// answer is what one independent validator says about a file.
type answer struct {
	State  string `json:"state"`
	Reason string `json:"reason"`
}

// askOracles runs the independent validators over all files at once.
func askOracles(t *testing.T, oracles, root string, crls, files []string) map[string]map[string]answer {
	t.Helper()
	out := filepath.Join(t.TempDir(), "answers.json")
	args := []string{"--oracles", oracles, "--trust", root, "--json", out}
	for _, c := range crls {
		args = append(args, "--crl", c)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(os.Getenv("ORACLES"), "docs", "validate"), append(args, files...)...)
	text, err := cmd.CombinedOutput()
	if _, rejected := errors.AsType[*exec.ExitError](err); err != nil && (!rejected || cmd.ProcessState.ExitCode() != 1) {
		t.Fatalf("the oracles did not run: %v\n%s", err, text)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var answers map[string]map[string]answer
	if err := json.Unmarshal(data, &answers); err != nil {
		t.Fatal(err)
	}
	return answers
}

func needOracles(t *testing.T) {
	t.Helper()
	if os.Getenv("ORACLES") == "" {
		t.Skip("SKIPPED: ORACLES names no folder of independent validators; our verdicts are not compared with theirs")
	}
}

func writePKI(t *testing.T, k *adestest.PKI, dir string) (root string, crls []string) {
	t.Helper()
	root = filepath.Join(dir, "root.pem")
	save(t, root, k.RootPEM())
	for i, c := range k.CRLs() {
		path := filepath.Join(dir, fmt.Sprintf("%d.crl", i))
		save(t, path, c)
		crls = append(crls, path)
	}
	return root, crls
}

func save(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// stricter are the faults that only we see, and why that is right.
var stricter = map[string]string{
	"/Cert present": "EN 319 142-1 forbids it in PAdES",
	"empty signature field laid over the text": "what it shows was signed by nobody, and hides what was signed",
	"bytes behind the end":                     "a reader that repairs files may show them",
}

// milder are the files that we pass and one validator does not, and why.
var milder = map[string]string{
	"annotation after P=3":                  "ISO 32000-2 §12.8.2.2 permits it; pyHanko knows no comments",
	"structure element of a new form field": "PDF/UA asks for it, and it shows nothing; pyHanko takes it for an unknown change",
	"document time-stamp after P=1":         "ISO 32000-2 §12.8.5.3 permits it; pyHanko counts it as a signature",
}

func TestIndependentValidatorsAgreeWithOurVerdicts(t *testing.T) {
	needOracles(t)
	k := adestest.New(t, adestest.Config{})
	dir := t.TempDir()
	root, crls := writePKI(t, k, dir)
	var files []string
	passed := map[string]bool{}
	names := map[string]string{}
	add := func(name string, data []byte) {
		path := filepath.Join(dir, fmt.Sprintf("%03d.pdf", len(files)))
		save(t, path, data)
		files = append(files, path)
		names[path] = name
		passed[path] = judge(t, k, data, true).Passed()
	}
	for _, row := range faultRows(t, k) {
		p := adestest.NewPDF(t)
		p.Sign(row.sig)
		add(row.name, p.Data)
	}
	for _, row := range changeRows(k) {
		add(row.name, row.build(t, k))
	}
	answers := askOracles(t, "dss,pyhanko,pdfbox,openssl,qpdf", root, crls, files)
	for _, path := range files {
		var rejects, accepts []string
		for who, a := range answers[path] {
			switch a.State {
			case "rejects", "untrusted":
				rejects = append(rejects, who+": "+a.Reason)
			case "ok":
				accepts = append(accepts, who)
			}
		}
		slices.Sort(rejects)
		name := names[path]
		t.Logf("%-50s ours %-5v rejected by %s", name, passed[path], strings.Join(rejects, " | "))
		if known := milder[name] != ""; passed[path] && (len(rejects) > 0) != known {
			t.Errorf("%s: we pass it, rejected by %q, known to be: %v", name, rejects, known)
		}
		if known := stricter[name] != ""; !passed[path] && (len(rejects) == 0) != known {
			t.Errorf("%s: we reject it, rejected by %q, accepted by %q, known to be ours alone: %v", name, rejects, accepts, known)
		}
	}
}

// TestOurSamplesReachTheirLevelsEverywhere proves that the test PKI, time-stamps
// and revocation data are such that all independent validators accept them.
func TestOurSamplesReachTheirLevelsEverywhere(t *testing.T) {
	needOracles(t)
	for _, kind := range []signing.KeyType{signing.P256, signing.RSA3072} {
		k := adestest.New(t, adestest.Config{KeyType: kind})
		dir := t.TempDir()
		root, _ := writePKI(t, k, dir)
		for _, level := range []string{"LT", "LTA"} {
			p := adestest.NewPDF(t)
			sign(k, p, level)
			path := filepath.Join(dir, level+".pdf")
			save(t, path, p.Data)
			r := judge(t, k, p.Data, false)
			if !r.Passed() || r.Signatures[0].Level != "PAdES-B-"+level {
				t.Errorf("%s %s: %s", kind, level, text(r))
			}
			out, err := exec.CommandContext(t.Context(), filepath.Join(os.Getenv("ORACLES"), "docs", "validate"), "--trust", root, "--oracles", "dss,pyhanko,openssl,pdfbox,qpdf",
				"--level", "PAdES-BASELINE-"+level, path).CombinedOutput()
			if err != nil {
				t.Errorf("%s %s: %v\n%s", kind, level, err, out)
			}
		}
	}
}

package pades_test

import (
	"bytes"
	"errors"
	"image/color"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/ades/pdf/pdftest"
	"github.com/countersign/countersign/internal/fault"
)

// secrets are the passwords of the corpus's encrypted files.
func secret(word string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(word), nil }
}

// trySign signs one real file at a level, or returns the refusal.
func (s *signer) trySign(t *testing.T, data []byte, level pades.Level, password string) ([]byte, error) {
	t.Helper()
	return s.trySignSeen(t, data, level, password, nil)
}

// trySignSeen is trySign with a look.
func (s *signer) trySignSeen(t *testing.T, data []byte, level pades.Level, password string, look *pades.Appearance) ([]byte, error) {
	t.Helper()
	o := s.options()
	o.Level, o.Password, o.Appearance = level, secret(password), look
	p, err := pades.Prepare(bytes.NewReader(data), int64(len(data)), o)
	if err != nil {
		return nil, err
	}
	patch, err := p.Finish(t.Context(), bytes.NewReader(data), s.value(t, p), level, s.sources(), pades.AugmentOptions{Password: o.Password})
	if err != nil {
		t.Fatalf("refused only after it was signed: %v", err)
	}
	return whole(t, data, patch), nil
}

func TestRealFilesAreSignedOrRefusedAsTheirIndexSays(t *testing.T) {
	t.Attr("feature", "H5")
	s := newSigner(t)
	for _, c := range corpus(t) {
		for _, password := range []string{"ownersecret", "usersecret"} {
			if password == "usersecret" && !strings.HasPrefix(c.sign, "password") {
				continue
			}
			t.Run(c.name+"/"+password, func(t *testing.T) {
				start := time.Now()
				signed, err := s.trySign(t, c.data, pades.LTA, password)
				if d := time.Since(start); d > 30*time.Second { // a hang; speed is what the benchmarks measure
					t.Errorf("it took %v", d)
				}
				if err != nil {
					assertMayRefuse(t, c, err)
					return
				}
				if strings.HasPrefix(c.sign, "refuse") {
					t.Errorf("it was signed; the index says %q", c.sign)
				}
				assertAppended(t, c.data, signed, password)
				assertOurs(t, c.data, signed, password)
			})
		}
	}
}

func assertMayRefuse(t *testing.T, c corpusFile, err error) {
	t.Helper()
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || e.Kind != fault.Invalid || e.Code == "" {
		t.Fatalf("no typed refusal: %v", err)
	}
	switch {
	case strings.HasPrefix(c.sign, "refuse"), strings.HasPrefix(c.sign, "either"):
	case strings.HasPrefix(c.sign, "by its DocMDP") && e.Code == pades.CodeCertified:
	default:
		t.Errorf("refused: %v; the index says %q", err, c.sign)
	}
}

// assertOurs checks the two new signatures, and that those that were right
// before still are.
func assertOurs(t *testing.T, before, after []byte, password string) {
	t.Helper()
	right := func(f *pdf.File) map[string]bool {
		list, err := f.Signatures()
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]bool{}
		for i := range list {
			if list[i].Exact() && verifyAny(f, &list[i]) == nil {
				out[list[i].Field.Name] = true
			}
		}
		return out
	}
	was, is := right(open(t, before, password)), right(open(t, after, password))
	for name := range was {
		if !is[name] {
			t.Errorf("the earlier signature in %q is no longer valid", name)
		}
	}
	if len(is) != len(was)+2 {
		t.Errorf("%d signatures verified before and %d do now", len(was), len(is))
	}
}

// verifyAny verifies ours strictly and those of others as far as they can be.
func verifyAny(f *pdf.File, s *pdf.Signature) error {
	if err := verify(f, s); err == nil {
		return nil
	}
	return verifyLenient(f, s)
}

// unjust are files on which an oracle is at fault, with the reason.
var unjust = map[string]string{
	"ds_annots-no-rotate.pdf":                 "DSS calls every signature of this file visually different",
	"pc_testPAdES_BLTA.pdf":                   "pyHanko drops all proof of existence below an older document time-stamp whose TSA is unknown",
	"ph_pades-lta-dss-indirect-arrs-test.pdf": "pyHanko drops all proof of existence below an older document time-stamp whose TSA is unknown",
}

func TestIndependentValidatorsAcceptWhatIsSigned(t *testing.T) {
	t.Attr("feature", "H5")
	t.Attr("feature", "H14")
	t.Attr("feature", "H15")
	validate := oracle(t)
	s := newSigner(t)
	for _, row := range []verdictRow{
		{pades.LT, "PAdES-BASELINE-LT", nil, everyFile, true, 40},
		{pades.LTA, "PAdES-BASELINE-LTA", nil, everyFile, false, 30},
		{pades.LTA, "PAdES-BASELINE-LTA", stampForAll(t), seenInCorpus, true, 18},
	} {
		seen := "invisible"
		if row.look != nil {
			seen = "visible"
		}
		t.Run(row.level.String()+"/"+seen, func(t *testing.T) { s.assertJudged(t, validate, row) })
	}
}

// verdictRow is which files are judged with which signature: enough of each kind, in
// time for every run.
type verdictRow struct {
	level     pades.Level
	name      string
	look      *pades.Appearance
	corpus    func(name string) bool
	generated bool
	atLeast   int // files
}

// assertJudged signs the row's files and asks the validators about all at once.
func (s *signer) assertJudged(t *testing.T, validate string, row verdictRow) {
	t.Helper()
	dir := t.TempDir()
	trust := filepath.Join(dir, "ca.pem")
	write(t, trust, s.pki.RootPEM())
	args := []string{"--trust", trust, "--level", row.name, "--only-last", "--password", "usersecret"}
	var files []string
	add := func(name string, data []byte) {
		signed, err := s.trySignSeen(t, data, row.level, "usersecret", row.look)
		if err != nil {
			return // refusals are another test's matter
		}
		before, after := filepath.Join(dir, "before-"+name), filepath.Join(dir, name)
		write(t, before, data)
		write(t, after, signed)
		args, files = append(args, "--before", before), append(files, after)
	}
	for _, c := range corpus(t) {
		if why, ok := unjust[c.name]; ok && row.level == pades.LTA {
			t.Logf("left out: %s: %s", c.name, why)
		} else if c.name != "ds_annots-no-rotate.pdf" && row.corpus(c.name) {
			add(c.name, c.data)
		}
	}
	for name, d := range generated() {
		if row.generated {
			add(name+".pdf", d.Bytes())
		}
	}
	add("twice.pdf", signedBefore(t, row.look))
	out, err := exec.CommandContext(t.Context(), validate, append(args, files...)...).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if len(files) < row.atLeast {
		t.Errorf("only %d files were judged", len(files))
	}
	t.Logf("%d files were judged", len(files))
}

// signedBefore is a document with a signature below where look is to stand. It is
// another person's: pdfsig cannot judge a certificate that it meets again.
func signedBefore(t *testing.T, look *pades.Appearance) []byte {
	t.Helper()
	if look != nil {
		below := *look
		below.Y += below.Height
		look = &below
	}
	doc, err := newSigner(t).trySignSeen(t, pages(1), pades.B, "", look)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func everyFile(string) bool { return true }

// seenInCorpus names the real files that get a visible signature: PDF/A, with valid
// signatures of others, with tags, of PDF 2.0, with a form.
func seenInCorpus(name string) bool {
	return slices.Contains([]string{
		"ds_not_signed_pdfa.pdf", "ds_pdfa2a-rgb.pdf", "pj_issue16553.pdf", "pc_testPAdES_BB.pdf", "pc_testPAdES_BLT.pdf",
		"p2_PDF_2.0_via_incremental_save.pdf", "ph_minimal-with-field.pdf", "pj_issue6127.pdf", "ds_sample_end_space.pdf",
	}, name)
}

// stampForAll is a look with text and a picture that shows through, for any page.
func stampForAll(t *testing.T) *pades.Appearance {
	t.Helper()
	look := visible(1, 20, 20, 160, 44)
	look.Image = read(t, seeThrough(color.NRGBA{R: 0x30, G: 0x60, B: 0xc0, A: 0xff}))
	return look
}

// generated are documents of every form, encryption and kind for the validators.
func generated() map[string]*pdftest.Doc {
	out := map[string]*pdftest.Doc{"accessible": accessible()}
	moved := accessible()
	moved.Objects[3] = strings.Replace(moved.Objects[3], "[0 0 300 144]", "[-100 -100 200 200]", 1)
	out["accessible-moved"] = moved
	for name, d := range forms() {
		out[strings.ReplaceAll(name, " ", "-")] = d
	}
	for name, e := range map[string]*pdftest.Encryption{
		"rc4-128": {Version: 2, Revision: 3, Bits: 128},
		"aes-128": {Version: 4, Revision: 4, Streams: "AESV2", Strings: "AESV2"},
		"aes-256": {Version: 5, Revision: 6, Streams: "AESV3", Strings: "AESV3"},
	} {
		e.User, e.Owner, e.Permissions = "usersecret", "ownersecret", -4
		d := pdftest.One()
		d.Form, d.Packed, d.Encrypt = pdftest.Stream, []int{1, 2, 3, 5}, e
		out[name] = d
	}
	return out
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// oracle is the command that asks other people's validators.
func oracle(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("ORACLES")
	if dir == "" {
		t.Skip("SKIPPED: ORACLES names no folder of independent validators; make test sets it in CI")
	}
	return filepath.Join(dir, "docs", "validate")
}

// rewritings are what qpdf makes of a file: other forms, other encryptions.
var rewritings = map[string][]string{
	"linearised":     {"--linearize"},
	"object streams": {"--object-streams=generate"},
	"both":           {"--linearize", "--object-streams=generate"},
	"table":          {"--object-streams=disable"},
	"RC4 40":         {"--allow-weak-crypto", "--encrypt", "", "o", "40", "--"},
	"RC4 128":        {"--allow-weak-crypto", "--encrypt", "", "o", "128", "--use-aes=n", "--"},
	"AES 128":        {"--object-streams=generate", "--encrypt", "", "o", "128", "--use-aes=y", "--"},
	"clear metadata": {"--encrypt", "", "o", "128", "--use-aes=y", "--cleartext-metadata", "--"},
	"AES 256":        {"--linearize", "--encrypt", "", "o", "256", "--"},
	"AES 256 R5":     {"--encrypt", "", "o", "256", "--force-R5", "--"},
}

func TestFilesThatQpdfRewroteAreSigned(t *testing.T) {
	t.Attr("feature", "H5")
	if _, err := exec.LookPath("qpdf"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("qpdf is not installed")
		}
		t.Skip("SKIPPED: install qpdf to test files in the forms it writes")
	}
	s := newSigner(t)
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.pdf"), filepath.Join(dir, "out.pdf")
	n := 0
	for _, c := range corpus(t) {
		if !strings.HasPrefix(c.sign, "yes") || len(c.data) > 500<<10 {
			continue
		}
		write(t, in, c.data)
		for name, args := range rewritings {
			_ = os.Remove(out)
			// Warnings (exit 3) are about the original.
			_ = exec.CommandContext(t.Context(), "qpdf", append(append([]string{"--warning-exit-0"}, args...), in, out)...).Run()
			data, err := os.ReadFile(out)
			if err != nil {
				continue // qpdf could not
			}
			n++
			t.Run(c.name+"/"+name, func(t *testing.T) {
				signed, err := s.trySign(t, data, pades.LTA, "")
				if err != nil {
					t.Fatal(err)
				}
				assertAppended(t, data, signed, "")
				assertOurs(t, data, signed, "")
				write(t, out, signed)
				if text, err := exec.CommandContext(t.Context(), "qpdf", "--warning-exit-0", "--check", out).CombinedOutput(); err != nil {
					t.Errorf("qpdf: %v\n%s", err, text)
				}
			})
		}
	}
	if n < 100 {
		t.Errorf("only %d files were tested", n)
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/cmd/internal/ci/record"
)

// signLimit is the longest one file may take; more is a hang.
const signLimit = 30 * time.Second

// Document is one line of corpus.json.
type Document struct {
	File     string            `json:"file"`
	Expected string            `json:"expected,omitempty"` // of INDEX.tsv
	Outcome  string            `json:"outcome"`            // signed, refused, wrong
	Why      string            `json:"why,omitempty"`
	Seconds  float64           `json:"seconds"`
	Judges   map[string]string `json:"judges,omitempty"` // what each validator says of the signed file

	in, out, password string
}

// corpus signs every PDF of a folder at B-LTA and has the results judged by
// everybody who is there to judge.
func corpus(ctx context.Context, dir, out string, w, errw io.Writer) error {
	if _, err := os.Stat(dir); err != nil {
		fmt.Fprintf(errw, "LEFT OUT: no PDFs at %s (CORPUS=DIR).\n", dir)
		return writeJSON(out, []Document{})
	}
	docs, err := documents(dir)
	if err != nil {
		return err
	}
	work := filepath.Join(recordDir, "corpus")
	if err := os.MkdirAll(filepath.Join(work, "signed"), 0o750); err != nil {
		return err
	}
	sink, err := os.Create(filepath.Join(recordDir, "corpus.log"))
	if err != nil {
		return err
	}
	defer sink.Close()
	fmt.Fprintf(w, "Signing %d files of %s ...\n", len(docs), dir)
	in, err := install(ctx, filepath.Join(work, "installation"), sink)
	if err != nil {
		return err
	}
	for _, d := range docs {
		d.out = filepath.Join(work, "signed", d.File)
		if err := signOne(ctx, in, d); err != nil {
			return errors.Join(err, in.stop())
		}
	}
	oracles := os.Getenv("ORACLES")
	if oracles == "" {
		fmt.Fprintln(errw, "LEFT OUT: no validators (ORACLES=DIR): only our own verifier judges.")
	}
	err = judgeAll(ctx, in, oracles, docs)
	if err := errors.Join(err, in.stop()); err != nil {
		return err
	}
	if err := writeJSON(out, docs); err != nil {
		return err
	}
	return sayCorpus(w, docs)
}

func sayCorpus(w io.Writer, docs []*Document) error {
	count := map[string]int{}
	for _, d := range docs {
		count[d.Outcome]++
		fmt.Fprintf(w, "%-8s %6.2f s  %-64s %s\n", d.Outcome, d.Seconds, d.File, d.Why)
	}
	fmt.Fprintf(w, "%d files: %d signed, %d refused, %d wrong\n", len(docs), count["signed"], count["refused"], count["wrong"])
	if count["wrong"] > 0 {
		return errNo
	}
	return nil
}

// older says why pyHanko rejects what was added to a file with a document
// time-stamp of strangers.
const older = "drops all proof of existence below an older document time-stamp whose TSA is unknown"

// atFault are validators that reject a file for a reason of their own, beside
// those that the index names. Only that validator is not heard, on that file.
var atFault = map[string]map[string]string{
	"pc_testPAdES_BLTA.pdf":                   {"pyhanko": older},
	"ph_pades-lta-dss-indirect-arrs-test.pdf": {"pyhanko": older},
}

// excused says why a rejection does not count, "" if it does.
func (d *Document) excused(oracle string) string {
	if strings.Contains(d.Expected, "oracle at fault: "+oracle) {
		return d.Expected
	}
	return atFault[d.File][oracle]
}

// documents lists the PDFs of a folder with what its index, if it has one, expects.
func documents(dir string) ([]*Document, error) {
	expected := map[string]string{}
	rows, err := index(dir)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		expected[r["id"]] = r["sign"]
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.pdf"))
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no PDF in %s", dir)
	}
	slices.Sort(names)
	var docs []*Document
	for _, n := range names {
		d := &Document{File: filepath.Base(n), in: n}
		d.Expected = expected[d.File]
		if p, ok := strings.CutPrefix(d.Expected, "password: "); ok {
			words := strings.Fields(p) // "ownersecret or usersecret"
			d.password = words[len(words)-1]
		}
		docs = append(docs, d)
	}
	return docs, nil
}

// index reads INDEX.tsv, whose first column names the file.
func index(dir string) ([]record.Row, error) {
	b, err := os.ReadFile(filepath.Join(dir, "INDEX.tsv"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp("", "index")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.Write(bytes.Replace(b, []byte("file\t"), []byte("id\t"), 1)); err != nil {
		return nil, err
	}
	return record.Table(f.Name())
}

// signOne signs one file and holds the outcome against what was expected.
func signOne(ctx context.Context, in *installation, d *Document) error {
	if err := os.Remove(d.out); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	before, err := os.ReadFile(d.in)
	if err != nil {
		return err
	}
	args := []string{"sign", d.in, "-o", d.out}
	if d.password != "" {
		f := in.path("password")
		if err := os.WriteFile(f, []byte(d.password), 0o600); err != nil {
			return err
		}
		args = append(args, "--password-file", f)
	}
	start := time.Now()
	text, code, err := in.run(ctx, signLimit, program, args...)
	d.Seconds = time.Since(start).Seconds()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	after, readErr := os.ReadFile(d.in)
	signed, outErr := os.ReadFile(d.out)
	switch {
	case err != nil:
		d.wrong("%v", err)
	case readErr != nil || !bytes.Equal(before, after):
		d.wrong("the input was changed")
	case code == 0 && (outErr != nil || !bytes.HasPrefix(signed, before)):
		d.wrong("the output does not begin with the input")
	case code == 0 && strings.HasPrefix(d.Expected, "refuse"):
		d.wrong("was signed; expected: %s", d.Expected)
	case code == 0:
		d.Outcome = "signed"
	case outErr == nil:
		d.wrong("exit %d, and an output file", code)
	case code != 3:
		d.wrong("exit %d: %s", code, lastLine(text))
	case d.Expected == "yes" || strings.HasPrefix(d.Expected, "yes;") || strings.HasPrefix(d.Expected, "yes (") || d.password != "":
		d.wrong("refused: %s; expected: %s", lastLine(text), d.Expected)
	default:
		d.Outcome, d.Why = "refused", lastLine(text)
	}
	return nil
}

func (d *Document) wrong(format string, args ...any) {
	d.Outcome, d.Why = "wrong", fmt.Sprintf(format, args...)
}

// judgeAll asks our own verifier and the validators of others about every signed file.
func judgeAll(ctx context.Context, in *installation, oracles string, docs []*Document) error {
	var plain []*Document
	for _, d := range docs {
		if d.Outcome != "signed" {
			continue
		}
		if err := ownVerdict(ctx, in, d); err != nil {
			return err
		}
		if d.password != "" && oracles != "" {
			if err := validators(ctx, in, oracles, []*Document{d}, "--password", d.password); err != nil {
				return err
			}
			continue
		}
		plain = append(plain, d)
	}
	if oracles == "" || len(plain) == 0 {
		return nil
	}
	return validators(ctx, in, oracles, plain)
}

// ownVerdict wants our newest signature to be TOTAL-PASSED; older ones are by
// strangers.
func ownVerdict(ctx context.Context, in *installation, d *Document) error {
	args := []string{"verify", "--json"}
	if d.password != "" {
		f := in.path("password")
		if err := os.WriteFile(f, []byte(d.password), 0o600); err != nil {
			return err
		}
		args = append(args, "--password-file", f)
	}
	text, code, err := in.run(ctx, signLimit, program, append(args, d.out)...)
	if err != nil {
		return err
	}
	var answer struct {
		Signatures []struct{ Level, Verdict, Subindication, Signer string }
	}
	ours := false
	if err := json.Unmarshal([]byte(objectLine(text)), &answer); err != nil {
		text = fmt.Sprintf("exit %d: %v", code, err)
	}
	for _, s := range answer.Signatures {
		if s.Verdict == "TOTAL-PASSED" && s.Level == "PAdES-B-LTA" {
			ours = true
		}
	}
	if !ours {
		d.wrong("our verifier: %s", lastLine(text))
	}
	return nil
}

// objectLine is the first line of a mixed output that can be a JSON object.
func objectLine(s string) string {
	for line := range strings.Lines(s) {
		if strings.HasPrefix(line, "{") {
			return line
		}
	}
	return ""
}

// validators asks the peers in one call and holds each answer against the index.
func validators(ctx context.Context, in *installation, oracles string, docs []*Document, more ...string) error {
	answers := in.path("validate.json")
	args := append([]string{"--trust", in.vars["COUNTERSIGN_TRUST"], "--level", "PAdES-BASELINE-LTA", "--only-last", "--json", answers}, more...)
	for _, d := range docs {
		args = append(args, "--before", d.in)
	}
	for _, d := range docs {
		args = append(args, d.out)
	}
	text, code, err := in.run(ctx, 15*time.Minute, filepath.Join(oracles, "docs", "validate"), args...)
	if err != nil {
		return err
	}
	if code > 1 {
		return fmt.Errorf("the validators gave no verdict (exit %d): %s", code, lastLine(text))
	}
	b, err := os.ReadFile(answers)
	if err != nil {
		return err
	}
	var verdicts map[string]map[string]struct{ State, Reason string }
	if err := json.Unmarshal(b, &verdicts); err != nil {
		return fmt.Errorf("answers of the validators: %w", err)
	}
	for _, d := range docs {
		d.Judges = map[string]string{}
		ok := false
		for name, v := range verdicts[d.out] {
			d.Judges[name] = v.State
			ok = ok || v.State == "ok"
			if v.State != "rejects" {
				continue
			}
			if why := d.excused(name); why != "" {
				d.Why = "not heard: " + name + ": " + why
			} else {
				d.wrong("%s: %s", name, v.Reason)
			}
		}
		if !ok && d.Outcome == "signed" {
			d.wrong("no validator accepts it")
		}
	}
	return nil
}

// judge signs plain documents of the corpus in one approval and has them judged
// as one step of interop.
func judge(ctx context.Context, in *installation, oracles string) (string, error) {
	dir := os.Getenv("CORPUS")
	if dir == "" {
		return "", fmt.Errorf("CORPUS: %w", errNotHere)
	}
	all, err := documents(dir)
	if err != nil {
		return "", err
	}
	out := in.path("signed")
	if err := os.RemoveAll(out); err != nil {
		return "", err
	}
	if err := os.MkdirAll(out, 0o750); err != nil {
		return "", err
	}
	var docs []*Document
	args := []string{"sign", "--out-dir", out}
	for _, d := range all {
		if d.Expected == "yes" && len(docs) < 20 {
			d.out, d.Outcome = filepath.Join(out, d.File), "signed"
			docs = append(docs, d)
			args = append(args, d.in)
		}
	}
	if len(docs) == 0 {
		return "", fmt.Errorf("no file of %s says yes: %w", dir, errNotHere)
	}
	text, err := answered(in.run(ctx, 3*time.Minute, program, args...))
	if err != nil {
		return text, err
	}
	if err := validators(ctx, in, oracles, docs); err != nil {
		return text, err
	}
	var bad []string
	for _, d := range docs {
		if d.Outcome != "signed" {
			bad = append(bad, d.File+": "+d.Why)
		} else if d.Why != "" {
			text += d.File + ": " + d.Why + "\n"
		}
	}
	if len(bad) > 0 {
		return text, errors.New(strings.Join(bad, "; "))
	}
	return text + fmt.Sprintf("%d files accepted by every validator\n", len(docs)), nil
}

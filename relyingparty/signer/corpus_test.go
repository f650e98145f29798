package signer_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign/countersign/relyingparty/signer"
	"github.com/countersign/countersign/signing"
)

// TestRealDocuments signs every file of CORPUS to B-LTA and holds the outcome
// against the sign column of its INDEX.tsv.
func TestRealDocuments(t *testing.T) {
	corpus := os.Getenv("CORPUS")
	if corpus == "" {
		t.Skip("SKIPPED: CORPUS names no folder of PDF files")
	}
	index, err := os.ReadFile(filepath.Join(corpus, "INDEX.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, signing.P256)
	rows := strings.Split(strings.TrimSpace(string(index)), "\n")[1:]
	for _, row := range rows {
		columns := strings.Split(row, "\t")
		name, sign := columns[0], columns[len(columns)-1]
		t.Run(name, func(t *testing.T) {
			original, err := os.ReadFile(filepath.Join(corpus, name))
			if err != nil {
				t.Fatal(err)
			}
			f := signer.File{In: filepath.Join(corpus, name), Out: filepath.Join(b.dir, "out", name)}
			asked := 0
			job := signer.Job{Files: []signer.File{f}}
			if strings.HasPrefix(sign, "password") {
				job.Password = func(string) ([]byte, error) {
					asked++
					return []byte("usersecret"), nil
				}
			}
			made := b.service.SAM.Made()
			_, err = b.sign(job)
			output, readErr := os.ReadFile(f.Out)
			switch {
			case err == nil && strings.HasPrefix(sign, "refuse"):
				t.Errorf("signed, although: %s", sign)
			case err != nil && (strings.HasPrefix(sign, "yes") || strings.HasPrefix(sign, "password")):
				t.Errorf("not signed: %v", err)
			case err != nil && signer.ExitCode(err) != 3:
				t.Errorf("exit code %d: %v", signer.ExitCode(err), err)
			case err != nil && b.service.SAM.Made() != made:
				t.Errorf("refused after the signer had approved: %v", err)
			case err != nil && readErr == nil:
				t.Error("refused, but there is an output")
			case err == nil && !bytes.HasPrefix(output, original):
				t.Error("the output does not begin with the original")
			}
			if asked > 1 {
				t.Errorf("the password was asked for %d times", asked)
			}
			if now, err := os.ReadFile(f.In); err != nil || !bytes.Equal(now, original) {
				t.Errorf("the input changed: %v", err)
			}
		})
	}
	if len(rows) < 10 {
		t.Errorf("only %d files", len(rows))
	}
}

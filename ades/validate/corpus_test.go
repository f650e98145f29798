package validate_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/ades/validate"
)

// corpusDir is the folder of real PDF files named by CORPUS.
func corpusDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("CORPUS")
	if dir == "" {
		t.Skip("SKIPPED: CORPUS names no folder of PDF files; real signatures are not judged")
	}
	return dir
}

func judgeCorpusFile(t *testing.T, path string) (*validate.Report, error) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	r, err := validate.File(bytes.NewReader(data), int64(len(data)), validate.Options{Password: func() ([]byte, error) { return []byte("ownersecret"), nil }})
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("%s took %s", filepath.Base(path), took)
	}
	return r, err
}

func TestCorpusIsJudgedWithoutTrouble(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(corpusDir(t), "*.pdf"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no PDF in CORPUS: %v", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			r, err := judgeCorpusFile(t, path)
			if err != nil {
				t.Logf("refused: %s", r.Error)
				return
			}
			for _, s := range r.Signatures {
				t.Logf("%s %s %s %s, %s, signer %s, claimed %s, errors %q, notes %q", s.Field, s.Level, s.Verdict, s.Subindication, s.Covers, s.Signer, s.ClaimedTime, s.Errors, s.Notes)
				for _, c := range s.Changes {
					t.Logf("    %s", c)
				}
				for _, x := range s.Timestamps {
					t.Logf("    %s %s %s %s %q", x.Kind, x.Verdict, x.Subindication, x.Time, x.Errors)
				}
				if s.Verdict == validate.Passed {
					t.Errorf("%s passes without trust anchors", s.Field)
				}
			}
			if _, err := r.JSON(); err != nil {
				t.Error(err)
			}
			if strings.Contains(text(r), "%!") {
				t.Error("the text has a formatting error")
			}
		})
	}
}

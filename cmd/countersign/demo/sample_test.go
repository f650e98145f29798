package demo

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestTheSampleIsASoundPDF(t *testing.T) {
	name := filepath.Join(t.TempDir(), "sample.pdf")
	if err := os.WriteFile(name, samplePDF(), 0o600); err != nil {
		t.Fatal(err)
	}
	qpdf, err := exec.LookPath("qpdf")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("LEFT OUT: qpdf is not installed")
	}
	if out, err := exec.CommandContext(t.Context(), qpdf, "--check", name).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

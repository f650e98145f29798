package main_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheDemoSignsWithTheKeyOfASecondInstallation(t *testing.T) {
	dir := demoDir(t)
	for run := range 2 { // the second finds everything there
		out := demo(t, "--dir", dir, "--peer")
		for _, want := range []string{"TOTAL-PASSED", "PAdES-B-LTA", "CN=Signer of B", "trust centre B Issuing CA", "1 receipts, all agree", "for its relying parties (gateway-a) asks Signer of B"} {
			if !strings.Contains(out, want) {
				t.Errorf("run %d does not say %q:\n%s", run+1, want, out)
			}
		}
	}
	anchors, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil || bytes.Count(anchors, []byte("BEGIN CERTIFICATE")) != 2 {
		t.Errorf("%d anchors, %v", bytes.Count(anchors, []byte("BEGIN CERTIFICATE")), err)
	}
	// Without the peer it is an installation like any other, and trusts itself alone.
	if out := demo(t, "--dir", dir); !strings.Contains(out, "CN=Demo Signer") || strings.Contains(out, "trust centre B") {
		t.Errorf("without the peer:\n%s", out)
	}
	if anchors, err = os.ReadFile(filepath.Join(dir, "ca.pem")); err != nil || bytes.Count(anchors, []byte("BEGIN CERTIFICATE")) != 1 {
		t.Errorf("%d anchors, %v", bytes.Count(anchors, []byte("BEGIN CERTIFICATE")), err)
	}
}

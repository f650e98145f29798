package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/config"
)

const needed = `approval_url: http://approve.localhost:1
database: sqlite:sam.db
keys: keys
passphrase_file: pass
socket: sam.sock
anchors: [ca.pem]
organisation: Test
door: {listen: "127.0.0.1:0", admin_socket: admin.sock}
`

func load(t *testing.T, more string) (settings, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "pass"), []byte(strings.Repeat("ab", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "sam.yaml")
	if err := os.WriteFile(file, []byte(needed+more), 0o600); err != nil {
		t.Fatal(err)
	}
	s := defaults()
	err := config.Load(config.Source{File: file, Role: "sam"}, &s)
	return s, err
}

func TestSettingsThatWouldLetNobodyInAreRefusedWithASentence(t *testing.T) {
	for more, want := range map[string]string{
		"approval_burst: 0":                    "approval_burst: 0 would let nobody in",
		"approval_burst: -1":                   "approval_burst: -1 would let nobody in",
		"approval_rate: 0":                     "approval_rate must be above 0",
		"limits: {pending: 0}":                 "pending, documents and number_digits must be above 0",
		"limits: {keep: 0s}":                   "must be above 0",
		"redeem_time: 31m":                     "redeem_time is longer than limits.redeem_time_max",
		"limits: {clients_checked: {acme: 2}}": "limits.clients_checked.acme is 0 or 1",
		"limits: {pendings: 1}":                "pendings",
	} {
		if _, err := load(t, more); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", more, err, want)
		}
	}
}

func TestLimitsReachTheModule(t *testing.T) {
	s, err := load(t, "limits: {pending: 7, documents: 3, number_digits: 3, checked: 1, clients_checked: {acme: 1}, keep: 1h, ocsp_age: 1m, redeem_time_max: 6m}")
	if err != nil {
		t.Fatal(err)
	}
	l := s.limits()
	if l.Pending != 7 || l.Documents != 3 || l.Digits != 3 || l.MinWysiwys != 1 || l.PartyWysiwys["acme"] != 1 ||
		l.Keep.String() != "1h0m0s" || l.OCSPAge.String() != "1m0s" || l.MaxRedeem.String() != "6m0s" || l.Approval != s.Wait || l.Redeem != s.Redeem {
		t.Errorf("%+v", l)
	}
	s, err = load(t, "")
	if err != nil || s.limits().Pending != 5 || s.limits().Documents != 200 {
		t.Errorf("defaults: %+v, %v", s.limits(), err)
	}
}

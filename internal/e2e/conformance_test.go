package e2e_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/conformance"
)

// shown are the controls whose evidence a whole installation gives by itself.
var shown = []string{
	"B06", "B08", "B09", "B16", "C01", "C02", "C04", "C05", "C09", "C16", "D04", "D12", "D17", "D24", "D28", "D32", "E03", "E04", "E08", "E10",
}

// TestAnAuditorChecksReportAndActivationOffline has an installation sign, asks for
// its report and for the evidence of one activation, stops everything, and checks
// both with the public keys and nothing else.
func TestAnAuditorChecksReportAndActivationOffline(t *testing.T) {
	t.Attr("feature", "R5")
	t.Attr("feature", "R6")
	t.Attr("control", "D31")
	for _, id := range shown {
		t.Attr("control", id)
	}
	eachEngine(t, options{}, func(t *testing.T, in *installation) {
		in.document(t, "contract.pdf", 4000)
		in.must(t, "sign", in.path("contract.pdf"), "-o", in.path("signed.pdf"))
		sid := lastSID(t, in)
		key := in.write("vkey", []byte(in.must(t, "audit", "key").out))
		in.must(t, "audit", "export", "--sid", sid, "-o", in.path("bundle.json"))
		in.must(t, "conformance", "report", "-o", in.path("first.json"), "--tests", in.dir)
		r := in.must(t, "conformance", "report", "-o", in.path("report.json"), "--html", in.path("report.html"), "--tests", in.dir,
			"--previous", in.path("first.json"))
		checkReport(t, in, r)
		schema := in.must(t, "conformance", "schema").out
		if !json.Valid([]byte(schema)) {
			t.Error("the schema is no JSON")
		}

		in.stop()
		for _, name := range []string{"report.json", "report.html"} {
			r := in.must(t, "conformance", "verify", in.path(name), "--key", key)
			if !strings.Contains(r.out, "is genuine") || !strings.Contains(r.out, "same results") {
				t.Error(r)
			}
		}
		who := in.must(t, "audit", "verify", in.path("bundle.json"), "--key", key)
		for _, want := range []string{"approved by    Ada Lovelace (ada)", "with           device ", "devicekey, PIN checked, number typed", "contract.pdf", "in full: ", "signed 20", "all in the signed log"} {
			if !strings.Contains(who.err, want) {
				t.Errorf("%q is missing: %v", want, who)
			}
		}
		badReports(t, in, key)
	})
}

// lastSID is the activation of the last signature.
func lastSID(t *testing.T, in *installation) string {
	t.Helper()
	sid := ""
	for _, e := range in.events(t) {
		if e.Type == "signature.created" {
			sid = e.SID
		}
	}
	if sid == "" {
		t.Fatal("nothing was signed")
	}
	return sid
}

// checkReport looks at what a whole installation shows by itself.
func checkReport(t *testing.T, in *installation, r *result) {
	t.Helper()
	raw, err := os.ReadFile(in.path("report.json"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := conformance.Read(raw)
	if err != nil {
		t.Fatal(err)
	}
	var report conformance.Report
	if err := json.Unmarshal(s.Report, &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Results) != 120 || !strings.Contains(r.out, "120 controls: ") || !strings.Contains(r.out, "no signature made here is qualified") {
		t.Errorf("%d results: %v", len(report.Results), r)
	}
	e := report.Evidence
	if e.Module == nil || e.Authority == nil || e.Clock == nil || len(e.Roles) != 4 || e.Previous == nil {
		t.Fatalf("evidence is missing: %+v", e.Missing)
	}
	if e.Module.Ledger.Signatures != 1 || e.Module.Ledger.Kept != 1 || len(e.Module.Inventory.Keys) != 1 {
		t.Errorf("%+v", e.Module)
	}
	gaps := true
	for _, one := range report.Results {
		gaps = gaps && one.State == conformance.Gap
		if one.State == conformance.Gap && !gaps {
			t.Errorf("%s is a gap and comes late", one.ID)
		}
		// What the installation shows is found; where a test of the build must show it
		// too, that is what is missing: its record was not given.
		if slices.Contains(shown, one.ID) && (len(one.Found) == 0 || one.State != conformance.Proven && one.Why != "There is no record of the tests of this build.") {
			t.Errorf("%s is %s: found %q, missing %q", one.ID, one.State, one.Found, one.Why)
		}
		switch one.ID {
		case "B01", "B02", "D08":
			if one.State != conformance.Gap || !strings.Contains(strings.Join(one.Found, " "), "Keystore soft") {
				t.Errorf("%s: %+v", one.ID, one)
			}
		}
	}
}

// badReports is what an auditor may be handed instead.
func badReports(t *testing.T, in *installation, key string) {
	t.Helper()
	raw, err := os.ReadFile(in.path("report.json"))
	if err != nil {
		t.Fatal(err)
	}
	changed := in.write("changed.json", []byte(strings.Replace(string(raw), `"state": "gap"`, `"state": "proven"`, 1)))
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{changed, "--key", key}, 1, "not what was signed"},
		{[]string{in.path("signed.pdf"), "--key", key}, 3, "not a conformance report"},
		{[]string{in.path("none.json"), "--key", key}, 3, "none.json"},
		{[]string{in.path("report.json")}, 2, "--key"},
		{[]string{in.path("report.json"), "--key", "other+0b9c9b8e+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"}, 1, "proof of the log"},
	} {
		if r := in.run(t, append([]string{"conformance", "verify"}, c.args...)...); r.code != c.code || !strings.Contains(r.err, c.says) {
			t.Errorf("want exit %d and %q: %v", c.code, c.says, r)
		}
	}
	if r := in.run(t, "conformance", "report", "--tests", in.dir); r.code != 4 || !strings.Contains(r.err, "does not answer") {
		t.Errorf("with nobody there: %v", r)
	}
}

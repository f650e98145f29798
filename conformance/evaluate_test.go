package conformance_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/conformance"
	"github.com/countersign/countersign/sam/samapi"
)

// The table in the program is the catalogue.
func TestTheCatalogueIsComplete(t *testing.T) {
	if n := len(conformance.Catalogue()); n != 120 {
		t.Errorf("%d controls", n)
	}
	for _, r := range conformance.Evaluate(whole()) {
		if r.State == conformance.Gap && (r.Why == "" || r.Close == "") {
			t.Errorf("%s: a gap without what is missing and what closes it: %+v", r.ID, r)
		}
		if r.State == conformance.Proven && len(r.Found)+len(r.Tests) == 0 {
			t.Errorf("%s is proven by nothing", r.ID)
		}
	}
	name := os.Getenv("CONTROLS")
	if name == "" {
		t.Skip("CONTROLS does not name the catalogue: the copy in the program is not compared")
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile("controls.tsv")
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != string(want) {
		t.Errorf("controls.tsv is not the catalogue in %s", name)
	}
}

func states(e *conformance.Evidence) map[string]conformance.Result {
	by := map[string]conformance.Result{}
	for _, r := range conformance.Evaluate(e) {
		by[r.ID] = r
	}
	return by
}

// Every check can fail: what is wrong on an installation turns the controls that
// depend on it into gaps.
func TestWhatIsWrongIsAGap(t *testing.T) {
	before := states(whole())
	for name, c := range map[string]struct {
		change   func(e *conformance.Evidence)
		controls string
		says     string
	}{
		"clock not synchronised": {func(e *conformance.Evidence) { e.Clock.Synchronised = false }, "A08 E09", "not synchronised"},
		"clock known badly":      {func(e *conformance.Evidence) { e.Clock.MaxError = 3 * time.Second }, "A08 E09", "bound"},
		"module's clock off":     {func(e *conformance.Evidence) { e.Clock.Module = -time.Minute }, "A08 E09", "module's clock"},
		"stamps' clock off":      {func(e *conformance.Evidence) { e.Clock.Stamp = time.Minute }, "A08 E09", "authority's"},
		"clocks not asked":       {func(e *conformance.Evidence) { e.Clock = nil }, "A08 E09", "could not"},
		"process not ready":      {func(e *conformance.Evidence) { e.Roles[2].Ready = false }, "A19", "gateway is not ready"},
		"process gone":           {func(e *conformance.Evidence) { e.Roles = e.Roles[:3] }, "A19", "3 of four"},
		"module not asked": {
			func(e *conformance.Evidence) { e.Module = nil },
			"B06 B09 B16 B19 B20 C01 C02 C04 C05 C06 C09 D04 D06 D12 D17 D22 D24 D28 D32 E01 E04 E08 E09 E10", "could not be asked",
		},
		"authority not asked": {func(e *conformance.Evidence) { e.Authority = nil }, "B06 B07 B08 B19 B20 C16", "could not be asked"},
		"weak key": {
			func(e *conformance.Evidence) { e.Module.Inventory.Keys[0].Type = "RSA-2048" }, "B06", "cred-1",
		},
		"weak certificate": {func(e *conformance.Evidence) { e.Authority.Certificates[1].Key = "RSA-2048" }, "B06 B07", "2"},
		"very weak certificate": {
			func(e *conformance.Evidence) { e.Authority.Certificates[1].Key = "RSA-512" }, "B06 B07", "2",
		},
		"RSA of unknown length": {
			func(e *conformance.Evidence) { e.Authority.Certificates[1].Key = "RSA" }, "B06 B07", "2",
		},
		"SHA-1 certificate": {
			func(e *conformance.Evidence) { e.Authority.Certificates[0].Signature = "SHA1-RSA" }, "B06", "SHA1",
		},
		"RSA certificate that lasts too long": {
			func(e *conformance.Evidence) {
				e.Authority.Certificates[0].Key, e.Authority.Certificates[0].NotAfter = "RSA-3072", noon.AddDate(10, 0, 0)
			}, "B08", "longer",
		},
		"record changed": {
			func(e *conformance.Evidence) {
				e.Module.Verification.Findings = []samapi.Finding{{Kind: "credential", ID: "cred-1", What: "wrong MAC"}}
			}, "B09 C09 D32", "wrong MAC",
		},
		"changed blobs taken": {func(e *conformance.Evidence) { e.Module.Probe.RefusesTamper = false }, "B09 C09 D32", "changed"},
		"key twice": {
			func(e *conformance.Evidence) {
				k := e.Module.Inventory.Keys[0]
				k.Credential, k.Certificate = "cred-2", ""
				e.Module.Inventory.Keys = append(e.Module.Inventory.Keys, k)
			}, "B16", "same key",
		},
		"certificate twice": {
			func(e *conformance.Evidence) {
				k := e.Module.Inventory.Keys[0]
				k.Credential, k.SPKIHash = "cred-2", strings.Repeat("d", 64)
				e.Module.Inventory.Keys = append(e.Module.Inventory.Keys, k)
			}, "B16", "same certificate",
		},
		"certificate ended": {func(e *conformance.Evidence) { e.Module.Inventory.Keys[0].NotAfter = noon }, "B19 B20", "ended"},
		"certificate revoked": {
			func(e *conformance.Evidence) { e.Authority.Certificates[0].Revoked = noon }, "B19 B20", "revoked",
		},
		"software keystore": {func(e *conformance.Evidence) { e.Module.Probe.Hardware = false }, "D22", "software"},
		"keys can be read":  {func(e *conformance.Evidence) { e.Module.Probe.NonExtractable = false }, "D22", "give one away: no"},
		"a key under SCAL1": {func(e *conformance.Evidence) { e.Module.Inventory.Keys[0].SCAL = 1 }, "D17", "legal persons"},
		"assurance unknown": {func(e *conformance.Evidence) { e.Module.Inventory.Keys[0].Assurance = "" }, "C01 C02", "cred-1"},
		"assurance low": {
			func(e *conformance.Evidence) { e.Module.Inventory.Keys[0].Assurance = "low" }, "C02", "low",
		},
		"signer not logged": {func(e *conformance.Evidence) { e.Module.Status.Signers = 2 }, "C04", "2 signers"},
		"one factor under SCAL2": {
			func(e *conformance.Evidence) { e.Module.Inventory.Keys[0].Mechanism = "otp" }, "C05 C06 D06 D12", "otp",
		},
		"no authority registered": {func(e *conformance.Evidence) { e.Authority.Parties["ra"] = 0 }, "C16", "nothing"},
		"signature unaccounted": {
			func(e *conformance.Evidence) { e.Module.Ledger.Anomalies = []string{"event 9: odd"} }, "D04 D24 D28", "event 9",
		},
		"no signature yet": {func(e *conformance.Evidence) { e.Module.Ledger.Signatures = 0 }, "D04 D24 D28", "No signature"},
		"log changed": {
			func(e *conformance.Evidence) { e.Module.Ledger.LogError = "tampered" }, "D04 D24 D28 E04 E08 E09 E10", "tampered",
		},
		"log cut": {
			func(e *conformance.Evidence) { e.Module.Ledger.Kept = 0 }, "E03 E04 E08 E09 E10", "report-0123",
		},
		"no earlier report": {func(e *conformance.Evidence) { e.Previous = nil }, "E03 E08", "No earlier report"},
		"no keys yet":       {func(e *conformance.Evidence) { e.Module.Inventory.Keys = nil }, "C01 C02 C05 C06 D06 D12 D17", "no key"},
		"events missing":    {func(e *conformance.Evidence) { delete(e.Module.Ledger.Events, "sad.consumed") }, "E01", "sad.consumed"},
		"no test record":    {func(e *conformance.Evidence) { e.Tests = nil }, "A14 B11 D01 D35 E05", "no record"},
		"other build":       {func(e *conformance.Evidence) { e.Tests.Commit = "ffff" + commit[4:] }, "A14 B11 D01 D35 E05", "commit"},
		"program of no commit": {
			func(e *conformance.Evidence) { e.Commit, e.Tests.Commit = "", "" }, "A14 B11 D01 D35 E05", "does not know",
		},
		"program of a changed source": {
			func(e *conformance.Evidence) { e.Commit += "+changed" }, "A14 B11 D01 D35 E05", "456789ab+changed",
		},
		"another build runs": {
			func(e *conformance.Evidence) { e.Roles[1].Commit = "ffff" + commit[4:] }, "A14 B11 D01 D35 E05", "sam runs commit ffff",
		},
		"a test that claims nothing failed": {func(e *conformance.Evidence) { e.Tests.Failed = 1 }, "A14 B11 D01 D35 E05", "1 tests"},
		"test failed":                       {func(e *conformance.Evidence) { e.Tests.Claims["D01"][0].Outcome = "fail" }, "D01", "did not pass"},
		"test skipped":                      {func(e *conformance.Evidence) { e.Tests.Claims["B09"][0].Outcome = "skip" }, "B09", "did not pass"},
		"test claims it?":                   {func(e *conformance.Evidence) { delete(e.Tests.Claims, "E05") }, "E05", "No test"},
	} {
		t.Run(name, func(t *testing.T) {
			e := whole()
			c.change(e)
			after := states(e)
			for id := range strings.FieldsSeq(c.controls) {
				if before[id].State != conformance.Proven {
					t.Errorf("%s was not proven before: %s", id, before[id].Why)
				}
				if r := after[id]; r.State != conformance.Gap || !strings.Contains(r.Why, c.says) {
					t.Errorf("%s is %s: %q; want a gap that says %q", id, r.State, r.Why, c.says)
				}
			}
		})
	}
}

// Certification is never proven, whatever the module says of itself and whatever
// the tests do.
func TestNoSoftwareProvesACertificate(t *testing.T) {
	by := states(whole())
	for _, id := range []string{"B01", "B02", "B03", "B04", "B26", "B27", "D08", "D10"} {
		if by[id].State != conformance.Gap {
			t.Errorf("%s is %s", id, by[id].State)
		}
	}
}

// Gaps come first.
func TestGapsComeFirst(t *testing.T) {
	order := map[conformance.State]int{conformance.Gap: 0, conformance.Proven: 1, conformance.Outside: 2}
	last := 0
	all := conformance.Evaluate(whole())
	for _, r := range all {
		if order[r.State] < last {
			t.Fatalf("%s (%s) comes too late", r.ID, r.State)
		}
		last = order[r.State]
	}
	if last != 2 || len(all) != 120 {
		t.Errorf("%d results, the last in state %d", len(all), last)
	}
}

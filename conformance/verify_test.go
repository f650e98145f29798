package conformance_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/conformance"
	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/store/storetest"
)

func TestAReportIsCheckedWithPublicKeysAlone(t *testing.T) {
	a := newAuditor(t)
	signed := a.seal(t, a.whole())
	text, err := signed.JSON()
	if err != nil {
		t.Fatal(err)
	}
	page, err := conformance.Render(signed)
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string][]byte{"json": text, "page": page} {
		v, err := conformance.Verify(file, a.trust())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !v.Reproduced || v.Authority == "" || v.Stamped.IsZero() || v.Recorded.IsZero() || v.Size == 0 {
			t.Errorf("%s: %+v", name, v)
		}
		if diff := cmp.Diff(a.whole(), v.Report.Evidence); diff != "" {
			t.Errorf("%s: the evidence changed on the way:\n%s", name, diff)
		}
	}
	if bytes.Contains(page, []byte("<script src")) || bytes.Contains(page, []byte("http-equiv=\"refresh")) || bytes.Contains(page, []byte("<link")) {
		t.Error("the page wants something from elsewhere")
	}
}

// Each byte that a reader sees is under the signature.
func TestAChangedReportIsRefused(t *testing.T) {
	a := newAuditor(t)
	signed := a.seal(t, a.whole())
	text, _ := signed.JSON()
	page, err := conformance.Render(signed)
	if err != nil {
		t.Fatal(err)
	}
	other := newAuditor(t)
	elsewhere, _ := other.seal(t, other.whole()).JSON()
	swap := func(change func(s *conformance.Signed)) []byte {
		s := *signed
		change(&s)
		b, err := s.JSON()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var strange conformance.Signed
	if err := json.Unmarshal(elsewhere, &strange); err != nil {
		t.Fatal(err)
	}
	again := a.seal(t, a.whole())
	wrong, err := conformance.Seal(conformance.New(a.whole()), a.attest(t, "sad.approved"), a.stamp)
	if err != nil {
		t.Fatal(err)
	}
	wrongText, _ := wrong.JSON()
	sealed := func(e *conformance.Evidence) []byte {
		b, err := a.seal(t, e).JSON()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	old, long := a.whole(), a.whole()
	old.Ended = noon.AddDate(0, 0, -7)
	long.Module.Ledger.Checkpoint.Size = 1000
	for name, c := range map[string]struct {
		file  []byte
		trust conformance.Trust
		want  error
	}{
		"the report twice": {
			bytes.Replace(text, []byte(`{`), append(append([]byte(`{"report":`), bytes.Replace(signed.Report, []byte(`"gap"`), []byte(`"proven"`), 1)...), ','), 1), a.trust(), conformance.ErrFormat,
		},
		"the report in capitals":           {bytes.Replace(text, []byte(`"report":`), []byte(`"REPORT":`), 1), a.trust(), conformance.ErrFormat},
		"another log's evidence":           {sealed(other.whole()), a.trust(), conformance.ErrChanged},
		"evidence of last week":            {sealed(old), a.trust(), conformance.ErrChanged},
		"evidence of a log that is longer": {sealed(long), a.trust(), conformance.ErrChanged},
		"a state":                          {bytes.Replace(text, []byte(`"state": "gap"`), []byte(`"state": "proven"`), 1), a.trust(), conformance.ErrChanged},
		"a count":                          {bytes.Replace(text, []byte(`"hardware": true`), []byte(`"hardware": false`), 1), a.trust(), conformance.ErrChanged},
		"the page":                         {bytes.Replace(page, []byte("<h1>Conformance report"), []byte("<h1>Conformance Report"), 1), a.trust(), conformance.ErrChanged},
		"the page's end":                   {append(bytes.Clone(page), ' '), a.trust(), conformance.ErrChanged},
		"another log's key":                {text, conformance.Trust{Key: other.trust().Key, Anchors: a.trust().Anchors}, conformance.ErrChanged},
		"another root":                     {text, conformance.Trust{Key: a.trust().Key, Anchors: other.trust().Anchors}, conformance.ErrChanged},
		"no root":                          {text, conformance.Trust{Key: a.trust().Key}, conformance.ErrChanged},
		"another log's proof":              {swap(func(s *conformance.Signed) { s.Proof = strange.Proof }), a.trust(), conformance.ErrChanged},
		"another report's":                 {swap(func(s *conformance.Signed) { s.Proof = again.Proof }), a.trust(), conformance.ErrChanged},
		"another time-stamp":               {swap(func(s *conformance.Signed) { s.Proof.TimeStamp = again.Proof.TimeStamp }), a.trust(), conformance.ErrChanged},
		"no time-stamp":                    {swap(func(s *conformance.Signed) { s.Proof.TimeStamp = nil }), a.trust(), conformance.ErrFormat},
		"an event that is not":             {wrongText, a.trust(), conformance.ErrChanged},
		"something behind it":              {append(bytes.Clone(text), "{}"...), a.trust(), conformance.ErrFormat},
		"an unknown member":                {bytes.Replace(text, []byte(`{`), []byte(`{"x":1,`), 1), a.trust(), conformance.ErrFormat},
		"another format":                   {bytes.Replace(text, []byte(conformance.Format), []byte("other-report-v1"), 1), a.trust(), conformance.ErrFormat},
		"no report":                        {[]byte("{}"), a.trust(), conformance.ErrFormat},
		"no JSON":                          {[]byte("%PDF-1.7"), a.trust(), conformance.ErrFormat},
	} {
		if _, err := conformance.Verify(c.file, c.trust); !errors.Is(err, c.want) {
			t.Errorf("%s: %v; want %v", name, err, c.want)
		}
	}
}

// Who makes a report may write into it what no evidence says, and have the log hold
// that: a reader who judges again sees it.
func TestResultsThatTheEvidenceDoesNotGiveAreSeen(t *testing.T) {
	a := newAuditor(t)
	first := conformance.Evaluate(a.whole())[0].ID
	for name, c := range map[string]struct {
		change func(r *conformance.Report)
		want   []string
	}{
		"a gap that became proven": {func(r *conformance.Report) { r.Results[0].State, r.Results[0].Why = conformance.Proven, "" }, []string{first}},
		"a control left out":       {func(r *conformance.Report) { r.Results = r.Results[1:] }, []string{first}},
		"counts":                   {func(r *conformance.Report) { r.Counts = conformance.Counts{Proven: 120} }, nil},
	} {
		r := conformance.New(a.whole())
		c.change(r)
		s, err := conformance.Seal(r, a.attest(t, "report.attested"), a.stamp)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := s.JSON()
		v, err := conformance.Verify(text, a.trust())
		if err != nil || v.Reproduced {
			t.Errorf("%s: %+v, %v", name, v, err)
			continue
		}
		if d := cmp.Diff(c.want, v.Otherwise); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// What a report says of an earlier one is what the log holds of that.
func TestAnEarlierReportIsTheOneThatTheLogHolds(t *testing.T) {
	a := newAuditor(t)
	s := a.seal(t, a.whole())
	p, note, err := s.Before()
	if err != nil {
		t.Fatal(err)
	}
	c, err := audit.OpenCheckpoint([]byte(note), a.log.VerifierKey())
	if err != nil || c.Size != p.Size || p.Size == 0 || p.ID == "" || p.Ended.IsZero() {
		t.Errorf("%+v, %+v, %v", p, c, err)
	}
	changed := *s
	changed.Report = bytes.Replace(s.Report, []byte(p.ID), []byte("report-0123456789abcdef"), 1)
	if p, _, err := changed.Before(); !errors.Is(err, conformance.ErrChanged) {
		t.Errorf("under another name: %+v, %v", p, err)
	}
	e := a.whole()
	e.Module = nil
	if p, _, err := a.seal(t, e).Before(); !errors.Is(err, conformance.ErrFormat) {
		t.Errorf("of a module that did not answer: %+v, %v", p, err)
	}
}

// What the program writes is what the schema says, and the schema says something.
func TestReportsFollowTheSchema(t *testing.T) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(conformance.Schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	a := newAuditor(t)
	bare := &conformance.Evidence{Begun: noon, Ended: noon, Roles: []conformance.Role{}, Missing: []conformance.Missing{{What: "all", Why: "nobody answers"}}}
	for name, e := range map[string]*conformance.Evidence{"whole": whole(), "nothing answered": bare} {
		text, _ := a.seal(t, e).JSON()
		check := func(b []byte) error {
			v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			return schema.Validate(v)
		}
		if err := check(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if check(bytes.Replace(text, []byte(`"outside"`), []byte(`"perhaps"`), 1)) == nil {
			t.Errorf("%s: the schema takes a state that does not exist", name)
		}
	}
}

// What an attacker writes into evidence does not become markup.
func TestThePageShowsTextAsText(t *testing.T) {
	e := whole()
	e.Installation = `</script><script>alert(1)</script><img src=x onerror=alert(1)>`
	page, err := conformance.Render(newAuditor(t).seal(t, e))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(page), "<img src") || strings.Count(string(page), "<script") != 1 {
		t.Error("evidence became markup")
	}
}

func FuzzVerify(f *testing.F) {
	db := storetest.SQLite(f)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	log, err := audit.New(f.Context(), audit.Config{DB: db, Origin: "o", Signer: key, Now: func() time.Time { return noon }})
	if err != nil {
		f.Fatal(err)
	}
	a := &auditor{log: log, db: db, pki: adestest.New(f, adestest.Config{})}
	small := &conformance.Evidence{Begun: noon, Ended: noon, Roles: []conformance.Role{}, Missing: []conformance.Missing{}}
	good := a.seal(f, small)
	text, _ := good.JSON()
	for _, seed := range [][]byte{text, []byte("<!doctype html>"), []byte("{}"), []byte(`{"report":{},"proof":{"bundle":{},"timeStamp":"AA=="}}`)} {
		f.Add(seed)
	}
	genuine, err := conformance.Verify(text, a.trust())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, err := conformance.Verify(b, a.trust()); err == nil && v.SHA256 != genuine.SHA256 {
			t.Error("a report that nobody made is genuine")
		}
	})
}

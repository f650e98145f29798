package audit_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/audit"
)

// TestEveryEventIsWrittenInCanonicalForm writes events whose members are not in
// order, or need escapes, and reads them back as an auditor does, who takes the
// canonical form only.
func TestEveryEventIsWrittenInCanonicalForm(t *testing.T) {
	type inner struct {
		Z int    `json:"z"`
		A string `json:"a"`
	}
	for name, row := range map[string]struct {
		data any
		want string // as JSON
	}{
		"none":                 {nil, ""},
		"nothing":              {map[string]any(nil), ""},
		"ordered":              {map[string]any{"a": 1, "b": []int{2, 3}}, `{"a":1,"b":[2,3]}`},
		"struct out of order":  {inner{1, "x"}, `{"a":"x","z":1}`},
		"struct deep inside":   {map[string]any{"l": []any{map[string]any{"x": inner{1, "x"}}}}, `{"l":[{"x":{"a":"x","z":1}}]}`},
		"after a list":         {map[string]any{"a": []inner{{1, "}"}, {2, "\""}}, "b": 1}, `{"a":[{"a":"}","z":1},{"a":"\"","z":2}],"b":1}`},
		"quoted names":         {map[string]any{"a\"b": 1, "a!": 2}, `{"a!":2,"a\"b":1}`},
		"names that look done": {json.RawMessage(`{"b":"{\"a\":1","a":2}`), `{"a":2,"b":"{\"a\":1"}`},
		"a name twice":         {json.RawMessage(`{"a":1,"a":2}`), `{"a":2}`},
		"names and strings":    {map[string]any{"a": "b", "b": "a"}, `{"a":"b","b":"a"}`},
		"angles":               {map[string]any{"a": "<&>\u2028ü"}, `{"a":"<&>\u2028ü"}`},
		"a list":               {[]any{"b", "a"}, `["b","a"]`},
		"a list of objects":    {[]any{inner{1, "x"}}, `[{"a":"x","z":1}]`},
		"text":                 {"text", `"text"`},
		"bytes":                {map[string][]byte{"b": {1, 2}}, `{"b":"AQI="}`},
		"big number":           {json.RawMessage(`{"n":12345678901234567890}`), `{"n":12345678901234567890}`},
	} {
		for _, odd := range []string{"plain", `with "quotes" \ and`, "ü\u2028<\n\x7f"} {
			e := audit.Event{Type: "t." + odd, Subject: odd, Actor: odd, SID: odd, Outcome: odd, Data: row.data}
			r, err := audit.RoundTrip(e, time.Unix(1, 0))
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			got := audit.Event{Type: r.Type, Subject: r.Subject, Actor: r.Actor, SID: r.SID, Outcome: r.Outcome, Data: string(r.Data)}
			e.Data = row.want
			if diff := cmp.Diff(e, got); diff != "" {
				t.Errorf("%s: -written +read:\n%s", name, diff)
			}
		}
	}
}

// FuzzCanonicalData puts any JSON into an event: what is written is canonical, or
// the event is refused.
func FuzzCanonicalData(f *testing.F) {
	for _, seed := range []string{`{"b":1,"a":2}`, `[{"a":{"c":1,"b":"\""}}]`, `"x"`, `{"\u0061":1,"b":2}`, `null`, `{"a":1,"a":2}`, `[1e9,-0]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !json.Valid(data) {
			return
		}
		e := audit.Event{Type: "t", Actor: "a", Data: json.RawMessage(data)}
		r, err := audit.RoundTrip(e, time.Unix(1, 0))
		if err != nil { // refused
			return
		}
		again, err := audit.RoundTrip(audit.Event{Type: "t", Actor: "a", Data: r.Data}, time.Unix(1, 0))
		if err != nil || string(again.Data) != string(r.Data) {
			t.Errorf("%q becomes %q, and that %q, %v", data, r.Data, again.Data, err)
		}
		var sorted any
		if len(r.Data) == 0 {
			return
		}
		d := json.NewDecoder(bytes.NewReader(r.Data))
		d.UseNumber()
		if err := d.Decode(&sorted); err != nil {
			t.Fatal(err)
		}
		var want bytes.Buffer
		w := json.NewEncoder(&want)
		w.SetEscapeHTML(false)
		if err := w.Encode(sorted); err != nil || want.String() != string(r.Data)+"\n" {
			t.Errorf("%q is written as %q, its sorted form is %q, %v", data, r.Data, want.String(), err)
		}
	})
}

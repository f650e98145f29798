package record

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// Feature is the answer for one row of features.tsv.
type Feature struct {
	ID     string   `json:"id"`
	Proven bool     `json:"proven"`
	Tests  []string `json:"tests"`
}

// Control is the answer for one row of controls.tsv.
type Control struct {
	ID    string   `json:"id"`
	State string   `json:"state"` // proven, gap, outside
	Tests []string `json:"tests"`
	Why   string   `json:"why"`
}

// Row is one line of a table with a header.
type Row map[string]string

// Table reads a tab-separated file with a header line that names an id column.
// Quotation marks mean nothing in it.
func Table(name string) ([]Row, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var head []string
	var rows []Row
	for line := range strings.Lines(string(b)) {
		fields := strings.Split(strings.TrimRight(line, "\r\n"), "\t")
		if head == nil {
			if head = fields; !slices.Contains(head, "id") {
				return nil, fmt.Errorf("%s: no column id", name)
			}
			continue
		}
		row := Row{}
		for i, h := range head {
			if i < len(fields) {
				row[h] = fields[i]
			}
		}
		if row["id"] != "" {
			rows = append(rows, row)
		}
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s holds no row", name)
	}
	return rows, nil
}

// Features answers each row: proven when tests name it and every one of them passed.
func Features(rows []Row, tests []*Test) []Feature {
	by := claims(tests, "feature")
	out := make([]Feature, 0, len(rows))
	for _, row := range rows {
		c := by[row["id"]]
		out = append(out, Feature{ID: row["id"], Proven: c.proven(), Tests: c.names()})
	}
	return out
}

// byPaper matches evidence that only a document of the operator can give.
var byPaper = regexp.MustCompile(`^(doc|evidence)\b`)

// byMachine matches evidence that a program can give.
var byMachine = regexp.MustCompile(`\b(test|tests|auto|conf|audit|alarm|drill)\b`)

// Controls answers each row of the catalogue.
func Controls(rows []Row, tests []*Test) []Control {
	by := claims(tests, "control")
	out := make([]Control, 0, len(rows))
	for _, row := range rows {
		c := by[row["id"]]
		answer := Control{ID: row["id"], State: "gap", Tests: c.names()}
		switch ev := row["evidence"]; {
		case c.proven():
			answer.State, answer.Why = "proven", "every test that claims it passed"
		case len(c) > 0:
			answer.Why = "did not pass: " + strings.Join(c.bad(), ", ")
		case byPaper.MatchString(ev) && !byMachine.MatchString(ev):
			answer.State, answer.Why = "outside", "rests on the operator: "+ev
		default:
			answer.Why = "no test claims it; evidence asked for: " + ev
		}
		out = append(out, answer)
	}
	return out
}

// Unknown returns the ids that tests claim and the table does not have.
func Unknown(rows []Row, tests []*Test, key string) []string {
	known := map[string]bool{}
	for _, r := range rows {
		known[r["id"]] = true
	}
	var out []string
	for id := range claims(tests, key) {
		if !known[id] {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// claim is the tests that claim one row.
type claim []*Test

func claims(tests []*Test, key string) map[string]claim {
	by := map[string]claim{}
	for _, t := range tests {
		for _, a := range t.Attrs {
			if a.Key == key && !slices.Contains(by[a.Value], t) {
				by[a.Value] = append(by[a.Value], t)
			}
		}
	}
	return by
}

func (c claim) proven() bool { return len(c) > 0 && len(c.bad()) == 0 }

func (c claim) bad() []string {
	var out []string
	for _, t := range c {
		if t.Outcome != Pass {
			out = append(out, t.ID())
		}
	}
	return out
}

func (c claim) names() []string {
	out := make([]string, 0, len(c))
	for _, t := range c {
		out = append(out, t.ID())
	}
	slices.Sort(out)
	return out
}

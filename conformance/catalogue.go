// Package conformance answers, control by control, what a running installation
// shows of the requirements that trust services are assessed against, and makes a
// report of it that an auditor checks offline.
//
// A control is proven only by what was found on the running service or by a test
// of this very build that passed; never by a document alone. What no program can
// show is said to be outside of software, and everything else is a gap, with what
// would close it.
package conformance

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"
)

//go:embed controls.tsv
var table string

// Control is one row of the catalogue.
type Control struct {
	ID          string `json:"id"`
	Group       string `json:"group"`
	Clause      string `json:"clause"`
	Requirement string `json:"requirement"`
	// Evidence is what the catalogue asks for.
	Evidence string `json:"evidence"`
}

// Catalogue is every control, in order.
var Catalogue = sync.OnceValue(func() []Control {
	all, err := parseTable(table)
	if err != nil {
		panic(err) // the table is part of the program, and tested
	}
	return all
})

// parseTable reads a tab-separated table with the columns of a Control.
func parseTable(text string) ([]Control, error) {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	at := map[string]int{}
	for i, name := range strings.Split(lines[0], "\t") {
		at[name] = i
	}
	var all []Control
	for n, line := range lines[1:] {
		cells := strings.Split(line, "\t")
		cell := func(name string) string {
			i, ok := at[name]
			if !ok || i >= len(cells) {
				return ""
			}
			return strings.ReplaceAll(cells[i], "**", "")
		}
		c := Control{ID: cell("id"), Group: cell("group"), Clause: cell("clause"), Requirement: cell("requirement"), Evidence: cell("evidence")}
		if c.ID == "" || c.Clause == "" || c.Requirement == "" {
			return nil, fmt.Errorf("controls, line %d: incomplete", n+2)
		}
		all = append(all, c)
	}
	return all, nil
}

package conformance

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// State is how a control stands.
type State string

// The states.
const (
	Proven  State = "proven"
	Gap     State = "gap"
	Outside State = "outside" // of software: an assessor must see it
)

// Result is the answer to one control.
type Result struct {
	Control

	State State `json:"state"`
	// Found is what was seen, live, in sentences.
	Found []string `json:"found"`
	Tests []Claim  `json:"tests"`
	// Why says what is missing from a gap, or why software cannot show it.
	Why string `json:"why,omitempty"`
	// Close says what would close a gap.
	Close string `json:"close,omitempty"`
}

// rule says how a control is answered.
type rule struct {
	// outside says why no program can show it. Nothing else is asked then.
	outside string
	// live looks at the installation. Nil: there is nothing to be seen there.
	live func(e *Evidence) look
	// tested: a test of this build must show it.
	tested bool
	// close is what to do about a gap.
	close string
}

// look is what a live check saw.
type look struct {
	found []string
	bad   string // what does not hold; empty when all does
}

func holds(format string, args ...any) look {
	return look{found: []string{fmt.Sprintf(format, args...)}}
}

func fails(format string, args ...any) look { return look{bad: fmt.Sprintf(format, args...)} }

// and joins two looks: both must hold.
func (l look) and(m look) look {
	l.found = append(slices.Clip(l.found), m.found...)
	if l.bad == "" {
		l.bad = m.bad
	}
	return l
}

// Evaluate answers every control of the catalogue: gaps first, then what is
// proven, then what is outside of software.
func Evaluate(e *Evidence) []Result {
	rules := allRules()
	by := map[State][]Result{}
	for _, c := range Catalogue() {
		r := evaluate(c, rules[c.ID], e)
		by[r.State] = append(by[r.State], r)
	}
	return slices.Concat(by[Gap], by[Proven], by[Outside])
}

func evaluate(c Control, r rule, e *Evidence) Result {
	out := Result{Control: c, State: Gap, Found: []string{}, Tests: []Claim{}, Close: r.close}
	if r.outside != "" {
		out.State, out.Why, out.Close = Outside, r.outside, ""
		return out
	}
	if r.live == nil && !r.tested {
		out.Why = "This version has nothing that shows it."
		return out
	}
	bad := ""
	if r.live != nil {
		l := r.live(e)
		out.Found, bad = append(out.Found, l.found...), l.bad
	}
	if e.Tests != nil {
		out.Tests = append(out.Tests, e.Tests.Claims[c.ID]...)
	}
	if r.tested && bad == "" {
		bad = untested(e, out.Tests)
	}
	if bad != "" {
		out.Why = bad
		return out
	}
	out.State, out.Close = Proven, ""
	return out
}

// untested says what is missing from a control's tests, or nothing.
func untested(e *Evidence, claims []Claim) string {
	switch {
	case e.Tests == nil:
		return "There is no record of the tests of this build."
	case e.Commit == "":
		return "The program does not know of which commit it is, so no record of tests is of this build."
	case e.Tests.Commit != e.Commit:
		return fmt.Sprintf("The record of the tests is of commit %s, the program of commit %s.", short(e.Tests.Commit), short(e.Commit))
	case e.Tests.Failed > 0:
		// A package that does not build, or ends before its time, keeps silent about the
		// tests that it still had.
		return fmt.Sprintf("%d tests of this build failed: what else would have been tested is not known.", e.Tests.Failed)
	case len(claims) == 0:
		return "No test of this build claims it."
	}
	for _, r := range e.Roles {
		if r.Commit != e.Commit {
			return fmt.Sprintf("The process %s runs commit %s, the tests are of commit %s.", r.Role, short(r.Commit), short(e.Commit))
		}
	}
	for _, c := range claims {
		if c.Outcome != "pass" {
			return fmt.Sprintf("%s did not pass.", c.Test)
		}
	}
	return ""
}

// short is the beginning of a commit, and what says that the source differs from it.
func short(commit string) string {
	if commit == "" {
		return "unknown"
	}
	commit, changed, ok := strings.Cut(commit, "+")
	commit = commit[:min(12, len(commit))]
	if ok {
		return commit + "+" + changed
	}
	return commit
}

// all rules, by control.
func allRules() map[string]rule {
	all := map[string]rule{}
	for _, part := range []map[string]rule{operationRules(), keyRules(), enrolmentRules(), activationRules(), auditRules()} {
		maps.Copy(all, part)
	}
	return all
}

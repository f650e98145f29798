package conformance

import (
	"fmt"
	"time"
)

// Bounds of the clocks. A signature's time is told in seconds.
const (
	maxClockError = time.Second
	maxDrift      = 2 * time.Second
)

const (
	needsRoles    = "Give every operator an account of their own with a role of SRG_M.1; operators are users of the machine today, told apart by its groups only."
	needsDocument = "It rests on the provider's people and papers: an assessor must see it."
)

// operationRules are those of group A.
func operationRules() map[string]rule {
	return map[string]rule{
		"A01": {close: needsRoles},
		"A02": {close: needsRoles},
		"A03": {close: needsRoles},
		"A04": {close: needsRoles},
		"A05": {close: needsRoles},
		"A06": {close: "Ship the guides with the package and have it compare their version with the program's."},
		"A07": {live: (*Evidence).clockIsWatched, close: "Run a time service (chrony, systemd-timesyncd) against at least two sources, on every machine, and have it raise an alarm."},
		"A08": {live: (*Evidence).clockIsAccurate, tested: true, close: "Run a time service on every machine: the module refuses to sign when its clock steps back."},
		"A09": {tested: true, close: "Give administration a login beside the rights of the operating system on its sockets."},
		"A10": {close: "Administration has no sessions: each command opens a socket that the operating system guards. Administration pages will need an idle limit."},
		"A11": {tested: true, close: "Lock administrators' accounts after repeated failures, once there are such accounts."},
		"A12": {close: needsRoles + " Then ask each for a passkey."},
		"A13": {close: needsRoles + " Then export the register and record its reviews."},
		"A14": {tested: true, close: "Run the tests of this build and give their record with --tests."},
		"A15": {close: needsRoles},
		"A16": {outside: "Training records of staff. " + needsDocument},
		"A17": {outside: "Reports of vulnerability scans. " + needsDocument},
		"A18": {close: "Compare the shipped packet filter with the sockets that listen, on the machine itself."},
		"A19": {live: (*Evidence).processesAreReady, tested: true, close: "Run the tests of this build and give their record with --tests."},
		"A20": {close: "Name the environment in the event log, and refuse the development authority and the software keystore where it is production."},
	}
}

// clockIsAccurate looks at the kernel's clock, the module's and the time-stamp
// authority's.
func (e *Evidence) clockIsAccurate() look {
	c := e.Clock
	switch {
	case c == nil:
		return fails("The clocks could not be compared.")
	case !c.Synchronised:
		return fails("The kernel says that its clock is not synchronised.")
	case c.MaxError > maxClockError:
		return fails("The kernel knows its clock only to %v; %v is the bound.", c.MaxError, maxClockError)
	case abs(c.Module) > maxDrift || abs(c.Stamp) > maxDrift:
		return fails("The module's clock is off by %v, the time-stamp authority's by %v; %v is the bound.", c.Module, c.Stamp, maxDrift)
	}
	return holds("The kernel keeps its clock to %v. The module's clock differs by at most %v, the time-stamp authority's by at most %v.",
		c.MaxError.Round(time.Microsecond), abs(c.Module).Round(time.Millisecond), abs(c.Stamp).Round(time.Millisecond))
}

// clockIsWatched wants an alarm besides, which nothing here raises.
func (e *Evidence) clockIsWatched() look {
	l := e.clockIsAccurate()
	if l.bad == "" {
		l.bad = "No event is written when a clock drifts: the report sees it only when it is asked for."
	}
	return l
}

func abs(d time.Duration) time.Duration { return max(d, -d) }

// processesAreReady looks at the four processes.
func (e *Evidence) processesAreReady() look {
	var out look
	for _, r := range e.Roles {
		if !r.Ready {
			return fails("The process %s is not ready.", r.Role)
		}
		out.found = append(out.found, fmt.Sprintf("The process %s is ready; it runs commit %s.", r.Role, short(r.Commit)))
	}
	if len(e.Roles) < 4 {
		return fails("Only %d of four processes answered.", len(e.Roles))
	}
	return out
}

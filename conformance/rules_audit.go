package conformance

import (
	"fmt"
	"strings"
	"time"
)

// auditRules are those of group E.
func auditRules() map[string]rule {
	return map[string]rule{
		"E01": {live: (*Evidence).eventsAreThere, tested: true, close: needsTests},
		"E02": {close: "The log holds what the module does; the machine's own events (packet filter, crashes, access) must be collected beside it."},
		"E03": {live: (*Evidence).logGoesOn, tested: true, close: "Keep reports, or checkpoints, elsewhere: who owns the tables can take away what keeps their rows."},
		"E04": {live: (*Evidence).logIsWhole, tested: true, close: needsTests},
		"E05": {tested: true, close: needsTests},
		"E06": {tested: true, close: needsTests},
		"E07": {close: "Raise alarms on odd hours, odd volumes and several sessions of one signer."},
		"E08": {live: (*Evidence).logGoesOn, tested: true, close: "Give an earlier report, kept elsewhere, with --previous, and the record of the tests of this build with --tests."},
		"E09": {live: func(e *Evidence) look { return e.clockIsAccurate().and(e.logIsWhole()) }, close: "Run a time service on the module's machine."},
		"E10": {live: (*Evidence).logIsWhole, tested: true, close: needsTests},
		"E11": {close: "Configure and state how long the log is kept: seven years after the last certificate ends. Nothing deletes it today."},
		"E12": {close: "Encrypt the log and its archives at rest, and show it."},
		"E13": {close: "Keep a second copy of the log, or witnesses of its checkpoints, on another site."},
		"E14": {close: "Archive the log by period, with an evidence record for each."},
		"E15": {close: "Record restore drills in the log, and repeat them by a plan."},
		"E16": {outside: "The continuity plan and its drills. " + needsDocument},
		"E17": {outside: "The termination plan of Art. 24(5). " + needsDocument},
		"E18": {close: "Publish policies and terms, name their addresses in the configuration, and have the report fetch them."},
		"E19": {close: "Assert a policy OID in certificates and answers once a policy is in force."},
		"E20": {close: "List the personal data of each event and record, and compare it with the schema."},
		"E21": {close: "Renew the evidence of archives before its algorithms end: there are no archives yet."},
	}
}

// needed are the types of events that an installation that has signed must have.
var needed = []string{
	"audit.started", "authority.registered", "gateway.registered", "signer.registered", "enrolment.opened", "device.enrolled",
	"key.assigned", "certificate.bound", "sad.created", "sad.approved", "sad.consumed", "signature.created",
}

func (e *Evidence) eventsAreThere() look {
	return e.withModule(func(m *Module) look {
		var missing []string
		for _, kind := range needed {
			if m.Ledger.Events[kind] == 0 {
				missing = append(missing, kind)
			}
		}
		if len(missing) > 0 {
			return fails("The log has no event of type %s yet.", strings.Join(missing, ", "))
		}
		return holds("Events by type: %s.", tally(m.Ledger.Events))
	})
}

// logIsWhole reads the module's whole log, against its own checkpoints and that of
// the last report.
func (e *Evidence) logIsWhole() look {
	return e.withModule(func(m *Module) look {
		l := m.Ledger
		if l.LogError != "" {
			return fails("The log is not what was written: %s.", l.LogError)
		}
		before := "No earlier report was given to compare with: whether the log was cut as a whole, together with its checkpoints, is not seen."
		if p := e.Previous; p != nil {
			if l.Kept == 0 {
				return fails("The checkpoint of report %s could not be compared.", p.ID)
			}
			before = fmt.Sprintf("The checkpoint of report %s, over %d events, is still part of it.", p.ID, p.Size)
		}
		return holds("%d events from %s to %s; their Merkle tree agrees with every checkpoint. %s",
			l.Checkpoint.Size, l.First.UTC().Format(time.DateTime), l.Last.UTC().Format(time.DateTime), before)
	})
}

// logGoesOn is logIsWhole with something to compare with that lay elsewhere.
func (e *Evidence) logGoesOn() look {
	l := e.logIsWhole()
	if l.bad == "" && e.Previous == nil {
		l.bad = "No earlier report was given: that nothing was deleted since is not shown."
	}
	return l
}

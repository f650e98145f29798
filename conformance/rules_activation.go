package conformance

import "time"

const needsEvaluation = "A product evaluation closes it, not a setting."

// activationRules are those of group D.
func activationRules() map[string]rule {
	tested := rule{tested: true, close: needsTests}
	account := rule{live: (*Evidence).signaturesAreAccounted, tested: true, close: needsTests}
	return map[string]rule{
		"D01": tested,
		"D02": tested,
		"D03": tested,
		"D04": account,
		"D05": tested,
		"D06": {live: (*Evidence).twoFactorsPerKey, tested: true, close: needsTests},
		"D07": tested,
		"D08": {live: (*Evidence).moduleIsCertified, close: "Run the module inside of an evaluated, tamper-protected device. " + needsEvaluation},
		"D09": {close: "The tests of replay and forgery are there; resistance against a high attack potential is for an evaluator to show."},
		"D10": {close: "No certificate to EN 419 241-2 exists for this product. " + needsEvaluation},
		"D11": tested,
		"D12": {live: (*Evidence).twoFactorsPerKey, tested: true, close: needsTests},
		"D13": tested,
		"D14": tested,
		"D15": tested,
		"D16": tested,
		"D17": {live: (*Evidence).soleControl, close: "Keys of persons belong under SCAL2."},
		"D18": tested,
		"D19": tested,
		"D20": tested,
		"D21": tested,
		"D22": {live: (*Evidence).usedInsideTheModule, tested: true, close: needsCertified},
		"D23": tested,
		"D24": account,
		"D25": tested,
		"D26": tested,
		"D27": tested,
		"D28": account,
		"D29": {close: "There are no one-time keys linked to an identification yet."},
		"D30": {live: (*Evidence).sessionsEnd, close: "There are no sessions of identity proofing yet: their end cannot be measured against it."},
		"D31": tested,
		"D32": {live: (*Evidence).recordsAreWhole, tested: true, close: needsTests},
		"D33": tested,
		"D34": {close: "A map from the objectives of EN 419 241-2 to the tests of D01 to D24 is not written. " + needsEvaluation},
		"D35": tested,
	}
}

// signaturesAreAccounted follows every signature in the log back to its approval.
func (e *Evidence) signaturesAreAccounted() look {
	return e.withModule(func(m *Module) look {
		l := m.Ledger
		switch {
		case l.LogError != "":
			return fails("The log is not what was written: %s.", l.LogError)
		case len(l.Anomalies) > 0:
			return fails("%d entries of the log do not add up, the first: %s.", len(l.Anomalies), l.Anomalies[0])
		case l.Signatures == 0:
			return fails("No signature was made yet: there is nothing to see.")
		}
		return holds("%d signatures, each of a hash that an approval in the log names and that was spent before; none without, none twice. %d hashes were spent and never signed.",
			l.Signatures, m.Status.Burned)
	})
}

func (e *Evidence) soleControl() look {
	const created = "under control of its creator (SCAL1)"
	return e.withModule(func(m *Module) look {
		count := map[string]int{}
		for _, k := range m.living() {
			if k.SCAL < 2 {
				count[created]++
			} else {
				count["under sole control of its signer (SCAL2)"]++
			}
		}
		if len(count) == 0 {
			return fails(noKeyYet)
		}
		l := holds("Keys: %s.", tally(count))
		if count[created] > 0 {
			l.bad = "That the signers of the keys under SCAL1 are legal persons is not shown."
		}
		return l
	})
}

func (e *Evidence) usedInsideTheModule() look {
	return e.withModule(func(m *Module) look {
		if !m.Probe.Hardware {
			return fails("Keys are unwrapped in the memory of a software module.")
		}
		if !m.Probe.WrapsKeys || !m.Probe.NonExtractable {
			return fails("The module %s, as the probe found, unwraps keys: %s, and cannot be made to give one away: %s.",
				m.Probe.Module, yes(m.Probe.WrapsKeys), yes(m.Probe.NonExtractable))
		}
		return holds("A key was unwrapped as an object of the module's session, could not be read there, and was destroyed.")
	})
}

func (e *Evidence) sessionsEnd() look {
	return e.withModule(func(m *Module) look {
		l := holds("A request waits %v for its approval, and an approval serves for %v.", m.Inventory.Approval, m.Inventory.Redeem)
		if m.Inventory.Approval+m.Inventory.Redeem > 30*time.Minute {
			l.bad = "Together that is longer than 30 minutes."
			return l
		}
		l.bad = "Sessions are not linked to a proofing process."
		return l
	})
}

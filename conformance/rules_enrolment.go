package conformance

import (
	"slices"

	"github.com/countersign/countersign/sam/samapi"
)

// twoFactors are the mechanisms that ask for possession and for knowledge or a
// biometric: the module checks the device key's PIN, and a passkey's user
// verification.
var twoFactors = []string{samapi.DeviceKey, samapi.WebAuthn}

// enrolmentRules are those of group C.
func enrolmentRules() map[string]rule {
	return map[string]rule{
		"C01": {live: (*Evidence).assuranceIsKnown, tested: true, close: needsTests},
		"C02": {live: (*Evidence).identityIsProved, tested: true, close: "Prove the identity of every signer whose key is under SCAL2 at substantial or high."},
		"C03": {close: "Record the level of identity proofing of TS 119 461 with each proofing record."},
		"C04": {live: (*Evidence).enrolmentsAreLogged, tested: true, close: needsTests},
		"C05": {live: (*Evidence).twoFactorsPerKey, close: "Keys that one factor activates count as level low: bind new keys to a device with PIN or to a passkey."},
		"C06": {live: (*Evidence).twoFactorsPerKey, tested: true, close: needsTests},
		"C07": {tested: true, close: needsTests},
		"C08": {close: "There is no recovery of a lost device: a signer is enrolled anew, by the registration authority."},
		"C09": {live: (*Evidence).recordsAreWhole, tested: true, close: needsTests},
		"C10": {tested: true, close: needsTests},
		"C11": {close: "Record the evidence on each peer and delegated authority beside its registration."},
		"C12": {close: "Keys of delegated machines are pinned; that they lie in a certified module is not shown."},
		"C13": {tested: true, close: needsTests},
		"C14": {tested: true, close: needsTests},
		"C15": {outside: "Contracts with registration authorities. " + needsDocument},
		"C16": {live: (*Evidence).bindingsAreSigned, tested: true, close: needsTests},
	}
}

// noKeyYet is what a check of all keys sees where there is none.
const noKeyYet = "There is no key yet: there is nothing to see."

func (e *Evidence) assuranceIsKnown() look {
	return e.withModule(func(m *Module) look {
		if len(m.living()) == 0 {
			return fails(noKeyYet)
		}
		count := map[string]int{}
		for _, k := range m.living() {
			if !slices.Contains([]string{"low", "substantial", "high"}, k.Assurance) {
				return fails("The identity behind credential %s has assurance %q.", k.Credential, k.Assurance)
			}
			count[k.Assurance]++
		}
		return holds("Identities behind the keys: %s.", tally(count))
	})
}

func (e *Evidence) identityIsProved() look {
	return e.withModule(func(m *Module) look {
		if len(m.living()) == 0 {
			return fails(noKeyYet)
		}
		n := 0
		for _, k := range m.living() {
			if k.SCAL < 2 {
				continue
			}
			if n++; k.Assurance != "substantial" && k.Assurance != "high" {
				return fails("The identity behind credential %s, under SCAL2, was proved at %s only.", k.Credential, k.Assurance)
			}
		}
		return holds("%d keys are under SCAL2; the identity behind each was proved at substantial or high.", n)
	})
}

func (e *Evidence) enrolmentsAreLogged() look {
	return e.withModule(func(m *Module) look {
		ev := m.Ledger.Events
		if ev["signer.registered"] < m.Status.Signers {
			return fails("There are %d signers; the log has the registration of %d.", m.Status.Signers, ev["signer.registered"])
		}
		return holds("The log has %d registrations of signers, %d enrolments of devices and %d assignments of keys.",
			ev["signer.registered"], ev["device.enrolled"], ev["key.assigned"])
	})
}

func (e *Evidence) twoFactorsPerKey() look {
	return e.withModule(func(m *Module) look {
		if len(m.living()) == 0 {
			return fails(noKeyYet)
		}
		count := map[string]int{}
		for _, k := range m.living() {
			if k.SCAL >= 2 && !slices.Contains(twoFactors, k.Mechanism) {
				return fails("Credential %s is under SCAL2 and activated by %s.", k.Credential, k.Mechanism)
			}
			count[k.Mechanism]++
		}
		return holds("Keys by what activates them: %s. No other mechanism activates a key under SCAL2.", tally(count))
	})
}

func (e *Evidence) bindingsAreSigned() look {
	if e.Authority == nil {
		return fails("The certification authority could not be asked.")
	}
	if e.Authority.Parties["sam"] == 0 || e.Authority.Parties["ra"] == 0 {
		return fails("The certification authority knows %d modules and %d registration authorities; it can issue nothing.",
			e.Authority.Parties["sam"], e.Authority.Parties["ra"])
	}
	return holds("The certification authority issues on the signed records of %d modules and %d registration authorities only.",
		e.Authority.Parties["sam"], e.Authority.Parties["ra"])
}

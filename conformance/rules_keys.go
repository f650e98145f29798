package conformance

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

const (
	needsCertified = "Move to a PKCS#11 module certified to EN 419 221-5 and make new keys there. Keys of the software keystore cannot be moved."
	needsTests     = "Run the tests of this build and give their record with --tests."
)

// legacyEnd is when RSA with PKCS#1 v1.5 ends (ETSI TS 119 312 §6.2.2.1).
var legacyEnd = time.Date(2034, 12, 31, 23, 59, 59, 0, time.UTC)

// keyRules are those of group B.
func keyRules() map[string]rule {
	return map[string]rule{
		"B01": {live: (*Evidence).moduleIsCertified, close: needsCertified},
		"B02": {live: (*Evidence).moduleIsCertified, close: needsCertified},
		"B03": {live: (*Evidence).moduleIsCertified, close: "Use a device on the list of notified qualified signature creation devices."},
		"B04": {live: (*Evidence).moduleIsCertified, close: "Sign a baseline of the device's configuration and compare it at each start."},
		"B05": {outside: "The practice statement's text. " + needsDocument},
		"B06": {live: (*Evidence).keysAreStrong, tested: true, close: needsTests},
		"B07": {live: (*Evidence).rsaIsLongEnough, tested: true, close: "Issue no certificate on RSA below 3,000 bits, and let none last beyond 2028."},
		"B08": {live: (*Evidence).legacyEnds, close: "Let certificates of RSA keys end by 2034, or use P-256."},
		"B09": {live: (*Evidence).recordsAreWhole, tested: true, close: needsTests},
		"B10": {close: "Initialise the module in a ceremony of two operators, recorded in the log."},
		"B11": {tested: true, close: needsTests},
		"B12": {close: "Have the keystore report type and strength of its key-encryption key."},
		"B13": {close: "Put backup and restore of master keys under the control of two people."},
		"B14": {close: "Keep a register of backup sets and bound their number."},
		"B15": {tested: true, close: needsTests},
		"B16": {live: (*Evidence).oneKeyOneCertificate, tested: true, close: needsTests},
		"B17": {close: "Keys are never transported today; export and import will need a test."},
		"B18": {close: "Record the age of each key-encryption key, and rotate by a plan."},
		"B19": {live: (*Evidence).noDeadKeys, close: "Destroy keys whose certificates have ended."},
		"B20": {live: (*Evidence).noDeadKeys, tested: true, close: "Destroy keys whose certificates have ended or were revoked, by a job."},
		"B21": {tested: true, close: needsTests},
		"B22": {tested: true, close: needsTests},
		"B23": {close: "Destroy the key-encryption key of each generation once nothing is wrapped under it, and record that."},
		"B24": {close: "There are no one-time keys yet."},
		"B25": {outside: "The cryptography policy and its reviews. " + needsDocument},
		"B26": {live: (*Evidence).keysAreSeparate, close: "Use a hardware module, and have the probe list what else is in its token."},
		"B27": {live: (*Evidence).moduleIsCertified, close: needsCertified},
		"B28": {live: (*Evidence).everyKeyHasItsRecord, close: "Use a qualified device, and revoke certificates of keys that the module does not list."},
	}
}

// withModule has a check look at the module, if it could be asked.
func (e *Evidence) withModule(check func(*Module) look) look {
	if e.Module == nil {
		return fails("The signature activation module could not be asked.")
	}
	return check(e.Module)
}

// moduleIsCertified never holds by what software can see: it says what is there.
func (e *Evidence) moduleIsCertified() look {
	return e.withModule(func(m *Module) look {
		p := m.Probe
		l := look{found: []string{fmt.Sprintf("Keystore %s, %s. Keys wrapped and used again: %s. Changed keys refused: %s. Private keys cannot be read: %s.",
			p.Driver, p.Module, yes(p.WrapsKeys), yes(p.RefusesTamper), yes(p.NonExtractable))}}
		l.bad = "The keys lie in a software module, which nobody certified."
		if p.Hardware {
			l.bad = "The module says that it is hardware. Its certificate is a document, which proves nothing by itself: an assessor compares it with the module."
		}
		return l
	})
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// living are the keys that may sign, now or later.
func (m *Module) living() []samapi.Key {
	return slices.DeleteFunc(slices.Clone(m.Inventory.Keys), func(k samapi.Key) bool { return k.State == samapi.CredentialDestroyed })
}

// allowed are the key types of ETSI TS 119 312 for new certificates.
var allowed = []signing.KeyType{
	signing.P256, signing.P384, signing.P521, signing.RSA3072, signing.RSA4096, signing.KeyEd25519,
}

func (e *Evidence) keysAreStrong() look {
	return e.withModule(func(m *Module) look {
		count := map[string]int{}
		for _, k := range m.living() {
			if !slices.Contains(allowed, k.Type) {
				return fails("Credential %s has a key of type %s.", k.Credential, k.Type)
			}
			count[string(k.Type)]++
		}
		if e.Authority == nil {
			return fails("The certification authority could not be asked.")
		}
		for _, c := range e.Authority.alive(e.Ended) {
			if !slices.Contains(allowed, signing.KeyType(c.Key)) {
				return fails("Certificate %s (%s) is on a key of type %s.", c.Serial, c.Role, c.Key)
			}
			if s := strings.ToUpper(c.Signature); strings.Contains(s, "SHA1") || strings.Contains(s, "MD5") {
				return fails("Certificate %s (%s) is signed with %s.", c.Serial, c.Role, c.Signature)
			}
			count[c.Role+" certificate on "+c.Key]++
		}
		return holds("Keys and certificates: %s.", tally(count))
	})
}

func tally(count map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(count)) {
		parts = append(parts, fmt.Sprintf("%d × %s", count[name], name))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// alive are the certificates that have neither ended nor been revoked.
func (a *Authority) alive(now time.Time) []Certificate {
	return slices.DeleteFunc(slices.Clone(a.Certificates), func(c Certificate) bool { return !c.Revoked.IsZero() || now.After(c.NotAfter) })
}

func (e *Evidence) rsaIsLongEnough() look {
	if e.Authority == nil {
		return fails("The certification authority could not be asked.")
	}
	n := 0
	for _, c := range e.Authority.alive(e.Ended) {
		if !strings.HasPrefix(c.Key, "RSA") {
			continue
		}
		n++
		if bits, err := strconv.Atoi(strings.TrimPrefix(c.Key, "RSA-")); err != nil || bits < 3000 {
			return fails("Certificate %s is on a key %s: it needs 3,000 bits or more.", c.Serial, c.Key)
		}
	}
	return holds("%d living certificates are on RSA keys, all of 3,000 bits or more.", n)
}

func (e *Evidence) legacyEnds() look {
	if e.Authority == nil {
		return fails("The certification authority could not be asked.")
	}
	rsa := 0
	for _, c := range e.Authority.alive(e.Ended) {
		if !strings.HasPrefix(c.Key, "RSA") {
			continue
		}
		rsa++
		if c.NotAfter.After(legacyEnd) && c.Role == "signer" {
			return fails("Certificate %s on an RSA key lasts until %s, longer than PKCS#1 v1.5 may be used.", c.Serial, c.NotAfter.Format(time.DateOnly))
		}
	}
	return holds("%d of %d living certificates are on RSA keys.", rsa, len(e.Authority.alive(e.Ended)))
}

func (e *Evidence) recordsAreWhole() look {
	return e.withModule(func(m *Module) look {
		v := m.Verification
		if len(v.Findings) > 0 {
			f := v.Findings[0]
			return fails("%d protected records are not as they were written, the first: %s %s, %s.", len(v.Findings), f.Kind, f.ID, f.What)
		}
		if !m.Probe.RefusesTamper {
			return fails("The keystore takes back a wrapped key that was changed.")
		}
		return holds("%d link records and other protected records were read back; every MAC and version is right. A changed wrapped key was refused.", v.Records)
	})
}

func (e *Evidence) oneKeyOneCertificate() look {
	return e.withModule(func(m *Module) look {
		keys, certs := map[string]string{}, map[string]string{}
		for _, k := range m.Inventory.Keys {
			if other := keys[k.SPKIHash]; other != "" {
				return fails("Credentials %s and %s have the same key.", other, k.Credential)
			}
			keys[k.SPKIHash] = k.Credential
			if k.Certificate == "" {
				continue
			}
			if other := certs[k.Certificate]; other != "" {
				return fails("Credentials %s and %s have the same certificate.", other, k.Credential)
			}
			certs[k.Certificate] = k.Credential
		}
		return holds("%d keys, each with a signer of its own; %d certificates, each on one key.", len(keys), len(certs))
	})
}

func (e *Evidence) noDeadKeys() look {
	return e.withModule(func(m *Module) look {
		if e.Authority == nil {
			return fails("The certification authority could not be asked.")
		}
		revoked := map[string]bool{}
		for _, c := range e.Authority.Certificates {
			revoked[c.SPKIHash] = revoked[c.SPKIHash] || !c.Revoked.IsZero()
		}
		for _, k := range m.living() {
			if !k.NotAfter.IsZero() && e.Ended.After(k.NotAfter) {
				return fails("The key of credential %s is still there; its certificate ended on %s.", k.Credential, k.NotAfter.Format(time.DateOnly))
			}
			if revoked[k.SPKIHash] {
				return fails("The key of credential %s is still there; its certificate was revoked.", k.Credential)
			}
		}
		return holds("%d keys are there; the certificate of none has ended or was revoked.", len(m.living()))
	})
}

func (e *Evidence) keysAreSeparate() look {
	return e.withModule(func(m *Module) look {
		if !m.Probe.Hardware {
			return fails("The keys lie in a software module in the memory of the signing process.")
		}
		l := holds("Each of %d signers' keys is wrapped by itself.", len(m.living()))
		l.bad = fmt.Sprintf("That the module %s serves the signature activation module only is not shown: its other objects are not listed.", m.Probe.Module)
		return l
	})
}

func (e *Evidence) everyKeyHasItsRecord() look {
	return e.withModule(func(m *Module) look {
		if e.Authority == nil {
			return fails("The certification authority could not be asked.")
		}
		known := map[string]bool{}
		for _, k := range m.Inventory.Keys {
			known[k.SPKIHash] = true
		}
		n := 0
		for _, c := range e.Authority.alive(e.Ended) {
			if c.Role != "signer" {
				continue
			}
			if n++; !known[c.SPKIHash] {
				return fails("Certificate %s is on a key that the module does not list.", c.Serial)
			}
		}
		l := holds("%d certificates are on keys that this module lists, each issued on the module's signed record.", n)
		l.bad = "That the module is a qualified device is not shown."
		return l
	})
}

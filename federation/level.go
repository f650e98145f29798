package federation

import (
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"strings"
)

// Level is the assurance of a signature, as its certificate says (ETSI EN 319
// 412-5). What a service claims beside it counts only against itself.
type Level string

// The levels, the weakest first.
const (
	AES   Level = "AES"   // advanced
	AESQC Level = "AESQC" // advanced, with a qualified certificate
	QES   Level = "QES"   // qualified: the certificate says so, and that the key is in a device
)

func levels() []Level { return []Level{AES, AESQC, QES} }

func levelNames() (names []string) {
	for _, l := range levels() {
		names = append(names, string(l))
	}
	return names
}

// rank is 0 for a word that is no level.
func (l Level) rank() int { return slices.Index(levels(), l) + 1 }

// atLeast reports whether l is as strong as o.
func (l Level) atLeast(o Level) bool { return l.rank() >= o.rank() }

// qualifiers are CSC's words (API v2 §11.5, signatureQualifier) for signatures and
// for seals.
var qualifiers = map[string]struct {
	level Level
	seal  bool
}{
	"eu_eidas_aes": {AES, false}, "eu_eidas_aesqc": {AESQC, false}, "eu_eidas_qes": {QES, false},
	"eu_eidas_aeseal": {AES, true}, "eu_eidas_aesealqc": {AESQC, true}, "eu_eidas_qeseal": {QES, true},
}

var (
	oidQCStatements = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3}
	oidQCCompliance = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 1}
	oidQCSSCD       = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 4}
	oidQCType       = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 6}
	oidQCTypeESeal  = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 6, 2}
)

// LevelOf is the level that a certificate bears out, and whether it is for seals.
// Statements that cannot be read bear out nothing.
func LevelOf(cert *x509.Certificate) (l Level, seal bool) {
	var compliance, sscd bool
	for _, e := range cert.Extensions {
		if !e.Id.Equal(oidQCStatements) {
			continue
		}
		var list []struct {
			ID   asn1.ObjectIdentifier
			Info asn1.RawValue `asn1:"optional"`
		}
		if rest, err := asn1.Unmarshal(e.Value, &list); err != nil || len(rest) > 0 {
			return AES, false
		}
		for _, s := range list {
			compliance = compliance || s.ID.Equal(oidQCCompliance)
			sscd = sscd || s.ID.Equal(oidQCSSCD)
			if s.ID.Equal(oidQCType) {
				var types []asn1.ObjectIdentifier
				if _, err := asn1.Unmarshal(s.Info.FullBytes, &types); err == nil {
					seal = slices.ContainsFunc(types, oidQCTypeESeal.Equal)
				}
			}
		}
	}
	switch {
	case compliance && sscd:
		return QES, seal
	case compliance:
		return AESQC, seal
	}
	return AES, seal
}

// claimHolds reports whether a service's word for a signature is borne out by the
// certificate. A word that is not known claims nothing that could be relied on.
func claimHolds(qualifier string, l Level) bool {
	q, known := qualifiers[strings.ToLower(qualifier)]
	return !known || l.atLeast(q.level)
}

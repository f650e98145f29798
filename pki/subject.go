package pki

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/signing"
)

var (
	oidCommonName     = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidSurname        = asn1.ObjectIdentifier{2, 5, 4, 4}
	oidSerialNumber   = asn1.ObjectIdentifier{2, 5, 4, 5}
	oidCountry        = asn1.ObjectIdentifier{2, 5, 4, 6}
	oidOrganization   = asn1.ObjectIdentifier{2, 5, 4, 10}
	oidGivenName      = asn1.ObjectIdentifier{2, 5, 4, 42}
	oidOrganizationID = asn1.ObjectIdentifier{2, 5, 4, 97}
)

// upperBound is the length that RFC 5280 appendix A.1 allows names and numbers.
const upperBound = 64

// subject is a person's name as a certificate carries it.
type subject struct {
	name  pkix.RDNSequence
	legal bool // a legal person: the certificate is for seals
	email string
}

// newSubject builds a natural person's name after ETSI EN 319 412-2 §4.2.4, or,
// when there is neither given name nor surname, a legal person's after EN 319
// 412-3 §4.2.1 with the serial number as organizationIdentifier.
func newSubject(s signing.Subject) (subject, error) {
	if !isCountry(s.Country) {
		return subject{}, fault.New(fault.Invalid, "subject: country must be two capital letters (ISO 3166-1)").WithCode("subject")
	}
	for _, f := range []struct {
		name, value string
		required    bool
	}{
		{"commonName", s.CommonName, true},
		{"givenName", s.GivenName, false},
		{"surname", s.Surname, false},
		{"organization", s.Organization, false},
		{"serialNumber", s.SerialNumber, true},
	} {
		if f.value == "" && !f.required {
			continue
		}
		if err := checkText("subject: "+f.name, f.value, upperBound); err != nil {
			return subject{}, err
		}
	}
	if !isPrintable(s.SerialNumber) {
		return subject{}, fault.New(fault.Invalid, "subject: serialNumber has characters outside PrintableString").WithCode("subject")
	}
	if s.Email != "" && !isEmail(s.Email) {
		return subject{}, fault.New(fault.Invalid, "subject: email is not an address in ASCII").WithCode("subject")
	}
	out := subject{email: s.Email, legal: s.GivenName == "" && s.Surname == ""}
	if out.legal {
		if s.Organization == "" {
			return subject{}, fault.New(fault.Invalid, "subject: a person needs givenName or surname, a legal person organization").WithCode("subject")
		}
		out.name = names(s.Country, attribute{oidOrganization, s.Organization}, attribute{oidOrganizationID, s.SerialNumber}, attribute{oidCommonName, s.CommonName})
		return out, nil
	}
	out.name = names(s.Country, attribute{oidOrganization, s.Organization}, attribute{oidSurname, s.Surname},
		attribute{oidGivenName, s.GivenName}, attribute{oidSerialNumber, s.SerialNumber}, attribute{oidCommonName, s.CommonName})
	return out, nil
}

type attribute struct {
	oid   asn1.ObjectIdentifier
	value string
}

// names leaves out empty attributes.
func names(country string, attributes ...attribute) pkix.RDNSequence {
	seq := pkix.RDNSequence{{{Type: oidCountry, Value: country}}}
	for _, a := range attributes {
		if a.value != "" {
			seq = append(seq, pkix.RelativeDistinguishedNameSET{{Type: a.oid, Value: a.value}})
		}
	}
	return seq
}

func checkText(what, s string, limit int) error {
	switch {
	case s == "":
		return fault.New(fault.Invalid, "%s is missing", what).WithCode("subject")
	case !utf8.ValidString(s):
		return fault.New(fault.Invalid, "%s is not UTF-8", what).WithCode("subject")
	case utf8.RuneCountInString(s) > limit:
		return fault.New(fault.Invalid, "%s is longer than %d characters", what, limit).WithCode("subject")
	case s != strings.TrimSpace(s):
		return fault.New(fault.Invalid, "%s begins or ends with a space", what).WithCode("subject")
	}
	for _, r := range s {
		// Cf has the characters that turn the direction of writing and the invisible ones:
		// with them two different names look alike.
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == utf8.RuneError {
			return fault.New(fault.Invalid, "%s has the character U+%04X, which cannot be seen", what, r).WithCode("subject")
		}
	}
	return nil
}

func isCountry(s string) bool {
	return len(s) == 2 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z'
}

func isPrintable(s string) bool {
	for _, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && strings.IndexByte(" '()+,-./:=?", c) < 0 {
			return false
		}
	}
	return true
}

func isEmail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	if !ok || local == "" || domain == "" || len(s) > 254 || strings.Contains(domain, "@") {
		return false
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' || strings.IndexByte(`"(),:;<>[\]`, c) >= 0 {
			return false
		}
	}
	return true
}

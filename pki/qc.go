package pki

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"net/url"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/signing"
)

// QCStatements are the statements of ETSI EN 319 412-5 in signers'
// certificates. They are claims with legal weight: only an operator to whom the
// supervisory body granted qualified status may configure them.
type QCStatements struct {
	// Compliance says that certificates are EU qualified (§4.2.1).
	Compliance bool
	// SSCD says that the private key is in a qualified signature creation
	// device (§4.2.2). Software keys are in none.
	SSCD bool // issued for keys in a hardware module under SCAL 2 only
	// PDS are the locations of the disclosure statement (§4.3.4); one in English
	// at least.
	PDS []PDSLocation
	// RetentionYears is how long records are kept after the end (§4.3.3); 0 leaves it out.
	RetentionYears int
	// Legislation lists countries outside the EU whose law the certificate is
	// qualified under (§4.2.4).
	Legislation []string
}

// PDSLocation is one language's disclosure statement.
type PDSLocation struct {
	URL      string // https
	Language string // two letters, ISO 639-1
}

func (q QCStatements) check() error {
	english := false
	for _, p := range q.PDS {
		u, err := url.Parse(p.URL)
		if err != nil || u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("disclosure statement %q is not an https URL", p.URL)
		}
		if len(p.Language) != 2 {
			return fmt.Errorf("language %q: write two letters", p.Language)
		}
		english = english || p.Language == "en"
	}
	switch {
	case !english && (q.Compliance || len(q.PDS) > 0):
		return errors.New("a disclosure statement in English is required (EN 319 412-5 §4.3.4)")
	case q.SSCD && !q.Compliance && len(q.Legislation) == 0:
		return errors.New("SSCD without Compliance means nothing")
	case q.RetentionYears < 0 || q.RetentionYears > 100:
		return fmt.Errorf("%d years of retention", q.RetentionYears)
	}
	for _, c := range q.Legislation {
		if !isCountry(c) {
			return fmt.Errorf("legislation %q: write two capital letters", c)
		}
	}
	return nil
}

// bear refuses to put statements into a certificate that the two records behind
// it do not bear out: a device for a key that is in none, or a qualified
// certificate for somebody whose identity was hardly proved.
func (q QCStatements) bear(k signing.KeyRecord, p signing.ProofingRecord) error {
	if q.SSCD && (k.Keystore != hardwareKeystore || k.SCAL != 2) {
		return fault.New(fault.Forbidden, "certificates here say that the key is in a signature creation device, and this key (keystore %q, SCAL %d) is not", k.Keystore, k.SCAL).
			WithCode("not_in_device")
	}
	if q.Compliance && p.Assurance != "substantial" && p.Assurance != "high" {
		return fault.New(fault.Forbidden, "qualified certificates need an identity proved at level substantial or high, not %q", p.Assurance).WithCode("assurance")
	}
	return nil
}

// hardwareKeystore is what key records call a keystore that is a device.
const hardwareKeystore = "pkcs11"

var (
	oidQCStatements  = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3}
	oidQCCompliance  = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 1}
	oidQCRetention   = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 3}
	oidQCSSCD        = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 4}
	oidQCPDS         = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 5}
	oidQCType        = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 6}
	oidQCLegislation = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 7}
	oidQCTypeESign   = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 6, 1}
	oidQCTypeESeal   = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 6, 2}
)

type qcStatement struct {
	ID   asn1.ObjectIdentifier
	Info asn1.RawValue `asn1:"optional"`
}

type pdsLocation struct {
	URL      string `asn1:"ia5"`
	Language string `asn1:"printable"`
}

// extension encodes the statements for a natural person's certificate, or a
// legal person's.
func (q QCStatements) extension(legal bool) (pkix.Extension, error) {
	var (
		list []qcStatement
		errs error
	)
	add := func(id asn1.ObjectIdentifier, info any) {
		s := qcStatement{ID: id}
		if info != nil {
			der, err := asn1.Marshal(info)
			errs = errors.Join(errs, err)
			s.Info = asn1.RawValue{FullBytes: der}
		}
		list = append(list, s)
	}
	if q.Compliance {
		add(oidQCCompliance, nil)
	}
	if q.SSCD {
		add(oidQCSSCD, nil)
	}
	kind := oidQCTypeESign
	if legal {
		kind = oidQCTypeESeal
	}
	add(oidQCType, []asn1.ObjectIdentifier{kind})
	if len(q.PDS) > 0 {
		var locations []pdsLocation
		for _, p := range q.PDS {
			locations = append(locations, pdsLocation(p))
		}
		add(oidQCPDS, locations)
	}
	if q.RetentionYears > 0 {
		add(oidQCRetention, q.RetentionYears)
	}
	if len(q.Legislation) > 0 {
		add(oidQCLegislation, q.Legislation)
	}
	der, err := asn1.Marshal(list)
	return pkix.Extension{Id: oidQCStatements, Value: der}, errors.Join(errs, err)
}

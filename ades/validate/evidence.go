package validate

import (
	"crypto/sha256"
	"crypto/x509"
	"slices"
	"time"

	"github.com/countersign/countersign/ades/cms"
)

// evidence is everything that may help to judge certificates: other
// certificates, OCSP answers and CRLs, wherever they came from.
type evidence struct {
	anchors []*x509.Certificate
	certs   []*x509.Certificate
	ocsps   []*ocspItem
	crls    []*crlItem
	now     time.Time

	seen map[[32]byte]bool
	// notes are about evidence that could not be read.
	notes []string
}

// source says where a piece of evidence came from.
type source struct {
	// embedded is whether it is in the file itself, which level LT demands.
	embedded bool
	// revision is the oldest revision of the PDF that holds it; 0 outside PDF.
	revision int
}

type ocspItem struct {
	*cms.OCSPResponse

	from source
}

type crlItem struct {
	*cms.CRL

	from source
}

func newEvidence(anchors []*x509.Certificate, now time.Time) *evidence {
	return &evidence{anchors: anchors, now: now, seen: map[[32]byte]bool{}}
}

func (e *evidence) fresh(der []byte) bool {
	id := sha256.Sum256(der)
	if e.seen[id] {
		return false
	}
	e.seen[id] = true
	return true
}

func (e *evidence) addCerts(list []*x509.Certificate) {
	for _, c := range list {
		if e.fresh(c.Raw) {
			e.certs = append(e.certs, c)
		}
	}
}

func (e *evidence) addCertDER(list [][]byte) {
	for _, der := range list {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			e.note("a certificate in the file's validation data cannot be read")
			continue
		}
		e.addCerts([]*x509.Certificate{c})
	}
}

func (e *evidence) addOCSP(list [][]byte, from source) {
	for _, der := range list {
		if !e.fresh(der) {
			continue
		}
		r, err := cms.ParseOCSP(der)
		if err != nil {
			e.note("an OCSP response cannot be read")
			continue
		}
		e.ocsps = append(e.ocsps, &ocspItem{r, from})
		e.addCerts(r.Certificates)
	}
}

func (e *evidence) addCRL(list [][]byte, from source) {
	for _, der := range list {
		if !e.fresh(der) {
			continue
		}
		c, err := cms.ParseCRL(der)
		if err != nil {
			e.note("a CRL cannot be read")
			continue
		}
		e.crls = append(e.crls, &crlItem{c, from})
	}
}

// addSignedData takes over what a CMS carries.
func (e *evidence) addSignedData(sd *cms.SignedData, from source) {
	e.addCerts(sd.Certificates)
	e.addCRL(sd.CRLs, from)
	e.addOCSP(sd.OCSPs, from)
	for _, s := range sd.Signers {
		if s.Signed != nil {
			e.addCRL(s.Signed.CRLs, from)
			e.addOCSP(s.Signed.OCSPs, from)
		}
		for _, token := range s.Timestamps {
			if t, err := cms.ParseTimestampToken(token); err == nil {
				e.addSignedData(t.SignedData, from)
			}
		}
	}
}

func (e *evidence) note(text string) {
	if !slices.Contains(e.notes, text) {
		e.notes = append(e.notes, text)
	}
}

func (e *evidence) anchor(c *x509.Certificate) bool {
	for _, a := range e.anchors {
		if a.Equal(c) {
			return true
		}
	}
	return false
}

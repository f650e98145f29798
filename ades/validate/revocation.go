package validate

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/ades/cms"
)

// clockSkew is how far a status may lie in the future.
const clockSkew = 10 * time.Minute

// status is one thing that is known about a certificate.
type status struct {
	cms.CertStatus

	revokedAt  time.Time
	thisUpdate time.Time
	nextUpdate time.Time
	from       source
	what       string // "OCSP response" or "CRL"
}

// judgeStatus decides whether a certificate was in force at a time.
func (e *evidence) judgeStatus(o *outcome, c, issuer *x509.Certificate, depth int, as role, at time.Time) {
	if depth == 0 && as == signerRole && cms.NoRevocation(c) {
		o.notes = append(o.notes, fmt.Sprintf("the certificate of %q is short-lived: it says that it is never revoked", name(c)))
		return
	}
	if depth == 0 && as == responderRole && cms.NoCheck(c) {
		return
	}
	known, unusable := e.statuses(c, issuer)
	if r := revokedBefore(known, at); r != nil {
		sub := RevokedNoPOE
		if c.IsCA {
			sub = RevokedCANoPOE
		}
		o.covered = o.covered && anyEmbedded(known)
		o.doubt(sub, fmt.Sprintf("the certificate of %q was revoked on %s", name(c), day(r.revokedAt)))
		return
	}
	good := firstGood(known, at)
	if good != nil {
		o.covered = o.covered && anyEmbedded(known)
		return
	}
	if len(known) > 0 {
		newest := known[0]
		for _, s := range known {
			if s.thisUpdate.After(newest.thisUpdate) {
				newest = s
			}
		}
		o.covered = o.covered && anyEmbedded(known)
		stale := fmt.Sprintf("the newest status of %q is a %s of %s that has run out", name(c), newest.what, day(newest.thisUpdate))
		if newest.CertStatus == cms.StatusUnknown {
			stale = fmt.Sprintf("the OCSP responder does not know the certificate of %q", name(c))
		}
		if (depth > 0 || as != signerRole) && newest.CertStatus != cms.StatusUnknown {
			o.notes = append(o.notes, stale)
			return
		}
		o.doubt(TryLater, stale+"; a fresh one is needed")
		return
	}
	o.covered = false
	text := fmt.Sprintf("no revocation data for the certificate of %q", name(c))
	if unusable != "" {
		text += ": " + unusable
	}
	o.doubt(TryLater, text)
}

func anyEmbedded(list []status) bool {
	for _, s := range list {
		if s.from.embedded {
			return true
		}
	}
	return false
}

func revokedBefore(list []status, at time.Time) *status {
	for i, s := range list {
		if s.CertStatus == cms.StatusRevoked && !s.revokedAt.After(at) {
			return &list[i]
		}
	}
	return nil
}

// firstGood returns a status that covers a time: in force then, or made later. A
// revocation after that time says that it was good before.
func firstGood(list []status, at time.Time) *status {
	for i, s := range list {
		if s.CertStatus == cms.StatusUnknown {
			continue
		}
		end := s.nextUpdate
		if end.IsZero() {
			end = s.thisUpdate.Add(clockSkew)
		}
		if !s.thisUpdate.Before(at) || !end.Before(at) {
			return &list[i]
		}
	}
	return nil
}

// statuses collects what OCSP responses and CRLs say about a certificate. The
// second result says why some of it could not be used.
func (e *evidence) statuses(c, issuer *x509.Certificate) (known []status, unusable string) {
	for _, r := range e.ocsps {
		a := r.For(c, issuer)
		if a == nil {
			continue
		}
		if err := e.responder(r, issuer); err != nil {
			unusable = "the OCSP response cannot be used: " + err.Error()
			continue
		}
		if len(a.Critical) > 0 {
			unusable = "the OCSP response has an unknown critical extension"
			continue
		}
		if why := e.untimely(c, a.ThisUpdate, a.Status); why != "" {
			unusable = "the OCSP response " + why
			continue
		}
		known = append(known, status{a.Status, a.RevokedAt, a.ThisUpdate, a.NextUpdate, r.from, "OCSP response"})
	}
	for _, l := range e.crls {
		answer, err := l.For(c)
		if err != nil {
			if !errors.Is(err, cms.ErrCRLScope) || bytes.Equal(l.RawIssuer, c.RawIssuer) {
				unusable = "the CRL cannot be used: " + err.Error()
			}
			continue
		}
		scheme, err := l.Verify(issuer)
		if err != nil {
			unusable = "the CRL cannot be used: " + err.Error()
			continue
		}
		if why := weakScheme(scheme, issuer, e.now); why != "" {
			unusable = "the CRL cannot be used: " + why
			continue
		}
		if why := e.untimely(c, l.ThisUpdate, answer.Status); why != "" {
			unusable = "the CRL " + why
			continue
		}
		known = append(known, status{answer.Status, answer.RevokedAt, l.ThisUpdate, l.NextUpdate, l.from, "CRL"})
	}
	return known, unusable
}

// untimely says why a status is not from a time in which it speaks about c.
func (e *evidence) untimely(c *x509.Certificate, thisUpdate time.Time, s cms.CertStatus) string {
	switch {
	case thisUpdate.After(e.now.Add(clockSkew)):
		return "is from the future"
	case s == cms.StatusRevoked:
		return ""
	case thisUpdate.Before(c.NotBefore):
		return "was made before the certificate was issued"
	case thisUpdate.After(c.NotAfter):
		return "was made after the certificate had expired, when it may no longer be listed"
	}
	return ""
}

// responder checks who signed an OCSP response: the issuer, or a responder whose
// certificate the issuer made, that was in force when it answered, and that needs
// no status or has a good one.
func (e *evidence) responder(r *ocspItem, issuer *x509.Certificate) error {
	who, scheme, err := r.Verify(issuer, e.certs)
	if err != nil {
		return err
	}
	if why := weakScheme(scheme, who, e.now); why != "" {
		return errors.New(why)
	}
	if bytes.Equal(who.RawSubjectPublicKeyInfo, issuer.RawSubjectPublicKeyInfo) {
		return nil
	}
	if r.ProducedAt.Before(who.NotBefore) || r.ProducedAt.After(who.NotAfter) {
		return fmt.Errorf("the responder's certificate %q was not valid when it answered", name(who))
	}
	if who.KeyUsage != 0 && who.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0 {
		return fmt.Errorf("the responder's certificate %q is not for signing", name(who))
	}
	if cms.NoCheck(who) {
		return nil
	}
	for _, l := range e.crls {
		answer, err := l.For(who)
		if err != nil {
			continue
		}
		if _, err := l.Verify(issuer); err != nil {
			continue
		}
		if answer.Status == cms.StatusGood {
			return nil
		}
		return fmt.Errorf("the responder's certificate %q is revoked", name(who))
	}
	return fmt.Errorf("the responder's certificate %q has neither ocsp-nocheck nor a status of its own", name(who))
}

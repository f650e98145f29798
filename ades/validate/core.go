package validate

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/signing"
)

// subject is one CMS signature with what its container says about it. It is the
// part of the judgement that PDF and bare CMS share.
type subject struct {
	*Signature

	e    *evidence
	sd   *cms.SignedData
	info *cms.SignerInfo
	// digest is the digest of the signed content under an algorithm.
	digest func(crypto.Hash) ([]byte, error)
	// stamps are the judged time-stamps; later is the earliest proof by something
	// outside the CMS, such as a document time-stamp.
	later time.Time
	p     problems
	// formBroken is whether the form misses the baseline: what is wrong with
	// bytes, certificates or later changes is another matter.
	formBroken bool
	// outcome is set once the certificate was judged.
	outcome outcome
	proved  bool
	at      time.Time
}

// verifyBytes checks what needs no trust: content, signature value, and that the
// signed certificate reference names the certificate. It reports whether the
// signature is mathematically right.
func (s *subject) verifyBytes() bool {
	if s.info.Digest == 0 || !s.info.Digest.Available() {
		s.p.doubt(Generic, fmt.Sprintf("the digest algorithm %s is not known here", s.info.DigestOID))
		return false
	}
	sum, err := s.digest(s.info.Digest)
	if err != nil {
		s.p.fail(FormatFailure, err.Error())
		return false
	}
	ok := true
	if err := s.info.VerifyContent(sum); err != nil {
		s.p.fail(HashFailure, "the signed bytes were changed: their digest is not the signed one")
		ok = false
	}
	cert := s.info.Certificate(append(slices.Clone(s.sd.Certificates), s.e.certs...))
	if cert == nil {
		s.p.doubt(NoSigningCertificate, "the signer's certificate is not in the file")
		return false
	}
	s.Certificate, s.Signer, s.Algorithm = cert, subjectOf(cert), s.info.Scheme.String()
	s.Qualified = qualified(cert)
	switch err := s.info.Verify(cert, sum); {
	case err == nil:
	case errors.Is(err, cms.ErrUnsortedAttributes):
		s.p.fail(SigCryptoFailure, "the signature is over attributes that are not in DER order")
		ok = false
	case errors.Is(err, signing.ErrSignature):
		if ok || s.info.Signed != nil {
			s.p.fail(SigCryptoFailure, "the signature value does not verify with the signer's certificate")
		}
		ok = false
	default:
		s.p.doubt(Generic, fmt.Sprintf("the signature cannot be verified: %s is not known here", s.info.Scheme))
		ok = false
	}
	if s.info.Signed != nil && len(s.info.Signed.CertIDs) > 0 && !s.info.Signed.CertIDs[0].Matches(cert) {
		s.p.doubt(NoSigningCertificate, "the signed attributes name another certificate than the one that verifies")
	}
	return ok
}

// verifyTimestamps judges the time-stamps inside the CMS and finds the best time.
func (s *subject) verifyTimestamps() {
	control, proved := s.e.now, false
	if !s.later.IsZero() {
		control, proved = s.later, true
	}
	over := func(h crypto.Hash) ([]byte, error) {
		w := h.New()
		w.Write(s.info.Signature)
		return w.Sum(nil), nil
	}
	var own []*Timestamp
	for _, token := range s.info.Timestamps {
		own = append(own, s.e.judgeToken(SignatureTimestamp, token, over, control, proved))
	}
	if s.info.Signed != nil {
		for _, token := range s.info.Signed.ContentTimestamps {
			t := s.e.judgeToken(ContentTimestamp, token, s.digest, control, proved)
			own = append(own, t)
			if t.Verdict == Passed && !s.ClaimedTime.IsZero() && s.ClaimedTime.Before(t.Time.Add(-clockSkew)) {
				s.Notes = append(s.Notes, "the claimed time lies before the time-stamp on the content")
			}
		}
	}
	s.BestTime = s.later
	for _, t := range own {
		if p := t.stampTime(); t.Kind == SignatureTimestamp && !p.IsZero() && (s.BestTime.IsZero() || p.Before(s.BestTime)) {
			s.BestTime = p
		}
	}
	s.Timestamps = append(own, s.Timestamps...)
	for _, t := range s.Timestamps {
		switch t.Verdict {
		case Failed:
			s.p.doubt(SigConstraintsFailure, fmt.Sprintf("the %s is broken: %s", t.Kind, first(t.Errors)))
		case Indeterminate:
			s.Notes = append(s.Notes, fmt.Sprintf("the %s proves nothing: %s", t.Kind, first(t.Errors)))
		case Passed:
		}
	}
}

func first(list []string) string {
	if len(list) == 0 {
		return "no reason given"
	}
	return list[0]
}

// verifyTrust judges the signer's certificate at the best time, and the
// algorithms.
func (s *subject) verifyTrust() {
	s.at, s.proved = s.e.now, false
	if !s.BestTime.IsZero() {
		s.at, s.proved = s.BestTime, true
	}
	if s.Certificate == nil {
		return
	}
	if why := weakScheme(s.info.Scheme, s.Certificate, s.at); why != "" {
		s.p.doubt(cryptoSub(s.proved), "the signature: "+why)
	} else if why := weakHash(s.info.Digest, s.at); why != "" {
		s.p.doubt(cryptoSub(s.proved), "the content's digest: "+why)
	}
	s.outcome = s.e.judge(s.Certificate, signerRole, s.at, s.proved)
	s.p = append(s.p, s.outcome.problems...)
	s.Chain = s.outcome.chain
	s.Notes = append(s.Notes, s.outcome.notes...)
	s.judgeClaimedTime()
}

func (s *subject) judgeClaimedTime() {
	switch {
	case s.ClaimedTime.IsZero():
	case s.ClaimedTime.Before(s.Certificate.NotBefore) || s.ClaimedTime.After(s.Certificate.NotAfter):
		s.p.doubt(SigConstraintsFailure, "the claimed signing time lies outside the validity of the signer's certificate")
	case s.ClaimedTime.After(s.e.now.Add(clockSkew)):
		s.Notes = append(s.Notes, "the claimed signing time lies in the future")
	case s.proved && s.ClaimedTime.After(s.BestTime.Add(clockSkew)):
		s.Notes = append(s.Notes, "the claimed signing time lies after the time-stamp")
	}
}

// conclude turns the reasons into the verdict.
func (s *subject) conclude() {
	s.Notes = append(s.Notes, s.e.notes...)
	s.Verdict, s.Subindication = s.p.verdict()
	s.Errors = append(s.Errors, s.p.texts()...)
}

// stamped reports whether an intact time-stamp of the kinds is there.
func (s *subject) stamped(kinds ...Kind) bool {
	return slices.ContainsFunc(s.Timestamps, func(t *Timestamp) bool { return t.intact && slices.Contains(kinds, t.Kind) })
}

// longTerm reports whether the file itself holds a status for every certificate
// up to a trust anchor, of the signer and of the time-stamps inside the CMS.
func (s *subject) longTerm() bool {
	if s.Certificate == nil || !anchored(s.e, s.outcome.chain) || !s.outcome.covered {
		return false
	}
	for _, token := range s.info.Timestamps {
		t, err := cms.ParseTimestampToken(token)
		if err != nil {
			continue
		}
		cert, err := t.Verify(s.e.certs)
		if err != nil {
			continue
		}
		if o := s.e.judge(cert, stamperRole, s.e.now, false); !anchored(s.e, o.chain) || !o.covered {
			return false
		}
	}
	return true
}

func anchored(e *evidence, chain []*x509.Certificate) bool {
	return len(chain) > 0 && e.anchor(chain[len(chain)-1])
}

// oids of ETSI EN 319 412-5.
var (
	oidQC           = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3}
	oidQCCompliance = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 1}
)

// qualified reports whether a certificate states QcCompliance.
func qualified(c *x509.Certificate) bool {
	for _, x := range c.Extensions {
		if !x.Id.Equal(oidQC) {
			continue
		}
		var list []struct {
			ID   asn1.ObjectIdentifier
			Info asn1.RawValue `asn1:"optional"`
		}
		if _, err := asn1.Unmarshal(x.Value, &list); err != nil {
			return false
		}
		for _, s := range list {
			if s.ID.Equal(oidQCCompliance) {
				return true
			}
		}
	}
	return false
}

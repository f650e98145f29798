package validate

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/ades/cms"
)

// Limits of the search for a chain.
const (
	maxChain = 10
	maxPaths = 64 // complete paths looked at
	maxTries = 2000
)

// oidQCStatements may be critical: what it says is for people, see Qualified.
const oidQCStatements = "1.3.6.1.5.5.7.1.3"

// chains finds the paths from a certificate to a trust anchor, by names and
// signatures only.
type chains struct {
	e     *evidence
	tries int
	found [][]*x509.Certificate
	// longest is the longest path that ended nowhere, to say where it ended.
	longest []*x509.Certificate
}

func (e *evidence) chainsFrom(leaf *x509.Certificate) *chains {
	c := &chains{e: e}
	c.extend([]*x509.Certificate{leaf})
	return c
}

func (c *chains) extend(path []*x509.Certificate) {
	last := path[len(path)-1]
	if c.e.anchor(last) {
		c.found = append(c.found, slices.Clone(path))
		return
	}
	if len(path) > len(c.longest) {
		c.longest = slices.Clone(path)
	}
	if len(path) == maxChain {
		return
	}
	for _, next := range slices.Concat(c.e.anchors, c.e.certs) {
		if len(c.found) >= maxPaths || c.tries >= maxTries {
			return
		}
		if slices.ContainsFunc(path, func(p *x509.Certificate) bool { return p.Equal(next) || sameKey(p, next) }) {
			continue
		}
		if len(last.AuthorityKeyId) > 0 && len(next.SubjectKeyId) > 0 && !bytes.Equal(last.AuthorityKeyId, next.SubjectKeyId) && !c.e.anchor(next) {
			continue
		}
		if !bytes.Equal(last.RawIssuer, next.RawSubject) && last.Issuer.String() != next.Subject.String() {
			continue
		}
		c.tries++
		if _, err := cms.IssuedBy(last, next); err == nil {
			c.extend(append(path, next))
		}
	}
}

func sameKey(a, b *x509.Certificate) bool {
	return bytes.Equal(a.RawSubject, b.RawSubject) && bytes.Equal(a.RawSubjectPublicKeyInfo, b.RawSubjectPublicKeyInfo)
}

// role is what a certificate is used for.
type role int

const (
	signerRole role = iota
	stamperRole
	responderRole
)

// outcome is the judgement on a certificate and its chain at a time.
type outcome struct {
	problems

	chain []*x509.Certificate
	notes []string
	// covered is whether every certificate of the chain has a status in the file
	// itself, or needs none: what level LT means.
	covered bool
}

// judge finds the best chain of a certificate that was used at a time. proved is
// whether that time is proved, or merely the present.
func (e *evidence) judge(leaf *x509.Certificate, as role, at time.Time, proved bool) outcome {
	found := e.chainsFrom(leaf)
	if len(found.found) == 0 {
		o := outcome{chain: found.longest}
		o.doubt(NoChain, e.noChain(found.longest))
		return o
	}
	var best outcome
	for i, path := range found.found {
		o := e.judgePath(path, as, at, proved)
		if len(o.problems) == 0 {
			return o
		}
		if i == 0 || len(o.problems) < len(best.problems) {
			best = o
		}
	}
	return best
}

func (e *evidence) noChain(longest []*x509.Certificate) string {
	if len(e.anchors) == 0 {
		return "no trust anchors were given: name the root certificate with --trust"
	}
	last := longest[len(longest)-1]
	if cms.SelfSigned(last) {
		return fmt.Sprintf("the root certificate %q is not among the trust anchors", name(last))
	}
	return fmt.Sprintf("no trusted certificate chain: the issuer of %q is neither in the file nor a trust anchor", name(last))
}

func (e *evidence) judgePath(path []*x509.Certificate, as role, at time.Time, proved bool) outcome {
	o := outcome{chain: path, covered: true}
	for i, c := range path[:len(path)-1] {
		e.judgeValidity(&o, c, at, proved)
		e.judgeLink(&o, c, path[i+1], i, at, proved)
		e.judgeStatus(&o, c, path[i+1], i, as, at)
	}
	if len(path) == 1 && as == signerRole { // the signer's certificate is itself the anchor
		e.judgeValidity(&o, path[0], at, proved)
	}
	if as == signerRole {
		judgeSignerUsage(&o, path[0])
	}
	e.judgeNames(&o, path, at)
	return o
}

func (e *evidence) judgeValidity(o *outcome, c *x509.Certificate, at time.Time, proved bool) {
	switch {
	case at.Before(c.NotBefore):
		o.doubt(NotYetValid, fmt.Sprintf("the certificate of %q was not valid yet on %s", name(c), day(at)))
	case at.After(c.NotAfter) && proved:
		o.doubt(OutOfBoundsNoPOE, fmt.Sprintf("the certificate of %q had expired on %s, before the proved time %s", name(c), day(c.NotAfter), day(at)))
	case at.After(c.NotAfter):
		o.doubt(OutOfBoundsNoPOE, fmt.Sprintf("the certificate of %q expired on %s, and no time-stamp proves that it was used before", name(c), day(c.NotAfter)))
	}
}

// judgeLink judges the step from a certificate to its issuer. depth counts the
// certificates below the issuer that are CAs.
func (e *evidence) judgeLink(o *outcome, c, issuer *x509.Certificate, depth int, at time.Time, proved bool) {
	if !e.anchor(issuer) || issuer.Version == 3 {
		switch {
		case !issuer.BasicConstraintsValid || !issuer.IsCA:
			o.doubt(ChainConstraints, fmt.Sprintf("%q is not a CA and issued %q", name(issuer), name(c)))
		case issuer.KeyUsage != 0 && issuer.KeyUsage&x509.KeyUsageCertSign == 0:
			o.doubt(ChainConstraints, fmt.Sprintf("%q may not sign certificates", name(issuer)))
		case (issuer.MaxPathLen > 0 || issuer.MaxPathLenZero) && depth > issuer.MaxPathLen:
			o.doubt(ChainConstraints, fmt.Sprintf("the chain below %q is longer than that CA allows", name(issuer)))
		}
	}
	for _, oid := range c.UnhandledCriticalExtensions {
		if oid.String() != oidQCStatements {
			o.doubt(ChainConstraints, fmt.Sprintf("the certificate of %q has the unknown critical extension %s", name(c), oid))
		}
	}
	scheme, err := cms.IssuedBy(c, issuer)
	if err != nil {
		o.doubt(ChainGeneral, fmt.Sprintf("the certificate of %q: %v", name(c), err))
		return
	}
	if why := weakScheme(scheme, issuer, at); why != "" {
		o.doubt(cryptoSub(proved), fmt.Sprintf("the certificate of %q: %s", name(c), why))
	}
}

func cryptoSub(proved bool) Sub {
	if proved {
		return CryptoConstraints
	}
	return CryptoNoPOE
}

func judgeSignerUsage(o *outcome, c *x509.Certificate) {
	if c.KeyUsage != 0 && c.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0 {
		o.doubt(ChainConstraints, fmt.Sprintf("the certificate of %q is not for signing", name(c)))
	}
}

// judgeNames leaves name constraints to crypto/x509, for chains that have any.
func (e *evidence) judgeNames(o *outcome, path []*x509.Certificate, at time.Time) {
	constrained := slices.ContainsFunc(path[1:], func(c *x509.Certificate) bool {
		return len(c.PermittedDNSDomains)+len(c.ExcludedDNSDomains)+len(c.PermittedEmailAddresses)+len(c.ExcludedEmailAddresses)+
			len(c.PermittedIPRanges)+len(c.ExcludedIPRanges)+len(c.PermittedURIDomains)+len(c.ExcludedURIDomains) > 0
	})
	if !constrained {
		return
	}
	roots, middle := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(path[len(path)-1])
	for _, c := range path[1 : len(path)-1] {
		middle.AddCert(c)
	}
	_, err := path[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: middle, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		o.doubt(ChainConstraints, fmt.Sprintf("the chain has name constraints: %v", err))
	}
}

// name is a certificate's subject for people.
func name(c *x509.Certificate) string {
	if c.Subject.CommonName != "" {
		return c.Subject.CommonName
	}
	return subjectOf(c)
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

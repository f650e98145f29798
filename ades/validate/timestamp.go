package validate

import (
	"crypto"
	"crypto/x509"
	"errors"
	"time"

	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/signing"
)

// stampTime is a time that a passed time-stamp proves, zero if it proves none.
func (t *Timestamp) stampTime() time.Time {
	if t.Verdict != Passed {
		return time.Time{}
	}
	return t.Time
}

// judgeToken judges a time-stamp token. digest is the digest of what it must be
// over, made with a given algorithm. control is the time at which the token is
// known to have existed: proved by another time-stamp, or the present.
func (e *evidence) judgeToken(kind Kind, der []byte, digest func(crypto.Hash) ([]byte, error), control time.Time, proved bool) *Timestamp {
	t := &Timestamp{Kind: kind}
	var p problems
	defer func() {
		t.Verdict, t.Subindication = p.verdict()
		t.Errors = p.texts()
	}()
	token, err := cms.ParseTimestampToken(der)
	if err != nil {
		p.fail(FormatFailure, "the time-stamp token cannot be read")
		return t
	}
	t.Time = token.Info.Time
	if !judgeImprint(&p, token, digest) {
		return t
	}
	cert, ok := judgeTokenSignature(&p, token, e.certs)
	if cert == nil {
		return t
	}
	t.Authority = name(cert)
	t.intact = ok
	if why := weakHash(token.Info.Hash, control); why != "" {
		p.doubt(cryptoSub(proved), "the time-stamp's imprint: "+why)
	}
	if why := weakScheme(token.SignedData.Signers[0].Scheme, cert, control); why != "" {
		p.doubt(cryptoSub(proved), "the time-stamp's signature: "+why)
	}
	if token.Info.Time.After(e.now.Add(clockSkew)) {
		p.doubt(NotYetValid, "the time-stamp is from the future")
	}
	o := e.judge(cert, stamperRole, control, proved)
	p = append(p, o.problems...)
	if !ok || len(p) > 0 {
		return t
	}
	if t.Time.Before(cert.NotBefore) || t.Time.After(cert.NotAfter) {
		p.doubt(OutOfBoundsNoPOE, "the time-stamp's time lies outside the validity of its certificate")
	}
	t.Chain, t.Notes = o.chain, o.notes
	return t
}

func judgeImprint(p *problems, token *cms.TimestampToken, digest func(crypto.Hash) ([]byte, error)) bool {
	if token.Info.Hash == 0 || !token.Info.Hash.Available() {
		p.doubt(Generic, "the time-stamp uses a digest algorithm that is not known here")
		return false
	}
	sum, err := digest(token.Info.Hash)
	if err != nil {
		p.fail(FormatFailure, err.Error())
		return false
	}
	if token.VerifyDigest(sum) != nil {
		p.fail(HashFailure, "the time-stamp is over other bytes")
		return false
	}
	return true
}

// judgeTokenSignature reports the certificate, and whether the signature holds.
func judgeTokenSignature(p *problems, token *cms.TimestampToken, others []*x509.Certificate) (*x509.Certificate, bool) {
	cert, err := token.Verify(others)
	switch {
	case err == nil:
		return cert, true
	case errors.Is(err, cms.ErrNoCertificate):
		p.doubt(NoSigningCertificate, "the time-stamp's certificate is missing")
	case errors.Is(err, cms.ErrTSACertificate):
		p.doubt(ChainConstraints, err.Error())
	case errors.Is(err, cms.ErrDigest), errors.Is(err, signing.ErrSignature), errors.Is(err, cms.ErrUnsortedAttributes):
		p.fail(SigCryptoFailure, "the time-stamp's signature does not verify")
	case errors.Is(err, cms.ErrUnknownAlgorithm):
		p.doubt(Generic, "the time-stamp's signature uses an algorithm that is not known here")
	default:
		p.fail(FormatFailure, "the time-stamp token is malformed")
	}
	return cert, false
}

package sam

import (
	"bytes"
	"crypto"
	_ "crypto/sha1" //nolint:gosec // OCSP names issuers by SHA-1 (RFC 6960 §4.1.1); it protects nothing
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// Limits of OCSP responses.
const (
	maxOCSP  = 16 << 10
	maxSkew  = time.Minute // how far ahead of ours the responder's clock may be
	oidBasic = "1.3.6.1.5.5.7.48.1.1"
	oidNo    = "1.3.6.1.5.5.7.48.1.5" // id-pkix-ocsp-nocheck
	oidSHA1  = "1.3.14.3.2.26"
)

// ASN.1 of RFC 6960 §4.2.1.
type (
	algorithmIdentifier struct {
		Algorithm  asn1.ObjectIdentifier
		Parameters asn1.RawValue `asn1:"optional"`
	}
	ocspResponse struct {
		Status asn1.Enumerated
		Bytes  ocspBytes `asn1:"explicit,tag:0,optional"`
	}
	ocspBytes struct {
		Type     asn1.ObjectIdentifier
		Response []byte
	}
	ocspBasic struct {
		TBS       asn1.RawValue
		Algorithm algorithmIdentifier
		Signature asn1.BitString
		Certs     []asn1.RawValue `asn1:"explicit,tag:0,optional"`
	}
	ocspData struct {
		Version    int           `asn1:"explicit,tag:0,default:0,optional"`
		Responder  asn1.RawValue // CHOICE: [1] Name, [2] KeyHash
		Produced   time.Time     `asn1:"generalized"`
		Responses  []ocspSingle
		Extensions []pkix.Extension `asn1:"explicit,tag:1,optional"`
	}
	ocspSingle struct {
		ID         ocspCertID
		Status     asn1.RawValue    // CHOICE: [0] good, [1] revoked, [2] unknown
		This       time.Time        `asn1:"generalized"`
		Next       time.Time        `asn1:"generalized,explicit,tag:0,optional"`
		Extensions []pkix.Extension `asn1:"explicit,tag:1,optional"`
	}
	ocspCertID struct {
		Hash       algorithmIdentifier
		NameHash   []byte
		IssuerHash []byte
		Serial     *big.Int
	}
)

// Tags of CertStatus.
const (
	ocspGood    = 0
	ocspRevoked = 1
)

// checkStatus verifies an OCSP response for the certificate: signed by its issuer
// or a delegate, fresh, and good. The caller fetched it; the module believes
// nothing but its signature.
func (m *Module) checkStatus(h *holder, der []byte, now time.Time) error {
	unknown := func(cause error) error {
		return fault.New(fault.Unavailable, "the certificate's status is not known: %v", cause).WithCode(samapi.CodeStatusUnknown)
	}
	if len(der) == 0 {
		return unknown(errors.New("no OCSP response came with the request"))
	}
	single, err := m.status(der, h, now)
	if err != nil {
		return unknown(err)
	}
	switch single.Status.Tag {
	case ocspGood:
	case ocspRevoked:
		return fault.New(fault.Forbidden, "the signer's certificate was revoked").WithCode(samapi.CodeCertificateRevoked)
	default:
		return unknown(errors.New("the responder does not know the certificate"))
	}
	switch {
	case single.This.After(now.Add(maxSkew)):
		return unknown(errors.New("the OCSP response is from the future; compare the clocks"))
	case now.Sub(single.This) > m.limits.OCSPAge:
		return unknown(fmt.Errorf("the OCSP response is older than %s", m.limits.OCSPAge))
	case !single.Next.IsZero() && now.After(single.Next):
		return unknown(errors.New("the OCSP response is past its next update"))
	}
	return nil
}

// statuses keeps what verified responses say: one response serves many signatures
// within its ten minutes.
type statuses struct {
	mu   sync.Mutex
	held map[statusKey]*ocspSingle
}

// statusKey is a response and the certificate and issuer that it was verified for.
type statusKey struct{ response, cert, issuer [sha256.Size]byte }

// status is readStatus with a memory.
func (m *Module) status(der []byte, h *holder, now time.Time) (*ocspSingle, error) {
	key := statusKey{sha256.Sum256(der), sha256.Sum256(h.leaf.Raw), sha256.Sum256(h.issuer.Raw)}
	m.statuses.mu.Lock()
	known := m.statuses.held[key]
	m.statuses.mu.Unlock()
	if known != nil {
		return known, nil
	}
	single, err := readStatus(der, h, now)
	if err != nil {
		return nil, err
	}
	m.statuses.mu.Lock()
	defer m.statuses.mu.Unlock()
	if m.statuses.held == nil || len(m.statuses.held) >= maxHeld {
		m.statuses.held = make(map[statusKey]*ocspSingle)
	}
	m.statuses.held[key] = single
	return single, nil
}

// readStatus verifies the response's signature and returns what it says about the
// certificate. Nothing is said about its age.
func readStatus(der []byte, h *holder, now time.Time) (*ocspSingle, error) {
	if len(der) > maxOCSP {
		return nil, errors.New("the OCSP response is too long")
	}
	var outer ocspResponse
	if err := unmarshal(der, &outer); err != nil {
		return nil, errors.New("the OCSP response is malformed")
	}
	if outer.Status != 0 {
		return nil, fmt.Errorf("the OCSP responder answered with error %d", outer.Status)
	}
	if outer.Bytes.Type.String() != oidBasic {
		return nil, errors.New("the OCSP response is not a basic one")
	}
	var basic ocspBasic
	if err := unmarshal(outer.Bytes.Response, &basic); err != nil {
		return nil, errors.New("the OCSP response is malformed")
	}
	var data ocspData
	if err := unmarshal(basic.TBS.FullBytes, &data); err != nil || data.Version != 0 {
		return nil, errors.New("the OCSP response is malformed")
	}
	by, err := ocspSigner(&basic, &data, h.issuer, now)
	if err != nil {
		return nil, err
	}
	if err := verifyOCSP(&basic, by); err != nil {
		return nil, err
	}
	if err := noCritical(data.Extensions); err != nil {
		return nil, err
	}
	for i := range data.Responses {
		if data.Responses[i].ID.names(h.leaf, h.issuer) {
			return &data.Responses[i], noCritical(data.Responses[i].Extensions)
		}
	}
	return nil, errors.New("the OCSP response is for another certificate")
}

func noCritical(all []pkix.Extension) error {
	for _, e := range all {
		if e.Critical {
			return fmt.Errorf("the OCSP response has an unknown critical extension %s", e.Id)
		}
	}
	return nil
}

// names says whether the CertID is that of the certificate.
func (id *ocspCertID) names(cert, issuer *x509.Certificate) bool {
	h := crypto.SHA1
	if oid := id.Hash.Algorithm.String(); oid != oidSHA1 {
		var err error
		if h, err = signing.HashByOID(oid); err != nil {
			return false
		}
	}
	var spki struct {
		Algorithm algorithmIdentifier
		Key       asn1.BitString
	}
	if id.Serial == nil || id.Serial.Cmp(cert.SerialNumber) != 0 || unmarshal(issuer.RawSubjectPublicKeyInfo, &spki) != nil {
		return false
	}
	sum := func(b []byte) []byte {
		w := h.New()
		w.Write(b)
		return w.Sum(nil)
	}
	return bytes.Equal(id.NameHash, sum(issuer.RawSubject)) && bytes.Equal(id.IssuerHash, sum(spki.Key.RightAlign()))
}

// ocspSigner finds who signed: the issuer itself, or a certificate of the issuer
// for OCSP signing (RFC 6960 §4.2.2.2) that needs no status of its own.
func ocspSigner(basic *ocspBasic, data *ocspData, issuer *x509.Certificate, now time.Time) (*x509.Certificate, error) {
	if len(basic.Certs) > maxChain {
		return nil, errors.New("the OCSP response carries too many certificates")
	}
	if responderIs(data.Responder, issuer) {
		return issuer, nil
	}
	for _, raw := range basic.Certs {
		cert, err := x509.ParseCertificate(raw.FullBytes)
		if err != nil || !responderIs(data.Responder, cert) {
			continue
		}
		return cert, delegate(cert, issuer, now)
	}
	return nil, errors.New("the OCSP response is signed by somebody else than the certificate's issuer")
}

// delegate says what is wrong with a responder's certificate.
func delegate(cert, issuer *x509.Certificate, now time.Time) error {
	signs, nocheck := false, false
	for _, u := range cert.ExtKeyUsage {
		signs = signs || u == x509.ExtKeyUsageOCSPSigning
	}
	for _, e := range cert.Extensions {
		nocheck = nocheck || e.Id.String() == oidNo
	}
	switch {
	case !bytes.Equal(cert.RawIssuer, issuer.RawSubject) || cert.CheckSignatureFrom(issuer) != nil:
		return errors.New("the OCSP responder is not a delegate of the certificate's issuer")
	case !signs:
		return errors.New("the OCSP responder's certificate is not for OCSP signing")
	case !nocheck:
		return errors.New("the OCSP responder's certificate needs a status of its own (id-pkix-ocsp-nocheck is missing)")
	case now.Before(cert.NotBefore.Add(-maxSkew)) || now.After(cert.NotAfter):
		return errors.New("the OCSP responder's certificate is outside of its validity")
	case cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return errors.New("the OCSP responder's key is not for signatures")
	}
	return nil
}

// responderIs compares a ResponderID with a certificate.
func responderIs(id asn1.RawValue, cert *x509.Certificate) bool {
	if id.Class != asn1.ClassContextSpecific || !id.IsCompound {
		return false
	}
	switch id.Tag {
	case 1:
		return bytes.Equal(id.Bytes, cert.RawSubject)
	case 2:
		var hash []byte
		var spki struct {
			Algorithm algorithmIdentifier
			Key       asn1.BitString
		}
		if unmarshal(id.Bytes, &hash) != nil || unmarshal(cert.RawSubjectPublicKeyInfo, &spki) != nil {
			return false
		}
		w := crypto.SHA1.New()
		w.Write(spki.Key.RightAlign())
		return bytes.Equal(hash, w.Sum(nil))
	}
	return false
}

func verifyOCSP(basic *ocspBasic, by *x509.Certificate) error {
	var params []byte
	oid := basic.Algorithm.Algorithm.String()
	if oid == signing.OIDRSAPSS {
		params = basic.Algorithm.Parameters.FullBytes
	}
	alg, err := signing.Resolve(oid, "", params)
	if err != nil {
		return errors.New("the OCSP response is signed with an algorithm that is not allowed")
	}
	signed := basic.TBS.FullBytes
	if alg != signing.Ed25519 {
		w := alg.Hash().New()
		w.Write(signed)
		signed = w.Sum(nil)
	}
	if signing.Verify(by.PublicKey, alg, signed, basic.Signature.RightAlign()) != nil {
		return errors.New("the OCSP response's signature does not verify")
	}
	return nil
}

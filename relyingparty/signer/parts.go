package signer

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/signing"
)

// Credential is a key that can sign, as somebody needs it who prepares documents
// elsewhere: in a browser, which holds the document, while the process that talks
// to the service does not.
type Credential struct {
	ID          string
	Description string // of the service, may be empty
	SCAL        string // level of sole control, "1" or "2"; empty if not said
	Qualifier   string // the service's signatureQualifier, may be empty
	Algorithm   signing.Algorithm
	Multisign   int                 // documents with one approval
	Chain       []*x509.Certificate // the signer's certificate first

	detailType string
}

// Leaf is the signer's certificate.
func (c *Credential) Leaf() *x509.Certificate { return c.Chain[0] }

// Credentials lists the service's credentials that can sign documents now.
func (s *Signer) Credentials(ctx context.Context) ([]*Credential, error) {
	info, err := s.config.Service.Info(ctx)
	if err != nil {
		return nil, ofService(err)
	}
	list, err := s.config.Service.CredentialsList(ctx, &csc.CredentialsListRequest{CredentialInfo: true, Certificates: "chain", CertInfo: true, AuthInfo: true})
	if err != nil {
		return nil, ofService(err)
	}
	var out []*Credential
	for i := range list.CredentialInfos {
		if c, err := s.usable(info, &credential{id: list.CredentialInfos[i].CredentialID, info: &list.CredentialInfos[i]}); err == nil {
			out = append(out, c)
		}
	}
	return out, nil
}

// Credential describes one credential, or says why it cannot sign.
func (s *Signer) Credential(ctx context.Context, id string) (*Credential, error) {
	info, err := s.config.Service.Info(ctx)
	if err != nil {
		return nil, ofService(err)
	}
	described, err := s.config.Service.CredentialsInfo(ctx, &csc.CredentialsInfoRequest{CredentialID: id, Certificates: "chain", CertInfo: true, AuthInfo: true})
	if err != nil {
		return nil, ofService(err)
	}
	return s.usable(info, &credential{id: id, info: described})
}

func (s *Signer) usable(info *csc.Info, c *credential) (*Credential, error) {
	if err := c.readChain(); err != nil {
		return nil, err
	}
	r := &run{Signer: s}
	if err := r.checkCredential(c); err != nil {
		return nil, err
	}
	algorithm, err := c.choose(0)
	if err != nil {
		return nil, err
	}
	out := &Credential{
		ID: c.id, Description: c.info.Description, SCAL: c.info.SCAL, Qualifier: c.info.SignatureQualifier,
		Algorithm: algorithm, Multisign: c.info.Multisign, Chain: c.chain, detailType: csc.DetailType20,
	}
	if strings.HasPrefix(info.Specs, "2.2") {
		out.detailType = csc.DetailType22
	}
	return out, nil
}

// Digests are what is known of a document that was prepared elsewhere.
type Digests struct {
	Label            string
	Size             int64
	DTBSR            []byte // what the key signs
	SignedAttributes []byte // what was hashed to it
	Document         []byte // the digest in them, which people compare by its words
}

// Detail says what is to be approved. It is all that the service learns.
func (c *Credential) Detail(documents []Digests) csc.AuthorizationDetail {
	d := csc.AuthorizationDetail{
		Type: c.detailType, CredentialID: c.ID, NumSignatures: len(documents), HashAlgorithmOID: signing.HashOID(c.Algorithm.Hash()),
	}
	for _, x := range documents {
		d.DocumentDigests = append(d.DocumentDigests, csc.DocumentDigest{
			Hash: base64.StdEncoding.EncodeToString(x.DTBSR), Label: x.Label, HashType: "DTBSR",
			SignedAttrs: base64.StdEncoding.EncodeToString(x.SignedAttributes), DocHash: base64.StdEncoding.EncodeToString(x.Document), Size: x.Size,
		})
	}
	return d
}

// Request asks for the signatures that were approved.
func (c *Credential) Request(documents []Digests) *csc.SignHashRequest {
	q := &csc.SignHashRequest{
		CredentialID: c.ID, SignAlgo: c.Algorithm.OID(), HashAlgorithmOID: signing.HashOID(c.Algorithm.Hash()), OperationMode: "S",
	}
	if c.Algorithm.PSS() {
		q.SignAlgoParams = base64.StdEncoding.EncodeToString(c.Algorithm.PSSParameters())
	}
	for _, x := range documents {
		q.Hashes = append(q.Hashes, base64.StdEncoding.EncodeToString(x.DTBSR))
	}
	return q
}

// Accept verifies every signature over its own digest, and returns their values in
// the form that CMS has.
func (c *Credential) Accept(documents []Digests, answer *csc.SignHashResponse) ([][]byte, error) {
	r := &run{credential: &credential{id: c.ID, chain: c.Chain, algorithm: c.Algorithm}}
	var err error
	if r.credential.public, err = cms.PublicKey(c.Leaf()); err != nil {
		return nil, err
	}
	for _, x := range documents {
		r.files = append(r.files, &file{File: File{In: x.Label}, prepared: &pades.Prepared{DTBSR: x.DTBSR}})
	}
	if err := r.accept(answer); err != nil {
		return nil, err
	}
	var values [][]byte
	for _, f := range r.files {
		values = append(values, f.signature)
	}
	return values, nil
}

// Evidence gathers the validation data for the leaves. known are certificates that
// may be needed for it. Every leaf must come from an anchor of the configuration:
// the addresses in the certificates are asked, and nobody else's word is taken for
// where to ask.
func (s *Signer) Evidence(ctx context.Context, leaves, known []*x509.Certificate) (pades.Evidence, error) {
	if len(leaves)+len(known) > maxKnown {
		return pades.Evidence{}, fault.New(fault.TooMany, "at most %d certificates can be looked at", maxKnown).WithCode(CodeEvidence)
	}
	for _, leaf := range leaves {
		// Time-stamping certificates, and RSASSA-PSS keys, are more than crypto/x509 knows
		// to verify; only where they come from matters here.
		if err := s.underAnchor(leaf, known, 0); err != nil {
			return pades.Evidence{}, fault.New(fault.Invalid, "the certificate of %q was not issued under a trust anchor of this installation", name(leaf)).
				WithCode(CodeEvidence).Because(err)
		}
	}
	e := newCollector(s.config.Fetcher, s.config.Anchors, s.now)
	return e.collect(ctx, leaves, known)
}

// underAnchor finds a way from a certificate to an anchor.
func (s *Signer) underAnchor(cert *x509.Certificate, known []*x509.Certificate, depth int) error {
	if slices.ContainsFunc(s.config.Anchors, cert.Equal) {
		return nil
	}
	if depth > 8 {
		return errNoAnchor
	}
	for _, issuer := range slices.Concat(s.config.Anchors, known) {
		if !issuer.IsCA || issuer.Equal(cert) {
			continue
		}
		if _, err := cms.IssuedBy(cert, issuer); err == nil && s.underAnchor(issuer, known, depth+1) == nil {
			return nil
		}
	}
	return errNoAnchor
}

var errNoAnchor = errors.New("no way to a trust anchor")

// maxKnown bounds the work for certificates that somebody else gives.
const maxKnown = 64

// Token asks for a time-stamp token (DER) over a digest, of the authority of the
// configuration or of the service. Whoever asked checks it: hash is an object
// identifier, nonce hexadecimal.
func (s *Signer) Token(ctx context.Context, imprint []byte, hash, nonce string) ([]byte, error) {
	if s.config.TSA != "" {
		return s.tokenOfTSA(ctx, imprint, hash, nonce)
	}
	answer, err := s.config.Service.Timestamp(ctx, &csc.TimestampRequest{Hash: base64.StdEncoding.EncodeToString(imprint), HashAlgo: hash, Nonce: nonce})
	if err != nil {
		return nil, ofService(err)
	}
	token, err := base64.StdEncoding.DecodeString(answer.Timestamp)
	if err != nil {
		return nil, wrongTimestamp("the signing service's time-stamp cannot be read").Because(err)
	}
	return token, nil
}

// tokenOfTSA asks the authority of the configuration.
func (s *Signer) tokenOfTSA(ctx context.Context, imprint []byte, hash, nonce string) ([]byte, error) {
	h, err := signing.HashByOID(hash)
	if err != nil {
		return nil, fault.New(fault.Invalid, "time-stamps are over SHA-256, SHA-384 or SHA-512").Because(err)
	}
	number, ok := new(big.Int).SetString(nonce, 16)
	if !ok || number.Sign() <= 0 {
		return nil, fault.New(fault.Invalid, "the nonce is not a hexadecimal number")
	}
	query, err := (&cms.TimestampRequest{Imprint: imprint, Hash: h, Nonce: number}).Encode()
	if err != nil {
		return nil, err
	}
	response, err := s.config.Fetcher.Timestamp(ctx, s.config.TSA, query)
	if err != nil {
		return nil, ofService(err)
	}
	parsed, err := cms.ParseTimestampResponse(response)
	if err != nil {
		return nil, wrongTimestamp("the time-stamping authority's answer cannot be read").Because(err)
	}
	return parsed.Token, nil
}

// Authorization is an authorisation that waits for the signer; it can be kept as
// JSON.
type Authorization = cscclient.Authorization

// Begin asks for an authorisation over the documents.
func (s *Signer) Begin(ctx context.Context, c *Credential, documents []Digests) (*Authorization, error) {
	if len(documents) == 0 || len(documents) > max(c.Multisign, 1) {
		return nil, fault.New(fault.Invalid, "this key signs 1 to %d documents with one approval", max(c.Multisign, 1)).WithCode(CodeTooMany)
	}
	a, err := s.config.Service.Authorize(ctx, []csc.AuthorizationDetail{c.Detail(documents)})
	return a, ofService(err)
}

// Complete takes the address on which the signer came back, has the documents
// signed, and verifies the signatures. It must be called once: the code in the
// address is for one use.
func (s *Signer) Complete(ctx context.Context, c *Credential, a *Authorization, final string, documents []Digests) ([][]byte, error) {
	token, err := s.config.Service.Redeem(ctx, a, final)
	if err != nil {
		return nil, ofService(err)
	}
	answer, err := s.config.Service.SignHash(ctx, token, c.Request(documents))
	if err != nil {
		return nil, ofService(err)
	}
	return c.Accept(documents, answer)
}

// Hash is the digest algorithm of the credential's signatures.
func (c *Credential) Hash() crypto.Hash { return c.Algorithm.Hash() }

// Ends is when the certificate ends.
func (c *Credential) Ends() time.Time { return c.Leaf().NotAfter }

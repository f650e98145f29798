package csctest

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"io"
	"net/http"
	"slices"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// SealID is the credential that AddSeal makes.
const SealID = "seal-1"

// AddSeal gives the service a seal that the machine may use.
func (s *Service) AddSeal(machine *ecdsa.PublicKey, name string) {
	s.tb.Helper()
	id := s.PKI.NewSigner(name, adestest.NewKey(s.tb, signing.P256))
	c := Credential(SealID, SignerID, signing.P256, id.Cert, s.PKI.CA.Cert)
	c.SignerName, c.Mechanism, c.SCAL = name, samapi.Delegation, 1
	s.SAM.Add(c, id.Key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.machine, s.sealCert = machine, id.Cert
}

// Delegate implements cscsam.Delegator: the machine's order is verified with the one
// key that is known, and is good once.
func (s *Service) Delegate(_ context.Context, in samapi.Delegated) (samapi.Outcome, error) {
	bad := func(cause error) (samapi.Outcome, error) {
		return samapi.Outcome{}, fault.New(fault.Forbidden, "the machine's order does not authorise this").WithCode(samapi.CodeAssertion).Because(cause)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sealed, err := signing.ParseDelegation(in.Object)
	if err != nil || s.machine == nil {
		return bad(errors.Join(err, errors.New("no machine")))
	}
	d, err := sealed.Open(s.machine)
	if err != nil {
		return bad(err)
	}
	var hashes [][]byte
	for _, doc := range in.Documents {
		hashes = append(hashes, doc.DTBSR)
	}
	if d.Audience != s.Issuer || d.Client != in.Client || d.Credential != in.Credential || d.HashOID != in.HashOID ||
		!slices.EqualFunc(d.Hashes, hashes, slices.Equal) || time.Now().Unix() >= d.Expires {
		return bad(errors.New("the order is for something else"))
	}
	if slices.Contains(s.ordered, d.ID) {
		return samapi.Outcome{}, fault.New(fault.Conflict, "used before").WithCode(samapi.CodeOrderReplayed)
	}
	s.ordered = append(s.ordered, d.ID)
	return samapi.Outcome{
		SID: s.SAM.Approve(in.Client, in.Credential, hashes), State: samapi.Approved, Signer: SignerID, Credential: in.Credential, Client: in.Client,
		Count: len(hashes), Expires: time.Now().Add(5 * time.Minute),
	}, nil
}

// IssueCredentialToken implements cscsam.Tokens.
func (s *Service) IssueCredentialToken(_ context.Context, by csc.Caller, o samapi.Outcome) (string, error) {
	by.Scope, by.Credential, by.SID, by.Subject, by.Expires = csc.ScopeCredential, o.Credential, o.SID, o.Signer, o.Expires
	return s.Token(by), nil
}

// ocsp answers that a certificate is good: the seal's if it is asked for, else the
// signer's.
func (s *Service) ocsp(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	if err != nil {
		s.tb.Error(err)
		return
	}
	cert := s.PKI.Signer.Cert
	s.mu.Lock()
	seal := s.sealCert
	s.mu.Unlock()
	if q, err := ocsp.ParseRequest(body); err == nil && seal != nil && q.SerialNumber.Cmp(seal.SerialNumber) == 0 {
		cert = seal
	}
	w.Header().Set("Content-Type", "application/ocsp-response")
	_, _ = w.Write(s.PKI.OCSPResponse(adestest.Answer{Cert: cert})) // whoever asked may be gone
}

// Package csctest is a signing service in memory for tests: a signature
// activation module that holds its caller to the contract and can fail before or
// after the effect, and around it a whole service over HTTP, with authorisation
// server, certification authority and time-stamps, that can be made to lie.
package csctest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// SAM is a signature activation module in memory. The hooks may be set before
// the call they are for.
type SAM struct {
	// Before fails an operation before it has an effect, After fails the answer
	// when the effect is there. op is the method's name.
	Before, After func(op string) error
	// Twist changes a signature before it is stored and answered.
	Twist func(i int, signature []byte) []byte
	Now   func() time.Time

	tb testing.TB

	mu   sync.Mutex
	keys map[string]*key
	sads map[string]*approval
	made int
}

type key struct {
	samapi.Credential
	signer crypto.Signer
}

type approval struct {
	client, credential string
	open               [][]byte // authorised and not yet signed
	stored             samapi.SignResult
	expired            bool
}

// NewSAM returns an empty module.
func NewSAM(tb testing.TB) *SAM {
	return &SAM{tb: tb, Now: time.Now, keys: make(map[string]*key), sads: make(map[string]*approval)}
}

// Add gives the module a key.
func (s *SAM) Add(c samapi.Credential, signer crypto.Signer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[c.ID] = &key{c, signer}
}

// Approve is an approval by the signer; it returns the SID.
func (s *SAM) Approve(client, credential string, hashes [][]byte) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	sid := strings.ToLower(rand.Text())
	s.sads[sid] = &approval{client: client, credential: credential, open: slices.Clone(hashes)}
	return sid
}

// Expire lets the time of an approval run out.
func (s *SAM) Expire(sid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sads[sid].expired = true
}

// Made is how many signatures the module made since it exists.
func (s *SAM) Made() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.made
}

func (s *SAM) hooks(op string, effect func() error) error {
	if s.Before != nil {
		if err := s.Before(op); err != nil {
			return err
		}
	}
	s.mu.Lock()
	err := effect()
	s.mu.Unlock()
	if err == nil && s.After != nil {
		return s.After(op)
	}
	return err
}

// Credentials finds credentials.
func (s *SAM) Credentials(_ context.Context, q samapi.CredentialQuery) (list []samapi.Credential, err error) {
	err = s.hooks("Credentials", func() error {
		for _, k := range s.keys {
			if slices.Contains(q.IDs, k.ID) || slices.Contains(q.Signers, k.Signer) {
				list = append(list, k.Credential)
			}
		}
		return nil
	})
	return list, err
}

// Sign makes signatures under an approval.
func (s *SAM) Sign(_ context.Context, r samapi.SignRequest) (out samapi.SignResult, err error) {
	err = s.hooks("Sign", func() error {
		out, err = s.sign(r)
		return err
	})
	if err != nil {
		return samapi.SignResult{}, err
	}
	return out, nil
}

func (s *SAM) sign(r samapi.SignRequest) (out samapi.SignResult, err error) {
	a, k := s.sads[r.SID], s.keys[r.Credential]
	switch {
	case a == nil || a.client != r.Client || a.credential != r.Credential:
		return out, fault.New(fault.Forbidden, "no such approval").WithCode(samapi.CodeSADInvalid)
	case a.expired:
		return out, fault.New(fault.Expired, "the approval is too old").WithCode(samapi.CodeSADExpired)
	case k == nil || k.State != samapi.CredentialActive:
		return out, fault.New(fault.Forbidden, "no such key").WithCode(samapi.CodeCredentialDisabled)
	case !slices.Contains(k.KeyType.Algorithms(), r.Algorithm):
		return out, fault.New(fault.Invalid, "not this algorithm").WithCode(samapi.CodeAlgorithm)
	}
	if err := s.checkStatus(k, r.OCSP); err != nil {
		return out, err
	}
	open := slices.Clone(a.open)
	for _, h := range r.Hashes {
		if len(h) != r.Algorithm.Hash().Size() {
			return out, fault.New(fault.Invalid, "length").WithCode(samapi.CodeHashLength)
		}
		i := slices.IndexFunc(open, func(o []byte) bool { return bytes.Equal(o, h) })
		if i < 0 {
			return out, fault.New(fault.Forbidden, "not authorised").WithCode(samapi.CodeHashNotAuthorized)
		}
		open = slices.Delete(open, i, i+1)
	}
	a.open = open
	for i, h := range r.Hashes {
		sig, err := k.signer.Sign(rand.Reader, h, r.Algorithm.SignerOpts())
		if err != nil {
			return out, err
		}
		s.made++
		if s.Twist != nil {
			sig = s.Twist(i, sig)
		}
		out.Signatures = append(out.Signatures, sig)
		a.stored.Signatures = append(a.stored.Signatures, sig)
		a.stored.Hashes = append(a.stored.Hashes, h)
		a.stored.Algorithms = append(a.stored.Algorithms, r.Algorithm)
	}
	return out, nil
}

// checkStatus is as strict as the module's own check of the OCSP answer.
func (s *SAM) checkStatus(k *key, der []byte) error {
	refuse := func(why string) error {
		return fault.New(fault.Unavailable, "certificate status: %s", why).WithCode(samapi.CodeStatusUnknown)
	}
	response, err := cms.ParseOCSP(der)
	if err != nil {
		return refuse(err.Error())
	}
	leaf, err := x509.ParseCertificate(k.Chain[0])
	if err != nil {
		return err
	}
	issuer, err := x509.ParseCertificate(k.Chain[1])
	if err != nil {
		return err
	}
	if _, _, err := response.Verify(issuer, nil); err != nil {
		return refuse(err.Error())
	}
	answer := response.For(leaf, issuer)
	if answer == nil || s.Now().Sub(answer.ThisUpdate) > 10*time.Minute {
		return refuse("other certificate or too old")
	}
	switch answer.Status {
	case cms.StatusGood:
		return nil
	case cms.StatusRevoked:
		return fault.New(fault.Forbidden, "revoked").WithCode(samapi.CodeCertificateRevoked)
	case cms.StatusUnknown:
	}
	return refuse("unknown")
}

// Result returns what was signed and not acknowledged.
func (s *SAM) Result(_ context.Context, sid, client string) (out samapi.SignResult, err error) {
	err = s.hooks("Result", func() error {
		a := s.sads[sid]
		if a == nil || a.client != client || len(a.stored.Signatures) == 0 {
			return fault.New(fault.NotFound, "nothing is stored")
		}
		out = a.stored
		return nil
	})
	return out, err
}

// AcknowledgeAll forgets the stored signatures that are named. For the hooks it is
// "Acknowledge".
func (s *SAM) AcknowledgeAll(_ context.Context, arrived []samapi.Arrival) error {
	return s.hooks("Acknowledge", func() error {
		for _, one := range arrived {
			a := s.sads[one.SID]
			if a == nil || a.client != one.Client {
				s.tb.Errorf("AcknowledgeAll(%q, %q): no such approval", one.SID, one.Client)
				return fault.New(fault.NotFound, "nothing is stored")
			}
			a.forget(one.Signatures)
		}
		return nil
	})
}

func (a *approval) forget(signatures [][]byte) {
	var left samapi.SignResult
	for i, sig := range a.stored.Signatures {
		if slices.ContainsFunc(signatures, func(s []byte) bool { return bytes.Equal(s, sig) }) {
			continue
		}
		left.Signatures = append(left.Signatures, sig)
		left.Hashes = append(left.Hashes, a.stored.Hashes[i])
		left.Algorithms = append(left.Algorithms, a.stored.Algorithms[i])
	}
	a.stored = left
}

// Credential describes a key with the chain of its certificate.
func Credential(id, signer string, t signing.KeyType, chain ...*x509.Certificate) samapi.Credential {
	c := samapi.Credential{
		ID: id, Signer: signer, SignerName: "Alice Sample", KeyType: t, SPKI: chain[0].RawSubjectPublicKeyInfo,
		Mechanism: samapi.DeviceKey, SCAL: 2, Multisign: 20, State: samapi.CredentialActive,
	}
	for _, cert := range chain {
		c.Chain = append(c.Chain, cert.Raw)
	}
	return c
}

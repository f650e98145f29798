package cscsam

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// order is a checked request for signatures.
type order struct {
	credential *credential
	request    samapi.SignRequest
}

// SignHash implements csc.Service. Asked again for signatures that the module
// made and that were not delivered, it returns the same signatures, whatever became
// of the credential since: nothing new is signed.
func (s *Service) SignHash(ctx context.Context, by csc.Caller, q *csc.SignHashRequest) (*csc.SignHashResponse, error) {
	o, err := s.order(ctx, by, q)
	if err != nil {
		return nil, err
	}
	result, err := s.signatures(ctx, o)
	if err != nil {
		return nil, translate(err)
	}
	if err := o.verify(result.Signatures); err != nil {
		s.log.ErrorContext(ctx, "wrong signature from the module", "credential", o.credential.ID, "sid", by.SID, "error", err)
		return nil, err
	}
	out := &csc.SignHashResponse{Signatures: make([]string, len(result.Signatures))}
	for i, sig := range result.Signatures {
		out.Signatures[i] = base64.StdEncoding.EncodeToString(sig)
	}
	return out, nil
}

func (s *Service) order(ctx context.Context, by csc.Caller, q *csc.SignHashRequest) (*order, error) {
	if by.Scope != csc.ScopeCredential || by.SID == "" {
		return nil, csc.ErrInsufficientScope
	}
	if q.CredentialID != by.Credential {
		return nil, csc.InvalidParameter("credentialID")
	}
	c, err := s.find(ctx, by, q.CredentialID)
	if err != nil {
		return nil, err
	}
	alg, hashes, err := wanted(q)
	if err != nil {
		return nil, err
	}
	return &order{c, samapi.SignRequest{SID: by.SID, Client: by.Client, Credential: c.ID, Algorithm: alg, Hashes: hashes}}, nil
}

// wanted reads algorithm and hashes of a request.
func wanted(q *csc.SignHashRequest) (signing.Algorithm, [][]byte, error) {
	params, err := base64.StdEncoding.DecodeString(q.SignAlgoParams)
	if err != nil {
		return 0, nil, csc.InvalidParameter("signAlgoParams")
	}
	alg, err := signing.Resolve(q.SignAlgo, q.HashAlgorithmOID, params)
	if err != nil {
		return 0, nil, csc.InvalidParameter("signAlgo").Because(err)
	}
	var hashes [][]byte
	for _, text := range q.Hashes {
		h, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return 0, nil, csc.ErrHashBase64
		}
		hashes = append(hashes, h)
	}
	if len(hashes) == 0 {
		return 0, nil, csc.ErrEmptyHashes
	}
	return alg, hashes, nil
}

// signatures are new ones, or those that were made before and not delivered. The
// module is asked for the latter first where the certificate's status is not known
// to be good: a responder that is down must not keep them back.
func (s *Service) signatures(ctx context.Context, o *order) (samapi.SignResult, error) {
	why := s.usable(o.credential)
	if why == nil {
		if a := s.status.known(o.credential.chain[0]); a == nil || !a.good {
			if result, ok := s.stored(ctx, o); ok {
				return result, nil
			}
		}
		var result samapi.SignResult
		if result, why = s.sign(ctx, o); why == nil {
			return result, nil
		}
	}
	if result, ok := s.stored(ctx, o); ok {
		return result, nil
	}
	return samapi.SignResult{}, why
}

// usable says why a credential cannot sign, as far as that is known without asking.
func (s *Service) usable(c *credential) error {
	switch {
	case c.State != samapi.CredentialActive:
		return csc.ErrCredentialDisabled
	case s.now().After(c.chain[0].NotAfter):
		return csc.ErrCertificateExpired
	case c.issuer == nil:
		return fmt.Errorf("credential %s: the issuer of its certificate is not known", c.ID)
	}
	return nil
}

// sign asks the module, with an OCSP answer that is fresh enough; when the module
// finds one of the cache too old, once more with a new one: it refuses before it
// spends anything.
func (s *Service) sign(ctx context.Context, o *order) (samapi.SignResult, error) {
	leaf := o.credential.chain[0]
	for fresh := false; ; fresh = true {
		answer, err := s.status.get(ctx, leaf, o.credential.issuer, fresh)
		if err != nil {
			return samapi.SignResult{}, err
		}
		if answer.revoked {
			return samapi.SignResult{}, csc.ErrCertificateRevoked
		}
		o.request.OCSP = answer.der
		result, err := s.config.SAM.Sign(ctx, o.request)
		if err == nil || fresh || fault.Of(err).Code != samapi.CodeStatusUnknown {
			return result, err
		}
	}
}

// stored looks for signatures that were made before: their answer got lost on the
// way from the module, or on the way to a client that now asks again. They are given
// out only if every hash of the request was signed under this approval for this
// client.
func (s *Service) stored(ctx context.Context, o *order) (samapi.SignResult, bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	result, err := s.config.SAM.Result(ctx, o.request.SID, o.request.Client)
	if err != nil {
		return samapi.SignResult{}, false
	}
	out := samapi.SignResult{Signatures: choose(result, o.request.Hashes, o.request.Algorithm)}
	if len(out.Signatures) != len(o.request.Hashes) {
		return samapi.SignResult{}, false
	}
	s.log.InfoContext(ctx, "signatures delivered again", "sid", o.request.SID, "count", len(out.Signatures))
	return out, true
}

// choose returns the stored signatures of these hashes by that algorithm, the first
// for each; a hash that was signed twice has two. Hashes that were not signed are
// left out.
func choose(kept samapi.SignResult, hashes [][]byte, alg signing.Algorithm) (out [][]byte) {
	if len(kept.Hashes) != len(kept.Signatures) || len(kept.Algorithms) != len(kept.Signatures) {
		return nil
	}
	used := make([]bool, len(kept.Signatures))
	for _, want := range hashes {
		for i, have := range kept.Hashes {
			if !used[i] && bytes.Equal(have, want) && kept.Algorithms[i] == alg {
				used[i] = true
				out = append(out, kept.Signatures[i])
				break
			}
		}
	}
	return out
}

// verify holds every signature against its hash and the certificate: nobody
// passes on what they did not check.
func (o *order) verify(signatures [][]byte) error {
	if len(signatures) != len(o.request.Hashes) {
		return fmt.Errorf("module gave %d signatures for %d hashes", len(signatures), len(o.request.Hashes))
	}
	for i, sig := range signatures {
		if err := signing.Verify(o.credential.chain[0].PublicKey, o.request.Algorithm, o.request.Hashes[i], sig); err != nil {
			return fmt.Errorf("signature %d of %d by credential %s: %w", i+1, len(signatures), o.credential.ID, err)
		}
	}
	return nil
}

// Delivered implements csc.Deliverer: the module may forget the signatures of this
// request. They are named, so that those of another request, whose answer may be
// lost, stay, and those that are made at this moment.
func (s *Service) Delivered(ctx context.Context, by csc.Caller, q *csc.SignHashRequest) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := s.acknowledge(ctx, by, q); err != nil && !errors.Is(err, fault.NotFound) { // not found: acknowledged before
		s.log.WarnContext(ctx, "signatures not acknowledged", "sid", by.SID, "error", err)
	}
}

func (s *Service) acknowledge(ctx context.Context, by csc.Caller, q *csc.SignHashRequest) error {
	alg, hashes, err := wanted(q)
	if err != nil {
		return err
	}
	kept, err := s.config.SAM.Result(ctx, by.SID, by.Client)
	if err != nil {
		return err
	}
	arrived := choose(kept, hashes, alg)
	if len(arrived) == 0 {
		return nil
	}
	return s.config.SAM.Acknowledge(ctx, by.SID, by.Client, arrived)
}

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
// made and that were not delivered, it returns the same signatures.
func (s *Service) SignHash(ctx context.Context, by csc.Caller, q *csc.SignHashRequest) (*csc.SignHashResponse, error) {
	o, err := s.order(ctx, by, q)
	if err != nil {
		return nil, err
	}
	result, err := s.sign(ctx, o)
	if err != nil {
		stored, ok := s.stored(ctx, o, err)
		if !ok {
			return nil, translate(err)
		}
		result = stored
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
	params, err := base64.StdEncoding.DecodeString(q.SignAlgoParams)
	if err != nil {
		return nil, csc.InvalidParameter("signAlgoParams")
	}
	alg, err := signing.Resolve(q.SignAlgo, q.HashAlgorithmOID, params)
	if err != nil {
		return nil, csc.InvalidParameter("signAlgo").Because(err)
	}
	o := &order{c, samapi.SignRequest{SID: by.SID, Client: by.Client, Credential: c.ID, Algorithm: alg}}
	for _, text := range q.Hashes {
		h, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, csc.ErrHashBase64
		}
		o.request.Hashes = append(o.request.Hashes, h)
	}
	if len(o.request.Hashes) == 0 {
		return nil, csc.ErrEmptyHashes
	}
	if c.State != samapi.CredentialActive {
		return nil, csc.ErrCredentialDisabled
	}
	if s.now().After(c.chain[0].NotAfter) {
		return nil, csc.ErrCertificateExpired
	}
	return o, nil
}

// sign asks the module, with an OCSP answer that is fresh enough; when the module
// finds one of the cache too old, once more with a new one: it refuses before it
// spends anything.
func (s *Service) sign(ctx context.Context, o *order) (samapi.SignResult, error) {
	leaf := o.credential.chain[0]
	if o.credential.issuer == nil {
		return samapi.SignResult{}, fmt.Errorf("credential %s: the issuer of its certificate is not known", o.credential.ID)
	}
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

// stored looks for signatures that were made although the answer was an error:
// the answer got lost on the way from the module, or on the way to a client that
// now asks again. They are given out only if every hash of the request was
// signed under this approval for this client.
func (s *Service) stored(ctx context.Context, o *order, why error) (samapi.SignResult, bool) {
	switch f := fault.Of(why); {
	case f.Kind == fault.Unavailable && f.Code != samapi.CodeStatusUnknown, f.Kind == fault.Conflict,
		f.Code == samapi.CodeHashNotAuthorized, f.Code == samapi.CodeSADInvalid, f.Code == samapi.CodeSADExpired:
	default:
		return samapi.SignResult{}, false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	result, err := s.config.SAM.Result(ctx, o.request.SID, o.request.Client)
	if err != nil || len(result.Hashes) != len(result.Signatures) || len(result.Algorithms) != len(result.Signatures) {
		return samapi.SignResult{}, false
	}
	used := make([]bool, len(result.Signatures))
	var out samapi.SignResult
	for _, want := range o.request.Hashes {
		found := false
		for i, have := range result.Hashes {
			if !used[i] && bytes.Equal(have, want) && result.Algorithms[i] == o.request.Algorithm {
				used[i], found = true, true
				out.Signatures = append(out.Signatures, result.Signatures[i])
				break
			}
		}
		if !found {
			return samapi.SignResult{}, false
		}
	}
	s.log.InfoContext(ctx, "signatures delivered again", "sid", o.request.SID, "count", len(out.Signatures))
	return out, true
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

// Delivered implements csc.Deliverer: the module may forget the signatures. It
// forgets all of an approval at once, so it is told only when the request had all
// that it keeps: those of another request, whose answer may be lost, stay.
func (s *Service) Delivered(ctx context.Context, by csc.Caller, q *csc.SignHashRequest) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	kept, err := s.config.SAM.Result(ctx, by.SID, by.Client)
	if errors.Is(err, fault.NotFound) {
		return // acknowledged before
	}
	if err == nil && !covers(q.Hashes, kept.Hashes) {
		s.log.InfoContext(ctx, "signatures kept for another request", "sid", by.SID)
		return
	}
	if err == nil {
		err = s.config.SAM.Acknowledge(ctx, by.SID, by.Client)
	}
	if err != nil {
		s.log.WarnContext(ctx, "signatures not acknowledged", "sid", by.SID, "error", err)
	}
}

// covers reports whether every kept hash is one of those delivered, as often.
func covers(delivered []string, kept [][]byte) bool {
	left := map[string]int{}
	for _, text := range delivered {
		left[text]++
	}
	for _, h := range kept {
		text := base64.StdEncoding.EncodeToString(h)
		if left[text] == 0 {
			return false
		}
		left[text]--
	}
	return true
}

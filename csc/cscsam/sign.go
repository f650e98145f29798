package cscsam

import (
	"bytes"
	"context"
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
	asked      *csc.Order
	request    samapi.SignRequest
}

// SignHash implements csc.Service; see Sign.
func (s *Service) SignHash(ctx context.Context, by csc.Caller, q *csc.SignHashRequest) (*csc.SignHashResponse, error) {
	asked, err := q.Order()
	if err != nil {
		return nil, err
	}
	v, err := s.Sign(ctx, by, asked)
	if err != nil {
		return nil, err
	}
	return v.Response(), nil
}

// Sign implements csc.Signer. Asked again for signatures that the module made and
// that were not delivered, it returns the same signatures, whatever became of the
// credential since: nothing new is signed.
func (s *Service) Sign(ctx context.Context, by csc.Caller, asked *csc.Order) (*csc.Verified, error) {
	if by.Scope != csc.ScopeCredential || by.SID == "" {
		return nil, csc.ErrInsufficientScope
	}
	if asked.Credential != by.Credential {
		return nil, csc.InvalidParameter("credentialID")
	}
	before := s.held.known(asked.Credential)
	if before != nil {
		v, err := s.made(ctx, by, before, asked)
		if err == nil {
			return v, nil
		}
		now, findErr := s.find(ctx, by, asked.Credential)
		if findErr != nil {
			return nil, findErr
		}
		if before.same(now) {
			return nil, err
		}
		return s.made(ctx, by, now, asked)
	}
	c, err := s.find(ctx, by, asked.Credential)
	if err != nil {
		return nil, err
	}
	return s.made(ctx, by, c, asked)
}

// made gets signatures by the credential as it is known, and verifies them: nobody
// passes on what they did not check.
func (s *Service) made(ctx context.Context, by csc.Caller, c *credential, asked *csc.Order) (*csc.Verified, error) {
	o := &order{c, asked, samapi.SignRequest{
		SID: by.SID, Client: by.Client, Credential: c.ID, Algorithm: asked.Algorithm, Hashes: make([][]byte, len(asked.Digests)),
	}}
	for i, d := range asked.Digests {
		o.request.Hashes[i] = d.Sum
	}
	result, err := s.signatures(ctx, o)
	if err != nil {
		return nil, translate(err)
	}
	v, err := asked.Verify(c.chain[0], result.Signatures)
	if err != nil {
		s.log.ErrorContext(ctx, "wrong signature from the module", "credential", c.ID, "sid", by.SID, "error", err)
		return nil, fmt.Errorf("credential %s: %w", c.ID, err)
	}
	return v, nil
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
	s.arrivals.flush(ctx) // what has arrived is not given again
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

// Delivered implements csc.Deliverer: the module may forget the signatures of this
// answer. They are named, so that those of another request, whose answer may be
// lost, stay, and those that are made at this moment. It is told soon, of many at
// a time.
func (s *Service) Delivered(ctx context.Context, by csc.Caller, _ *csc.SignHashRequest, answer *csc.SignHashResponse) {
	signatures, err := answer.Decode()
	if err != nil {
		s.log.ErrorContext(ctx, "signatures not acknowledged", "sid", by.SID, "error", err)
		return
	}
	s.arrivals.add(by.SID, by.Client, signatures)
}

// Flush tells the module of all deliveries so far. It is called before the process
// ends, after the last answer.
func (s *Service) Flush(ctx context.Context) { s.arrivals.flush(ctx) }

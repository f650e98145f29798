package cscsam

import (
	"context"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/sam/samapi"
)

var _ csc.Rereader = (*Service)(nil)

// Again implements csc.Rereader: signatures that the module made under the caller's
// approval and that it still keeps. Whatever became of the credential since does not
// matter, and nothing is signed.
func (s *Service) Again(ctx context.Context, by csc.Caller, asked *csc.Order) (*csc.Verified, error) {
	none := fault.New(fault.NotFound, "there is no such result")
	if by.Scope != csc.ScopeCredential || by.SID == "" || asked.Credential != by.Credential {
		return nil, none
	}
	c, err := s.find(ctx, by, asked.Credential)
	if err != nil {
		return nil, none.Because(err)
	}
	o := &order{c, asked, samapi.SignRequest{SID: by.SID, Client: by.Client, Credential: c.ID, Algorithm: asked.Algorithm}}
	for _, d := range asked.Digests {
		o.request.Hashes = append(o.request.Hashes, d.Sum)
	}
	result, ok := s.stored(ctx, o)
	if !ok {
		return nil, none
	}
	return asked.Verify(c.chain[0], result.Signatures)
}

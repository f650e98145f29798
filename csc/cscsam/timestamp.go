package cscsam

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/big"
	"time"

	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/signing"
)

// maxClockSkew is how far the authority's time may be from ours.
const maxClockSkew = 5 * time.Minute

// Timestamp implements csc.Service: the token comes from the configured
// authority and is verified before it goes on.
func (s *Service) Timestamp(ctx context.Context, _ csc.Caller, q *csc.TimestampRequest) (*csc.TimestampResponse, error) {
	if s.config.TSA == nil {
		return nil, csc.ErrUnsupportedMethod
	}
	hash, err := signing.HashByOID(q.HashAlgo)
	if err != nil {
		return nil, csc.InvalidParameter("hashAlgo").Because(err)
	}
	imprint, err := base64.StdEncoding.DecodeString(q.Hash)
	if err != nil {
		return nil, csc.ErrHashBase64
	}
	if len(imprint) != hash.Size() {
		return nil, csc.ErrHashLength
	}
	request := cms.TimestampRequest{Hash: hash, Imprint: imprint}
	if q.Nonce != "" {
		nonce, ok := new(big.Int).SetString(q.Nonce, 16)
		if !ok || nonce.Sign() < 0 {
			return nil, csc.InvalidParameter("nonce")
		}
		request.Nonce = nonce
	}
	query, err := request.Encode()
	if err != nil {
		return nil, fmt.Errorf("encode time-stamp query: %w", err)
	}
	der, err := s.config.TSA.Timestamp(ctx, s.config.TSAURL, query)
	if err != nil {
		return nil, csc.ErrUnavailable.Because(fmt.Errorf("time-stamp: %w", err))
	}
	token, err := request.Accept(der)
	if err != nil {
		return nil, csc.ErrUnavailable.Because(fmt.Errorf("time-stamp: %w", err))
	}
	if off := token.Info.Time.Sub(s.now()).Abs(); off > maxClockSkew {
		return nil, csc.ErrUnavailable.Because(fmt.Errorf("time-stamp: the authority's clock is %s off", off.Round(time.Second)))
	}
	response, err := cms.ParseTimestampResponse(der)
	if err != nil {
		return nil, fmt.Errorf("time-stamp: %w", err)
	}
	return &csc.TimestampResponse{Timestamp: base64.StdEncoding.EncodeToString(response.Token)}, nil
}

package direct

import (
	"context"
	"errors"
	"net/http"

	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/web"
)

// CodeBusy says that another tab of the same browser is getting the signatures.
const CodeBusy = "busy"

// signRequest asks for the signatures of a signing. Address is where the browser
// came back; without it only what is there already is given.
type signRequest struct {
	State   string `json:"state"`
	Address string `json:"address"`
}

// sign gets the signatures, once. Whoever asks again gets the same ones: a second
// tab, a reload, a browser that was closed.
func (d *Direct) sign(r *http.Request, who string) (any, error) {
	var q signRequest
	if err := web.ReadStrictJSON(r, &q); err != nil {
		return nil, err
	}
	x, err := d.rows.find(r.Context(), who, q.State)
	if err != nil {
		return nil, err
	}
	if x.Phase == waiting && q.Address != "" {
		final, err := d.returned(q.Address)
		if err != nil {
			return nil, err
		}
		mine, err := d.rows.claim(r.Context(), who, q.State)
		if err != nil {
			return nil, err
		}
		if mine {
			return d.complete(r.Context(), who, x, final)
		}
		if x, err = d.rows.find(r.Context(), who, q.State); err != nil {
			return nil, err
		}
	}
	return d.outcome(x)
}

// outcome is what there is to say of a signing that somebody else completes or has
// completed.
func (d *Direct) outcome(x *signing) (any, error) {
	switch x.Phase {
	case signed:
		return map[string]any{"signatures": x.Result.Signatures}, nil
	case waiting:
		return map[string]any{"waiting": true, "url": x.Request.Authorization.URL, "until": x.Expires}, nil
	case redeeming:
		if d.config.Now().Sub(x.Began) > stuckAfter {
			return nil, fault.New(fault.Unavailable, "the answer of the signing service was lost; whether the key signed is in the record of the service. Start again").WithCode("lost")
		}
		return nil, fault.New(fault.Conflict, "another tab is getting the signature").WithCode(CodeBusy)
	case refused, failed:
	}
	kind := fault.Unavailable
	if x.Phase == refused {
		kind = fault.Forbidden
	}
	return nil, fault.New(kind, "%s", x.Result.Why).WithCode(x.Result.Code)
}

// complete redeems the code and records what came of it. It goes on when the browser
// goes away: the code is for one use.
func (d *Direct) complete(ctx context.Context, who string, x *signing, final string) (any, error) {
	ctx = context.WithoutCancel(ctx)
	values, err := d.redeem(ctx, x, final)
	if err == nil {
		if err := d.rows.end(ctx, who, x.ID, signed, result{Signatures: values}); err != nil {
			return nil, err
		}
		return map[string]any{"signatures": values}, nil
	}
	f := fault.Of(err)
	outcome, kept := failed, result{Code: f.Code, Why: f.Detail}
	if f.Kind == fault.Forbidden || f.Code == cscclient.CodeApprovalRefused {
		outcome = refused
		err = fault.New(fault.Forbidden, "%s", f.Detail).WithCode(cscclient.CodeApprovalRefused).Because(err)
		kept.Code = cscclient.CodeApprovalRefused
	}
	return nil, errors.Join(err, d.rows.end(ctx, who, x.ID, outcome, kept))
}

func (d *Direct) redeem(ctx context.Context, x *signing, final string) ([][]byte, error) {
	s, err := d.service(ctx)
	if err != nil {
		return nil, err
	}
	c, err := s.Credential(ctx, x.Request.Credential)
	if err != nil {
		return nil, err
	}
	return s.Complete(ctx, c, x.Request.Authorization, final, x.Request.Documents)
}

package oauth

import (
	"context"
	"net/http"
	"net/url"

	"github.com/countersign/countersign/internal/store"
)

// push takes a pushed authorization request (RFC 9126).
func (s *Server) push(w http.ResponseWriter, r *http.Request) {
	answer, err := s.pushed(w, r)
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	writeJSON(w, http.StatusCreated, answer)
}

func (s *Server) pushed(w http.ResponseWriter, r *http.Request) (map[string]any, error) {
	form, err := postForm(w, r)
	if err != nil {
		return nil, err
	}
	c, jkt, seen, err := s.whoAsks(w, r, form)
	if err != nil {
		return nil, err
	}
	if form.Has("request_uri") {
		return nil, refuse(codeInvalidRequest, "A pushed request cannot refer to another one: leave out request_uri.")
	}
	if _, ok := c.redirect(form.Get("redirect_uri")); !ok {
		return nil, refuse(codeInvalidRequest, "redirect_uri is not one that is registered for the client.")
	}
	req, err := s.newRequest(c, form, jkt)
	if err != nil {
		return nil, err
	}
	var answer map[string]any
	err = s.work(r.Context(), c, seen, func(ctx context.Context, u *unit) (err error) {
		u.req, u.jkt = req, jkt
		answer, err = s.pushRequest(ctx, req)
		return err
	})
	return answer, err
}

func (s *Server) pushRequest(ctx context.Context, req *request) (map[string]any, error) {
	ar, err := s.provider.NewPushedAuthorizeRequest(ctx, synthetic(ctx, req.forFosite()))
	if err != nil {
		return nil, err
	}
	resp, err := s.provider.NewPushedAuthorizeResponse(ctx, ar, &session{s: s, now: req.created})
	if err != nil {
		return nil, err
	}
	return resp.ToMap(), nil
}

// whoAsks authenticates the client of a direct request and checks its DPoP proof.
func (s *Server) whoAsks(w http.ResponseWriter, r *http.Request, form url.Values) (c *storedClient, jkt string, seen []once, err error) {
	if s.nonceLife > 0 {
		w.Header().Set("DPoP-Nonce", s.nonce())
	}
	c, seen, err = s.authenticate(r.Context(), r, form)
	if err != nil {
		return nil, "", nil, err
	}
	jkt, proofs, err := s.dpop(r, "")
	if err != nil {
		return nil, "", nil, err
	}
	for i := range proofs {
		proofs[i].org = c.Org
	}
	return c, jkt, append(seen, proofs...), nil
}

// work runs do in one transaction, after noting what may be seen once. A refusal
// is an answer and is committed, for it may revoke tokens and a jti stays used;
// trouble of our own undoes everything.
func (s *Server) work(ctx context.Context, c *storedClient, seen []once, do func(context.Context, *unit) error) error {
	var refusal error
	err := s.db.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		u := &unit{q: tx, now: s.now(), client: c}
		refusal = s.seeOnce(ctx, u, seen)
		if refusal == nil {
			refusal = do(u.in(ctx), u)
		}
		if u.failed != nil {
			return u.failed
		}
		if refusal != nil && asOAuth(refusal).status >= http.StatusInternalServerError {
			return refusal
		}
		return nil
	})
	if err != nil {
		return err
	}
	return refusal
}

func (s *Server) seeOnce(ctx context.Context, u *unit, seen []once) error {
	for _, o := range seen {
		first, err := s.rows.see(ctx, u.q, o)
		if err != nil {
			return u.fail(err)
		}
		if !first {
			return o.refusal
		}
	}
	return nil
}

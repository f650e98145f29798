package oauth

import (
	"context"
	"net/http"
	"net/url"

	"github.com/countersign/countersign/internal/store"
)

// pushed takes a pushed authorization request (RFC 9126).
func (s *Server) pushed(w http.ResponseWriter, r *http.Request) (map[string]any, error) {
	q, err := s.ask(w, r)
	if err != nil {
		return nil, err
	}
	form, c, jkt := q.form, q.client, q.jkt
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
	do := func(ctx context.Context, u *unit) (err error) {
		u.req, u.jkt = req, jkt
		answer, err = s.pushRequest(ctx, u, req)
		return err
	}
	if len(q.seen) == 0 && req.fits() { // nothing to write
		u := &unit{q: s.db, now: s.now(), client: c}
		err = do(u.in(r.Context()), u)
		u.end(err == nil)
		return answer, err
	}
	err = s.work(r.Context(), c, q.seen, do)
	return answer, err
}

func (s *Server) pushRequest(ctx context.Context, u *unit, req *request) (map[string]any, error) {
	ar, err := s.provider.NewPushedAuthorizeRequest(ctx, synthetic(ctx, req.forFosite()))
	if err != nil {
		return nil, err
	}
	resp, err := s.provider.NewPushedAuthorizeResponse(ctx, ar, &session{s: s, now: req.created})
	if err != nil {
		return nil, err
	}
	answer := resp.ToMap()
	answer["request_uri"] = u.uri
	return answer, nil
}

// asked is a direct request of a client, who it is, and the key of the DPoP proof that
// came with it. What may be seen once is noted with the request's own work.
type asked struct {
	form   url.Values
	client *storedClient
	jkt    string
	seen   []once
}

// ask reads a direct request, authenticates the client and checks its DPoP proof.
func (s *Server) ask(w http.ResponseWriter, r *http.Request) (*asked, error) {
	form, err := postForm(w, r)
	if err != nil {
		return nil, err
	}
	if s.nonceLife > 0 {
		w.Header().Set("DPoP-Nonce", s.nonce())
	}
	c, seen, err := s.authenticate(r.Context(), r, form)
	if err != nil {
		return nil, err
	}
	jkt, proofs, err := s.dpop(r, "")
	if err != nil {
		return nil, err
	}
	for i := range proofs {
		proofs[i].org = c.Org
	}
	return &asked{form, c, jkt, append(seen, proofs...)}, nil
}

// answered is the handler of a direct request that is answered with JSON.
func (s *Server) answered(status int, do func(http.ResponseWriter, *http.Request) (map[string]any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer, err := do(w, r)
		if err != nil {
			s.writeError(w, r, err)
			return
		}
		writeJSON(w, status, answer)
	}
}

// work runs do in one transaction, after noting what may be seen once. A refusal
// is an answer and is committed, for it may revoke tokens and a jti stays used;
// trouble of our own undoes everything.
func (s *Server) work(ctx context.Context, c *storedClient, seen []once, do func(context.Context, *unit) error) error {
	var (
		refusal error
		u       *unit
	)
	err := s.db.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		u = &unit{q: tx, now: s.now(), client: c}
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
	if u != nil {
		u.end(err == nil)
	}
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

package federation

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/web"
)

// Authenticator tells who asks, from the access token.
type Authenticator interface {
	Caller(r *http.Request) (csc.Caller, error)
}

// Results lets a peer read what was signed for it when the answer was lost on the
// way. It never signs.
type Results struct {
	Router *Router
	Auth   Authenticator
}

// Mount adds the route.
func (s *Results) Mount(m Mux) { m.Handle(http.MethodPost, ResultPath, s) }

// ServeHTTP implements http.Handler: the body is that of the signHash request whose
// answer was lost, the token is that of its approval.
func (s *Results) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := s.result(r)
	if err != nil {
		web.Problem(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(answer) // whoever asked may be gone
}

func (s *Results) result(r *http.Request) (*csc.SignHashResponse, error) {
	if len(r.Header.Values("Authorization")) != 1 {
		return nil, fault.New(fault.Unauthenticated, "send the access token of the approval").WithCode(csc.CodeInvalidToken)
	}
	by, err := s.Auth.Caller(r)
	if err != nil {
		return nil, err
	}
	var q csc.SignHashRequest
	if err := web.ReadJSON(r, &q); err != nil {
		return nil, err
	}
	order, err := q.Order()
	if err != nil {
		return nil, fault.New(fault.Invalid, "the request is not one of signHash").Because(err)
	}
	v, err := s.Router.Again(r.Context(), by, order)
	if err != nil {
		return nil, err
	}
	return v.Response(), nil
}

// Again returns the signatures that were made for an order whose answer was lost,
// and never signs. A fault of kind NotFound says that there are none.
func (r *Router) Again(ctx context.Context, by csc.Caller, order *csc.Order) (*csc.Verified, error) {
	none := fault.New(fault.NotFound, "there is no such result")
	if by.Scope != csc.ScopeCredential || by.SID == "" || by.Credential != order.Credential {
		return nil, none
	}
	route := r.route(order.Credential)
	again, ok := route.Service.(csc.Rereader)
	if !ok {
		return nil, none
	}
	v, err := again.Again(ctx, by, order)
	if err != nil {
		return nil, err
	}
	if err := v.For(order); err != nil {
		return nil, err
	}
	return v, nil
}

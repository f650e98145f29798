package federation

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/web"
)

// Paths below the gateway's issuer.
const (
	// ReturnPath and the peer's id are where browsers come back to from that peer.
	ReturnPath = "/federation/return/"
	// ResultPath is where a peer reads a result whose answer was lost.
	ResultPath = "/federation/v1/result"
)

// Mux is where the routes go; internal/httpd has one.
type Mux interface {
	Handle(method, pattern string, h http.Handler)
}

// Mount adds the return address.
func (p *Peers) Mount(m Mux) {
	m.Handle(http.MethodGet, ReturnPath+"{peer}", http.HandlerFunc(p.comeBack))
}

// comeBack is where a peer sends the signer's browser. The answer counts only at
// that peer's own address, with the issuer that belongs to it (RFC 9207), the state
// of an approval that waits for this peer, and in the browser that started it. Then
// the browser goes on to the authorisation server, which alone speaks to the client.
func (p *Peers) comeBack(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	if r.Method != http.MethodGet { // HEAD must not use up an answer
		w.Header().Set("Allow", http.MethodGet)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	to, err := p.returned(r)
	if err != nil {
		p.log.WarnContext(r.Context(), "return from a peer refused", "peer", r.PathValue("peer"), "error", err)
		web.Problem(w, r, err)
		return
	}
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

func (p *Peers) returned(r *http.Request) (string, error) {
	ctx := r.Context()
	e, err := p.registry.peer(r.PathValue("peer"))
	if err != nil {
		return "", fault.New(fault.NotFound, "there is no such peer").Because(err)
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", fault.New(fault.Invalid, "the address cannot be read")
	}
	for _, name := range []string{"state", "iss", "code", "error", "error_description"} {
		if len(q[name]) > 1 || len(q.Get(name)) > 4096 {
			return "", fault.New(fault.Invalid, "parameter %s is there twice, or is too long", name)
		}
	}
	a, err := p.byState(ctx, q.Get("state"))
	if err != nil {
		return "", err
	}
	// One answer for all of these, so that a stranger learns nothing.
	refused := fault.New(fault.Forbidden, "this answer does not belong to a signature that this browser started here; start again at the application").WithCode("foreign_return")
	switch {
	case a == nil:
		return "", refused.Because(errNote("no such state"))
	case a.peer != e.ID:
		return "", refused.Because(errNote("the approval waits for another peer"))
	case q.Get("iss") != e.Issuer:
		return "", refused.Because(errNote("the issuer is another one"))
	}
	own, err := p.config.Browser(r, a.sid)
	if err != nil {
		return "", err
	}
	if !own {
		return "", refused.Because(errNote("another browser"))
	}
	return p.takeUp(r, a)
}

// errNote is a private cause, for the log.
type errNote string

func (e errNote) Error() string { return string(e) }

// takeUp keeps the answer, once, and says where the browser goes on.
func (p *Peers) takeUp(r *http.Request, a *authorization) (string, error) {
	ctx := r.Context()
	used := fault.New(fault.Conflict, "this answer was used before, or came too late; start again at the application").WithCode("replayed_return")
	if a.state != stateAuthorizing {
		return "", used
	}
	var s secrets
	if err := p.sealer.open(a.place(), a.sealed, &s); err != nil {
		return "", err
	}
	s.Final = strings.TrimSuffix(p.config.Approved, pathOf(p.config.Approved)) + r.URL.RequestURI()
	sealed, err := p.sealer.seal(a.place(), s)
	if err != nil {
		return "", err
	}
	handle := store.NewID() + store.NewID()
	ok, err := p.returnedWith(ctx, a, sealed, digestHex(handle), p.now())
	if err != nil {
		return "", err
	}
	if !ok {
		return "", used
	}
	return p.config.Approved + "?" + url.Values{"sid": {a.sid}, "handle": {handle}}.Encode(), nil
}

// pathOf is the path of an absolute URL.
func pathOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Path
}

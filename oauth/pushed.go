package oauth

import (
	"context"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"

	"github.com/countersign/countersign/internal/store"
)

// maxSealed is the longest form that travels in its own request_uri, in bytes. A URL
// of twice that length passes every browser and proxy.
const maxSealed = 2 << 10

// sealedMark begins a request_uri, behind the prefix, that carries its request.
const sealedMark = "v1."

// sealed is what a request_uri carries.
type sealed struct {
	ID      string `json:"i"`
	Org     string `json:"o"`
	Client  string `json:"c"`
	JKT     string `json:"j,omitempty"`
	Form    string `json:"f"`
	Created int64  `json:"t"` // microseconds
	Expires int64  `json:"e"`
}

// sealRequest makes the request_uri of a pushed request out of the request itself,
// encrypted: nothing has to be kept until a browser comes with it, whoever pushes how
// many. That it is used once is decided when it is used: then its digest is written.
// A long request is kept instead, and ok is false.
func (s *Server) sealRequest(r *request) (uri string, ok bool) {
	form := r.form.Encode()
	if len(form) > maxSealed { // see fits
		return "", false
	}
	text, err := json.Marshal(sealed{
		ID: r.id, Org: r.org, Client: r.client, JKT: r.jkt, Form: form, Created: store.Micros(r.created), Expires: store.Micros(r.expires),
	})
	if err != nil {
		return "", false
	}
	box := s.keys.pushed[0].Seal(nil, nil, text, nil) //nolint:gosec // the AEAD makes its nonce itself
	return requestURIPrefix + sealedMark + base64.RawURLEncoding.EncodeToString(box), true
}

// fits reports whether sealRequest will take the request.
func (r *request) fits() bool { return len(r.form.Encode()) <= maxSealed }

// openRequest reads a request_uri that sealRequest made; nil for every other.
func (s *Server) openRequest(uri string) *request {
	text, ok := strings.CutPrefix(uri, requestURIPrefix+sealedMark)
	if !ok || len(text) > 4*maxSealed {
		return nil
	}
	box, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil
	}
	for _, key := range s.keys.pushed {
		if r := readSealed(key, box); r != nil {
			r.uriHash = digestHex(uri)
			return r
		}
	}
	return nil
}

func readSealed(key cipher.AEAD, box []byte) *request {
	text, err := key.Open(nil, nil, box, nil)
	if err != nil {
		return nil
	}
	var q sealed
	if json.Unmarshal(text, &q) != nil {
		return nil
	}
	form, err := url.ParseQuery(q.Form)
	if err != nil {
		return nil
	}
	return &request{
		id: q.ID, org: q.Org, client: q.Client, jkt: q.JKT, form: form, state: statePushed, unsaved: true,
		created: store.Time(q.Created), expires: store.Time(q.Expires),
	}
}

// requestByURI finds a pushed request, nil if there is none. One that was used is in
// the database in any case.
func (s *Server) requestByURI(ctx context.Context, uri string) (*request, error) {
	hash := digestHex(uri)
	r, err := s.requestBy(byURI(hash), func() (*request, error) { return s.rows.requestByURI(ctx, s.db, hash) })
	if r == nil && err == nil {
		r = s.openRequest(uri)
	}
	return r, err
}

// takeUp notes that a browser has a request in hand, before the approver is asked;
// false if another was faster.
func (s *Server) takeUp(ctx context.Context, u *unit) (bool, error) {
	until := u.now.Add(beginTime)
	if !u.req.unsaved {
		ok, err := s.rows.start(ctx, u.q, u.req.id, u.req.browserHash, u.now, until)
		u.req.state = stateStarted
		return ok, err
	}
	u.req.state, u.req.expires = stateStarted, until
	return s.save(ctx, u.q, u.req)
}

// awaitApproval notes the approval that a request waits for; false if another
// browser was faster.
func (s *Server) awaitApproval(ctx context.Context, r *request, a Approval) (bool, error) {
	from := r.state
	r.state, r.sid, r.expires = stateWaiting, a.SID, a.Expires.Add(returnTime)
	if r.unsaved {
		return s.save(ctx, s.db, r)
	}
	return s.rows.await(ctx, s.db, r, from)
}

// giveUp closes a request that will have no code; false if it has been answered.
func (s *Server) giveUp(ctx context.Context, r *request) (bool, error) {
	if r.unsaved {
		r.state = stateEnded
		return s.save(ctx, s.db, r)
	}
	ok, err := s.rows.end(ctx, s.db, r.id)
	s.memory.requests.forget(bySID(r.sid))
	return ok, err
}

// save writes a request that was not written when it was pushed.
func (s *Server) save(ctx context.Context, q store.Querier, r *request) (bool, error) {
	ok, err := s.rows.insertRequest(ctx, q, r)
	r.unsaved = false
	return ok, err
}

package oauth

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// requestURIPrefix is what our request_uris begin with (RFC 9126 §2.2).
const requestURIPrefix = "urn:ietf:params:oauth:request_uri:"

// returnTime is how long after the end of an approval a browser may come back to
// say so.
const returnTime = 10 * time.Minute

// authorize is the authorization endpoint (RFC 6749 §3.1). It begins the approval
// and sends the browser there. As long as it is not certain that the redirect URI
// belongs to the client, errors are shown here and go nowhere.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) {
	form, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		err = refuse(codeInvalidRequest, "The address cannot be read.").because(err)
	} else {
		err = single(form)
	}
	if err != nil {
		s.page(w, r, err)
		return
	}
	c, err := s.client(r.Context(), form.Get("client_id"))
	if err == nil && (c == nil || c.Disabled) {
		err = refuse(codeInvalidRequest, "Invalid parameter client_id")
	}
	if err != nil {
		s.page(w, r, err)
		return
	}
	if form.Has("request_uri") {
		s.authorizePushed(w, r, c, form)
		return
	}
	s.authorizeDirect(w, r, c, form)
}

// authorizePushed takes up a pushed request, once. What stands beside the
// request_uri must have been pushed, for the address went through a browser.
func (s *Server) authorizePushed(w http.ResponseWriter, r *http.Request, c *storedClient, form url.Values) {
	ctx, uri, now := r.Context(), form.Get("request_uri"), s.now()
	if !strings.HasPrefix(uri, requestURIPrefix) {
		s.page(w, r, refuse(codeInvalidRequestURI, "Only a request_uri of this server can be used; nothing is fetched."))
		return
	}
	key := byURI(digestHex(uri))
	if !s.memory.claim(key) { // another browser is here with it at this moment
		s.page(w, r, errSpentURI())
		return
	}
	defer s.memory.release(key)
	req, err := s.requestByURI(ctx, uri)
	if err == nil && (req == nil || req.client != c.ID || req.org != c.Org || req.state != statePushed || !now.Before(req.expires)) {
		err = errSpentURI()
	}
	if err == nil {
		err = besides(req.form, form)
	}
	if err != nil {
		s.page(w, r, err)
		return
	}
	b := newBrowser(req)
	u := &unit{q: s.db, now: now, client: c, req: req}
	uctx := u.in(ctx)
	if _, err := s.provider.NewAuthorizeRequest(uctx, synthetic(uctx, url.Values{"client_id": {c.ID}, "request_uri": {uri}})); err != nil {
		s.page(w, r, err)
		return
	}
	defer s.memory.requests.forget(key)
	s.begin(w, r, c, req, b)
}

// besides refuses parameters that were not pushed, or pushed otherwise.
func besides(pushed, given url.Values) error {
	for name := range given {
		if name == "client_id" || name == "request_uri" || ignored(name) || given.Get(name) == "" {
			continue
		}
		if !slices.Contains(kept(), name) || pushed.Get(name) != given.Get(name) {
			return refuse(codeInvalidRequest, fmt.Sprintf("Parameter %.40s beside request_uri was not pushed like this.", name))
		}
	}
	return nil
}

// authorizeDirect takes a request whose parameters came with the browser.
func (s *Server) authorizeDirect(w http.ResponseWriter, r *http.Request, c *storedClient, form url.Values) {
	ctx := r.Context()
	to, ok := c.redirect(form.Get("redirect_uri"))
	if !ok {
		s.page(w, r, refuse(codeInvalidRequest, "redirect_uri is not one that is registered for the client."))
		return
	}
	req, err := s.direct(r, c, form)
	if err != nil {
		s.redirectError(w, r, to, form.Get("state"), err)
		return
	}
	b := newBrowser(req)
	req.state, req.expires = stateStarted, req.created.Add(beginTime)
	if _, err := s.rows.insertRequest(ctx, s.db, req); err != nil {
		s.redirectError(w, r, to, form.Get("state"), err)
		return
	}
	s.begin(w, r, c, req, b)
}

func (s *Server) direct(r *http.Request, c *storedClient, form url.Values) (*request, error) {
	if c.PAR {
		return nil, refuse(codeInvalidRequest, "This client must push its authorization requests (RFC 9126).")
	}
	req, err := s.newRequest(c, form, "")
	if err != nil {
		return nil, err
	}
	u := &unit{q: s.db, now: req.created, client: c, req: req}
	ctx := u.in(r.Context())
	_, err = s.provider.NewAuthorizeRequest(ctx, synthetic(ctx, req.forFosite()))
	return req, err
}

// begin hands a request that one browser has taken to the approver.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, c *storedClient, req *request, b browser) {
	ctx, state := r.Context(), req.form.Get("state")
	to, ok := req.redirectURI(c)
	if !ok { // the registration has changed since it was pushed
		s.page(w, r, refuse(codeInvalidRequest, "redirect_uri is not one that is registered for the client."))
		return
	}
	in, err := req.intent()
	if err != nil {
		s.redirectError(w, r, to, state, err)
		return
	}
	approval, err := s.approver.Begin(ctx, s.approval(c, req, in, r.Header.Get("Accept-Language")))
	if err == nil && (approval.SID == "" || approval.URL == "") {
		err = fmt.Errorf("begin approval: no sid or no address")
	}
	if err != nil {
		if _, endErr := s.giveUp(context.WithoutCancel(ctx), req); endErr != nil {
			s.logError(r, asOAuth(endErr))
		}
		s.redirectError(w, r, to, state, err)
		return
	}
	ok, err = s.awaitApproval(context.WithoutCancel(ctx), req, approval) // the request is used up, whoever hangs up
	if err == nil && !ok {
		err = fmt.Errorf("await approval: the request is in another state")
	}
	if err != nil {
		s.redirectError(w, r, to, state, err)
		return
	}
	s.memory.remember(bySID(req.sid), req)
	s.setBrowser(w, req.id, b, req.expires)
	see(w, approval.URL)
}

// redirectError tells the client of an error through the browser.
func (s *Server) redirectError(w http.ResponseWriter, r *http.Request, to, state string, err error) {
	e := asOAuth(err)
	s.logError(r, e)
	s.redirectTo(w, to, state, url.Values{"error": {e.code}, "error_description": {plain(e.description)}})
}

package oauth

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// approved is where the approval origin sends the browser back: it must be the one
// that started. Then, and only then, the handle is redeemed, and the client gets a
// code or hears why there is none.
func (s *Server) approved(w http.ResponseWriter, r *http.Request) {
	c, req, handle, err := s.comingBack(r)
	if err != nil {
		s.page(w, r, err)
		return
	}
	to, ok := req.redirectURI(c)
	if !ok {
		s.page(w, r, refuse(codeInvalidRequest, "redirect_uri is not one that is registered for the client."))
		return
	}
	outcome, err := s.approver.Outcome(r.Context(), req.sid, handle)
	if err != nil { // the true handle may still come: nothing has changed
		s.page(w, r, fmt.Errorf("take outcome: %w", err))
		return
	}
	code, err := s.answer(r, c, req, outcome)
	if errors.Is(err, errAnswered) { // whoever answered it has told the client
		s.page(w, r, err)
		return
	}
	s.forgetBrowser(w, req.id)
	if err != nil {
		s.redirectError(w, r, to, req.form.Get("state"), err)
		return
	}
	s.redirectTo(w, to, req.form.Get("state"), url.Values{"code": {code}})
}

// comingBack finds the authorization that a browser returns to.
func (s *Server) comingBack(r *http.Request) (*storedClient, *request, string, error) {
	form, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || single(form) != nil || form.Get("sid") == "" || form.Get("handle") == "" {
		return nil, nil, "", refuse(codeInvalidRequest, "The address is not complete: sid and handle are needed, once each.")
	}
	sid := form.Get("sid")
	req, err := s.requestBy(bySID(sid), func() (*request, error) { return s.rows.requestBySID(r.Context(), s.db, sid) })
	if err != nil {
		return nil, nil, "", err
	}
	// One answer, so that a stranger does not learn which approvals exist.
	if req == nil || !s.isBrowser(r, req) {
		e := refuse(codeAccessDenied, "This browser did not start the authorization. Go back to the browser that did, or start again.")
		e.status = http.StatusForbidden
		return nil, nil, "", e
	}
	if req.state != stateWaiting || !s.now().Before(req.expires) {
		return nil, nil, "", refuse(codeInvalidRequest, "This authorization was answered before, or is too old. Start again at the application.")
	}
	c, err := s.client(r.Context(), req.client)
	if err == nil && (c == nil || c.Disabled) {
		err = refuse(codeInvalidRequest, "The application is not known any more.")
	}
	return c, req, form.Get("handle"), err
}

// errAnswered is about an authorization that another request has just answered.
var errAnswered = errors.New("answered before")

// answer turns an outcome into a code, or into the reason why there is none.
func (s *Server) answer(r *http.Request, c *storedClient, req *request, o Outcome) (code string, err error) {
	if err := s.checkOutcome(c, req, o); err != nil {
		ended, endErr := s.giveUp(r.Context(), req)
		if endErr != nil {
			return "", endErr
		}
		if !ended {
			return "", refuse(codeInvalidRequest, "This authorization was answered before.").because(errAnswered)
		}
		return "", err
	}
	u := &unit{q: s.db, now: s.now(), client: c, req: req, outcome: o}
	ctx := u.in(r.Context())
	ar, err := s.authorizeRequester(u)
	if err != nil {
		return "", err
	}
	resp, err := s.provider.NewAuthorizeResponse(ctx, ar, ar.GetSession())
	u.end(err == nil)
	if err != nil {
		if u.failed == nil {
			err = fmt.Errorf("%w: %w", errAnswered, err)
		}
		return "", err
	}
	return resp.GetCode(), nil
}

// checkOutcome accepts an approval of exactly what was asked for.
func (s *Server) checkOutcome(c *storedClient, req *request, o Outcome) error {
	in, err := req.intent()
	if err != nil {
		return err
	}
	switch o.State {
	case OutcomeApproved:
	case OutcomeRejected:
		reason := "The signer refused."
		if o.Reason != "" {
			reason = "The signer refused: " + o.Reason
		}
		return refuse(codeAccessDenied, reason)
	case OutcomeExpired:
		return refuse(codeAccessDenied, "The signer did not approve in time.")
	case OutcomeFailed:
		return refuse(codeUnavailable, o.Reason)
	default:
		return fmt.Errorf("outcome of %s has state %q", req.sid, o.State)
	}
	switch {
	case o.SID != req.sid:
		return fmt.Errorf("outcome is about %q, not %q", o.SID, req.sid)
	case o.Signer == "":
		return fmt.Errorf("outcome of %s names no signer", req.sid)
	case o.Credential != in.Credential:
		return fmt.Errorf("outcome of %s is about credential %q, not %q", req.sid, o.Credential, in.Credential)
	case o.Client != "" && o.Client != c.ID:
		return fmt.Errorf("outcome of %s is about client %q, not %q", req.sid, o.Client, c.ID)
	case o.Count != 0 && o.Count != len(in.Documents):
		return fmt.Errorf("outcome of %s is about %s signatures, not %d", req.sid, strconv.Itoa(o.Count), len(in.Documents))
	case !o.Expires.After(s.now()):
		return refuse(codeAccessDenied, "The approval has expired.")
	}
	return nil
}

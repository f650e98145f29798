package oauth

import (
	"crypto/sha256"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/ory/fosite"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/store"
)

// kept are the parameters of an authorization request that mean something here;
// all others are forgotten at once, secrets and assertions among them. (clientData,
// account_token and prompt may be sent, CSC API v2 §8.2.2, and change nothing.)
func kept() []string {
	return []string{
		"response_type", "response_mode", "client_id", "redirect_uri", "scope", "state",
		"code_challenge", "code_challenge_method", "authorization_details",
		"credentialID", "signatureQualifier", "numSignatures", "hash", "hashes", "hashAlgorithmOID",
		"description", "lang", "ui_locales", "dpop_jkt",
	}
}

// ignored may stand beside a request_uri although it was not pushed: clients add
// them to every authorization request.
func ignored(name string) bool { return name == "prompt" }

// maxState is the longest state that is accepted; CSC names 255 bytes.
const maxState = 2048

var (
	challengeForm  = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)
	thumbprintForm = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)
	languageForm   = regexp.MustCompile(`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}$`)
)

// newRequest checks an authorization request of a client whose redirect URI was
// checked before, and returns what there is to remember of it. jkt is the key of
// the DPoP proof that came with it, if one did (RFC 9449 §10.1).
func (s *Server) newRequest(c *storedClient, form url.Values, jkt string) (*request, error) {
	now := s.now()
	r := &request{id: store.NewID(), org: c.Org, client: c.ID, form: url.Values{}, created: now}
	for _, name := range kept() {
		if v := form.Get(name); v != "" {
			r.form.Set(name, v)
		}
	}
	r.form.Set("client_id", c.ID)
	if form.Get("request") != "" {
		return nil, refuse(codeRequestNotSupported, "Request objects are not offered: push the request instead.")
	}
	if t := form.Get("response_type"); t != "code" {
		return nil, refuse(codeUnsupportedResponse, "response_type must be code.")
	}
	if len(form.Get("state")) > maxState {
		return nil, refuse(codeInvalidRequest, "Invalid parameter state")
	}
	if !challengeForm.MatchString(form.Get("code_challenge")) || form.Get("code_challenge_method") != "S256" {
		return nil, refuse(codeInvalidRequest, "PKCE is required: send code_challenge and code_challenge_method=S256.")
	}
	bound := form.Get("dpop_jkt")
	if bound != "" && (!thumbprintForm.MatchString(bound) || (jkt != "" && jkt != bound)) {
		return nil, refuse(codeInvalidRequest, "dpop_jkt is not the thumbprint of the DPoP key.")
	}
	r.jkt = bound
	if jkt != "" {
		r.jkt = jkt
	}
	if err := checkScope(c, r.form); err != nil {
		return nil, err
	}
	_, err := r.intent()
	return r, err
}

// checkScope accepts scope credential and nothing beside it. Details of type
// credential imply it.
func checkScope(c *storedClient, form url.Values) error {
	scope := form.Get("scope")
	if scope == "" && (form.Has("authorization_details") || form.Has("credentialID")) {
		scope = csc.ScopeCredential
		form.Set("scope", scope)
	}
	switch fields := strings.Fields(scope); {
	case len(fields) == 0, len(fields) == 1 && fields[0] == csc.ScopeService:
		return refuse(codeInvalidScope, "An authorization code is given for scope credential only; scope service is asked for with grant_type client_credentials.")
	case len(fields) > 1:
		return refuse(codeInvalidScope, "Scopes are asked for one at a time: send credential alone.")
	case fields[0] != csc.ScopeCredential:
		return refuse(codeInvalidScope, "The requested scope is not offered.")
	}
	if !slices.Contains(c.Scopes, csc.ScopeCredential) {
		return refuse(codeUnauthorizedClient, "The client is not registered for scope credential.")
	}
	return nil
}

// intent is what the request wants to have signed. It is shared: nobody changes it.
func (r *request) intent() (*intent, error) {
	if r.wish != nil {
		return r.wish, nil
	}
	in, err := readIntent(r.form)
	if err == nil {
		r.wish = in
	}
	return in, err
}

func readIntent(form url.Values) (*intent, error) {
	if details := form.Get("authorization_details"); details != "" {
		in, err := parseDetails(details)
		if err != nil {
			return nil, refuse(codeInvalidDetails, "authorization_details: "+err.Error()+".")
		}
		if err := in.agrees(form); err != nil {
			return nil, refuse(codeInvalidRequest, err.Error()+".")
		}
		return in, nil
	}
	in, err := parseCredentialForm(form)
	if err == nil && in == nil {
		err = errors.New("scope credential needs authorization_details, or credentialID with hashes")
	}
	if err != nil {
		return nil, refuse(codeInvalidRequest, err.Error()+".")
	}
	return in, nil
}

// approval is the request as the approver wants it.
func (s *Server) approval(c *storedClient, r *request, in *intent, accept string) ApprovalRequest {
	lang := r.form.Get("lang")
	for _, candidate := range []string{r.form.Get("ui_locales"), accept} {
		if lang == "" {
			lang, _, _ = strings.Cut(strings.TrimSpace(candidate), ",")
			lang, _, _ = strings.Cut(lang, ";")
			lang, _, _ = strings.Cut(lang, " ")
		}
	}
	if !languageForm.MatchString(lang) {
		lang = ""
	}
	return ApprovalRequest{
		Org: c.Org, Client: c.ID, ClientName: c.Name, Credential: in.Credential, HashOID: in.HashOID, Qualifier: in.Qualifier,
		Documents: in.Documents, Request: sha256.Sum256([]byte(r.form.Encode())), Gateway: s.issuer, Lang: lang,
	}
}

// forFosite is the request's form as fosite wants it: it insists on a long state,
// which CSC does not; ours goes back to the client from our own copy.
func (r *request) forFosite() url.Values {
	form := maps.Clone(r.form)
	form.Set("state", "kept by the server")
	return form
}

// redirectURI is where the answer goes.
func (r *request) redirectURI(c *storedClient) (string, bool) {
	return c.redirect(r.form.Get("redirect_uri"))
}

// authorizeRequester rebuilds fosite's view of the unit's request.
func (s *Server) authorizeRequester(u *unit) (fosite.AuthorizeRequester, error) {
	to, ok := u.req.redirectURI(u.client)
	if !ok {
		return nil, fosite.ErrInvalidRequest
	}
	target, err := url.Parse(to)
	if err != nil {
		return nil, fosite.ErrInvalidRequest
	}
	a := fosite.NewAuthorizeRequest()
	a.ResponseTypes, a.RedirectURI, a.State = fosite.Arguments{"code"}, target, u.req.form.Get("state")
	a.DefaultResponseMode, a.ResponseMode = fosite.ResponseModeQuery, fosite.ResponseModeQuery
	a.Request = fosite.Request{
		ID: u.req.id, RequestedAt: u.req.created, Client: fositeClient{u.client}, Form: u.req.form,
		RequestedScope: fosite.Arguments{csc.ScopeCredential}, GrantedScope: fosite.Arguments{csc.ScopeCredential},
		Session: &session{s: s, now: u.now},
	}
	return a, nil
}

// errSpentURI is the answer to a request_uri that cannot be used, or not again.
func errSpentURI() *oauthError {
	return refuse(codeInvalidRequestURI, "The request_uri is not known, has expired or was used before. Start again at the application.")
}

// redirectTo sends the browser to the client's redirect URI with these parameters
// and the issuer (RFC 9207), which tells the client who answers.
func (s *Server) redirectTo(w http.ResponseWriter, to, state string, params url.Values) {
	if state != "" {
		params.Set("state", state)
	}
	params.Set("iss", s.issuer)
	sep := "?"
	if strings.Contains(to, "?") {
		sep = "&"
	}
	see(w, to+sep+params.Encode())
}

// see sends the browser elsewhere with GET. The address may hold a code: no cache
// keeps it and no page it leads to is told where the browser came from.
func see(w http.ResponseWriter, to string) {
	h := w.Header()
	h.Set("Location", to)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusSeeOther)
}

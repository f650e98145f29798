package evil

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
)

func (p *Peer) metadata(w http.ResponseWriter, _ *http.Request) {
	u := p.config.URL
	answer(w, http.StatusOK, map[string]any{
		"issuer": u, "authorization_endpoint": u + "/oauth2/authorize", "token_endpoint": u + "/oauth2/token",
		"pushed_authorization_request_endpoint": u + "/oauth2/pushed_authorize", "authorization_response_iss_parameter_supported": true,
	})
}

func (p *Peer) isClient(w http.ResponseWriter, r *http.Request) bool {
	id, secret, ok := r.BasicAuth()
	if !ok || id != ClientID || secret != ClientSecret {
		refuse(w, http.StatusUnauthorized, "invalid_client", "")
		return false
	}
	r.Body = http.MaxBytesReader(w, r.Body, 256<<10)
	if err := r.ParseForm(); err != nil {
		refuse(w, http.StatusBadRequest, "invalid_request", err.Error())
		return false
	}
	return true
}

func (p *Peer) push(w http.ResponseWriter, r *http.Request) {
	if !p.isClient(w, r) {
		return
	}
	if r.PostForm.Get("redirect_uri") != p.config.Redirect || r.PostForm.Get("code_challenge_method") != "S256" {
		refuse(w, http.StatusBadRequest, "invalid_request", "redirect_uri or PKCE")
		return
	}
	id := "urn:ietf:params:oauth:request_uri:" + rand.Text()
	p.mu.Lock()
	p.pushed[id] = r.PostForm
	p.pushes = append(p.pushes, r.PostForm)
	p.mu.Unlock()
	answer(w, http.StatusCreated, map[string]any{"request_uri": id, "expires_in": 90})
}

// authorize is the signer, who approves everything at once.
func (p *Peer) authorize(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	form := p.pushed[r.FormValue("request_uri")]
	delete(p.pushed, r.FormValue("request_uri"))
	code := rand.Text()
	if form != nil {
		p.codes[code] = form
	}
	lie := p.lie
	p.mu.Unlock()
	if form == nil {
		refuse(w, http.StatusBadRequest, "invalid_request_uri", "")
		return
	}
	iss := p.config.URL
	if lie == WrongIss {
		iss = "https://another.example"
	}
	w.Header().Set("Location", form.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {form.Get("state")}, "iss": {iss}}.Encode())
	w.WriteHeader(http.StatusSeeOther)
}

func (p *Peer) token(w http.ResponseWriter, r *http.Request) {
	if !p.isClient(w, r) {
		return
	}
	t := rand.Text()
	out := map[string]any{"access_token": t, "token_type": "Bearer", "expires_in": 300}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch r.PostForm.Get("grant_type") {
	case "client_credentials":
		p.tokens[t] = nil
	case "authorization_code":
		form := p.codes[r.PostForm.Get("code")]
		delete(p.codes, r.PostForm.Get("code"))
		sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
		if form == nil || form.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) {
			refuse(w, http.StatusBadRequest, "invalid_grant", "")
			return
		}
		p.tokens[t] = form
		out["authorization_details"] = json.RawMessage(form.Get("authorization_details"))
	default:
		refuse(w, http.StatusBadRequest, "unsupported_grant_type", "")
		return
	}
	answer(w, http.StatusOK, out)
}

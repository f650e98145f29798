package cscserver

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/countersign/countersign/csc"
)

// authorizationHeader is credentials with a token68 (RFC 9110 §11.4).
var authorizationHeader = regexp.MustCompile(`^(?i:Bearer|DPoP) +[A-Za-z0-9\-._~+/]+=*$`)

// caller says who asks. A header that is there and is not of the right form is a
// malformed request (CSC API v2 §8.1); none at all is a challenge (RFC 6750 §3).
func (s *Server) caller(r *http.Request) (csc.Caller, error) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return csc.Caller{}, csc.ErrInvalidToken
	}
	if len(values) != 1 || !authorizationHeader.MatchString(values[0]) {
		return csc.Caller{}, csc.ErrAuthorizationHeader
	}
	return s.config.Auth.Caller(r)
}

// challenge is the WWW-Authenticate header for e (RFC 6750 §3, RFC 9449 §7.1).
func challenge(r *http.Request, e *csc.Error) string {
	scheme := "Bearer"
	header := r.Header.Get("Authorization")
	if len(header) >= 5 && strings.EqualFold(header[:5], "DPoP ") {
		scheme = `DPoP algs="ES256"`
	}
	if header == "" {
		return scheme
	}
	code := e.Code
	if code == csc.CodeExpiredToken || e.Status == http.StatusUnauthorized {
		code = csc.CodeInvalidToken // RFC 6750 has one code for both
	}
	sep := " "
	if strings.Contains(scheme, " ") {
		sep = ", "
	}
	return scheme + sep + `error="` + code + `", error_description="` + quotable(e.Description) + `"`
}

// quotable leaves what RFC 6750 allows in error_description.
func quotable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return '\''
		}
		return c
	}, s)
}

// authorized says who asks for signatures: the bearer of a token of scope
// credential, or the bearer of a service token whose SAD parameter is such a
// token (CSC API v2 §11.10, for compatibility). A credential token may repeat
// itself as SAD.
func (s *Server) authorized(r *http.Request, by csc.Caller, p parameters) (csc.Caller, error) {
	sad, ok := p.text("SAD")
	given := p["SAD"] != nil
	if by.Scope == csc.ScopeCredential {
		_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !ok || (given && sad != strings.TrimLeft(token, " ")) {
			return csc.Caller{}, csc.InvalidParameter("SAD")
		}
		return by, nil
	}
	if !given || !ok {
		return csc.Caller{}, csc.MissingParameter("string", "SAD")
	}
	header := "Bearer " + sad
	if !authorizationHeader.MatchString(header) {
		return csc.Caller{}, csc.InvalidParameter("SAD")
	}
	with := r.Clone(r.Context())
	with.Header.Set("Authorization", header)
	with.Header.Del("DPoP") // a bound token is not taken without its proof
	holder, err := s.config.Auth.Caller(with)
	if err != nil {
		e := csc.ErrorOf(err)
		switch e.Code {
		case csc.CodeExpiredToken:
			return csc.Caller{}, csc.ErrSADExpired.Because(err)
		case csc.CodeInvalidToken:
			return csc.Caller{}, csc.InvalidParameter("SAD").Because(err)
		}
		return csc.Caller{}, err
	}
	if holder.Scope != csc.ScopeCredential || holder.Client != by.Client || holder.Org != by.Org {
		return csc.Caller{}, csc.InvalidParameter("SAD")
	}
	return holder, nil
}

package oauth

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/ory/fosite"

	"github.com/countersign/countersign/internal/fault"
)

// Error codes (RFC 6749 §4.1.2.1 and §5.2, RFC 9101, RFC 9396, RFC 9449).
const (
	codeInvalidRequest       = "invalid_request"
	codeInvalidClient        = "invalid_client"
	codeInvalidGrant         = "invalid_grant"
	codeInvalidScope         = "invalid_scope"
	codeUnauthorizedClient   = "unauthorized_client"
	codeUnsupportedGrant     = "unsupported_grant_type"
	codeUnsupportedResponse  = "unsupported_response_type"
	codeAccessDenied         = "access_denied"
	codeServerError          = "server_error"
	codeUnavailable          = "temporarily_unavailable"
	codeInvalidRequestURI    = "invalid_request_uri"
	codeRequestNotSupported  = "request_not_supported"
	codeInvalidDetails       = "invalid_authorization_details"
	codeInvalidDPoP          = "invalid_dpop_proof"
	codeUseDPoPNonce         = "use_dpop_nonce"
	codeInvalidToken         = "invalid_token"
	codeExpiredToken         = "expired_token"
	descriptionServerTrouble = "The authorization server encountered an unexpected condition that prevented it from fulfilling the request."
)

// oauthError is an answer in the words of RFC 6749. The cause is for the log.
type oauthError struct {
	status      int
	code        string
	description string
	cause       error
}

func refuse(code, description string) *oauthError {
	status := http.StatusBadRequest
	switch code {
	case codeInvalidClient:
		status = http.StatusUnauthorized
	case codeServerError:
		status = http.StatusInternalServerError
	case codeUnavailable:
		status = http.StatusServiceUnavailable
	}
	return &oauthError{status: status, code: code, description: description}
}

func (e *oauthError) because(cause error) *oauthError { c := *e; c.cause = cause; return &c }

// Error gives everything, the cause included: for logs, not for callers.
func (e *oauthError) Error() string {
	s := e.code + ": " + e.description
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

func (e *oauthError) Unwrap() error { return e.cause }

// asOAuth turns any error into an answer: our own as they are, fosite's in their
// standard form, faults by kind, and all else as server_error.
func asOAuth(err error) *oauthError {
	if e, ok := errors.AsType[*oauthError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*fosite.RFC6749Error](err); ok {
		return fromFosite(e).because(err)
	}
	return fromFault(fault.Of(err)).because(err)
}

// fromFosite keeps fosite's standard codes. Its own ones, which clients do not
// know, become the standard code that fits; its debug texts go nowhere.
func fromFosite(e *fosite.RFC6749Error) *oauthError {
	description := e.HintField
	if description == "" {
		description = e.DescriptionField
	}
	switch e.ErrorField {
	case codeInvalidRequest, codeInvalidClient, codeInvalidGrant, codeInvalidScope, codeUnauthorizedClient,
		codeUnsupportedGrant, codeUnsupportedResponse, codeAccessDenied, codeUnavailable, codeInvalidRequestURI, codeRequestNotSupported:
		return refuse(e.ErrorField, description)
	case "unsupported_response_mode", "invalid_state", "insufficient_entropy", "registration_not_supported":
		return refuse(codeInvalidRequest, description)
	case "request_unauthorized", "token_inactive", "not_found", "token_signature_mismatch", codeInvalidToken, "jti_known":
		return refuse(codeInvalidGrant, description)
	case "scope_not_granted":
		return refuse(codeInvalidScope, description)
	}
	return refuse(codeServerError, descriptionServerTrouble)
}

// fromFault says a fault of the approver in OAuth's words.
func fromFault(f *fault.Error) *oauthError {
	switch f.Kind {
	case fault.Invalid, fault.NotFound, fault.Conflict, fault.Expired, fault.TooLarge:
		return refuse(codeInvalidRequest, f.Detail)
	case fault.Forbidden:
		return refuse(codeAccessDenied, f.Detail)
	case fault.TooMany, fault.Unavailable:
		return refuse(codeUnavailable, "The service cannot take this request now; try again later.")
	case fault.Unauthenticated, fault.Internal:
	}
	return refuse(codeServerError, descriptionServerTrouble)
}

// plain leaves of a text what RFC 6749 §4.1.2.1 allows in error_description.
func plain(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '"' || c == '\\':
			return '\''
		case c < 0x20 || c > 0x7e:
			return '?'
		}
		return c
	}, s)
}

// writeError answers a client's direct request.
func (s *Server) writeError(w http.ResponseWriter, r *http.Request, err error) {
	e := asOAuth(err)
	s.logError(r, e)
	if e.code == codeInvalidClient && r.Header.Get("Authorization") != "" {
		w.Header().Set("WWW-Authenticate", `Basic realm="oauth2"`) // RFC 6749 §5.2
	}
	writeJSON(w, e.status, map[string]string{"error": e.code, "error_description": plain(e.description)})
}

// logError records what went wrong on our side; what a client did wrong is in the
// request's own record.
func (s *Server) logError(r *http.Request, e *oauthError) {
	if e.status < http.StatusInternalServerError {
		s.log.DebugContext(r.Context(), "oauth request refused", "path", r.URL.Path, "code", e.code, "error", e)
		return
	}
	s.log.ErrorContext(r.Context(), "oauth request failed", "path", r.URL.Path, "code", e.code, "error", e)
}

// writeJSON answers with v, which no cache may keep (RFC 6749 §5.1).
func writeJSON(w http.ResponseWriter, status int, v any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // the connection is gone if this fails
}

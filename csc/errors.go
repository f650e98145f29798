package csc

import (
	"errors"
	"net/http"

	"github.com/countersign/countersign/internal/fault"
)

// Error is an answer in the specification's words: CSC API v2.0.0.2 and v2.2.0.0
// §10.1 and the error table of each method. Descriptions are exact, the
// specification's own slips included, because clients compare them.
type Error struct {
	Status      int    `json:"-"` // HTTP status
	Code        string `json:"error"`
	Description string `json:"error_description,omitempty"`

	cause error
}

// Codes of errors (CSC API §10.1; RFC 6749, RFC 6750 for the last two).
const (
	CodeInvalidRequest         = "invalid_request"
	CodeUnauthorizedClient     = "unauthorized_client"
	CodeAccessDenied           = "access_denied"
	CodeServerError            = "server_error"
	CodeTemporarilyUnavailable = "temporarily_unavailable"
	CodeInvalidToken           = "invalid_token"
	CodeExpiredToken           = "expired_token"
	CodeUnsupportedMethod      = "unsupported_method"
	CodeInsufficientScope      = "insufficient_scope"
)

// NewError makes an error with that HTTP status, code and description.
func NewError(status int, code, description string) *Error {
	return &Error{Status: status, Code: code, Description: description}
}

func invalid(description string) *Error {
	return NewError(http.StatusBadRequest, CodeInvalidRequest, description)
}

// The errors of the v2 tables that have one text.
var (
	ErrMalformed           = invalid("The request is missing a required parameter, includes an invalid parameter value, includes a parameter more than once, or is otherwise malformed.")
	ErrAuthorizationHeader = invalid("Malformed authorization header")
	ErrUserIDPresent       = invalid("userID parameter MUST be null")
	ErrCredentialDisabled  = invalid("The credential identified by credentialID is disabled")
	ErrEmptyHashes         = invalid("Empty hash array")
	ErrEmptyHash           = invalid("Empty hash parameter")
	ErrHashBase64          = invalid("Invalid Base64 hash string parameter")
	ErrHashNotAuthorized   = invalid("Hash is not authorized by the SAD")
	ErrHashLength          = invalid("Invalid digest value length")
	ErrHashContradicts     = invalid("String parameter hashAlgorithmOID contradicts with signAlgo parameter")
	ErrSADExpired          = invalid("SAD expired")
	ErrTooManySignatures   = invalid("Numbers of signatures is too high")
	ErrCertificateExpired  = invalid("Signing certificate is expired")

	ErrUnauthorizedClient = NewError(http.StatusBadRequest, CodeUnauthorizedClient, "The client is not authorized to use this method.")
	ErrAccessDenied       = NewError(http.StatusBadRequest, CodeAccessDenied, "The user, authorization server or remote service denied the request.")
	ErrServer             = NewError(http.StatusInternalServerError, CodeServerError, "The authorization server encountered an unexpected condition that prevented it from fulfilling the request.")
	ErrUnavailable        = NewError(http.StatusServiceUnavailable, CodeTemporarilyUnavailable, "The authorization server is currently unable to handle the request due to a temporary overloading or maintenance of the server.")
	ErrExpiredToken       = NewError(http.StatusUnauthorized, CodeExpiredToken, "The access or refresh token is expired or has been revoked.")
	ErrInvalidToken       = NewError(http.StatusUnauthorized, CodeInvalidToken, "The token provided is not a valid OAuth access or refresh token.")
)

// Errors that the tables leave open, in the manner of the tables.
var (
	ErrCertificateRevoked = invalid("Signing certificate is revoked")
	ErrInsufficientScope  = NewError(http.StatusForbidden, CodeInsufficientScope, "The access token's scope does not allow this method.")
	ErrUnsupportedMethod  = NewError(http.StatusNotImplemented, CodeUnsupportedMethod, "This method is not offered; the methods member of info lists those that are.")
	ErrNoSuchPath         = NewError(http.StatusNotFound, CodeInvalidRequest, "There is no method at this path.")
	ErrHTTPMethod         = NewError(http.StatusMethodNotAllowed, CodeInvalidRequest, "This method takes POST requests.")
	ErrTooLarge           = NewError(http.StatusRequestEntityTooLarge, CodeInvalidRequest, "The request body is larger than this service accepts.")
	ErrMediaType          = NewError(http.StatusUnsupportedMediaType, CodeInvalidRequest, "The request body must be application/json.")
	ErrTooManyRequests    = NewError(http.StatusTooManyRequests, CodeTemporarilyUnavailable, "Too many requests; try again later.")
)

// MissingParameter is the answer to a required parameter that is absent, null or
// of another JSON type: kind is string, array or integer.
func MissingParameter(kind, name string) *Error {
	return invalid("Missing (or invalid type) " + kind + " parameter " + name)
}

// InvalidParameter is the answer to a parameter with a value that is not allowed.
func InvalidParameter(name string) *Error { return invalid("Invalid parameter " + name) }

// Because returns a copy of e with a private cause, which is logged and never sent.
func (e *Error) Because(cause error) *Error { c := *e; c.cause = cause; return &c }

// Error gives everything, the cause included: for logs, not for callers.
func (e *Error) Error() string {
	s := e.Code
	if e.Description != "" {
		s += ": " + e.Description
	}
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

// Unwrap returns the private cause.
func (e *Error) Unwrap() error { return e.cause }

// Is reports whether target says the same to the caller, whatever the cause.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Status == e.Status && t.Code == e.Code && t.Description == e.Description
}

// ErrorOf returns the answer for err: an *Error in its chain as it is, a fault by
// its kind, and server_error for everything else. An *Error that is the private
// cause of a fault, such as what another service said to this one, is not the
// answer. The cause stays attached for the log.
func ErrorOf(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok && !isPrivate(e, err) {
		return e
	}
	f := fault.Of(err)
	e := ErrServer
	switch f.Kind {
	case fault.Invalid, fault.NotFound, fault.Conflict, fault.Expired:
		e = invalid(f.Detail)
	case fault.Unauthenticated:
		e = ErrInvalidToken
		if f.Code == CodeExpiredToken {
			e = ErrExpiredToken
		}
	case fault.Forbidden:
		e = NewError(http.StatusForbidden, CodeAccessDenied, f.Detail)
	case fault.TooMany:
		e = NewError(ErrTooManyRequests.Status, ErrTooManyRequests.Code, f.Detail)
	case fault.TooLarge:
		e = ErrTooLarge
	case fault.Unavailable:
		e = ErrUnavailable
	case fault.Internal:
	}
	return e.Because(err)
}

// isPrivate reports whether e is in the chain of err as the cause of a fault.
func isPrivate(e *Error, err error) bool {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok {
		return false
	}
	cause, ok := errors.AsType[*Error](f)
	return ok && cause == e
}

// KindOf says what a remote service's error means for the one who called it: the
// reverse of ErrorOf, used by clients.
func (e *Error) KindOf() fault.Kind {
	switch e.Status {
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusUnsupportedMediaType, http.StatusNotImplemented:
		if e.Code == CodeAccessDenied || e.Code == CodeUnauthorizedClient {
			return fault.Forbidden
		}
		return fault.Invalid
	case http.StatusUnauthorized:
		return fault.Unauthenticated
	case http.StatusForbidden:
		return fault.Forbidden
	case http.StatusNotFound:
		return fault.NotFound
	case http.StatusRequestEntityTooLarge:
		return fault.TooLarge
	case http.StatusTooManyRequests:
		return fault.TooMany
	}
	return fault.Unavailable
}

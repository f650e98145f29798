// Package fault is the error that crosses package boundaries: a kind to branch
// on, a detail that is safe to show to the caller, and a private cause.
package fault

import (
	"errors"
	"fmt"
)

// Kind classifies a failure for the caller. A Kind is an error, so that
// errors.Is(err, fault.NotFound) works.
type Kind string

// The kinds. Every protocol's mapping names each of them.
const (
	Invalid         Kind = "invalid"         // the request is wrong; the detail says what to change
	NotFound        Kind = "not found"       // there is no such thing, for this caller
	Conflict        Kind = "conflict"        // it was already done, or used up
	Unauthenticated Kind = "unauthenticated" // who asks is not known
	Forbidden       Kind = "forbidden"       // known, and not allowed
	Expired         Kind = "expired"         // it was valid and is no longer
	TooMany         Kind = "too many"        // a limit was reached; later it may work
	TooLarge        Kind = "too large"       // the input is bigger than allowed
	Unavailable     Kind = "unavailable"     // a part that is needed does not answer
	Internal        Kind = "internal"        // our own trouble; nothing may be shown
)

// Error implements error.
func (k Kind) Error() string { return string(k) }

// Error is a failure with a kind and a detail that is safe to show.
type Error struct {
	Kind Kind
	// Code is a word for programs where the kind is too coarse, e.g.
	// "hash_not_authorized"; it may be empty.
	Code string
	// Detail is one sentence that may be shown to the caller.
	Detail string

	cause error
}

// New makes an error of that kind; the detail is shown to the caller.
func New(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, Detail: fmt.Sprintf(format, args...)}
}

// WithCode returns a copy of e that carries code.
func (e *Error) WithCode(code string) *Error { c := *e; c.Code = code; return &c }

// Because returns a copy of e with a private cause, which is logged and never shown.
func (e *Error) Because(cause error) *Error { c := *e; c.cause = cause; return &c }

// Error gives everything, the cause included: for logs, not for callers.
func (e *Error) Error() string {
	s := e.Detail
	if s == "" {
		s = string(e.Kind)
	}
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

// Unwrap makes errors.Is see both the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.cause}
}

// Of returns what may be told about err: an *Error found in its chain, or
// (Internal, "internal error") for everything else.
func Of(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Kind: Internal, Detail: "internal error", cause: err}
}

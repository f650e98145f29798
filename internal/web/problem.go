package web

import (
	"net/http"

	"github.com/countersign/countersign/internal/fault"
)

// Status is the HTTP status of a fault of that kind.
func Status(k fault.Kind) int {
	switch k {
	case fault.Invalid:
		return http.StatusBadRequest
	case fault.Unauthenticated:
		return http.StatusUnauthorized
	case fault.Forbidden:
		return http.StatusForbidden
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Conflict:
		return http.StatusConflict
	case fault.Expired:
		return http.StatusGone
	case fault.TooLarge:
		return http.StatusRequestEntityTooLarge
	case fault.TooMany:
		return http.StatusTooManyRequests
	case fault.Unavailable:
		return http.StatusServiceUnavailable
	case fault.Internal:
		return http.StatusInternalServerError
	}
	return http.StatusInternalServerError
}

// problem is an RFC 9457 problem detail.
type problem struct {
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Code      string `json:"code,omitempty"`
	Detail    string `json:"detail,omitempty"`
	RequestID string `json:"requestId,omitempty"`
}

// Problem answers with an RFC 9457 problem detail: the error form of our own
// protocols. It logs the error.
func Problem(w http.ResponseWriter, r *http.Request, err error) {
	Fail(r.Context(), err)
	f := fault.Of(err)
	status := Status(f.Kind)
	detail := f.Detail
	if f.Kind == fault.Internal {
		detail = ""
	}
	ProblemStatus(w, r, status, f.Code, detail)
}

// ProblemStatus answers with an RFC 9457 problem detail of a status for which
// there is no fault, such as 405.
func ProblemStatus(w http.ResponseWriter, r *http.Request, status int, code, detail string) {
	writeJSON(w, r, status, "application/problem+json", problem{
		Title: http.StatusText(status), Status: status, Code: code, Detail: detail, RequestID: RequestID(r.Context()),
	})
}

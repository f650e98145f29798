package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"

	"github.com/countersign/countersign/internal/fault"
)

// ReadJSON reads the body of a request into v. Members that v does not have are
// ignored. Its errors are faults that say what is wrong.
func ReadJSON(r *http.Request, v any) error { return readJSON(r, v, false) }

// ReadStrictJSON is [ReadJSON] for our own protocols: unknown members are refused.
func ReadStrictJSON(r *http.Request, v any) error { return readJSON(r, v, true) }

func readJSON(r *http.Request, v any, strict bool) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return fault.New(fault.Invalid, "send the request as Content-Type: application/json").WithCode("content_type")
	}
	body, err := ReadBody(r)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if strict {
		d.DisallowUnknownFields()
	}
	if err := d.Decode(v); err != nil {
		return badJSON(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fault.New(fault.Invalid, "the request's body has more than one JSON value").WithCode("json")
	}
	return nil
}

// badJSON words the decoder's errors without names of Go types.
func badJSON(err error) error {
	bad := fault.New(fault.Invalid, "the request's body is not valid JSON")
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		bad = fault.New(fault.Invalid, "the member %q is a %s, which does not fit there", e.Field, e.Value)
	} else if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		bad = fault.New(fault.Invalid, "the request's body is not valid JSON at byte %d", e.Offset)
	} else if name, ok := bytes.CutPrefix([]byte(err.Error()), []byte("json: unknown field ")); ok {
		bad = fault.New(fault.Invalid, "the member %s is not known", name)
	}
	return bad.WithCode("json").Because(err)
}

// ReadBody reads the body of a request to its end or to the limit of the route.
func ReadBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	return body, BodyError(err)
}

// BodyError is the fault for an error that came from reading a request's body, by
// ParseForm for example; nil for nil.
func BodyError(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return errTooLarge(e.Limit).Because(err)
	}
	return fault.New(fault.Invalid, "the request's body cannot be read").WithCode("body").Because(err)
}

// WriteJSON answers with v as JSON.
func WriteJSON(w http.ResponseWriter, r *http.Request, status int, v any) {
	writeJSON(w, r, status, "application/json", v)
}

func writeJSON(w http.ResponseWriter, r *http.Request, status int, kind string, v any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		Fail(r.Context(), err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client may have gone
}

package cscserver

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/countersign/countersign/csc"
)

// parameters are the members of a request. Null is the same as absent; members
// that no method knows are ignored; a member given twice is refused, because two
// readers could take different ones.
type parameters map[string]json.RawMessage

// parameters reads the body of a request.
func (s *Server) parameters(w http.ResponseWriter, r *http.Request) (parameters, error) {
	if r.ContentLength > s.config.MaxBody {
		return nil, csc.ErrTooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.config.MaxBody))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, csc.ErrTooLarge
		}
		return nil, csc.ErrMalformed.Because(err)
	}
	if len(body) == 0 {
		return parameters{}, nil
	}
	if !isJSON(r.Header.Values("Content-Type")) {
		return nil, csc.ErrMediaType
	}
	return parseParameters(body)
}

func isJSON(contentType []string) bool {
	if len(contentType) != 1 {
		return false
	}
	t, params, err := mime.ParseMediaType(contentType[0])
	if err != nil || t != "application/json" {
		return false
	}
	charset, ok := params["charset"]
	return !ok || strings.EqualFold(charset, "utf-8")
}

// parseParameters reads one JSON object and nothing behind it.
func parseParameters(body []byte) (parameters, error) {
	if !utf8.Valid(body) {
		return nil, csc.ErrMalformed
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, csc.ErrMalformed.Because(err)
	}
	p := parameters{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, csc.ErrMalformed.Because(err)
		}
		name, ok := t.(string)
		if _, twice := p[name]; !ok || twice {
			return nil, csc.ErrMalformed
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, csc.ErrMalformed.Because(err)
		}
		p[name] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, csc.ErrMalformed.Because(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, csc.ErrMalformed
	}
	for name, value := range p {
		if string(value) == "null" {
			delete(p, name)
		}
	}
	return p, nil
}

// text returns a string parameter; ok is false if it is there with another type.
func (p parameters) text(name string) (value string, ok bool) {
	raw, given := p[name]
	if !given {
		return "", true
	}
	return value, raw[0] == '"' && json.Unmarshal(raw, &value) == nil
}

// optionalString returns the value, "" if absent.
func (p parameters) optionalString(name string) (string, error) {
	v, ok := p.text(name)
	if !ok {
		return "", csc.InvalidParameter(name)
	}
	return v, nil
}

// requiredString returns the value of a parameter that must be there.
func (p parameters) requiredString(name string) (string, error) {
	v, ok := p.text(name)
	if _, given := p[name]; !given || !ok {
		return "", csc.MissingParameter("string", name)
	}
	return v, nil
}

// flag returns a boolean parameter, false if absent.
func (p parameters) flag(name string) (bool, error) {
	switch string(p[name]) {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	}
	return false, csc.InvalidParameter(name)
}

// certificates returns the parameter of that name: none, single or chain.
func (p parameters) certificates() (string, error) {
	v, ok := p.text("certificates")
	switch {
	case ok && v == "" && p["certificates"] == nil:
		return "single", nil
	case ok && (v == "none" || v == "single" || v == "chain"):
		return v, nil
	}
	return "", csc.InvalidParameter("certificates")
}

// hashes returns the decoded elements of the array of that name.
func (p parameters) hashes(name string) ([][]byte, error) {
	var elements []json.RawMessage
	raw := p[name]
	if len(raw) == 0 || raw[0] != '[' || json.Unmarshal(raw, &elements) != nil {
		return nil, csc.MissingParameter("array", "hash") // the v2 text kept v1's name
	}
	if len(elements) == 0 {
		return nil, csc.ErrEmptyHashes
	}
	out := make([][]byte, len(elements))
	for i, e := range elements {
		var text string
		if e[0] != '"' || json.Unmarshal(e, &text) != nil {
			return nil, csc.ErrHashBase64
		}
		h, err := csc.DecodeBase64(text)
		if err != nil || len(h) == 0 {
			return nil, csc.ErrHashBase64
		}
		out[i] = h
	}
	return out, nil
}

// maxValidityPeriod is a day in milliseconds.
const maxValidityPeriod = 24 * 60 * 60 * 1000

// asynchronous checks the parameters of asynchronous operation, which is not
// offered: only operationMode S is taken, and what belongs to A must at least be
// well-formed (CSC API v2 §11.10, §11.11).
func (p parameters) asynchronous() error {
	if mode, ok := p.text("operationMode"); !ok || (p["operationMode"] != nil && mode != "S") {
		return csc.InvalidParameter("operationMode")
	}
	if raw := p["validity_period"]; raw != nil {
		var ms json.Number
		if raw[0] == '"' || json.Unmarshal(raw, &ms) != nil {
			return csc.InvalidParameter("validity_period")
		}
		n, err := ms.Int64()
		if err != nil {
			return csc.InvalidParameter("validity_period")
		}
		if n < 1 || n > maxValidityPeriod {
			return csc.NewError(http.StatusBadRequest, csc.CodeInvalidRequest, "Out of bounds parameter validity_period")
		}
	}
	if p["response_uri"] != nil {
		v, ok := p.text("response_uri")
		if u, err := url.Parse(v); !ok || err != nil || u.Host == "" {
			return csc.InvalidParameter("response_uri")
		}
	}
	return nil
}

// nonce returns the parameter of a time-stamp request: a hexadecimal number.
func (p parameters) nonce() (string, error) {
	v, ok := p.text("nonce")
	if p["nonce"] == nil {
		return "", nil
	}
	padded := v
	if len(v)%2 == 1 {
		padded = "0" + v
	}
	if _, err := hex.DecodeString(padded); !ok || v == "" || len(v) > 64 || err != nil {
		return "", csc.InvalidParameter("nonce")
	}
	return v, nil
}

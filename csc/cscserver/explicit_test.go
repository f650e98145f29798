package cscserver_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/csc/cscserver"
)

// authorizer holds the server to what csc.Authorizer's callers promise.
type authorizer struct {
	t     *testing.T
	calls int
}

func (a *authorizer) CredentialsAuthorize(_ context.Context, by csc.Caller, q *csc.AuthorizeRequest) (*csc.AuthorizeResponse, error) {
	a.calls++
	if by.Scope != csc.ScopeService || q.NumSignatures != len(q.Hashes) || len(q.AuthData) != 1 || q.AuthData[0].ID != csc.DelegationObject {
		a.t.Errorf("CredentialsAuthorize by %+v: %+v", by, q)
	}
	return &csc.AuthorizeResponse{SAD: "sad", ExpiresIn: 300}, nil
}

func TestCredentialsAuthorizeTakesAMachinesOrderOnly(t *testing.T) {
	explicit := &authorizer{t: t}
	c := config(&service{tb: t})
	c.Explicit = explicit
	h, err := cscserver.New(c)
	if err != nil {
		t.Fatal(err)
	}
	hash := base64.StdEncoding.EncodeToString(make([]byte, 32))
	body := `{"credentialID":"c","numSignatures":1,"hashes":["` + hash + `"],"hashAlgorithmOID":"2.16.840.1.101.3.4.2.1","authData":[{"id":"delegation","value":"jws"}]}`
	w := do(h, request(http.MethodPost, "/csc/v2/credentials/authorize", "service", body))
	var got csc.AuthorizeResponse
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK || got.SAD != "sad" || got.ExpiresIn != 300 || explicit.calls != 1 {
		t.Errorf("%d %s, %v", w.Code, w.Body, err)
	}
	if w := do(h, request(http.MethodPost, "/csc/v2/info", "", "{}")); !strings.Contains(w.Body.String(), `"credentials/authorize"`) {
		t.Errorf("info does not list it: %s", w.Body)
	}
	change := func(old, with string) string { return strings.Replace(body, old, with, 1) }
	for name, c := range map[string]struct {
		token, body, code string
		status            int
	}{
		"a token that signs":    {"credential", body, csc.CodeInsufficientScope, http.StatusForbidden},
		"no credential":         {"service", change(`"credentialID":"c",`, ``), csc.CodeInvalidRequest, http.StatusBadRequest},
		"no number":             {"service", change(`"numSignatures":1,`, ``), csc.CodeInvalidRequest, http.StatusBadRequest},
		"number 0":              {"service", change(`"numSignatures":1`, `"numSignatures":0`), csc.CodeInvalidRequest, http.StatusBadRequest},
		"more than hashes":      {"service", change(`"numSignatures":1`, `"numSignatures":2`), csc.CodeInvalidRequest, http.StatusBadRequest},
		"number as text":        {"service", change(`"numSignatures":1`, `"numSignatures":"1"`), csc.CodeInvalidRequest, http.StatusBadRequest},
		"no hashes":             {"service", change(`["`+hash+`"]`, `[]`), csc.CodeInvalidRequest, http.StatusBadRequest},
		"short hash":            {"service", change(hash, "AAAA"), csc.CodeInvalidRequest, http.StatusBadRequest},
		"another algorithm":     {"service", change("2.16.840.1.101.3.4.2.1", "1.3.14.3.2.26"), csc.CodeInvalidRequest, http.StatusBadRequest},
		"no algorithm":          {"service", change(`"hashAlgorithmOID":"2.16.840.1.101.3.4.2.1",`, ``), csc.CodeInvalidRequest, http.StatusBadRequest},
		"no data":               {"service", change(`,"authData":[{"id":"delegation","value":"jws"}]`, ``), csc.CodeInvalidRequest, http.StatusBadRequest},
		"a PIN":                 {"service", change(`"delegation"`, `"PIN"`), "invalid_authentication_data", http.StatusBadRequest},
		"two objects":           {"service", change(`{"id":"delegation","value":"jws"}`, `{"id":"delegation","value":"jws"},{"id":"PIN","value":"1"}`), "invalid_authentication_data", http.StatusBadRequest},
		"an object without one": {"service", change(`,"value":"jws"`, ``), "invalid_authentication_data", http.StatusBadRequest},
		"data that is no list":  {"service", change(`[{"id":"delegation","value":"jws"}]`, `"jws"`), "invalid_authentication_data", http.StatusBadRequest},
	} {
		w := do(h, request(http.MethodPost, "/csc/v2/credentials/authorize", c.token, c.body))
		var e csc.Error
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Code != c.status || e.Code != c.code || e.Description == "" {
			t.Errorf("%s: %d %s, want %d %s", name, w.Code, w.Body, c.status, c.code)
		}
	}
	if explicit.calls != 1 {
		t.Errorf("%d calls got through", explicit.calls-1)
	}
}

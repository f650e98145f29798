package federation_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/federation"
	"github.com/countersign/countersign/internal/fault"
)

// keeper is a holder that can give out again what it signed.
type keeper struct{ *holder }

// Again implements csc.Rereader.
func (k keeper) Again(_ context.Context, by csc.Caller, o *csc.Order) (*csc.Verified, error) {
	if len(k.signed) == 0 || by.SID != "sid-1" {
		return nil, fault.New(fault.NotFound, "nothing")
	}
	var sigs [][]byte
	for _, d := range o.Digests {
		answer, err := k.SignHash(context.Background(), by, &csc.SignHashRequest{Hashes: []string{base64.StdEncoding.EncodeToString(d.Sum)}})
		if err != nil {
			return nil, err
		}
		sig, err := answer.Decode()
		if err != nil {
			return nil, err
		}
		sigs = append(sigs, sig...)
	}
	return o.Verify(k.pki.Signer.Cert, sigs)
}

// tokens tells callers by their token.
type tokens map[string]csc.Caller

// Caller implements federation.Authenticator.
func (t tokens) Caller(r *http.Request) (csc.Caller, error) {
	by, ok := t[r.Header.Get("Authorization")]
	if !ok {
		return csc.Caller{}, fault.New(fault.Unauthenticated, "no such token")
	}
	return by, nil
}

func TestAPeerReadsWhatWasSignedForItAndNobodyElse(t *testing.T) {
	k := keeper{newHolder(t, "local-1")}
	router := newRouter(t, federation.Config{Local: k, Recorder: &recorder{}, Hold: func(client string) bool { return client == "rp" }})
	other, service := alice, alice
	other.SID = "sid-2"
	service.Scope = csc.ScopeService
	h := &federation.Results{Router: router, Auth: tokens{"Bearer a": alice, "Bearer b": other, "Bearer s": service}}
	m := http.NewServeMux()
	h.Mount(mux{m})
	ask := func(token string, q any) *httptest.ResponseRecorder {
		t.Helper()
		body, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, federation.ResultPath, bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		if token != "" {
			r.Header.Set("Authorization", token)
		}
		w := httptest.NewRecorder()
		m.ServeHTTP(w, r)
		return w
	}
	q := ask0("local-1", "a")
	if w := ask("Bearer a", q); w.Code != http.StatusNotFound {
		t.Errorf("before it signed: %d %s", w.Code, w.Body)
	}
	answer, err := router.SignHash(t.Context(), alice, q)
	if err != nil {
		t.Fatal(err)
	}
	// It is not forgotten when the answer left: it may be lost.
	router.Delivered(t.Context(), alice, q, answer)
	if k.delivered != 0 {
		t.Error("forgotten although the client asks again")
	}
	w := ask("Bearer a", q)
	var got csc.SignHashResponse
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK || len(got.Signatures) != 1 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	another := ask0("local-2", "a")
	for name, c := range map[string]struct {
		token string
		q     any
		want  int
	}{
		"nobody": {"", q, 401}, "a stranger": {"Bearer x", q, 401}, "another approval": {"Bearer b", q, 404}, "a service token": {"Bearer s", q, 404},
		"another credential": {"Bearer a", another, 404}, "no hashes": {"Bearer a", ask0("local-1"), 400}, "no JSON object": {"Bearer a", "x", 400},
	} {
		if w := ask(c.token, c.q); w.Code != c.want {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	// A service that cannot give out again says that there is nothing.
	plain := newRouter(t, federation.Config{Local: k.holder, Recorder: &recorder{}})
	order, err := q.Order()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plain.Again(t.Context(), alice, order); !errors.Is(err, fault.NotFound) {
		t.Errorf("%v", err)
	}
}

// ask0 is ask, by a name that tests with an ask of their own can use.
func ask0(credential string, texts ...string) *csc.SignHashRequest { return ask(credential, texts...) }

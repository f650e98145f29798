package pki_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/countersign/countersign/pki"
	"github.com/countersign/countersign/signing"
)

// Records name a person: they go to the address that was configured, or nowhere.
func TestTheClientFollowsNoRedirect(t *testing.T) {
	followed := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed = true }))
	defer elsewhere.Close()
	authority := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer authority.Close()
	c := &pki.Client{BaseURL: authority.URL}
	if _, err := c.Revoke(t.Context(), signing.Signed{}); err == nil {
		t.Error("a redirect counts as an answer")
	}
	if followed {
		t.Error("the record was sent on")
	}
}

package oauth_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/oauth"
)

func TestExplicitApprovalGivesATokenForItAlone(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		c, err := r.server.Client(t.Context(), "org-1", "secret")
		if err != nil {
			t.Fatal(err)
		}
		by := csc.Caller{Org: c.Org, Client: c.ID, Scope: csc.ScopeService}
		good := oauth.Outcome{
			SID: "sid", State: oauth.OutcomeApproved, Signer: "seal", Credential: "c1", Client: c.ID, Count: 1, Expires: r.clock.now().Add(5 * time.Minute),
		}
		token, err := r.server.IssueCredentialToken(t.Context(), by, good)
		if err != nil {
			t.Fatal(err)
		}
		a := r.call("Bearer "+token, "")
		if a.status != http.StatusOK || a.text("Scope") != csc.ScopeCredential || a.text("SID") != "sid" || a.text("Credential") != "c1" || a.text("Client") != c.ID {
			t.Errorf("%d %s", a.status, a.body)
		}
		for name, change := range map[string]func(*oauth.Outcome){
			"another client":  func(o *oauth.Outcome) { o.Client = "other" },
			"rejected":        func(o *oauth.Outcome) { o.State = oauth.OutcomeRejected },
			"no approval":     func(o *oauth.Outcome) { o.SID = "" },
			"no credential":   func(o *oauth.Outcome) { o.Credential = "" },
			"over":            func(o *oauth.Outcome) { o.Expires = r.clock.now() },
			"nobody's signer": func(o *oauth.Outcome) { o.Signer = "" },
		} {
			o := good
			change(&o)
			if _, err := r.server.IssueCredentialToken(t.Context(), by, o); err == nil {
				t.Errorf("%s gets a token", name)
			}
		}
		r.clock.pass(6 * time.Minute)
		if a := r.call("Bearer "+token, ""); a.status == http.StatusOK {
			t.Errorf("after the approval's end: %d", a.status)
		}
		bound := c
		bound.DPoP = true
		if err := r.server.PutClient(t.Context(), bound); err != nil {
			t.Fatal(err)
		}
		good.Expires = r.clock.now().Add(time.Minute)
		if _, err := r.server.IssueCredentialToken(t.Context(), by, good); fault.Of(err).Kind != fault.Forbidden {
			t.Errorf("a client that takes bound tokens only: %v", err)
		}
	})
}

package oauth_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/countersign/countersign/oauth"
)

func TestOnlyTheBrowserThatStartedIsToldApart(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		mine, other := r.begin(r.push(r.basic(), wish())), r.begin(r.push(r.basic(), wish()))
		started := func(sid string, cookies []*http.Cookie) bool {
			t.Helper()
			req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/federation/return/b", nil)
			for _, c := range cookies {
				req.AddCookie(c)
			}
			ok, err := r.server.StartedBy(req, sid)
			if err != nil {
				t.Fatal(err)
			}
			return ok
		}
		if !started(mine.sid, mine.cookies) {
			t.Error("its own browser is not known")
		}
		for name, c := range map[string]struct {
			sid     string
			cookies []*http.Cookie
		}{
			"no cookie": {mine.sid, nil}, "another authorization's cookie": {mine.sid, other.cookies}, "no approval": {"", mine.cookies}, "another approval": {"x", mine.cookies},
		} {
			if started(c.sid, c.cookies) {
				t.Errorf("%s: taken", name)
			}
		}
		r.back(mine)
		if started(mine.sid, mine.cookies) {
			t.Error("taken after it was answered")
		}
		r.clock.pass(time.Hour)
		if started(other.sid, other.cookies) {
			t.Error("taken after its time")
		}
	})
}

func TestAnApproverThatCouldNotDoItsPartIsNotARefusalOfTheSigner(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		r.approver.change = func(o *oauth.Outcome) { o.State, o.Reason = oauth.OutcomeFailed, "The other service is down." }
		_, got := r.back(r.begin(r.push(r.basic(), wish()))).location(t)
		if got.Get("error") != "temporarily_unavailable" || got.Get("error_description") != "The other service is down." || got.Has("code") {
			t.Errorf("client was told %v", got)
		}
	})
}

func TestTheQualifierReachesTheApprover(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		form := wish()
		r.begin(r.push(r.basic(), form))
		if q := r.approver.last().Qualifier; q != "" {
			t.Errorf("qualifier %q that nobody asked for", q)
		}
		plain := url.Values{}
		for k, v := range form {
			if k != "authorization_details" {
				plain[k] = v
			}
		}
		plain.Set("scope", "credential")
		plain.Set("credentialID", credential)
		plain.Set("hashes", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
		plain.Set("signatureQualifier", "eu_eidas_qes")
		r.begin(r.push(r.basic(), plain))
		if q := r.approver.last().Qualifier; q != "eu_eidas_qes" {
			t.Errorf("qualifier %q", q)
		}
	})
}

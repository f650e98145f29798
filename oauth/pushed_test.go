package oauth_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/oauth"
)

// rows counts the rows of a table.
func (r *rig) rows(table string) (n int) {
	r.t.Helper()
	if err := r.db.QueryRow(r.t.Context(), `SELECT COUNT(*) FROM `+table).Scan(&n); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// TestPushedRequestTravelsInItsURI: however many are pushed, nothing is written until
// a browser comes with one; and then it is good once, whatever server it meets.
func TestPushedRequestTravelsInItsURI(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		for range 10 {
			r.push(r.basic(), wish())
		}
		q := r.push(r.basic(), wish())
		if n := r.rows("oauth_request"); n != 0 {
			t.Errorf("%d requests are in the database before a browser came", n)
		}
		if uri := q.Get("request_uri"); len(uri) > 4096 || strings.Contains(uri, "cred") {
			t.Errorf("request_uri of %d bytes: %s", len(uri), uri)
		}
		r.restart()
		r.begin(q)
		if n := r.rows("oauth_request"); n != 1 {
			t.Errorf("%d requests are in the database, want 1", n)
		}
		r.restart()
		r.get("/oauth2/authorize", q).refused(t, http.StatusBadRequest, "invalid_request_uri")
	})
}

// TestFailedRequestIsUsedUp: what the approver refused cannot be tried again.
func TestFailedRequestIsUsedUp(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		for _, form := range []string{details("short"), long()} {
			q := r.push(r.basic(), wish("authorization_details", form))
			r.approver.beginErr = http.ErrAbortHandler
			if a := r.get("/oauth2/authorize", q); a.status != http.StatusSeeOther {
				t.Fatalf("got %d %s", a.status, a.body)
			}
			r.approver.beginErr = nil
			r.restart()
			r.get("/oauth2/authorize", q).refused(t, http.StatusBadRequest, "invalid_request_uri")
		}
	})
}

// TestBrowserThatGoesAwayHasUsedTheRequest: it hangs up when the approver has begun,
// and comes again, to have the signer asked once more.
func TestBrowserThatGoesAwayHasUsedTheRequest(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		for _, form := range []string{details("short"), long()} {
			q, before := r.push(r.basic(), wish("authorization_details", form)), len(r.approver.asked)
			ctx, hangUp := context.WithCancel(t.Context())
			r.approver.began = hangUp
			r.do(httptest.NewRequestWithContext(ctx, http.MethodGet, issuer+"/oauth2/authorize?"+q.Encode(), nil))
			r.approver.began = nil
			r.restart()
			r.get("/oauth2/authorize", q).refused(t, http.StatusBadRequest, "invalid_request_uri")
			if n := len(r.approver.asked) - before; n != 1 {
				t.Errorf("the approver was asked %d times", n)
			}
		}
	})
}

func TestAlteredRequestURIIsUnknown(t *testing.T) {
	r := newRig(t, storetest.SQLite(t), nil)
	for _, form := range []string{details("short"), long()} {
		q := r.push(r.basic(), wish("authorization_details", form))
		uri := q.Get("request_uri")
		last := strings.Map(func(c rune) rune { // another letter, not another spelling of the same bits
			if c == 'A' {
				return 'Q'
			}
			return 'A'
		}, uri[len(uri)-2:])
		for _, other := range []string{
			uri[:len(uri)-2] + last, uri + "A", uri + "=", uri[:len(uri)-4], uri[:60], uri + uri[34:], strings.ToUpper(uri),
			"urn:ietf:params:oauth:request_uri:v1.", "urn:ietf:params:oauth:request_uri:v1." + strings.Repeat("A", 40_000),
		} {
			q.Set("request_uri", other)
			r.get("/oauth2/authorize", q).refused(t, http.StatusBadRequest, "invalid_request_uri")
		}
		q.Set("request_uri", uri)
		r.begin(q)
	}
}

// TestRequestURIOutlivesTheSecretThatMadeIt as long as that is among the older ones.
func TestRequestURIOutlivesTheSecretThatMadeIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newRig(t, db, nil)
		q, forgotten := r.push(r.basic(), wish()), r.push(r.basic(), wish())
		old, next := r.config.Secrets[0], []byte(strings.Repeat("n", 32))
		r.config.Secrets = [][]byte{next, old}
		r.restart()
		r.begin(q)
		r.config.Secrets = [][]byte{next}
		r.restart()
		r.get("/oauth2/authorize", forgotten).refused(t, http.StatusBadRequest, "invalid_request_uri")
	})
}

// TestTwoServersOfOneDatabaseTakeARequestOnce: each has a memory and claims of its
// own; the database decides.
func TestTwoServersOfOneDatabaseTakeARequestOnce(t *testing.T) {
	db := storetest.Postgres(t)
	first := newRig(t, db, nil)
	second := newRig(t, db, func(c *oauth.Config) { c.Approver, c.Now = first.approver, first.clock.now })
	first.secret = second.secret
	for _, form := range []string{details("short"), long()} {
		q := first.push(first.basic(), wish("authorization_details", form))
		before, i := len(first.approver.asked), make(chan int, 20)
		for n := range 20 {
			i <- n
		}
		n := atOnce(func() bool {
			r := first
			if <-i%2 == 0 {
				r = second
			}
			return r.get("/oauth2/authorize", q).status == http.StatusSeeOther
		})
		if asked := len(first.approver.asked) - before; n != 1 || asked != 1 {
			t.Errorf("one request_uri was taken %d times, and %d approvals were begun", n, asked)
		}
	}
}

package pki_test

import (
	"bytes"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/pki"
)

func TestBodiesAreBoundedAndStrict(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	for name, c := range map[string]struct {
		body string
		want int
	}{
		"empty":         {"", http.StatusBadRequest},
		"no JSON":       {"<xml/>", http.StatusBadRequest},
		"unknown field": {`{"csr":"MIIB"}`, http.StatusBadRequest},
		"two values":    {`{}{}`, http.StatusBadRequest},
		"nothing in it": {`{}`, http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			f.t = t
			f.do(http.MethodPost, "/issue", "application/json", reader([]byte(c.body)), c.want)
			f.do(http.MethodPost, "/revoke", "application/json", reader([]byte(c.body)), c.want)
		})
	}
	f.t = t
	f.do(http.MethodPost, "/issue", "application/json", reader(bytes.Repeat([]byte(" "), 70_000)), http.StatusRequestEntityTooLarge)
	f.do(http.MethodGet, "/issue", "", nil, http.StatusMethodNotAllowed)
	f.do(http.MethodGet, "/nothing", "", nil, http.StatusNotFound)
	f.do(http.MethodGet, "/chain/00", "", nil, http.StatusNotFound)
}

// Whoever can register keys can have certificates issued: that door is not on
// the network.
func TestRegistrationIsNotOnThePublicHandler(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	for _, path := range []string{"/keys", "/certificates", "/health"} {
		f.do(http.MethodGet, path, "", nil, http.StatusNotFound)
		f.do(http.MethodPost, path, "application/json", reader([]byte("{}")), http.StatusNotFound)
	}
}

func TestTheOperatorSeesKeysAndCertificates(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		admin := serveAdmin(t, f)
		s := f.issue()
		f.revoke(s.serial, "superseded")
		var all []pki.Certificate
		for after := ""; ; {
			page, err := admin.Certificates(ctx, after, 2)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			all = append(all, page...)
			after = page[len(page)-1].Serial
		}
		roles := map[pki.Role]int{}
		for _, c := range all {
			roles[c.Role]++
			if c.Role == pki.RoleSigner && (c.Serial != s.serial || c.Signer != "ada" || c.Reason != "superseded" || c.Revoked.IsZero()) {
				t.Errorf("listed: %+v", c)
			}
		}
		for _, r := range []pki.Role{pki.RoleRoot, pki.RoleCA, pki.RoleOCSP, pki.RoleTSA, pki.RoleSigner} {
			if roles[r] != 1 {
				t.Errorf("%d certificates of role %s in %v", roles[r], r, roles)
			}
		}
		parties, err := admin.Parties(ctx)
		if err != nil || len(parties) != 2 {
			t.Fatalf("%v, %v", parties, err)
		}
		h, err := admin.Health(ctx)
		if err != nil || !h.Ready || h.Issued != 1 || h.Revoked != 1 || len(h.Findings) != 0 || h.Parties[pki.RA] != 1 {
			t.Errorf("health %+v, %v", h, err)
		}
		if err := admin.Remove(ctx, parties[0].KeyID); err != nil {
			t.Fatal(err)
		}
		refused(t, admin.Remove(ctx, parties[0].KeyID), fault.NotFound, "")
		if _, err := admin.Certificates(ctx, "", 9999); err == nil {
			t.Error("a page of 9999")
		}
		if events := f.events("pki.party.removed"); len(events) != 1 || events[0].Subject != parties[0].KeyID {
			t.Errorf("%d events for a removed key", len(events))
		}
		gone := pki.NewAdminClient(filepath.Join(t.TempDir(), "no.sock"))
		_, err = gone.Health(ctx)
		refused(t, err, fault.Unavailable, "")
	})
}

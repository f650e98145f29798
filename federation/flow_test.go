package federation_test

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/cmd/evilpeer/evil"
	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/federation"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/signing"
)

func TestAWishReachesThePeerUnchangedAndComesBackVerified(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newRig(t, db)
		id := r.choose(rp)
		w := wish(rp, id, "a", "b")
		w.Documents[0].SignedAttrs = []byte("attributes")
		w.Qualifier = "eu_eidas_aes"
		p, err := r.peers.Begin(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		d := r.details()
		if d.CredentialID != evil.CredentialID || d.NumSignatures != 2 || d.HashAlgorithmOID != signing.OIDSHA256 || len(d.DocumentDigests) != 2 || d.SignatureQualifier != w.Qualifier {
			t.Fatalf("details %+v", d)
		}
		for i, doc := range w.Documents {
			want := csc.DocumentDigest{
				Hash: base64Of(doc.DTBSR), Label: doc.Label, HashType: "DTBSR", SignedAttrs: base64Of(doc.SignedAttrs), DocHash: base64Of(doc.DocHash), Size: doc.Size,
			}
			if d.DocumentDigests[i] != want {
				t.Errorf("document %d: %+v, want %+v", i, d.DocumentDigests[i], want)
			}
		}
		if push := r.evil.Pushes()[0]; push.Get("redirect_uri") != gateway+"/federation/return/b" || push.Get("client_id") != evil.ClientID {
			t.Errorf("pushed %v", push)
		}
		to, resp := r.back(r.browse(p.URL).RequestURI())
		if to == nil || !strings.HasPrefix(to.String(), approved+"?") || to.Query().Get("sid") != p.SID || to.Query().Has("code") {
			t.Fatalf("back to %v: %s", to, resp.Body)
		}
		o, err := r.peers.Outcome(t.Context(), p.SID, to.Query().Get("handle"))
		if err != nil || o.State != federation.Approved || o.Credential != id || o.Signer != "eve@b" || o.Client != "rp" || o.Count != 2 {
			t.Fatalf("outcome %+v, %v", o, err)
		}
		by := csc.Caller{Org: "org", Client: "rp", Scope: csc.ScopeCredential, Credential: id, SID: p.SID}
		// One of two now, the other later: each once.
		for _, text := range []string{"b", "a"} {
			answer, err := r.sign(by, text)
			if err != nil {
				t.Fatal(err)
			}
			sig, err := base64.StdEncoding.DecodeString(answer.Signatures[0])
			if err != nil || signing.Verify(r.signer(id).PublicKey, signing.ECDSAWithSHA256, digest(text), sig) != nil {
				t.Errorf("signature of %s: %v", text, err)
			}
			r.router.Delivered(t.Context(), by, ask(id, text), answer)
		}
		if err := r.peers.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := r.states(); !slices.Equal(got, []string{"DELIVERED", "DELIVERED"}) {
			t.Errorf("states %v", got)
		}
		receipts := r.kept(p.SID)
		if len(receipts) != 2 || receipts[0].Service != "peer:b" || receipts[0].Count != 1 {
			t.Errorf("receipts %+v", receipts)
		}
		for name, texts := range map[string][]string{"not approved": {"c"}, "more than approved": {"a", "a"}} {
			if _, err := r.sign(by, texts...); !csc.ErrorOf(err).Is(csc.ErrHashNotAuthorized) {
				t.Errorf("%s: %v", name, err)
			}
		}
		// What was answered is answered again, not signed again.
		if _, err := r.sign(by, "a"); err != nil || r.evil.Requests() != 2 {
			t.Errorf("again: %v, %d requests", err, r.evil.Requests())
		}
	})
}

func TestAHandleBelongsToOneClientOfOneOrganisation(t *testing.T) {
	t.Attr("control", "A14")
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newRig(t, db)
		other, foreign := rp, csc.Caller{Org: "org2", Client: "rp2", Scope: csc.ScopeService}
		other.Client = "other"
		id := r.choose(rp)
		if again := r.choose(rp); again != id {
			t.Errorf("%s became %s", id, again)
		}
		ids := map[string]bool{id: true, r.choose(other): true, r.choose(foreign): true}
		if len(ids) != 3 {
			t.Errorf("handles are shared: %v", ids)
		}
		for _, by := range []csc.Caller{other, foreign} {
			for _, id := range []string{id, "peer-unknown", "peer-", ""} {
				if _, err := r.peers.CredentialsInfo(t.Context(), by, &csc.CredentialsInfoRequest{CredentialID: id}); !csc.ErrorOf(err).Is(csc.InvalidParameter("credentialID")) {
					t.Errorf("%s asks for %q: %v", by.Client, id, err)
				}
				if _, err := r.peers.Begin(t.Context(), wish(by, id, "a")); fault.Of(err).Code != "unknown_credential" {
					t.Errorf("%s begins with %q: %v", by.Client, id, err)
				}
			}
		}
		// Nor does a token of one reach what was approved for another.
		by := r.approve(id, "a")
		for name, change := range map[string]func(*csc.Caller){
			"another client": func(c *csc.Caller) { c.Client = "other" }, "another organisation": func(c *csc.Caller) { c.Org = "org2" },
			"another approval": func(c *csc.Caller) { c.SID = "peer-x" }, "a service token": func(c *csc.Caller) { c.Scope = csc.ScopeService },
		} {
			with := by
			change(&with)
			if _, err := r.sign(with, "a"); err == nil {
				t.Errorf("%s signed", name)
			}
		}
		if r.evil.Requests() != 0 {
			t.Error("something was sent")
		}
		// Nobody is shown the credentials of users that are not linked to it.
		if list, err := r.peers.CredentialsList(t.Context(), csc.Caller{Org: "org", Client: "stranger", Scope: csc.ScopeService}, &csc.CredentialsListRequest{}); err != nil || len(list.CredentialIDs) != 0 {
			t.Errorf("a stranger sees %+v, %v", list, err)
		}
	})
}

// TestReturnsThatAreNotTheRightOneAreRefused: replayed, for another peer, of another
// issuer, in another browser, late, or made up.
func TestReturnsThatAreNotTheRightOneAreRefused(t *testing.T) {
	r := newRig(t, sqlite(t))
	second := r.evil.Entry("c")
	r.write(r.newList(2, r.evil.Entry("b"), second))
	if _, err := r.registry.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	id := r.choose(rp)
	begin := func() (federation.Pending, *url.URL) {
		t.Helper()
		p, err := r.peers.Begin(t.Context(), wish(rp, id, "a"))
		if err != nil {
			t.Fatal(err)
		}
		return p, r.browse(p.URL)
	}
	_, good := begin()
	with := func(change func(q url.Values, u *url.URL)) string {
		u, q := *good, good.Query()
		change(q, &u)
		u.RawQuery = q.Encode()
		return u.RequestURI()
	}
	for name, at := range map[string]string{
		"for another peer":   with(func(_ url.Values, u *url.URL) { u.Path = "/federation/return/c" }),
		"for nobody":         with(func(_ url.Values, u *url.URL) { u.Path = "/federation/return/d" }),
		"without issuer":     with(func(q url.Values, _ *url.URL) { q.Del("iss") }),
		"of another issuer":  with(func(q url.Values, _ *url.URL) { q.Set("iss", "https://another.example") }),
		"of another state":   with(func(q url.Values, _ *url.URL) { q.Set("state", "x") }),
		"without state":      with(func(q url.Values, _ *url.URL) { q.Del("state") }),
		"with two codes":     with(func(q url.Values, _ *url.URL) { q.Add("code", "x") }),
		"with an endless id": with(func(q url.Values, _ *url.URL) { q.Set("code", strings.Repeat("x", 5000)) }),
	} {
		if to, w := r.back(at); to != nil || w.Code < 400 {
			t.Errorf("%s: taken, to %v", name, to)
		}
	}
	r.foreign = true
	if to, w := r.back(good.RequestURI()); to != nil || w.Code != 403 {
		t.Errorf("in another browser: %v, %d", to, w.Code)
	}
	r.foreign = false
	to, w := r.back(good.RequestURI())
	if to == nil {
		t.Fatalf("the right one is refused: %s", w.Body)
	}
	if again, w := r.back(good.RequestURI()); again != nil || w.Code != 409 {
		t.Errorf("replayed: %v, %d", again, w.Code)
	}
	sid, handle := to.Query().Get("sid"), to.Query().Get("handle")
	for name, h := range map[string]string{"made up": "x", "empty": ""} {
		if _, err := r.peers.Outcome(t.Context(), sid, h); fault.Of(err).Kind != fault.Invalid {
			t.Errorf("handle %s: %v", name, err)
		}
	}
	if o, err := r.peers.Outcome(t.Context(), sid, handle); err != nil || o.State != federation.Approved {
		t.Fatalf("%+v, %v", o, err)
	}
	if _, err := r.peers.Outcome(t.Context(), sid, handle); fault.Of(err).Kind != fault.Invalid {
		t.Errorf("handle used twice: %v", err)
	}
	_, late := begin()
	r.clock.pass(11 * time.Minute)
	if to, w := r.back(late.RequestURI()); to != nil || w.Code != 409 {
		t.Errorf("late: %v, %d", to, w.Code)
	}
	r.tell(evil.WrongIss)
	if _, mixed := begin(); mixed.Query().Get("iss") != "https://another.example" {
		t.Error("the peer is too honest")
	} else if to, w := r.back(mixed.RequestURI()); to != nil || w.Code != 403 {
		t.Errorf("mixed up: %v, %d", to, w.Code)
	}
}

func TestASignersRefusalIsToldInItsWords(t *testing.T) {
	r := newRig(t, sqlite(t))
	p, err := r.peers.Begin(t.Context(), wish(rp, r.choose(rp), "a"))
	if err != nil {
		t.Fatal(err)
	}
	back := r.browse(p.URL)
	q := back.Query()
	q.Del("code")
	q.Set("error", "access_denied")
	q.Set("error_description", "not my contract")
	back.RawQuery = q.Encode()
	to, w := r.back(back.RequestURI())
	if to == nil {
		t.Fatal(w.Body)
	}
	o, err := r.peers.Outcome(t.Context(), p.SID, to.Query().Get("handle"))
	if err != nil || o.State != federation.Rejected || o.Reason != "not my contract" {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestLimitsAndRulesHold(t *testing.T) {
	r := newRig(t, sqlite(t))
	id, serial := r.choose(rp), int64(1)
	for name, row := range map[string]struct {
		peer func(*federation.Peer)
		rule func(*federation.List)
		wish func(*federation.Wish)
		kind fault.Kind
		says string
	}{
		"too many hashes":        {peer: func(p *federation.Peer) { p.Limits.Hashes = 1 }, kind: fault.Invalid, says: "at most 1"},
		"a peer not yet valid":   {peer: func(p *federation.Peer) { p.From = p.Until.Add(-time.Minute) }, kind: fault.Forbidden, says: "not a peer"},
		"no rule":                {rule: func(l *federation.List) { l.Rules = nil }, kind: fault.Forbidden, says: "no rule"},
		"another organisation":   {rule: func(l *federation.List) { l.Rules[0].Orgs = []string{"org2"} }, kind: fault.Forbidden, says: "no rule"},
		"another country":        {rule: func(l *federation.List) { l.Rules[0].Countries = []string{"DE"} }, kind: fault.Forbidden, says: "FI"},
		"a level above it":       {rule: func(l *federation.List) { l.Rules[0].MinLevel = federation.QES }, kind: fault.Forbidden, says: "below QES"},
		"a level not agreed":     {peer: func(p *federation.Peer) { p.Levels = []federation.Level{federation.QES} }, kind: fault.Invalid, says: "level AES"},
		"a person not agreed":    {peer: func(p *federation.Peer) { p.Countries = []string{"DE"} }, kind: fault.Invalid, says: "country"},
		"another authority":      {peer: func(p *federation.Peer) { p.Anchors = []string{base64Of(newHolder(t).pki.Root.Cert.Raw)} }, kind: fault.Invalid, says: "authority"},
		"a qualifier above it":   {wish: func(w *federation.Wish) { w.Qualifier = "eu_eidas_qes" }, kind: fault.Invalid, says: "level AES"},
		"a seal of a person":     {wish: func(w *federation.Wish) { w.Qualifier = "eu_eidas_aeseal" }, kind: fault.Invalid, says: "eu_eidas_aeseal"},
		"a qualifier of nowhere": {wish: func(w *federation.Wish) { w.Qualifier = "best" }, kind: fault.Invalid, says: "best"},
	} {
		serial++
		peer := r.evil.Entry("b")
		if row.peer != nil {
			row.peer(&peer)
		}
		l := r.newList(serial, peer)
		if row.rule != nil {
			row.rule(l)
		}
		r.write(l)
		if _, err := r.registry.Reload(t.Context()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		r.clock.pass(time.Minute) // nothing is remembered
		w := wish(rp, id, "a", "b")
		if row.wish != nil {
			row.wish(&w)
		}
		pushed := len(r.evil.Pushes())
		_, err := r.peers.Begin(t.Context(), w)
		if f := fault.Of(err); f.Kind != row.kind || !strings.Contains(f.Detail, row.says) {
			t.Errorf("%s: %v", name, err)
		}
		if len(r.evil.Pushes()) != pushed {
			t.Errorf("%s: pushed", name)
		}
	}
	serial++
	peer := r.evil.Entry("b")
	peer.Limits.PerHour = 2
	r.write(r.newList(serial, peer))
	if _, err := r.registry.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := r.peers.Begin(t.Context(), wish(rp, id, "a")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.peers.Begin(t.Context(), wish(rp, id, "a")); fault.Of(err).Kind != fault.TooMany {
		t.Errorf("the third in an hour: %v", err)
	}
}

func TestNothingAboutAPeersTokenIsInTheClear(t *testing.T) {
	r := newRig(t, sqlite(t))
	by := r.approve(r.choose(rp), "a")
	var sealed string
	if err := r.db.QueryRow(t.Context(), `SELECT sealed FROM federation_authorization WHERE sid = $1`, by.SID).Scan(&sealed); err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawStdEncoding.DecodeString(sealed)
	if err != nil || len(raw) < 50 || strings.Contains(string(raw), "Value") {
		t.Errorf("sealed %q, %v", sealed, err)
	}
	// What is sealed for one approval does not open for another.
	other := r.approve(r.choose(rp), "b")
	if _, err := r.db.Exec(t.Context(), `UPDATE federation_authorization SET sealed = $2 WHERE sid = $1`, other.SID, sealed); err != nil {
		t.Fatal(err)
	}
	if _, err := r.sign(other, "b"); err == nil || r.evil.Requests() != 0 {
		t.Error("a token was used for another approval")
	}
	// After its time it is gone, and so is the approval.
	r.clock.pass(2 * time.Hour)
	if _, err := r.sign(by, "a"); !csc.ErrorOf(err).Is(csc.ErrSADExpired) {
		t.Errorf("after its time: %v", err)
	}
	if err := r.peers.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.db.QueryRow(t.Context(), `SELECT sealed FROM federation_authorization WHERE sid = $1`, by.SID).Scan(&sealed); err != nil || sealed != "" {
		t.Errorf("still there: %q, %v", sealed, err)
	}
}

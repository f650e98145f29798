package federation_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/federation"
)

func TestAListThatDoesNotHoldStopsTheStart(t *testing.T) {
	r := newRig(t, sqlite(t))
	good, err := os.ReadFile(r.file)
	if err != nil {
		t.Fatal(err)
	}
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signed := func(key ed25519.PrivateKey, change func(*federation.List)) []byte {
		t.Helper()
		l := r.newList(9, r.evil.Entry("b"))
		change(l)
		b, err := federation.SignList(l, key)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	same := func(*federation.List) {}
	parts := bytes.Split(good, []byte("."))
	payload, err := base64.RawURLEncoding.DecodeString(string(parts[1]))
	if err != nil {
		t.Fatal(err)
	}
	edited := base64.RawURLEncoding.EncodeToString(bytes.Replace(payload, []byte(`"scal":2`), []byte(`"scal":1`), 1))
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"countersign-peers+jws"}`))
	for name, c := range map[string]struct {
		file []byte
		says string
	}{
		"edited":               {bytes.Join([][]byte{parts[0], []byte(edited), parts[2]}, []byte(".")), "changed after it was signed"},
		"by another key":       {signed(stranger, same), "not signed by the operator's key"},
		"without a signature":  {[]byte(none + "." + string(parts[1]) + "."), "not signed by the operator's key"},
		"expired":              {signed(r.operator, func(l *federation.List) { l.Expires = l.Issued.Add(time.Second) }), "expired at"},
		"not yet begun":        {signed(r.operator, func(l *federation.List) { l.Issued = l.Issued.Add(time.Hour) }), "set the clock"},
		"for another gateway":  {signed(r.operator, func(l *federation.List) { l.Gateway = "https://other.example" }), "for the gateway https://other.example"},
		"plain JSON":           {payload, "no compact JWS"},
		"nothing":              {nil, "not signed"},
		"other text, same no.": {signed(r.operator, func(l *federation.List) { l.Serial, l.Rules = 1, nil }), "higher serial"},
	} {
		if err := os.WriteFile(r.file, c.file, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := r.tryRegistry(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
		// A gateway that runs goes on with the list it has, and says so once.
		if changed, err := r.registry.Reload(t.Context()); changed || err == nil {
			t.Errorf("%s: taken by a running gateway", name)
		}
		if changed, err := r.registry.Reload(t.Context()); changed || err != nil {
			t.Errorf("%s: complained about twice: %v", name, err)
		}
		if _, err := r.peers.Begin(t.Context(), wish(rp, r.choose(rp), "a")); err != nil {
			t.Errorf("%s: the list in force was lost: %v", name, err)
		}
	}
	if err := os.Remove(r.file); err != nil {
		t.Fatal(err)
	}
	if _, err := r.tryRegistry(); err == nil {
		t.Error("a missing list was taken for an empty one")
	}
}

func TestAListIsTakenWhenItChangesAndNeverAnOlderOne(t *testing.T) {
	r := newRig(t, sqlite(t))
	id := r.choose(rp)
	r.write(r.newList(3))
	if changed, err := r.registry.Reload(t.Context()); !changed || err != nil {
		t.Fatalf("%v, %v", changed, err)
	}
	if _, err := r.peers.Begin(t.Context(), wish(rp, id, "a")); err == nil {
		t.Error("a peer that left is still asked")
	}
	r.write(r.newList(2, r.evil.Entry("b")))
	if changed, err := r.registry.Reload(t.Context()); changed || err == nil {
		t.Error("an older list was taken")
	}
	if _, err := r.tryRegistry(); err == nil || !strings.Contains(err.Error(), "serial 2, and 3") {
		t.Errorf("after a restart: %v", err)
	}
	// A list runs out while the gateway runs.
	r.write(r.newList(4, r.evil.Entry("b")))
	if _, err := r.registry.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.peers.Begin(t.Context(), wish(rp, id, "a")); err != nil {
		t.Error(err)
	}
	r.clock.pass(13 * time.Hour)
	if _, err := r.peers.Begin(t.Context(), wish(rp, id, "a")); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("with an expired list: %v", err)
	}
}

func TestTheListOfAKeyOnP256IsTakenToo(t *testing.T) {
	r := newRig(t, sqlite(t))
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b, err := federation.SignList(r.list, k)
	if err != nil {
		t.Fatal(err)
	}
	got, err := federation.OpenList(b, k.Public(), gateway, r.clock.now())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(r.list, got); d != "" {
		t.Error(d)
	}
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := federation.SignList(r.list, other); err == nil {
		t.Error("a key of another kind signed")
	}
}

func TestAListSaysWhatIsWrongWithIt(t *testing.T) {
	r := newRig(t, sqlite(t))
	for name, c := range map[string]struct {
		change func(*federation.List)
		says   string
	}{
		"version":      {func(l *federation.List) { l.Version = 2 }, "version 2"},
		"no gateway":   {func(l *federation.List) { l.Gateway = "" }, "gateway is missing"},
		"no serial":    {func(l *federation.List) { l.Serial = 0 }, "serial"},
		"no end":       {func(l *federation.List) { l.Expires = time.Time{} }, "expires"},
		"bad id":       {func(l *federation.List) { l.Peers[0].ID = "../b" }, "lower-case"},
		"twice":        {func(l *federation.List) { l.Peers = append(l.Peers, l.Peers[0]) }, "twice"},
		"no country":   {func(l *federation.List) { l.Peers[0].Country = "Finland" }, "two capital letters"},
		"plain http":   {func(l *federation.List) { l.Peers[0].Issuer = "http://b.example" }, "must be https"},
		"no API":       {func(l *federation.List) { l.Peers[0].CSC = "https://b.example/v2" }, "/csc/v2"},
		"no client":    {func(l *federation.List) { l.Peers[0].ClientID = "" }, "client_id"},
		"no level":     {func(l *federation.List) { l.Peers[0].Levels = nil }, "levels"},
		"SES":          {func(l *federation.List) { l.Peers[0].Levels = []federation.Level{"SES"} }, "AES, AESQC, QES"},
		"no scal":      {func(l *federation.List) { l.Peers[0].SCAL = 0 }, "scal"},
		"no limit":     {func(l *federation.List) { l.Peers[0].Limits.Hashes = 0 }, "limits.hashes"},
		"no anchor":    {func(l *federation.List) { l.Peers[0].Anchors = nil }, "anchors"},
		"bad anchor":   {func(l *federation.List) { l.Peers[0].Anchors = []string{"AAAA"} }, "certificate 1"},
		"no validity":  {func(l *federation.List) { l.Peers[0].Until = l.Peers[0].From }, "until"},
		"unknown peer": {func(l *federation.List) { l.Rules[0].Peers = []string{"z"} }, `no peer "z"`},
		"rule level":   {func(l *federation.List) { l.Rules[0].MinLevel = "high" }, "min_level"},
	} {
		l := r.newList(1, r.evil.Entry("b"))
		c.change(l)
		if _, err := federation.SignList(l, r.operator); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	text, err := json.Marshal(r.list)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{strings.Replace(string(text), `"scal"`, `"scall"`, 1), string(text) + "{}", "", "[]"} {
		if _, err := federation.ParseList([]byte(bad)); err == nil {
			t.Errorf("taken: %.60q", bad)
		}
	}
}

func FuzzOpenList(f *testing.F) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	now := time.Now()
	b, err := federation.SignList(&federation.List{Version: 1, Gateway: gateway, Serial: 1, Issued: now, Expires: now.Add(time.Hour)}, key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("e30.e30.e30"))
	f.Add([]byte(`{"payload":"e30","signatures":[]}`))
	f.Fuzz(func(t *testing.T, file []byte) {
		l, err := federation.OpenList(file, key.Public(), gateway, now)
		if err == nil && !bytes.Equal(bytes.TrimSpace(file), b) {
			t.Errorf("a list that nobody signed: %+v", l)
		}
	})
}

func FuzzParseList(f *testing.F) {
	f.Add([]byte(`{"version":1,"gateway":"https://a","serial":1,"issued":"2030-01-01T00:00:00Z","expires":"2031-01-01T00:00:00Z","peers":[],"rules":[]}`))
	f.Add([]byte(`{"peers":[{"anchors":["AAAA"]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if l, err := federation.ParseList(text); err == nil && l.Check() != nil {
			t.Error("a list that does not hold was taken")
		}
	})
}

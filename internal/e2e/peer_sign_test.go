package e2e_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/federation"
	"github.com/countersign/countersign/internal/store"
)

func TestARelyingPartyOfASignsWithTheKeyOfASignerOfB(t *testing.T) {
	t.Attr("feature", "Q1")
	t.Attr("feature", "R7")
	p := federate(t, options{}, options{})
	p.a.document(t, "contract.pdf", 4000)
	out := p.a.path("signed-by-b.pdf")
	env := p.signWithB(t)
	r := p.a.runWith(t.Context(), t, env, "sign", p.a.path("contract.pdf"), "-o", out)
	if r.code != 0 || !strings.Contains(r.err, "0 of them were bytes of a document") {
		t.Fatalf("%v\nA: %s\nB: %s", r, p.a.role("gateway").lastWords(), p.b.role("gateway").lastWords())
	}
	v := p.a.runWith(t.Context(), t, env, "verify", "--json", out)
	v.verdicts(t, []string{out})[0].passed(t, "B-LTA", 2)

	// Nothing of A's opaque name for the credential says where it is.
	if strings.Contains(p.handle, p.b.signer.Credential) || len(p.handle) < len(federation.HandlePrefix)+26 {
		t.Errorf("handle %q", p.handle)
	}
	// Only B's signer approved, on B's page: A's module knows of nothing.
	if n := count(p.a.events(t), "sad.approved"); n != 0 {
		t.Errorf("%d approvals at A", n)
	}
	log := p.b.events(t)
	if a, s := count(log, "sad.approved"), count(log, "signature.created"); a != 1 || s != 1 {
		t.Errorf("%d approvals and %d signatures at B", a, s)
	}
	c := p.compare(t)
	if !c.Fits() || len(c.Agreed) != 1 || c.Agreed[0].A.Service != "peer:b" || c.Agreed[0].B.Client != "gateway-a" || c.Agreed[0].A.Client != "" {
		t.Errorf("receipts do not fit: %+v", c)
	}
	// What is kept at A is sealed: B's token is nowhere in the clear, and no operation
	// is open.
	p.a.inDatabase(t, "gateway", func(ctx context.Context, db *store.DB) error {
		var sealed, state string
		if err := db.QueryRow(ctx, `SELECT sealed FROM federation_authorization`).Scan(&sealed); err != nil {
			return err
		}
		if strings.Contains(sealed, "{") || strings.Contains(sealed, "Value") {
			t.Errorf("sealed %.60s", sealed)
		}
		if err := db.QueryRow(ctx, `SELECT state FROM federation_operation`).Scan(&state); err != nil {
			return err
		}
		if state != "VERIFIED" && state != "DELIVERED" {
			t.Errorf("state %s", state)
		}
		return nil
	})
}

// TestTwoPeersAndTheOwnServiceStandSideBySide: one relying party, three trust services,
// one address. A running gateway takes the list with the second peer.
func TestTwoPeersAndTheOwnServiceStandSideBySide(t *testing.T) {
	t.Attr("feature", "Q2")
	p := federate(t, options{}, options{})
	third := startEvil(t, p.a.issuer+federation.ReturnPath+"evil") // it is honest unless it is told otherwise
	p.a.write("peer-secrets/evil.secret", []byte(third.Secret+"\n"))
	p.list.Serial, p.list.Peers = 2, append(p.list.Peers, third.Peer)
	p.list.Rules = []federation.Rule{
		{ID: "qualified-only", Orgs: []string{"bank"}, Peers: []string{"*"}, MinLevel: federation.QES},
		{ID: "neighbours", Orgs: []string{"*"}, Peers: []string{"b", "evil"}, Countries: []string{"FI"}},
	}
	p.a.signPeers(t, p.list)
	p.a.must(t, "admin", "client", "--id", clientID, "--name", "Archive", "--redirect", p.a.redirect, "--redirect", "http://127.0.0.1/callback", "--signer", third.Signer)
	var ids []string
	eventually(t, 15*time.Second, "the third service is there", func() bool {
		list, err := p.client.CredentialsList(t.Context(), &csc.CredentialsListRequest{})
		if err != nil {
			t.Fatal(err)
		}
		ids = list.CredentialIDs
		return len(ids) == 3
	})
	far := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == p.handle || id == p.a.signer.Credential })
	if len(far) != 1 || !strings.HasPrefix(far[0], federation.HandlePrefix) {
		t.Fatalf("credentials %v", ids)
	}
	if _, err := p.a.party(t).sign(t.Context(), hash()); err != nil {
		t.Errorf("the own service: %v", err)
	}
	if _, err := p.party().sign(t.Context(), hash()); err != nil {
		t.Errorf("the first peer: %v", err)
	}
	h := hash()
	other := &party{in: p.a, id: clientID, client: p.client, who: &person{Credential: far[0]}}
	if answer, err := p.client.SignHash(t.Context(), other.walk(t, h), other.request(h)); err != nil || len(answer.Signatures) != 1 {
		t.Errorf("the second peer: %v", err)
	}
	// Which rule decided, and why.
	for _, c := range []struct {
		peer, org, level string
		code             int
		says             string
	}{
		{"b", "default", "AES", 0, `"rule":"neighbours"`},
		{"evil", "default", "AES", 0, "held by Evil trust service"},
		{"b", "bank", "AES", 1, "level AES is below QES"},
		{"b", "bank", "QES", 0, `"rule":"qualified-only"`},
	} {
		r := p.a.run(t, "admin", "peers", "explain", c.peer, "--org", c.org, "--level", c.level)
		if r.code != c.code || !strings.Contains(r.out, c.says) {
			t.Errorf("%+v: %v", c, r)
		}
	}
	if words := p.a.role("gateway").lastWords(); !strings.Contains(words, `"rule":"neighbours","list":2`) {
		t.Errorf("the choice is in no record: %s", words)
	}
}

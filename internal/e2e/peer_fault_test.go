package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/federation"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
)

// TestAPeerThatIsDownBeforeItSignedCostsNothing: own credentials go on, nothing is
// begun, and an approval is as good as before once the peer is back.
func TestAPeerThatIsDownBeforeItSignedCostsNothing(t *testing.T) {
	p := federate(t, options{}, options{})
	rp, gateway := p.party(), p.b.role("gateway")
	h := hash()
	token, err := rp.token(t.Context(), &thumb{}, h)
	if err != nil {
		t.Fatal(err)
	}
	if err := gateway.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := rp.signHash(t.Context(), token, h); fault.Of(err).Kind != fault.Unavailable {
		t.Errorf("signed by a peer that is down: %v", err)
	}
	list, err := p.client.CredentialsList(t.Context(), &csc.CredentialsListRequest{})
	if err != nil || !slices.Contains(list.CredentialIDs, p.a.signer.Credential) || slices.Contains(list.CredentialIDs, p.handle) || list.Incomplete == "" {
		t.Errorf("list %+v, %v", list, err)
	}
	if _, err := rp.token(t.Context(), &thumb{}, hash()); err == nil {
		t.Error("begun at a peer that is down")
	}
	if err := gateway.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	// At the latest when the breaker lets the next one through.
	eventually(t, 40*time.Second, "the peer is asked again", func() bool { _, err = rp.signHash(t.Context(), token, h); return err == nil })
	if n := p.doubles(t); n != 0 {
		t.Errorf("%d hashes were signed twice", n)
	}
	if c := p.compare(t); !c.Fits() || len(c.Agreed) != 1 {
		t.Errorf("receipts: %+v", c)
	}
}

// TestAnAnswerLostBetweenTwoServicesIsFoundAndNotSignedAgain: the peer has signed and
// its answer is swallowed; then the gateway is killed while it waits for one.
func TestAnAnswerLostBetweenTwoServicesIsFoundAndNotSignedAgain(t *testing.T) {
	t.Attr("feature", "R12")
	p := federate(t, options{}, options{fronts: true})
	rp := p.party()
	if _, err := rp.sign(t.Context(), hash()); err != nil {
		t.Fatal(err)
	}
	door := p.b.fronts["gateway"].target
	p.lostAnswer(t, rp, door)
	p.killedGateway(t, rp)
	if n := p.doubles(t); n != 0 {
		t.Errorf("%d hashes were signed twice", n)
	}
	if c := p.compare(t); !c.Fits() || len(c.Agreed) != 3 {
		t.Errorf("receipts: %+v", c)
	}
}

// lostAnswer lets a proxy swallow B's answer to signHash.
func (p *pair) lostAnswer(t *testing.T, rp *party, door string) {
	t.Helper()
	swallowed := 0
	server := swallow(t, door, func(r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/signatures/signHash") && swallowed == 0 {
			swallowed++
			return true
		}
		return false
	})
	h := hash()
	token, err := rp.token(t.Context(), &thumb{}, h)
	if err != nil {
		t.Fatal(err)
	}
	before := count(p.b.events(t), "signature.created")
	p.b.fronts["gateway"].lead(server)
	_, err = rp.signHash(t.Context(), token, h)
	e, ok := errors.AsType[*csc.Error](err)
	if !ok || e.Code != "indeterminate" || !strings.Contains(e.Description, "not sent again") {
		t.Errorf("a lost answer: %v", err)
	}
	if _, err := rp.signHash(t.Context(), token, h); err != nil {
		t.Errorf("not found again: %v; A says %s", err, p.a.role("gateway").lastWords())
	}
	p.b.fronts["gateway"].lead(door)
	if n := count(p.b.events(t), "signature.created"); n != before+1 || swallowed != 1 {
		t.Errorf("%d signatures for one, %d answers lost", n-before, swallowed)
	}
}

// killedGateway kills A's gateway while B's answer is on its way.
func (p *pair) killedGateway(t *testing.T, rp *party) {
	t.Helper()
	front := p.b.fronts["gateway"]
	door := front.target
	h := hash()
	token, err := rp.token(t.Context(), &thumb{}, h)
	if err != nil {
		t.Fatal(err)
	}
	gateway := p.a.role("gateway")
	killed := make(chan error, 1)
	front.lead(swallow(t, door, func(r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/signatures/signHash") {
			killed <- gateway.kill()
			return true
		}
		return false
	}))
	if _, err := rp.signHash(t.Context(), token, h); err == nil {
		t.Error("answered by the dead")
	}
	if err := <-killed; err != nil {
		t.Fatal(err)
	}
	front.lead(door)
	if err := gateway.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.connect(t)
	rp.client = p.client
	if _, err := rp.signHash(t.Context(), token, h); err == nil { // it is said to be on its way as long as it may be
		t.Error("answered before the lease is over")
	}
	p.a.inDatabase(t, "gateway", func(ctx context.Context, db *store.DB) error {
		n, err := db.Exec(ctx, `UPDATE federation_operation SET lease = 1 WHERE state = 'SENDING'`) // the time passes
		if n != 1 {
			t.Errorf("%d operations were on their way", n)
		}
		return err
	})
	eventually(t, 20*time.Second, "the operation is resolved", func() bool { _, err = rp.signHash(t.Context(), token, h); return err == nil })
}

// doubles counts hashes that B's module signed more than once.
func (p *pair) doubles(t *testing.T) (n int) {
	t.Helper()
	seen := map[string]int{}
	for _, e := range p.b.events(t) {
		if e.Type != "signature.created" {
			continue
		}
		var data struct {
			Hashes []string `json:"hashes"`
		}
		if err := json.Unmarshal(e.Data, &data); err != nil {
			t.Fatal(err)
		}
		for _, h := range data.Hashes {
			if seen[h]++; seen[h] > 1 {
				n++
			}
		}
	}
	return n
}

// swallow is a door that passes requests on to another; when lose says so the request
// has its effect, and the connection breaks instead of an answer.
func swallow(t *testing.T, door string, lose func(*http.Request) bool) string {
	t.Helper()
	s := newDoor(t, func(w http.ResponseWriter, r *http.Request) {
		out := r.Clone(r.Context())
		out.RequestURI, out.URL.Scheme, out.URL.Host = "", "http", door
		resp, err := http.DefaultTransport.RoundTrip(out)
		if err != nil || lose(r) {
			panic(http.ErrAbortHandler)
		}
		defer resp.Body.Close()
		maps.Copy(w.Header(), resp.Header)
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	})
	return s
}

// TestAnEvilPeerIsQuarantinedByARunningGateway: the alarm is in log, metric and event,
// and only the operator ends it.
func TestAnEvilPeerIsQuarantinedByARunningGateway(t *testing.T) {
	t.Attr("feature", "R8")
	a := install(t, receipts(options{}))
	evil := startEvil(t, a.issuer+federation.ReturnPath+"evil")
	l := a.peers(evil.Peer)
	a.usePeers(t, l, map[string]string{"evil": evil.Secret})
	a.must(t, "admin", "client", "--id", clientID, "--name", "Archive", "--redirect", a.redirect, "--redirect", "http://127.0.0.1/callback", "--signer", evil.Signer)
	client, err := cscclient.New(cscclient.Config{
		BaseURL: a.issuer + "/csc/v2", Issuer: a.issuer, ClientID: clientID, ClientSecret: a.env["COUNTERSIGN_CLIENT_SECRET"], RedirectURI: a.redirect,
	})
	if err != nil {
		t.Fatal(err)
	}
	rp := &party{in: a, id: clientID, client: client, who: &person{}}
	lies := []string{"wrong-hash", "other-key", "other-certificate", "bad-der"}
	for _, lie := range lies {
		evil.tell(t, "honest")
		rp.who.Credential = rp.peerCredential(t)
		h := hash()
		token := rp.walk(t, h)
		evil.tell(t, lie)
		answer, err := client.SignHash(t.Context(), token, rp.request(h))
		if e, ok := errors.AsType[*csc.Error](err); answer != nil || !ok || e.Code != "peer_quarantined" {
			t.Fatalf("%s: %v, %v", lie, answer, err)
		}
		if _, err := client.SignHash(t.Context(), token, rp.request(h)); err == nil {
			t.Errorf("%s: signed by a peer in quarantine", lie)
		}
		r := a.run(t, "admin", "peers", "list")
		if r.code != 1 || !strings.Contains(r.out, "IN QUARANTINE") {
			t.Errorf("%s: %v", lie, r)
		}
		if text := a.metrics(t); !strings.Contains(text, "countersign_peers_quarantined 1") || !strings.Contains(text, `countersign_peer_operations_total{outcome="lie_`) {
			t.Errorf("%s: no metric", lie)
		}
		if words := a.role("gateway").lastWords(); !strings.Contains(words, `"msg":"peer lied","role":"gateway","alarm":true,"peer":"evil"`) {
			t.Errorf("%s: no alarm in the log: %s", lie, words)
		}
		a.must(t, "admin", "peers", "lift", "evil", "--by", "ops", "--why", "a test")
		if r := a.run(t, "admin", "peers", "list"); r.code != 0 {
			t.Errorf("%s: not lifted: %v", lie, r)
		}
	}
	if n := a.counted(t, "peer.quarantined"); n != len(lies) {
		t.Errorf("%d events for %d lies", n, len(lies))
	}
	if r := a.run(t, "admin", "peers", "explain", "evil", "--level", "AES"); r.code != 0 || !strings.Contains(r.out, "rule everybody") {
		t.Errorf("explain: %v", r)
	}
	// The list is edited: a running gateway goes on with the one it has; one that starts does not start.
	good := must(t, a.path("peers.jws"))
	a.write("peers.jws", []byte(strings.Replace(string(must(t, a.path("peers.jws"))), ".", ".e", 1)))
	eventually(t, 10*time.Second, "the complaint", func() bool {
		return strings.Contains(a.role("gateway").lastWords(), "changed after it was signed")
	})
	if rp.peerCredential(t) == "" {
		t.Error("the list in force was lost")
	}
	gateway := a.role("gateway")
	if err := gateway.stop(); err != nil {
		t.Fatal(err)
	}
	if err := gateway.start(t.Context()); err == nil || !strings.Contains(err.Error(), "changed after it was signed") {
		t.Errorf("started with an edited list: %v", err)
	}
	if err := gateway.stop(); err == nil {
		t.Error("it ended as if nothing was wrong")
	}
	a.write("peers.jws", good)
	if err := gateway.start(t.Context()); err != nil {
		t.Error(err)
	}
}

// walk goes the way of the browser through an evil peer, which approves everything.
func (p *party) walk(t *testing.T, hashes ...[]byte) *cscclient.Token {
	t.Helper()
	a, err := p.client.Authorize(t.Context(), p.details(hashes...))
	if err != nil {
		t.Fatal(err)
	}
	at, cookies := a.URL, map[string][]*http.Cookie{}
	for range 8 {
		if strings.HasPrefix(at, p.in.redirect) {
			token, err := p.client.Redeem(t.Context(), a, at)
			if err != nil {
				t.Fatal(err)
			}
			return token
		}
		u, err := url.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		host := u.Host
		u.Host = strings.Replace(host, "sign.localhost", "127.0.0.1", 1)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		for _, c := range cookies[host] {
			req.AddCookie(c)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		cookies[host] = append(cookies[host], resp.Cookies()...)
		if at = resp.Header.Get("Location"); at == "" {
			t.Fatalf("%s: %s %s", u, resp.Status, body)
		}
	}
	t.Fatal("no end")
	return nil
}

// peerCredential is the credential of a peer that the party sees.
func (p *party) peerCredential(t *testing.T) string {
	t.Helper()
	list, err := p.client.CredentialsList(t.Context(), &csc.CredentialsListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range list.CredentialIDs {
		if strings.HasPrefix(id, federation.HandlePrefix) {
			return id
		}
	}
	t.Fatalf("no credential of a peer in %+v: %s", list, p.in.role("gateway").lastWords())
	return ""
}

// evilPeer is the program of that name, running.
type evilPeer struct {
	Address string          `json:"address"`
	Peer    federation.Peer `json:"peer"`
	Secret  string          `json:"client_secret"`
	Signer  string          `json:"signer"`
}

func startEvil(t *testing.T, redirect string) *evilPeer {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	c := exec.CommandContext(ctx, program(t, "evilpeer"), "--redirect", redirect)
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		stop()
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(); _ = c.Wait() })
	e := &evilPeer{}
	if err := json.NewDecoder(out).Decode(e); err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *evilPeer) tell(t *testing.T, lie string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, e.Address+"/evil/lie", strings.NewReader(lie))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Timeout: 5 * time.Second}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		t.Fatal(resp.Status)
	}
}

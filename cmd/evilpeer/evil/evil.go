// Package evil is a trust service that lies on command: a CSC v2 peer with an
// authorisation server, a signer who approves everything, and an authority of its
// own. It shows whether a gateway believes what it did not check.
package evil

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/countersign/countersign/federation"
	"github.com/countersign/countersign/signing"
)

// Lie is what a peer does wrong.
type Lie string

// The lies, and the faults that are none.
const (
	Honest           Lie = "honest"
	WrongHash        Lie = "wrong-hash"        // signs another hash than was asked for
	OtherKey         Lie = "other-key"         // signs with another key
	OtherCertificate Lie = "other-certificate" // signs with another certificate of the same person, and shows it afterwards
	WeakerClaim      Lie = "weaker-level"      // calls qualified what its certificate does not
	WeakerControl    Lie = "weaker-control"    // SCAL 2 when it is chosen, 1 once it has signed
	Revoked          Lie = "revoked"           // calls a certificate valid that its authority revoked an hour ago
	RevokedAfter     Lie = "revoked-after"     // signs with it; its authority tells only then
	BadDER           Lie = "bad-der"           // the signature is no signature
	Swapped          Lie = "swapped"           // signatures in another order than the hashes

	Garbage  Lie = "garbage"   // signs, and answers with rubbish
	TooMany  Lie = "too-many"  // signs, and answers with one signature more
	Endless  Lie = "endless"   // signs, and answers for ever
	Slow     Lie = "slow"      // signs, and does not answer
	Silent   Lie = "silent"    // signs, and hangs up
	Trouble  Lie = "trouble"   // signs, and says 500
	Refuses  Lie = "refuses"   // does not sign, and says so
	WrongIss Lie = "wrong-iss" // sends the browser back in another's name
	Deaf     Lie = "deaf"      // answers no read
)

// Lies lists the words.
func Lies() []Lie {
	return []Lie{
		Honest, WrongHash, OtherKey, OtherCertificate, WeakerClaim, WeakerControl, Revoked, RevokedAfter, BadDER, Swapped,
		Garbage, TooMany, Endless, Slow, Silent, Trouble, Refuses, WrongIss, Deaf,
	}
}

// Config says where the peer is and which gateway it deceives.
type Config struct {
	URL      string // where it is reached: its issuer
	Redirect string // the gateway's return address for it
	Now      func() time.Time
}

// Peer is an http.Handler. All methods may be called at once.
type Peer struct {
	config Config
	mux    *http.ServeMux
	ca     *authority
	now    func() time.Time
	over   chan struct{} // closed with the peer: nobody is kept waiting any more

	mu       sync.Mutex
	lie      Lie
	lied     bool // it has signed since the lie was set
	pushed   map[string]url.Values
	codes    map[string]url.Values
	tokens   map[string]url.Values // nil values: a service token
	made     map[string]string     // signatures by token and hash
	signed   map[string]int        // executions by hash
	requests int                   // signHash requests that arrived
	pushes   []url.Values          // every pushed request
}

// What every evil peer knows.
const (
	ClientID     = "gateway"
	ClientSecret = "0123456789abcdefghijklmnopqrstuvwxyz0123456"
	SignerID     = "eve"
	CredentialID = "eves-key"
)

// New makes a peer with an authority and a signer.
func New(c Config) (*Peer, error) {
	p := &Peer{
		config: c, mux: http.NewServeMux(), now: c.Now, lie: Honest, over: make(chan struct{}),
		pushed: map[string]url.Values{}, codes: map[string]url.Values{}, tokens: map[string]url.Values{}, made: map[string]string{}, signed: map[string]int{},
	}
	if p.now == nil {
		p.now = time.Now
	}
	var err error
	if p.ca, err = newAuthority(c.URL, p.now()); err != nil {
		return nil, err
	}
	for pattern, h := range map[string]http.HandlerFunc{
		"GET /.well-known/oauth-authorization-server": p.metadata,
		"POST /oauth2/pushed_authorize":               p.push,
		"GET /oauth2/authorize":                       p.authorize,
		"POST /oauth2/token":                          p.token,
		"POST /csc/v2/credentials/list":               p.list,
		"POST /csc/v2/credentials/info":               p.info,
		"POST /csc/v2/signatures/signHash":            p.signHash,
		"POST " + federation.ResultPath:               p.result,
		"POST /ocsp":                                  p.ocsp,
		"PUT /evil/lie":                               p.command,
		"GET /evil":                                   p.about,
	} {
		p.mux.HandleFunc(pattern, h)
	}
	return p, nil
}

// Close lets go of everybody who is kept waiting.
func (p *Peer) Close() { close(p.over) }

// ServeHTTP implements http.Handler.
func (p *Peer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.lieNow() == Deaf && r.Method == http.MethodPost && r.URL.Path != "/ocsp" {
		p.hang(r)
		return
	}
	p.mux.ServeHTTP(w, r)
}

func (p *Peer) lieNow() Lie {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lie
}

// Tell sets the lie.
func (p *Peer) Tell(l Lie) error {
	if !slices.Contains(Lies(), l) {
		return fmt.Errorf("%q is no lie that is known here", l)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lie, p.lied = l, false
	return nil
}

// current is the lie, and whether the peer has signed since it was set.
func (p *Peer) current() (Lie, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lie, p.lied
}

// Executions are the signatures that were made, by hash (base64).
func (p *Peer) Executions() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.signed)
}

// Requests is how many signHash requests arrived.
func (p *Peer) Requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests
}

// Pushes are the authorisation requests that were pushed, in order.
func (p *Peer) Pushes() []url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.pushes)
}

// Entry is the peer as it stands in a list of peers.
func (p *Peer) Entry(id string) federation.Peer {
	now := p.now().Truncate(time.Second)
	return federation.Peer{
		ID: id, Name: "Evil trust service", Country: "FI", Issuer: p.config.URL, CSC: p.config.URL + "/csc/v2", ClientID: ClientID,
		Anchors: []string{base64.StdEncoding.EncodeToString(p.ca.root.cert.Raw)}, Levels: []federation.Level{federation.AES, federation.QES}, SCAL: 2,
		Limits: federation.Limits{Hashes: 100}, Results: true, From: now.Add(-time.Hour), Until: now.Add(24 * time.Hour),
	}
}

// command sets the lie over HTTP: the body is the word.
func (p *Peer) command(w http.ResponseWriter, r *http.Request) {
	var word [64]byte
	n, _ := r.Body.Read(word[:]) // an empty body is no lie
	if err := p.Tell(Lie(word[:n])); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// about says what an operator needs to let a gateway on a test system use it.
func (p *Peer) about(w http.ResponseWriter, _ *http.Request) {
	lie, _ := p.current()
	answer(w, http.StatusOK, map[string]any{
		"lie": lie, "lies": Lies(), "client_secret": ClientSecret, "signer": SignerID, "peer": p.Entry("evil"),
		"requests": p.Requests(), "executions": p.Executions(), "algorithm": signing.ECDSAWithSHA256.OID(),
	})
}

// hang keeps whoever asks waiting.
func (p *Peer) hang(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-p.over:
	}
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // whoever asked may be gone
}

func refuse(w http.ResponseWriter, status int, code, description string) {
	answer(w, status, map[string]string{"error": code, "error_description": description})
}

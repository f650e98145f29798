package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/countersign/countersign/cmd/internal/ci/record"
)

// Peer is one line of interop.json: what somebody else's program said of ours.
type Peer struct {
	Name     string  `json:"name"`
	Outcome  string  `json:"outcome"` // pass, fail, skip
	Seconds  float64 `json:"seconds"`
	Why      string  `json:"why,omitempty"`
	features []string
	out      string
}

// step is one run of a foreign program.
type step struct {
	name     string
	features []string // rows it proves when it passes
	run      func(ctx context.Context) (string, error)
}

// errNotHere says that a step's program or data is absent.
var errNotHere = errors.New("not here")

// interop points other people's clients and validators at an installation with
// https and keeps the record.
func interop(ctx context.Context, oracles, out string, w, errw io.Writer) error {
	state, err := record.State(ctx, ".")
	if err != nil {
		return err
	}
	r := record.Run{Suite: "interop", State: state, Started: time.Now().UTC()}
	if err := os.MkdirAll(recordDir, 0o750); err != nil {
		return err
	}
	if err := record.Save(recordDir, r); err != nil {
		return err
	}
	if _, err := os.Stat(oracles); err != nil {
		fmt.Fprintf(errw, "LEFT OUT: no peers at %s (ORACLES=DIR): nobody else's client or validator was run, and nothing is proven by it.\n", oracles)
		return writeJSON(out, []Peer{})
	}
	sink, err := os.Create(filepath.Join(recordDir, "interop.log"))
	if err != nil {
		return err
	}
	defer sink.Close()
	fmt.Fprintln(w, "Starting an installation with https for other people's clients ...")
	in, err := install(ctx, filepath.Join(recordDir, "interop"), sink, "--issuer", "https://localhost:0")
	if err != nil {
		return err
	}
	peers := runSteps(ctx, steps(in, oracles), w)
	stopErr := in.stop()
	if err := keep(&r, peers, sink); err != nil {
		return err
	}
	after, err := record.State(ctx, ".")
	if err != nil {
		return err
	}
	r.Complete = after == state && ctx.Err() == nil
	if err := record.Save(recordDir, r); err != nil {
		return err
	}
	if err := writeJSON(out, peers); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, p := range peers {
		fmt.Fprintf(w, "%-4s  %-58s %6.1f s  %s\n", p.Outcome, p.Name, p.Seconds, p.Why)
	}
	fmt.Fprintln(w, r.Counts())
	if stopErr != nil {
		return fmt.Errorf("the installation did not end cleanly: %w", stopErr)
	}
	if r.Failed > 0 {
		return errNo
	}
	return nil
}

func runSteps(ctx context.Context, list []step, w io.Writer) []Peer {
	var peers []Peer
	for _, s := range list {
		start := time.Now()
		p := Peer{Name: s.name, Outcome: record.Pass, features: s.features}
		fmt.Fprintf(w, "%s ...\n", s.name)
		text, err := s.run(ctx)
		p.out, p.Seconds = text, time.Since(start).Seconds()
		switch {
		case errors.Is(err, errNotHere) && os.Getenv("CI") == "":
			p.Outcome, p.Why = record.Skip, err.Error()
		case err != nil:
			p.Outcome, p.Why = record.Fail, err.Error()
			fmt.Fprintln(w, text)
		}
		peers = append(peers, p)
	}
	return peers
}

// keep writes the events of the steps in the form of a test run.
func keep(r *record.Run, peers []Peer, log io.Writer) error {
	f, err := os.Create(record.EventsFile(recordDir, r.Suite))
	if err != nil {
		return err
	}
	defer f.Close()
	enc := json.NewEncoder(f)
	g := record.NewGather()
	for _, p := range peers {
		fmt.Fprintf(log, "== %s\n%s\n", p.Name, p.out)
		events := []record.Event{{Action: "run"}}
		for _, id := range p.features {
			events = append(events, record.Event{Action: "attr", Key: "feature", Value: id})
		}
		for _, e := range append(events, record.Event{Action: p.Outcome, Elapsed: p.Seconds}) {
			e.Time, e.Package, e.Test = time.Now().UTC(), "interop", strings.ReplaceAll(p.Name, " ", "_")
			g.Add(e)
			if err := enc.Encode(e); err != nil {
				return err
			}
		}
	}
	g.Count(r)
	r.Ended = time.Now().UTC()
	return f.Close()
}

// steps are the peers in the order they run.
func steps(in *installation, oracles string) []step {
	csc := filepath.Join(oracles, "csc")
	v := in.vars
	approve, err := filepath.Abs(program)
	if err != nil {
		approve = program
	}
	approve += " authenticator approve"
	ca := v["COUNTERSIGN_TLS_CA"]
	node := func(args ...string) func(context.Context) (string, error) {
		return func(ctx context.Context) (string, error) {
			args := append([]string{
				filepath.Join(csc, "oauth_client.mjs"), "--issuer", v["COUNTERSIGN_ISSUER"], "--ca", ca,
				"--redirect", v["COUNTERSIGN_REDIRECT"], "--approve", approve,
			}, args...)
			return answered(in.run(ctx, 2*time.Minute, "node", args...))
		}
	}
	basic := []string{"--client-id", v["COUNTERSIGN_CLIENT_ID"], "--auth", "basic", "--secret", v["COUNTERSIGN_CLIENT_SECRET"]}
	post := []string{"--client-id", v["COUNTERSIGN_CLIENT_ID"], "--auth", "post", "--secret", v["COUNTERSIGN_CLIENT_SECRET"]}
	sum := sha256.Sum256([]byte("a document that stays here"))
	hash := base64.StdEncoding.EncodeToString(sum[:])
	return []step{
		{name: "eudi-lib-jvm-rqes-csc-kt: CSC v2 with PAR and RAR", run: func(ctx context.Context) (string, error) {
			return answered(in.run(ctx, 3*time.Minute, filepath.Join(csc, "eudi/run.sh"), "--base", v["COUNTERSIGN_CSC"], "--ca", ca,
				"--client-id", v["COUNTERSIGN_CLIENT_ID"], "--secret", v["COUNTERSIGN_CLIENT_SECRET"], "--redirect", v["COUNTERSIGN_REDIRECT"],
				"--approve", approve, "--grant", "client_credentials", "--credential", v["COUNTERSIGN_CREDENTIAL"], "--documents", "3"))
		}},
		{name: "openid-client: service token, basic", run: node(append(basic, "--grant", "client_credentials")...)},
		{name: "openid-client: service token, post", run: node(append(post, "--grant", "client_credentials")...)},
		{name: "openid-client: PAR RAR PKCE, basic", run: node(append(basic, credentialScope(v, hash)...)...)},
		{name: "openid-client: PAR RAR PKCE DPoP private_key_jwt", features: []string{"R11"}, run: func(ctx context.Context) (string, error) {
			id, key, err := jwtClient(ctx, in)
			if err != nil {
				return "", err
			}
			return node(append([]string{"--client-id", id, "--auth", "jwt", "--key", key, "--kid", "k1", "--dpop"}, credentialScope(v, hash)...)...)(ctx)
		}},
		{name: "EU DSS, pyHanko, pdfsig, openssl, PDFBox, qpdf: B-LTA", features: []string{"H15", "P6"}, run: func(ctx context.Context) (string, error) {
			return judge(ctx, in, oracles)
		}},
	}
}

// credentialScope asks for one signature over hash and calls signHash with the token.
func credentialScope(v map[string]string, hash string) []string {
	rar := fmt.Sprintf(`[{"type":"credential","credentialID":%q,"documentDigests":[{"hash":%q,"label":"document.pdf"}],"hashAlgorithmOID":"2.16.840.1.101.3.4.2.1"}]`,
		v["COUNTERSIGN_CREDENTIAL"], hash)
	body := fmt.Sprintf(`{"credentialID":%q,"hashes":[%q],"hashAlgorithmOID":"2.16.840.1.101.3.4.2.1","signAlgo":"1.2.840.10045.4.3.2"}`,
		v["COUNTERSIGN_CREDENTIAL"], hash)
	return []string{"--scope", "credential", "--rar", rar, "--call", v["COUNTERSIGN_CSC"] + "/signatures/signHash", "--body", body}
}

// jwtClient registers a client that proves itself with a key.
func jwtClient(ctx context.Context, in *installation) (id, keyFile string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", err
	}
	keyFile = in.path("interop-client.pem")
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return "", "", err
	}
	pub, err := key.PublicKey.Bytes() // 0x04 ‖ X ‖ Y
	if err != nil {
		return "", "", err
	}
	b64 := base64.RawURLEncoding
	jwks := fmt.Sprintf(`{"keys":[{"kty":"EC","crv":"P-256","kid":"k1","use":"sig","alg":"ES256","x":%q,"y":%q}]}`, b64.EncodeToString(pub[1:33]), b64.EncodeToString(pub[33:]))
	jwksFile := in.path("interop-client.jwks.json")
	if err := os.WriteFile(jwksFile, []byte(jwks), 0o600); err != nil {
		return "", "", err
	}
	id = "interop-jwt"
	_, err = answered(in.run(ctx, time.Minute, program, "admin", "client", "--id", id, "--name", "Client with a key", "--auth", "private_key_jwt",
		"--jwks", jwksFile, "--redirect", in.vars["COUNTERSIGN_REDIRECT"], "--signer", in.vars["COUNTERSIGN_SIGNER"]))
	return id, keyFile, err
}

// answered turns an exit code into an error.
func answered(out string, code int, err error) (string, error) {
	if err == nil && code != 0 {
		err = fmt.Errorf("exit %d: %s", code, lastLine(out))
	}
	return out, err
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	if i := strings.LastIndexByte(s, '\n'); i >= 0 {
		s = s[i+1:]
	}
	if len(s) > 300 {
		s = s[:300]
	}
	return s
}

package e2e_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/sam/device"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// party is a relying party in this process, and the device of its signer beside it.
type party struct {
	in     *installation
	id     string
	secret string
	who    *person
	client *cscclient.Client
	key    *device.Key
	net    device.Net
	end    string // redirect URI, where the way leads through a peer
	cert   *x509.Certificate
	issuer *x509.Certificate
}

// party makes the first relying party one in this process.
func (in *installation) party(t testing.TB) *party {
	t.Helper()
	return in.partyOf(t, clientID, in.env["COUNTERSIGN_CLIENT_SECRET"], in.signer)
}

func (in *installation) partyOf(t testing.TB, id, secret string, who *person) *party {
	t.Helper()
	c, err := cscclient.New(cscclient.Config{
		BaseURL: in.issuer + "/csc/v2", Issuer: in.issuer, ClientID: id, ClientSecret: secret, RedirectURI: in.redirect, RootCAs: in.roots,
	})
	if err != nil {
		t.Fatal(err)
	}
	key, err := device.Load(who.Device)
	if err != nil {
		t.Fatal(err)
	}
	list, err := in.sockets().Module().Credentials(t.Context(), samapi.CredentialQuery{IDs: []string{who.Credential}})
	if err != nil || len(list) != 1 {
		t.Fatalf("%d credentials, %v", len(list), err)
	}
	chain, err := x509.ParseCertificates(slices.Concat(list[0].Chain...))
	if err != nil {
		t.Fatal(err)
	}
	return &party{in: in, id: id, secret: secret, who: who, client: c, key: key, net: device.Net{Transport: device.NewTransport(in.roots)}, cert: chain[0], issuer: chain[1]}
}

// hash is what nobody has asked a signature for.
func hash() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return b
}

// details say what is to be approved.
func (p *party) details(hashes ...[]byte) []csc.AuthorizationDetail {
	d := csc.AuthorizationDetail{Type: csc.DetailType20, CredentialID: p.who.Credential, HashAlgorithmOID: signing.HashOID(signing.ECDSAWithSHA256.Hash())}
	for i, h := range hashes {
		d.DocumentDigests = append(d.DocumentDigests, csc.DocumentDigest{Hash: base64.StdEncoding.EncodeToString(h), Label: fmt.Sprintf("document %d", i+1)})
	}
	return []csc.AuthorizationDetail{d}
}

func (p *party) request(hashes ...[]byte) *csc.SignHashRequest {
	q := &csc.SignHashRequest{
		CredentialID: p.who.Credential, SignAlgo: signing.ECDSAWithSHA256.OID(), HashAlgorithmOID: signing.HashOID(signing.ECDSAWithSHA256.Hash()),
	}
	for _, h := range hashes {
		q.Hashes = append(q.Hashes, base64.StdEncoding.EncodeToString(h))
	}
	return q
}

// person at the device: who says yes unless told otherwise.
type thumb struct {
	pin string
	sid string // of the request that was shown
	// decide is asked instead, unless nil.
	decide func(r device.Request) (device.Answer, error)
}

// Decide implements device.Prompter.
func (p *thumb) Decide(_ context.Context, r device.Request) (device.Answer, error) {
	p.sid = r.SAD.SID
	if p.decide != nil {
		return p.decide(r)
	}
	if r.Refused != nil {
		return device.Answer{}, r.Refused
	}
	return device.Answer{Approve: true, PIN: p.pin, Number: r.Shown}, nil
}

// approve has the signer approve on the device, and returns where the browser ends.
func (p *party) approve(ctx context.Context, authorizationURL string, by *thumb) (string, error) {
	if by.pin == "" {
		by.pin = pin
	}
	d := device.Device{Key: p.key, Prompt: by, Net: p.net, End: p.end}
	return d.Approve(ctx, authorizationURL)
}

// token gets the token that signs these hashes: the whole way from the pushed
// request through the signer's approval.
func (p *party) token(ctx context.Context, by *thumb, hashes ...[]byte) (*cscclient.Token, error) {
	a, err := p.client.Authorize(ctx, p.details(hashes...))
	if err != nil {
		return nil, err
	}
	final, err := p.approve(ctx, a.URL, by)
	if err != nil {
		return nil, err
	}
	return p.client.Redeem(ctx, a, final)
}

// sign is the whole transaction. What comes back is verified.
func (p *party) sign(ctx context.Context, hashes ...[]byte) ([][]byte, error) {
	token, err := p.token(ctx, &thumb{}, hashes...)
	if err != nil {
		return nil, err
	}
	return p.signHash(ctx, token, hashes...)
}

func (p *party) signHash(ctx context.Context, token *cscclient.Token, hashes ...[]byte) ([][]byte, error) {
	answer, err := p.client.SignHash(ctx, token, p.request(hashes...))
	if err != nil {
		return nil, err
	}
	out := make([][]byte, len(answer.Signatures))
	for i, s := range answer.Signatures {
		if out[i], err = base64.StdEncoding.DecodeString(s); err != nil {
			return nil, err
		}
		if err := signing.Verify(p.cert.PublicKey, signing.ECDSAWithSHA256, hashes[i], out[i]); err != nil {
			return nil, fmt.Errorf("signature %d: %w", i+1, err)
		}
	}
	return out, nil
}

// eventually waits until do says that it is so, and fails the test when that
// takes too long.
func eventually(t testing.TB, patience time.Duration, what string, do func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !do(); {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", patience, what)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

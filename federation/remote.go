package federation

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/internal/fault"
)

// Remote is a peer as this gateway reaches it. Reads may be repeated on the way;
// SignHash and Redeem are sent once.
type Remote interface {
	CredentialsList(ctx context.Context, q *csc.CredentialsListRequest) (*csc.CredentialsListResponse, error)
	CredentialsInfo(ctx context.Context, q *csc.CredentialsInfoRequest) (*csc.CredentialInfo, error)
	Authorize(ctx context.Context, details []csc.AuthorizationDetail) (*cscclient.Authorization, error)
	Redeem(ctx context.Context, a *cscclient.Authorization, final string) (*cscclient.Token, error)
	// SignHash says beside an error whether a byte of the request may have left.
	SignHash(ctx context.Context, token *cscclient.Token, q *csc.SignHashRequest) (answer *csc.SignHashResponse, sent bool, err error)
	// Result reads signatures that were made for this request and never signs. A
	// fault of kind NotFound says that the peer has none.
	Result(ctx context.Context, token *cscclient.Token, q *csc.SignHashRequest) (*csc.SignHashResponse, error)
}

// DialConfig says how peers are reached.
type DialConfig struct {
	// Secret is this gateway's client secret at a peer.
	Secret func(peer string) (string, error)
	// Redirect is where the signer's browser comes back to: one address for each
	// peer, so that no peer can give an answer in another's name.
	Redirect    func(peer string) string
	Timeout     time.Duration // of one read, repetitions included; 0 is 10 s
	SignTimeout time.Duration // of one signHash; 0 is 60 s
	UserAgent   string
	Now         func() time.Time
}

// Dial returns the access to a peer. It does not connect.
func Dial(c DialConfig, p *Peer) (Remote, error) {
	secret, err := c.Secret(p.ID)
	if err != nil {
		return nil, fmt.Errorf("secret for peer %s: %w", p.ID, err)
	}
	var roots *x509.CertPool
	certs, err := certificatesOf(p.TLSAnchors)
	if err != nil {
		return nil, fmt.Errorf("peer %s: %w", p.ID, err)
	}
	if len(certs) > 0 {
		roots = x509.NewCertPool()
		for _, cert := range certs {
			roots.AddCert(cert)
		}
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.SignTimeout == 0 {
		c.SignTimeout = defaultSignTime
	}
	client, err := cscclient.New(cscclient.Config{
		BaseURL: p.CSC, Issuer: p.Issuer, ClientID: p.ClientID, ClientSecret: secret, RedirectURI: c.Redirect(p.ID),
		RootCAs: roots, Timeout: c.Timeout, SignTimeout: c.SignTimeout, UserAgent: c.UserAgent, Now: c.Now,
	})
	if err != nil {
		return nil, fmt.Errorf("peer %s: %w", p.ID, err)
	}
	return &remote{Client: client, results: p.Issuer + ResultPath, http: newReader(roots, c.Timeout)}, nil
}

// remote is a peer over HTTP.
type remote struct {
	*cscclient.Client

	results string
	http    *http.Client
}

// SignHash implements Remote.
func (r *remote) SignHash(ctx context.Context, token *cscclient.Token, q *csc.SignHashRequest) (*csc.SignHashResponse, bool, error) {
	// Without a connection no byte can have left; with one, every byte may have.
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	answer, err := r.Client.SignHash(ctx, token, q)
	return answer, connected.Load(), err
}

// maxResult bounds the answer of a result's read.
const maxResult = 1 << 20

// Result implements Remote.
func (r *remote) Result(ctx context.Context, token *cscclient.Token, q *csc.SignHashRequest) (_ *csc.SignHashResponse, err error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("encode request for a result: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.results, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask for a result: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token.Value)
	resp, err := r.http.Do(req)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "%s does not answer", r.Host()).Because(err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxResult+1))
	switch {
	case err != nil || len(text) > maxResult:
		return nil, fault.New(fault.Unavailable, "%s broke off its answer, or it was too long", r.Host()).Because(err)
	case resp.StatusCode == http.StatusNotFound:
		return nil, fault.New(fault.NotFound, "%s has no such result", r.Host())
	case resp.StatusCode == http.StatusUnauthorized:
		return nil, fault.New(fault.Unauthenticated, "%s does not take the token any more", r.Host())
	case resp.StatusCode != http.StatusOK:
		return nil, fault.New(fault.Unavailable, "%s answered %d", r.Host(), resp.StatusCode)
	}
	var out csc.SignHashResponse
	if err := json.Unmarshal(text, &out); err != nil || len(out.Signatures) != len(q.Hashes) {
		return nil, fault.New(fault.Unavailable, "%s gave a result that cannot be read", r.Host()).Because(err)
	}
	return &out, nil
}

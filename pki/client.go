package pki

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/signing"
)

// Client calls the Handler of an authority.
type Client struct {
	// BaseURL is the authority's base URL.
	BaseURL string
	// HTTP makes the calls. Nil is a client that waits for a minute at most, uses no
	// proxy and follows no redirect: records go to the address named, or nowhere.
	HTTP *http.Client
}

// direct is the client of all that bring none.
var direct = &http.Client{
	Timeout:       time.Minute,
	Transport:     &http.Transport{TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func (c *Client) http() *http.Client {
	if c.HTTP != nil {
		return c.HTTP
	}
	return direct
}

// Issue has a certificate issued.
func (c *Client) Issue(ctx context.Context, r IssueRequest) (Issued, error) {
	return call[Issued](ctx, c.http(), http.MethodPost, c.BaseURL+"/issue", r)
}

// Chain returns the certificate issued for a key, by the hex SHA-256 of its SPKI.
func (c *Client) Chain(ctx context.Context, keyHash string) (Issued, error) {
	return call[Issued](ctx, c.http(), http.MethodGet, c.BaseURL+"/chain/"+url.PathEscape(keyHash), nil)
}

// Revoke sends a sealed Revocation.
func (c *Client) Revoke(ctx context.Context, s signing.Signed) (Revoked, error) {
	return call[Revoked](ctx, c.http(), http.MethodPost, c.BaseURL+"/revoke", s)
}

// AdminClient calls the AdminHandler of an authority over its Unix socket.
type AdminClient struct{ http *http.Client }

// NewAdminClient makes a client for the socket at path.
func NewAdminClient(path string) *AdminClient {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return &AdminClient{http: &http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

const adminURL = "http://pki"

// Register registers the key of an activation module or a registration authority.
func (c *AdminClient) Register(ctx context.Context, r Registration) (Party, error) {
	return call[Party](ctx, c.http, http.MethodPost, adminURL+"/keys", r)
}

// Remove ends the trust in a key.
func (c *AdminClient) Remove(ctx context.Context, keyID string) error {
	_, err := call[struct{}](ctx, c.http, http.MethodDelete, adminURL+"/keys/"+url.PathEscape(keyID), nil)
	return err
}

// Parties lists the registered keys.
func (c *AdminClient) Parties(ctx context.Context) ([]Party, error) {
	return call[[]Party](ctx, c.http, http.MethodGet, adminURL+"/keys", nil)
}

// Certificates lists certificates after a serial number.
func (c *AdminClient) Certificates(ctx context.Context, after string, limit int) ([]Certificate, error) {
	q := url.Values{"after": {after}, "limit": {strconv.Itoa(limit)}}
	return call[[]Certificate](ctx, c.http, http.MethodGet, adminURL+"/certificates?"+q.Encode(), nil)
}

// Revoke revokes any certificate but the root's.
func (c *AdminClient) Revoke(ctx context.Context, serial string, reason Reason) (Revoked, error) {
	return call[Revoked](ctx, c.http, http.MethodPost, adminURL+"/certificates/"+url.PathEscape(serial)+"/revoke", revokeOwn{Reason: reason.String()})
}

// Health asks how the authority is.
func (c *AdminClient) Health(ctx context.Context) (Health, error) {
	return call[Health](ctx, c.http, http.MethodGet, adminURL+"/health", nil)
}

const maxAnswer = 16 << 20

// call sends in as JSON, if there is any, and reads the answer. A refusal comes
// back as the fault that it was.
func call[Out any](ctx context.Context, c *http.Client, method, target string, in any) (Out, error) {
	var (
		out  Out
		body io.Reader
	)
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return out, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return out, err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.Do(req)
	if err != nil {
		return out, fault.New(fault.Unavailable, "the certification authority does not answer").Because(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return out, fault.New(fault.Unavailable, "the certification authority broke off its answer").Because(err)
	}
	if resp.StatusCode != http.StatusOK {
		var f Failure
		if err := json.Unmarshal(answer, &f); err != nil || f.Kind == "" {
			return out, fault.New(fault.Unavailable, "the certification authority answered with status %d", resp.StatusCode)
		}
		return out, fault.New(f.Kind, "%s", f.Detail).WithCode(f.Code)
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		return out, fmt.Errorf("read answer of the certification authority: %w", err)
	}
	return out, nil
}

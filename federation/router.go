// Package federation routes hash-only requests to the trust service that holds
// the credential: this one, or a peer. It sees hashes, never documents, and
// passes no signature on that it did not verify; each one passed on leaves a
// receipt.
package federation

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/signing"
)

// Recorder keeps receipts. A signature goes on only after Record returned
// without an error.
type Recorder interface {
	Record(ctx context.Context, r Receipt) error
}

// Receipt says that this router verified signatures before it passed them on. It
// holds digests only.
type Receipt struct {
	ID         string
	Org        string
	Time       time.Time
	Client     string
	SID        string
	Credential string
	Service    string // the route's name
	Algorithm  signing.Algorithm
	Count      int
	Binding    [32]byte // signing.DigestSet.Binding of the hashes
	Cert       [32]byte // SHA-256 of the certificate the signatures verify with
	Signatures [32]byte // SHA-256 over each signature with its length before it
}

// Route sends the credentials whose id begins with Prefix to a service.
type Route struct {
	Prefix  string
	Name    string // for receipts and logs
	Service csc.Service
}

// Config says where credentials are. Local and Recorder are required.
type Config struct {
	// Local holds every credential that no route names.
	Local    csc.Service
	Routes   []Route
	Recorder Recorder
	// Hold, if not nil, says of a client that it asks again for an answer that was
	// lost: its signatures are not forgotten when the answer has left.
	Hold func(client string) bool
	Log  *slog.Logger
	Now  func() time.Time
}

// Router implements csc.Service and csc.Deliverer. All methods may be called at
// once.
type Router struct {
	routes   []Route // longest prefix first, the local one last
	recorder Recorder
	hold     func(client string) bool
	certs    certificates
	log      *slog.Logger
	now      func() time.Time
}

var (
	_ csc.Service   = (*Router)(nil)
	_ csc.Deliverer = (*Router)(nil)
)

// New checks the configuration and returns the router.
func New(c Config) (*Router, error) {
	if c.Local == nil || c.Recorder == nil {
		return nil, errors.New("federation: Local and Recorder are required")
	}
	r := &Router{recorder: c.Recorder, hold: c.Hold, log: c.Log, now: c.Now}
	if r.now == nil {
		r.now = time.Now
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	r.certs.now = r.now
	for _, route := range c.Routes {
		if route.Prefix == "" || route.Name == "" || route.Service == nil {
			return nil, errors.New("federation: a route needs a prefix, a name and a service")
		}
		if slices.ContainsFunc(r.routes, func(o Route) bool { return o.Prefix == route.Prefix }) {
			return nil, fmt.Errorf("federation: two routes for prefix %q", route.Prefix)
		}
		r.routes = append(r.routes, route)
	}
	slices.SortFunc(r.routes, func(a, b Route) int { return len(b.Prefix) - len(a.Prefix) })
	r.routes = append(r.routes, Route{Name: "local", Service: c.Local})
	return r, nil
}

// route returns where a credential is held.
func (r *Router) route(credential string) Route {
	i := slices.IndexFunc(r.routes, func(o Route) bool { return strings.HasPrefix(credential, o.Prefix) })
	return r.routes[i] // the local one has the empty prefix
}

// CredentialsList implements csc.Service. A service can list only credentials
// that are routed to it.
func (r *Router) CredentialsList(ctx context.Context, by csc.Caller, q *csc.CredentialsListRequest) (*csc.CredentialsListResponse, error) {
	out := &csc.CredentialsListResponse{CredentialIDs: []string{}, OnlyValid: q.OnlyValid}
	for _, route := range slices.Backward(r.routes) {
		list, err := route.Service.CredentialsList(ctx, by, q)
		if err != nil {
			return nil, err
		}
		for _, id := range list.CredentialIDs {
			if r.route(id).Prefix == route.Prefix {
				out.CredentialIDs = append(out.CredentialIDs, id)
			}
		}
		for _, info := range list.CredentialInfos {
			if r.route(info.CredentialID).Prefix == route.Prefix {
				out.CredentialInfos = append(out.CredentialInfos, info)
			}
		}
		out.OnlyValid = out.OnlyValid && list.OnlyValid
		if list.Incomplete != "" {
			out.Incomplete = list.Incomplete
		}
	}
	return out, nil
}

// CredentialsInfo implements csc.Service.
func (r *Router) CredentialsInfo(ctx context.Context, by csc.Caller, q *csc.CredentialsInfoRequest) (*csc.CredentialInfo, error) {
	return r.route(q.CredentialID).Service.CredentialsInfo(ctx, by, q)
}

// Timestamp implements csc.Service: time-stamps are the local service's.
func (r *Router) Timestamp(ctx context.Context, by csc.Caller, q *csc.TimestampRequest) (*csc.TimestampResponse, error) {
	return r.routes[len(r.routes)-1].Service.Timestamp(ctx, by, q)
}

// SignHash implements csc.Service. It returns signatures only if each verifies
// over its hash with the credential's certificate, and their receipt is kept.
func (r *Router) SignHash(ctx context.Context, by csc.Caller, q *csc.SignHashRequest) (*csc.SignHashResponse, error) {
	order, err := q.Order()
	if err != nil {
		return nil, err
	}
	route := r.route(q.CredentialID)
	if peers, ok := route.Service.(*Peers); ok { // it verifies, and keeps its receipts with its operations
		v, err := peers.Sign(ctx, by, order)
		if err != nil {
			return nil, err
		}
		return v.Response(), nil
	}
	v, err := r.verified(ctx, by, route, q, order)
	if err != nil {
		return nil, err
	}
	if err := r.recorder.Record(ctx, r.receipt(by, route, order, v)); err != nil {
		return nil, fmt.Errorf("keep receipt: %w", err)
	}
	return v.Response(), nil
}

// verified gets the signatures from the service of the route. One of this process
// that verifies them itself is not verified again: the type says that it did.
func (r *Router) verified(ctx context.Context, by csc.Caller, route Route, q *csc.SignHashRequest, order *csc.Order) (v *csc.Verified, err error) {
	refused := func(err error) error {
		r.log.ErrorContext(ctx, "signatures refused", "service", route.Name, "credential", q.CredentialID, "sid", by.SID, "error", err)
		return fmt.Errorf("signatures from %s: %w", route.Name, err)
	}
	if s, ok := route.Service.(csc.Signer); ok {
		if v, err = s.Sign(ctx, by, order); err != nil {
			return nil, err
		}
		if err := v.For(order); err != nil {
			return nil, refused(err)
		}
		return v, nil
	}
	answer, err := route.Service.SignHash(ctx, by, q)
	if err != nil {
		return nil, err
	}
	signatures, err := answer.Decode()
	if err != nil {
		return nil, fmt.Errorf("signatures from %s: %w", route.Name, err)
	}
	if v, err = r.verify(ctx, by, route, order, signatures); err != nil {
		return nil, refused(err)
	}
	return v, nil
}

// receipt is made of signatures that were verified, and of no others.
func (r *Router) receipt(by csc.Caller, route Route, order *csc.Order, v *csc.Verified) Receipt {
	return Receipt{
		ID: store.NewID(), Org: by.Org, Time: r.now(), Client: by.Client, SID: by.SID, Credential: order.Credential,
		Service: route.Name, Algorithm: order.Algorithm, Count: len(order.Digests), Binding: order.Digests.Binding(),
		Cert: sha256.Sum256(v.Certificate().Raw), Signatures: hashAll(v),
	}
}

// Delivered implements csc.Deliverer.
func (r *Router) Delivered(ctx context.Context, by csc.Caller, q *csc.SignHashRequest, answer *csc.SignHashResponse) {
	if r.hold != nil && r.hold(by.Client) {
		return
	}
	if d, ok := r.route(q.CredentialID).Service.(csc.Deliverer); ok {
		d.Delivered(ctx, by, q, answer)
	}
}

// verify holds the signatures against the certificate; if they do not fit one
// that was fetched before, against the one fetched now.
func (r *Router) verify(ctx context.Context, by csc.Caller, route Route, order *csc.Order, signatures [][]byte) (*csc.Verified, error) {
	if cert := r.certs.known(order.Credential); cert != nil {
		if v, err := order.Verify(cert, signatures); err == nil {
			return v, nil
		}
	}
	info, err := route.Service.CredentialsInfo(ctx, by, &csc.CredentialsInfoRequest{CredentialID: order.Credential, Certificates: "single"})
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	if len(info.Cert.Certificates) == 0 {
		return nil, errors.New("the service does not give the certificate")
	}
	der, err := base64.StdEncoding.DecodeString(info.Cert.Certificates[0])
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	v, err := order.Verify(cert, signatures)
	if err != nil {
		return nil, err
	}
	r.certs.keep(order.Credential, cert)
	return v, nil
}

func hashAll(v *csc.Verified) [32]byte {
	h := sha256.New()
	var n [8]byte
	v.Each(func(_ int, s []byte) {
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write(s)
	})
	return [32]byte(h.Sum(nil))
}

// certificates remembers certificates for a minute, so that a busy credential is
// not described anew for every signature.
type certificates struct {
	now func() time.Time

	mu   sync.Mutex
	held map[string]heldCertificate
}

type heldCertificate struct {
	cert  *x509.Certificate
	until time.Time
}

func (c *certificates) known(credential string) *x509.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.held[credential]
	if !c.now().Before(h.until) {
		return nil
	}
	return h.cert
}

func (c *certificates) keep(credential string, cert *x509.Certificate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil || len(c.held) >= 4096 {
		c.held = make(map[string]heldCertificate)
	}
	c.held[credential] = heldCertificate{cert, c.now().Add(time.Minute)}
}

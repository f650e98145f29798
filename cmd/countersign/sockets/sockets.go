// Package sockets is the operator's side of an installation: the folder in
// which its processes have their Unix sockets, and what can be asked of them.
package sockets

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"

	"github.com/countersign/countersign/cmd/internal/local"
	"github.com/countersign/countersign/pki"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samrpc"
)

// Names of the sockets in their folder.
const (
	SAM          = "sam.sock" // of the module, for the gateway
	SAMAdmin     = "sam-admin.sock"
	PKIAdmin     = "pki-admin.sock"
	GatewayAdmin = "gateway-admin.sock"
	PortalAdmin  = "portal-admin.sock"
)

// Dir is the folder with the sockets.
type Dir string

// Path names a socket in the folder.
func (d Dir) Path(name string) string { return local.Short(filepath.Join(string(d), name)) }

// Module is the module's door for the gateway. It carries out orders of a
// registration authority, whoever brings them.
func (d Dir) Module() *samrpc.Client { return samrpc.NewClient(d.Path(SAM)) }

// ModuleAdmin is the module's door for its operator.
func (d Dir) ModuleAdmin() *samrpc.AdminClient { return samrpc.NewAdminClient(d.Path(SAMAdmin)) }

// PKIAdmin is the certification authority's door for its operator.
func (d Dir) PKIAdmin() *pki.AdminClient { return pki.NewAdminClient(d.Path(PKIAdmin)) }

// RegisterRA lets module and pki trust a registration authority. Where it is
// known already, nothing changes.
func (d Dir) RegisterRA(ctx context.Context, name string, spki []byte) error {
	known, err := d.ModuleAdmin().Authorities(ctx)
	if err != nil {
		return fmt.Errorf("ask the module which authorities it knows: %w", err)
	}
	if !slices.ContainsFunc(known, func(a samapi.Authority) bool { return a.Name == name && bytes.Equal(a.SPKI, spki) }) {
		if _, err := d.ModuleAdmin().RegisterAuthority(ctx, name, spki); err != nil {
			return fmt.Errorf("register the authority at the module: %w", err)
		}
	}
	if _, err := d.PKIAdmin().Register(ctx, pki.Registration{Role: pki.RA, Name: name, SPKI: spki}); err != nil {
		return fmt.Errorf("register the authority at the pki: %w", err)
	}
	return nil
}

// RegisterModule carries the module's public key to the pki, from one socket of
// this machine to the other.
func (d Dir) RegisterModule(ctx context.Context) error {
	id, err := d.Module().Identity(ctx)
	if err != nil {
		return err
	}
	_, err = d.PKIAdmin().Register(ctx, pki.Registration{Role: pki.Module, Name: id.Module, SPKI: id.SPKI})
	return err
}

// Client is a client of the gateway as its operator registers it.
type Client struct {
	ID        string          `json:"id"`
	Org       string          `json:"org"`
	Name      string          `json:"name"`
	Auth      string          `json:"auth"` // client_secret, private_key_jwt, none
	JWKS      json.RawMessage `json:"jwks,omitempty"`
	Redirects []string        `json:"redirects,omitempty"`
	Refresh   bool            `json:"refresh,omitempty"`
	DPoP      bool            `json:"dpop,omitempty"`
	PAR       bool            `json:"par,omitempty"`
	// Signers are linked to the client beside those that are linked already.
	Signers []string `json:"signers,omitempty"`
	// NewSecret asks for a new secret. The old ones end.
	NewSecret bool `json:"newSecret,omitempty"`
}

// Secret is the answer to a Client that wanted one.
type Secret struct {
	Secret string `json:"secret,omitempty"`
}

// PutClient registers or changes a client and returns its new secret, if it
// asked for one.
func (d Dir) PutClient(ctx context.Context, c Client) (string, error) {
	var s Secret
	err := local.Dial(d.Path(GatewayAdmin)).Call(ctx, http.MethodPost, "/clients", c, &s)
	return s.Secret, err
}

// Status asks the process behind a socket how it is.
func (d Dir) Status(ctx context.Context, socket string) (local.Status, error) {
	var s local.Status
	err := local.Dial(d.Path(socket)).Call(ctx, http.MethodGet, "/status", nil, &s)
	return s, err
}

package sam

import (
	"context"
	"slices"

	"github.com/countersign/countersign/internal/store"
)

// parties are the records that a SAD is made from.
type parties struct {
	gateway *gateway
	cred    *credential
	who     *signer
	devices []*authenticator // active ones that may approve, by id
}

// read reads the records of a request by that gateway for that credential.
func (m *Module) read(ctx context.Context, q store.Querier, issuer, credential string) (p parties, err error) {
	if p.gateway, err = m.gatewayByIssuer(ctx, q, issuer); err != nil {
		return p, err
	}
	if p.cred, err = m.credentialByID(ctx, q, credential); err != nil {
		return p, err
	}
	if p.who, err = m.signerByID(ctx, q, p.cred.Signer); err != nil {
		return p, err
	}
	p.devices, err = m.authenticatorsOf(ctx, q, p.cred.Signer, p.cred.Mechanism)
	return p, err
}

// confirm reads the records again, inside a transaction, and says errMoved if one
// of them has another version. Their MACs are compared as at every reading.
func (m *Module) confirm(ctx context.Context, tx *store.Tx, p *parties) error {
	now, err := m.read(ctx, tx, p.gateway.Issuer, p.cred.ID)
	if err != nil {
		return err
	}
	m.memory.parties.keep(now.key(), now)
	if !slices.Equal(now.versions(), p.versions()) {
		return errMoved
	}
	return nil
}

// recall is what was read last time. Whoever uses it confirms it later.
func (m *Module) recall(issuer, credential string) (parties, bool) {
	return m.memory.parties.get(credential + " " + issuer)
}

func (p *parties) key() string { return p.cred.ID + " " + p.gateway.Issuer }

// versions identify the records: a version of a record has one content.
func (p *parties) versions() []version {
	all := []version{{p.gateway.record(), p.gateway.Version}, {p.cred.record(), p.cred.Version}, {p.who.record(), p.who.Version}}
	for _, a := range p.devices {
		all = append(all, version{a.record(), a.Version})
	}
	return all
}

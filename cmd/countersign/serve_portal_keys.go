package main

import (
	"context"
	"encoding/json"

	"github.com/countersign/countersign/cmd/internal/daemon"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/relyingparty/keys"
	"github.com/countersign/countersign/relyingparty/request"
	"github.com/countersign/countersign/relyingparty/signer"
	"github.com/countersign/countersign/sam/device"
)

// config is the portal as a client that comes back from approvals to the pages for
// requests.
func (k *portalKeys) config() (signer.Config, error) {
	s := k.settings.Signing
	if s.CSC == "" {
		return signer.Config{}, fault.New(fault.Unavailable, "this portal has no signing service; tell the operator").WithCode("not_registered")
	}
	secret, err := daemon.Secret(string(s.Secret))
	if err != nil {
		return signer.Config{}, fault.New(fault.Unavailable, "this portal is not registered with the signing service yet").WithCode("not_registered").Because(err)
	}
	remote := service{CSC: s.CSC, Issuer: s.Issuer, ClientID: s.Client, ClientSecret: string(secret), TLSCA: string(s.TLSCA)}
	client, err := remote.client(k.settings.URL + request.ReturnPath)
	if err != nil {
		return signer.Config{}, err
	}
	fetcher, err := remote.fetcher()
	if err != nil {
		return signer.Config{}, err
	}
	return signer.Config{Service: client, Fetcher: fetcher, TSA: s.TSA, Anchors: k.anchors}, nil
}

func (k *portalKeys) theSeal() (request.Seal, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.seal != nil {
		return k.seal, nil
	}
	c, err := k.config()
	if err != nil {
		return nil, err
	}
	if c.Credential, err = k.settings.Workflow.Seal.credential(); err != nil {
		return nil, err
	}
	key, err := device.Load(string(k.settings.Workflow.Seal.Machine))
	if err != nil {
		return nil, noSeal(err)
	}
	c.Machine = &signer.Machine{Key: key.Private()}
	seal, err := keys.NewSeal(c)
	if err != nil {
		return nil, err
	}
	k.seal = seal
	return seal, nil
}

func (k *portalKeys) people() (request.PersonalKeys, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.personal != nil {
		return k.personal, nil
	}
	c, err := k.config()
	if err != nil {
		return nil, err
	}
	personal, err := keys.NewPersonal(c)
	if err != nil {
		return nil, err
	}
	k.personal = personal
	return personal, nil
}

// Seal implements request.Seal.
func (k *portalKeys) Seal(ctx context.Context, files []request.File, t request.Terms) (request.Outcome, error) {
	s, err := k.theSeal()
	if err != nil {
		return request.Outcome{}, err
	}
	return s.Seal(ctx, files, t)
}

// Begin implements request.PersonalKeys.
func (k *portalKeys) Begin(ctx context.Context, credential string, files []request.File, t request.Terms) (request.Begun, error) {
	p, err := k.people()
	if err != nil {
		return request.Begun{}, err
	}
	return p.Begin(ctx, credential, files, t)
}

// Redeem implements request.PersonalKeys.
func (k *portalKeys) Redeem(ctx context.Context, progress json.RawMessage, returned string) (json.RawMessage, error) {
	p, err := k.people()
	if err != nil {
		return nil, err
	}
	return p.Redeem(ctx, progress, returned)
}

// Finish implements request.PersonalKeys.
func (k *portalKeys) Finish(ctx context.Context, progress json.RawMessage, files []request.File, save func(json.RawMessage) error) (request.Outcome, error) {
	p, err := k.people()
	if err != nil {
		return request.Outcome{}, err
	}
	return p.Finish(ctx, progress, files, save)
}

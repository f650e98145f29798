// Package keys signs the documents of requests with the keys of a remote signing
// service: the organisation's seal, which a machine of its own may use, and signers'
// personal keys, which only their own devices release. It joins
// relyingparty/request, which says what is to be signed, and relyingparty/signer,
// which does it.
package keys

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/relyingparty/request"
	"github.com/countersign/countersign/relyingparty/signer"
)

// Seal is the organisation's seal. It implements request.Seal.
type Seal struct{ signer *signer.Signer }

// NewSeal takes the configuration of a signer whose Credential is the seal's, and
// how it is approved: Machine for a key that a machine may use, or the approval
// that signer.Job.Approve describes.
func NewSeal(c signer.Config) (*Seal, error) {
	if c.Credential == "" {
		return nil, errors.New("seal: name the credential")
	}
	s, err := signer.New(c)
	if err != nil {
		return nil, err
	}
	return &Seal{s}, nil
}

// Seal implements request.Seal.
func (s *Seal) Seal(ctx context.Context, files []request.File, t request.Terms) (request.Outcome, error) {
	r, err := s.signer.Sign(ctx, job(files, t))
	if err != nil {
		return request.Outcome{}, err
	}
	return outcome(r), nil
}

func job(files []request.File, t request.Terms) signer.Job {
	j := signer.Job{Level: t.Level, Reason: t.Reason, By: t.By, Approve: nobody}
	for _, f := range files {
		j.Files = append(j.Files, signer.File{In: f.In, Out: f.Out, Label: f.Label})
	}
	return j
}

// nobody can be asked here.
func nobody(context.Context, string) (string, error) {
	return "", fault.New(fault.Forbidden, "this key needs a person's approval and cannot be used as a seal")
}

func outcome(r *signer.Result) request.Outcome {
	o := request.Outcome{Credential: r.Credential, Subject: r.Signer}
	for _, f := range r.Files {
		o.Fields = append(o.Fields, f.Field)
	}
	return o
}

// Personal signs with signers' own keys. It implements request.PersonalKeys.
type Personal struct{ config signer.Config }

// NewPersonal takes the configuration of a signer; the credential is each signer's
// own, and the client's redirect address must be the portal's request.ReturnPath.
func NewPersonal(c signer.Config) (*Personal, error) {
	c.Credential, c.Machine = "", nil
	if _, err := signer.New(c); err != nil {
		return nil, err
	}
	return &Personal{c}, nil
}

func (p *Personal) of(credential string) (*signer.Signer, error) {
	if credential == "" {
		return nil, fault.New(fault.Invalid, "no credential is named for this signer")
	}
	c := p.config
	c.Credential = credential
	return signer.New(c)
}

// Begin implements request.PersonalKeys.
func (p *Personal) Begin(ctx context.Context, credential string, files []request.File, t request.Terms) (request.Begun, error) {
	s, err := p.of(credential)
	if err != nil {
		return request.Begun{}, err
	}
	pending, err := s.Prepare(ctx, job(files, t))
	if err != nil {
		return request.Begun{}, err
	}
	b, err := json.Marshal(pending)
	if err != nil {
		return request.Begun{}, fmt.Errorf("keep progress: %w", err)
	}
	return request.Begun{Progress: b, State: pending.Authorization.State, URL: pending.Authorization.URL}, nil
}

// step reads progress.
func (p *Personal) step(progress json.RawMessage) (*signer.Signer, *signer.Pending, error) {
	var pending signer.Pending
	if err := json.Unmarshal(progress, &pending); err != nil {
		return nil, nil, fmt.Errorf("read progress: %w", err)
	}
	s, err := p.of(pending.Credential)
	return s, &pending, err
}

// Redeem implements request.PersonalKeys.
func (p *Personal) Redeem(ctx context.Context, progress json.RawMessage, returned string) (json.RawMessage, error) {
	s, pending, err := p.step(progress)
	if err != nil {
		return nil, err
	}
	if err := s.Redeem(ctx, pending, returned); err != nil {
		return nil, err
	}
	return json.Marshal(pending)
}

// Finish implements request.PersonalKeys.
func (p *Personal) Finish(ctx context.Context, progress json.RawMessage, files []request.File, save func(json.RawMessage) error) (request.Outcome, error) {
	s, pending, err := p.step(progress)
	if err != nil {
		return request.Outcome{}, err
	}
	r, err := s.Resume(ctx, pending, job(files, request.Terms{}), func(now *signer.Pending) error {
		b, err := json.Marshal(now)
		if err != nil {
			return fmt.Errorf("keep progress: %w", err)
		}
		return save(b)
	})
	if err != nil {
		return request.Outcome{}, err
	}
	return outcome(r), nil
}

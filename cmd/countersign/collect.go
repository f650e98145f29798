package main

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/cmd/countersign/sockets"
	"github.com/countersign/countersign/cmd/internal/buildinfo"
	"github.com/countersign/countersign/cmd/internal/ci/record"
	"github.com/countersign/countersign/conformance"
	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// collector asks an installation for the evidence of a conformance report.
type collector struct {
	dir      sockets.Dir
	tests    string // folder of the record of the tests
	kept     []string
	previous *conformance.Previous
	tsa      string // address of the time-stamp authority, once the pki was asked
	e        conformance.Evidence
}

// remember takes the checkpoint of an earlier report.
func (k *collector) remember(name string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return withCode(exitInput, errors.New(sentence(err)))
	}
	s, err := conformance.Read(data)
	if err != nil {
		return withCode(exitInput, fmt.Errorf("%s: %w", name, err))
	}
	p, checkpoint, err := s.Before()
	if err != nil {
		return withCode(exitInput, fmt.Errorf("%s: %w", name, err))
	}
	k.kept = append(k.kept, checkpoint)
	if k.previous == nil || p.Ended.After(k.previous.Ended) {
		k.previous = &p
	}
	return nil
}

// collect asks everybody. What does not answer is missing, and said to be.
func (k *collector) collect(ctx context.Context) *conformance.Evidence {
	build := buildinfo.Read("countersign")
	k.e = conformance.Evidence{
		Begun: time.Now().UTC(), Version: build.Version, Commit: build.Commit, Previous: k.previous,
		Roles: []conformance.Role{}, Missing: []conformance.Missing{},
	}
	for _, r := range []struct{ role, socket string }{
		{"pki", sockets.PKIAdmin}, {"sam", sockets.SAMAdmin}, {"gateway", sockets.GatewayAdmin}, {"portal", sockets.PortalAdmin},
	} {
		k.try("process "+r.role, k.role(ctx, r.role, r.socket))
	}
	k.try("signature activation module", k.module(ctx))
	k.try("certification authority", k.authority(ctx))
	k.try("clocks", k.clock(ctx))
	k.try("record of the tests", k.record())
	k.e.Ended = time.Now().UTC()
	return &k.e
}

func (k *collector) try(what string, err error) {
	if err != nil {
		k.e.Missing = append(k.e.Missing, conformance.Missing{What: what, Why: sentence(err)})
	}
}

func (k *collector) role(ctx context.Context, role, socket string) error {
	s, err := k.dir.Status(ctx, socket)
	if err != nil {
		return err
	}
	if role == "pki" {
		k.tsa = strings.TrimSuffix(s.Facts["address"], "/") + "/tsa"
	}
	r := conformance.Role{Role: s.Role, Ready: s.Ready, Commit: s.Commit, Started: s.Started.UTC(), Checks: map[string]string{}, Facts: map[string]string{}}
	for _, c := range s.Checks {
		r.Checks[c.Name] = "ok"
		if !c.OK {
			r.Checks[c.Name] = c.Words
		}
	}
	maps.Copy(r.Facts, s.Facts)
	k.e.Roles = append(k.e.Roles, r)
	return nil
}

func (k *collector) module(ctx context.Context) (err error) {
	admin, m := k.dir.ModuleAdmin(), &conformance.Module{}
	if m.Probe, err = admin.Probe(ctx); err != nil {
		return err
	}
	if m.Inventory, err = admin.Inventory(ctx); err != nil {
		return err
	}
	if m.Verification, err = admin.Verify(ctx); err != nil {
		return err
	}
	if m.Ledger, err = admin.Ledger(ctx, k.kept); err != nil {
		return err
	}
	if m.Status, err = admin.Status(ctx); err != nil {
		return err
	}
	k.e.Module, k.e.Installation = m, m.Status.Module
	return nil
}

// perPage is how many certificates are asked for at once.
const perPage = 500

func (k *collector) authority(ctx context.Context) error {
	admin := k.dir.PKIAdmin()
	h, err := admin.Health(ctx)
	if err != nil {
		return err
	}
	a := &conformance.Authority{Certificates: []conformance.Certificate{}, Parties: map[string]int{}, Findings: h.Findings}
	for role, n := range h.Parties {
		a.Parties[string(role)] = n
	}
	for after := ""; ; {
		page, err := admin.Certificates(ctx, after, perPage)
		if err != nil {
			return err
		}
		for _, c := range page {
			cert, err := x509.ParseCertificate(c.DER)
			if err != nil {
				return fmt.Errorf("certificate %s: %w", c.Serial, err)
			}
			a.Certificates = append(a.Certificates, conformance.Certificate{
				Serial: c.Serial, Role: string(c.Role), Credential: c.Credential, Key: keyName(cert), Signature: cert.SignatureAlgorithm.String(),
				SPKIHash: c.KeyHash, NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(), Revoked: c.Revoked,
			})
			after = c.Serial
		}
		if len(page) < perPage {
			k.e.Authority = a
			return nil
		}
	}
}

// keyName is the type of a certificate's key, also of one that nobody may use any more.
func keyName(cert *x509.Certificate) string {
	if t, err := signing.KeyTypeOf(cert.PublicKey); err == nil {
		return string(t)
	}
	if k, ok := cert.PublicKey.(*rsa.PublicKey); ok {
		return fmt.Sprintf("RSA-%d", k.N.BitLen())
	}
	return cert.PublicKeyAlgorithm.String()
}

// clock compares this machine's clock with the module's and the authority's.
func (k *collector) clock(ctx context.Context) error {
	c := &conformance.Clock{}
	var err error
	if c.Synchronised, c.MaxError, err = kernelClock(); err != nil {
		return err
	}
	before := time.Now()
	s, err := k.dir.ModuleAdmin().Status(ctx)
	if err != nil {
		return err
	}
	c.Module = farthest(s.Now, before, time.Now())
	before = time.Now()
	token, err := k.token(ctx, make([]byte, 32))
	if err != nil {
		return err
	}
	c.Stamp = farthest(token.Info.Time, before, time.Now())
	k.e.Clock = c
	return nil
}

// farthest is how far a clock that was read between two moments is from this one, at
// most.
func farthest(t, before, after time.Time) time.Duration {
	a, b := t.Sub(before), t.Sub(after)
	if max(a, -a) > max(b, -b) {
		return a
	}
	return b
}

// record reads what the tests of this build did.
func (k *collector) record() error {
	t := &conformance.Tests{Claims: map[string][]conformance.Claim{}}
	for _, suite := range []string{"test", "interop"} {
		run, tests, err := record.Last(k.tests, suite)
		if err != nil {
			if suite == "test" {
				return fmt.Errorf("%w in %s: run make test there, or name its folder with --tests", err, k.tests)
			}
			continue // said by what it does not prove
		}
		if suite == "test" {
			t.Commit, t.Ended, t.Passed, t.Failed = run.State, run.Ended.UTC(), run.Passed, run.Failed
		} else if run.State != t.Commit {
			continue
		}
		for _, one := range tests {
			for _, a := range one.Attrs {
				if a.Key == "control" {
					t.Claims[a.Value] = append(t.Claims[a.Value], conformance.Claim{Test: one.ID(), Outcome: one.Outcome})
				}
			}
		}
	}
	k.e.Tests = t
	return nil
}

// attest has the module's log hold the digest of the report.
func (k *collector) attest(ctx context.Context) func(id string, sum []byte) (json.RawMessage, error) {
	return func(id string, sum []byte) (json.RawMessage, error) {
		return k.dir.ModuleAdmin().Attest(ctx, samapi.Attestation{ID: id, SHA256: sum})
	}
}

// stamp has the authority date a digest.
func (k *collector) stamp(ctx context.Context) func(sum []byte) ([]byte, error) {
	return func(sum []byte) ([]byte, error) {
		token, err := k.token(ctx, sum)
		if err != nil {
			return nil, err
		}
		return token.SignedData.Raw, nil
	}
}

func (k *collector) token(ctx context.Context, sum []byte) (*cms.TimestampToken, error) {
	if k.tsa == "" {
		return nil, errors.New("the pki did not say where its time-stamp authority is")
	}
	q, err := cms.NewTimestampRequest(signing.Digest{Hash: crypto.SHA256, Sum: sum})
	if err != nil {
		return nil, err
	}
	der, err := q.Encode()
	if err != nil {
		return nil, err
	}
	answer, err := cscclient.NewFetcher(cscclient.FetcherConfig{Loopback: true}).Timestamp(ctx, k.tsa, der)
	if err != nil {
		return nil, err
	}
	return q.Accept(answer)
}

package keys_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/ades/validate"
	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/csc/csctest"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/relyingparty/keys"
	"github.com/countersign/countersign/relyingparty/request"
	"github.com/countersign/countersign/relyingparty/signer"
	"github.com/countersign/countersign/signing"
)

func machine(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// replaying sends every machine's order twice.
type replaying struct {
	*cscclient.Client
	second error
}

func (r *replaying) CredentialsAuthorize(ctx context.Context, q *csc.AuthorizeRequest) (*csc.AuthorizeResponse, error) {
	out, err := r.Client.CredentialsAuthorize(ctx, q)
	_, r.second = r.Client.CredentialsAuthorize(ctx, q)
	return out, err
}

// file is a document and where its sealed revision goes.
func file(t *testing.T) request.File {
	t.Helper()
	dir := t.TempDir()
	in := filepath.Join(dir, "in.pdf")
	if err := os.WriteFile(in, adestest.NewPDF(t).Data, 0o600); err != nil {
		t.Fatal(err)
	}
	return request.File{In: in, Out: filepath.Join(dir, "out.pdf"), Label: "doc.pdf"}
}

func TestSealIsAuthorisedByTheMachineAlone(t *testing.T) {
	key := machine(t)
	s := csctest.Start(t, signing.P256)
	s.AddSeal(&key.PublicKey, "Acme Seal")
	client, err := cscclient.New(cscclient.Config{BaseURL: s.Base, Issuer: s.Issuer, ClientID: csctest.ClientID, ClientSecret: csctest.ClientSecret})
	if err != nil {
		t.Fatal(err)
	}
	twice := &replaying{Client: client}
	config := signer.Config{
		Service: twice, Fetcher: cscclient.NewFetcher(cscclient.FetcherConfig{Loopback: true}), Anchors: s.PKI.Anchors(),
		Credential: csctest.SealID, Machine: &signer.Machine{Key: key},
	}
	seal, err := keys.NewSeal(config)
	if err != nil {
		t.Fatal(err)
	}
	f := file(t)
	out, err := seal.Seal(t.Context(), []request.File{f}, request.Terms{Level: pades.LT, Reason: "End", By: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if fault.Of(twice.second).Detail == "" || twice.second == nil {
		t.Error("the machine's order is good twice")
	}
	b, err := os.ReadFile(f.Out)
	if err != nil {
		t.Fatal(err)
	}
	report, err := validate.File(bytes.NewReader(b), int64(len(b)), validate.Options{Anchors: s.PKI.Anchors()})
	if err != nil || len(report.Signatures) != 1 || !report.Passed() || report.Signatures[0].Signer != out.Subject {
		t.Errorf("report %+v, %v", report, err)
	}

	for name, change := range map[string]func(*signer.Config){
		"another machine": func(c *signer.Config) { c.Machine = &signer.Machine{Key: machine(t)} },
		"no machine":      func(c *signer.Config) { c.Machine = nil },
		"a person's key":  func(c *signer.Config) { c.Credential = csctest.CredentialID },
	} {
		c := config
		c.Service = client
		change(&c)
		seal, err := keys.NewSeal(c)
		if err != nil {
			t.Fatal(err)
		}
		f := file(t)
		if _, err := seal.Seal(t.Context(), []request.File{f}, request.Terms{Level: pades.LT}); err == nil {
			t.Errorf("%s seals", name)
		} else if _, err := os.Stat(f.Out); err == nil {
			t.Errorf("%s leaves a file", name)
		}
	}
}

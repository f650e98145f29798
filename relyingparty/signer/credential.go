package signer

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/signing"
)

// credential is the key that will sign.
type credential struct {
	id         string
	info       *csc.CredentialInfo
	machine    bool                // a machine's order may authorise it
	chain      []*x509.Certificate // leaf first
	public     crypto.PublicKey
	algorithm  signing.Algorithm
	detailType string
}

func (c *credential) leaf() *x509.Certificate { return c.chain[0] }

func unusable(format string, args ...any) *fault.Error {
	return fault.New(fault.Unavailable, format, args...).WithCode(CodeCredential)
}

// chooseCredential asks the service for the credential and checks that it can do
// this job, so that nobody approves in vain.
func (r *run) chooseCredential(ctx context.Context) error {
	r.step(StageCredential, nil, 0)
	info, err := r.config.Service.Info(ctx)
	if err != nil {
		return ofService(err)
	}
	r.stampTSA = r.config.TSA != ""
	if r.job.Level <= pades.T && !r.stampTSA && !slices.Contains(info.Methods, csc.MethodTimestamp) {
		return fault.New(fault.Unavailable, "the signing service makes no time-stamps, which level %s needs; name a time-stamping authority", r.job.Level).WithCode(CodeStampUnavailable)
	}
	c, err := r.find(ctx)
	if err != nil {
		return err
	}
	c.detailType = csc.DetailType20
	if strings.HasPrefix(info.Specs, "2.2") {
		c.detailType = csc.DetailType22
	}
	if err := c.readChain(); err != nil {
		return err
	}
	if err := r.checkCredential(c); err != nil {
		return err
	}
	if c.algorithm, err = c.choose(r.job.Algorithm); err != nil {
		return err
	}
	r.credential = c
	r.evidence = newCollector(r.config.Fetcher, r.config.Anchors, r.now)
	r.evidence.add(c.chain...)
	r.leaves = c.chain[:1:1]
	return nil
}

// find gets the credential that is named, or the only usable one.
func (r *run) find(ctx context.Context) (*credential, error) {
	describe := func(id string) (*credential, error) {
		info, err := r.config.Service.CredentialsInfo(ctx, &csc.CredentialsInfoRequest{CredentialID: id, Certificates: "chain", CertInfo: true, AuthInfo: true})
		if err != nil {
			return nil, ofService(err)
		}
		return &credential{id: id, info: info, machine: r.config.Machine != nil}, nil
	}
	if r.config.Credential != "" {
		return describe(r.config.Credential)
	}
	list, err := r.config.Service.CredentialsList(ctx, &csc.CredentialsListRequest{CredentialInfo: true, Certificates: "chain", CertInfo: true, AuthInfo: true})
	if err != nil {
		return nil, ofService(err)
	}
	var usable []*credential
	for i := range list.CredentialInfos {
		info := &list.CredentialInfos[i]
		if info.CredentialID != "" && refusal(info, r.config.Machine != nil) == "" {
			usable = append(usable, &credential{id: info.CredentialID, info: info, machine: r.config.Machine != nil})
		}
	}
	if len(list.CredentialInfos) == 0 && len(list.CredentialIDs) == 1 { // descriptions are optional in a list
		return describe(list.CredentialIDs[0])
	}
	switch len(usable) {
	case 0:
		return nil, fault.New(fault.Unavailable, "the signing service shows this client no credential that can sign; link a signer to it").WithCode(CodeNoCredential)
	case 1:
		return usable[0], nil
	}
	var ids []string
	for _, c := range usable {
		ids = append(ids, c.id)
	}
	return nil, fault.New(fault.Invalid, "there are several credentials; name one of %s", strings.Join(ids, ", ")).WithCode(CodeAmbiguous)
}

// refusal says why a credential cannot sign; "" if nothing speaks against it.
func refusal(info *csc.CredentialInfo, machine bool) string {
	switch {
	case info.Key.Status != "enabled":
		return "its key is disabled"
	case info.Cert.Status != "" && info.Cert.Status != "valid":
		return "its certificate is " + info.Cert.Status
	case len(info.Cert.Certificates) == 0:
		return "the service gives no certificate for it"
	case machine && takesDelegation(info):
	case info.Auth.Mode != "oauth2code":
		return "it is authorised by " + info.Auth.Mode + ", this program knows oauth2code only"
	}
	return ""
}

func (c *credential) readChain() error {
	if why := refusal(c.info, c.machine); why != "" {
		return unusable("credential %s cannot sign: %s", c.id, why)
	}
	for _, text := range c.info.Cert.Certificates {
		der, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return unusable("the service's certificate for credential %s cannot be read", c.id).Because(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return unusable("the service's certificate for credential %s cannot be read", c.id).Because(err)
		}
		c.chain = append(c.chain, cert)
	}
	var err error
	if c.public, err = cms.PublicKey(c.leaf()); err != nil {
		return unusable("the key of credential %s is of an unknown kind", c.id).Because(err)
	}
	return nil
}

// checkCredential holds certificate and limits against this job and this clock.
func (r *run) checkCredential(c *credential) error {
	now, leaf := r.now(), c.leaf()
	if now.Before(leaf.NotBefore) {
		return fault.New(fault.Internal, "this computer's clock says %s, but the certificate begins at %s; set the clock",
			clock(now), clock(leaf.NotBefore)).WithCode(CodeClock)
	}
	if now.After(leaf.NotAfter) {
		return unusable("the certificate of credential %s ended at %s (this computer's clock says %s)", c.id, clock(leaf.NotAfter), clock(now))
	}
	if c.info.Multisign < 1 || len(r.files) > c.info.Multisign {
		return fault.New(fault.Invalid, "credential %s signs at most %d documents with one approval; %d were given, sign them in several runs",
			c.id, max(c.info.Multisign, 1), len(r.files)).WithCode(CodeTooMany)
	}
	return nil
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// choose takes the algorithm that was asked for, or the first that fits key and
// service.
func (c *credential) choose(asked signing.Algorithm) (signing.Algorithm, error) {
	if _, ok := c.public.(ed25519.PublicKey); ok {
		return 0, unusable("credential %s has an Ed25519 key, which signs messages and not digests; it cannot be used remotely", c.id)
	}
	for _, a := range candidates(c.public) {
		if (asked == 0 || asked == a) && c.offers(a) {
			return a, nil
		}
	}
	if asked != 0 {
		return 0, fault.New(fault.Invalid, "credential %s does not sign with %s", c.id, asked).WithCode(CodeWrongAlgorithm)
	}
	return 0, unusable("credential %s offers no signature algorithm that is known here", c.id)
}

// candidates lists what a key can sign with, the preferred first.
func candidates(public crypto.PublicKey) []signing.Algorithm {
	if _, ok := public.(*rsa.PublicKey); ok { // of any length: its use is between CA and validator
		return signing.RSA3072.Algorithms()
	}
	if _, ok := public.(*ecdsa.PublicKey); ok {
		if t, err := signing.KeyTypeOf(public); err == nil {
			return t.Algorithms()
		}
	}
	return nil
}

// offers says whether the service lists the algorithm, or the key's generic
// identifier.
func (c *credential) offers(a signing.Algorithm) bool {
	generic := signing.OIDECPublicKey
	if a.Family() == signing.RSA {
		generic = signing.OIDRSAEncryption
	}
	return slices.Contains(c.info.Key.Algo, a.OID()) || (!a.PSS() && slices.Contains(c.info.Key.Algo, generic))
}

package e2e_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/countersign/countersign/cmd/countersign/ra"
	"github.com/countersign/countersign/cmd/countersign/sockets"
	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/pki"
	"github.com/countersign/countersign/sam/device"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// newRogue lets the gateway serve honestly for a while, and turns it.
func newRogue(t *testing.T) *rogue {
	t.Helper()
	// How often one address may try is another test's: the rogue has as many as it needs.
	in := install(t, options{settings: map[string]map[string]any{"sam": {"approval_rate": 1000.0, "approval_burst": 1000}}})
	socket := in.sockets().Path(sockets.SAM)
	r := &rogue{
		t: t, in: in, browser: in.newBrowser(t), key: newECKey(t), orders: map[string]signing.Signed{}, orderDomain: map[string]string{},
		module: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		}}},
	}
	var err error
	if r.spki, err = x509.MarshalPKIXPublicKey(r.key.Public()); err != nil {
		t.Fatal(err)
	}
	mallory := in.enrol(t, "mallory", "Mallory", "Rogue")
	r.own = in.partyOf(t, "rogue-party", in.client(t, "rogue-party", "mallory", "ada"), mallory)
	r.takePart()
	r.overhear()
	r.overhearMachine()
	r.overhearDevices()
	r.overhearPhone()
	return r
}

func (r *rogue) credentialOf(signer string) samapi.Credential {
	r.t.Helper()
	list, err := r.in.sockets().Module().Credentials(r.t.Context(), samapi.CredentialQuery{Signers: []string{signer}})
	if err != nil || len(list) != 1 {
		r.t.Fatalf("%d credentials of %s, %v", len(list), signer, err)
	}
	return list[0]
}

// statusOf is a signer's certificate, its issuer, and a fresh OCSP answer about it.
func (r *rogue) statusOf(signer string) (leaf, issuer *x509.Certificate, status []byte) {
	r.t.Helper()
	chain, err := x509.ParseCertificates(slices.Concat(r.credentialOf(signer).Chain...))
	if err != nil {
		r.t.Fatal(err)
	}
	question, err := ocsp.CreateRequest(chain[0], chain[1], nil)
	if err != nil {
		r.t.Fatal(err)
	}
	status, err = cscclient.NewFetcher(cscclient.FetcherConfig{Loopback: true}).OCSP(r.t.Context(), chain[0].OCSPServer[0], question)
	if err != nil {
		r.t.Fatal(err)
	}
	return chain[0], chain[1], status
}

// takePart has Ada approve one request, reject another, and leave a third.
func (r *rogue) takePart() {
	t, ctx, ada := r.t, r.t.Context(), r.in.party(r.t)
	r.leaf, r.issuer, r.status = r.statusOf("ada")
	r.approved.hashes = [2][]byte{hash(), hash()}
	by := &thumb{}
	token, err := ada.token(ctx, by, r.approved.hashes[:]...)
	if err != nil {
		t.Fatal(err)
	}
	r.approved.sid = by.sid
	if _, err := ada.signHash(ctx, token, r.approved.hashes[0]); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "the module hears that the signature has arrived", func() bool {
		_, err := r.in.sockets().Module().Result(ctx, r.approved.sid, clientID)
		return errors.Is(err, fault.NotFound)
	})
	r.hash = hash()
	r.rejected = r.begin(hash())
	no := &thumb{decide: func(device.Request) (device.Answer, error) { return device.Answer{Reason: "I did not order this"}, nil }}
	if _, err := ada.approve(ctx, r.rejected.URL, no); err != nil {
		t.Fatal(err)
	}
	r.pending = r.begin(r.hash)
}

// intent asks for Ada's signature over a hash, as the first relying party.
func (r *rogue) intent(hash []byte) samapi.Intent {
	sum := sha256.Sum256(hash)
	return samapi.Intent{
		Org: "default", Client: clientID, ClientName: "Archive", Credential: r.in.signer.Credential, HashOID: signing.HashOID(signing.ECDSAWithSHA256.Hash()),
		Documents: []samapi.Document{{Label: "an honest document.pdf", DTBSR: hash}}, Request: sum[:], Gateway: r.in.issuer,
	}
}

func (r *rogue) begin(hash []byte) samapi.Begun {
	r.t.Helper()
	b, err := r.in.sockets().Module().Begin(r.t.Context(), r.intent(hash))
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

// overhear keeps what a registration authority sends through the gateway: orders
// that were carried out, the records a certificate was issued on, and the order
// for an enrolment that Ada has not used yet.
func (r *rogue) overhear() {
	t, ctx, module := r.t, r.t.Context(), r.in.sockets().Module()
	key, err := ra.LoadKey(r.in.path("ra.pem"))
	if err != nil {
		t.Fatal(err)
	}
	id, err := module.Identity(ctx)
	if err != nil {
		t.Fatal(err)
	}
	seal := func(operation, domain string, v any) signing.Signed {
		b, err := signing.EncodeCanonical(v)
		if err != nil {
			t.Fatal(err)
		}
		s, err := signing.Seal(domain, b, key)
		if err != nil {
			t.Fatal(err)
		}
		r.orders[operation], r.orderDomain[operation] = s, domain
		return s
	}
	r.fresh = func() samapi.Order { return samapi.NewOrder(id.Module, time.Now()) }
	subject := signing.Subject{CommonName: "Ada Lovelace", GivenName: "Ada", Surname: "Lovelace", SerialNumber: "PNOFI-ada", Country: "FI"}
	enrol := samapi.EnrolSigner{
		Order: r.fresh(), Signer: "ada", Subject: subject, Assurance: "substantial", Mechanism: samapi.DeviceKey, CodeExpires: time.Now().UTC().Truncate(time.Second).Add(time.Hour),
	}
	if enrol.CodeHash, err = samapi.ActivationCodeHash(enrol.ID, samapi.NewActivationCode()); err != nil {
		t.Fatal(err)
	}
	r.codeHash = enrol.CodeHash
	if r.enrolment, err = module.EnrolSigner(ctx, seal("enrol-signer", samapi.DomainEnrolSigner, enrol)); err != nil {
		t.Fatal(err)
	}
	assign := func() samapi.Assigned {
		order := samapi.AssignKey{Order: r.fresh(), Signer: "mallory", Mechanism: samapi.DeviceKey, KeyType: signing.P256, Multisign: 1}
		a, err := module.AssignKey(ctx, seal("assign-key", samapi.DomainAssignKey, order))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	lost, spare := assign(), assign()
	r.record = spare.KeyRecord
	var k signing.KeyRecord
	if err := signing.DecodeCanonical(r.record.Payload, &k); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(k.SPKI)
	now := time.Now().UTC().Truncate(time.Second)
	r.proofing = seal("proofing", signing.DomainProofing, signing.ProofingRecord{
		Version: 1, ID: strings.ToLower(rand.Text()), Authority: raName, Signer: "mallory", Credential: k.Credential, KeyHash: sum[:], Assurance: "substantial", Method: "a test",
		Subject: signing.Subject{CommonName: "Mallory Rogue", GivenName: "Mallory", Surname: "Rogue", SerialNumber: "PNOFI-mallory", Country: "FI"},
		Proved:  now, Expires: now.Add(time.Hour),
	})
	ca := &pki.Client{BaseURL: r.in.pki, HTTP: r.browser}
	issued, err := ca.Issue(ctx, pki.IssueRequest{KeyRecord: r.record, Proofing: r.proofing})
	if err != nil {
		t.Fatal(err)
	}
	bind := samapi.BindCertificate{Order: r.fresh(), Credential: spare.Credential, Chain: issued.Chain}
	if err := module.BindCertificate(ctx, seal("bind-certificate", samapi.DomainBindCertificate, bind)); err != nil {
		t.Fatal(err)
	}
	// Suspended, resumed, and suspended for good: the order to resume is worth having.
	var resume signing.Signed
	for _, state := range []string{samapi.CredentialSuspended, samapi.CredentialActive, samapi.CredentialSuspended} {
		order := seal("set-credential-state", samapi.DomainCredentialState, samapi.CredentialState{
			Order: r.fresh(), Credential: spare.Credential, State: state, Reason: "a while",
		})
		if err := module.SetCredentialState(ctx, order); err != nil {
			t.Fatal(err)
		}
		if state == samapi.CredentialActive {
			resume = order
		}
	}
	r.orders["set-credential-state"] = resume
	gone := samapi.DestroyKey{Order: r.fresh(), Credential: lost.Credential, Reason: "not needed"}
	if err := module.DestroyKey(ctx, seal("destroy-key", samapi.DomainDestroyKey, gone)); err != nil {
		t.Fatal(err)
	}
	r.eve = r.holder(r.in.enrol(t, "eve", "Eve", "Former").Device)
	devices, err := r.in.sockets().ModuleAdmin().Devices(ctx, "eve")
	if err != nil || len(devices) != 1 {
		t.Fatalf("%d devices, %v", len(devices), err)
	}
	revoke := samapi.RevokeDevice{Order: r.fresh(), Authenticator: devices[0].ID, Reason: "lost"}
	if err := module.RevokeDevice(ctx, seal("revoke-device", samapi.DomainRevokeDevice, revoke)); err != nil {
		t.Fatal(err)
	}
	r.seal = seal
	revocation, err := pki.SealRevocation(pki.Revocation{Version: 1, Serial: issued.Serial, Reason: "cessationOfOperation", Time: now}, key)
	if err != nil {
		t.Fatal(err)
	}
	r.orders["revoke"] = revocation
	if _, err := ca.Revoke(ctx, revocation); err != nil {
		t.Fatal(err)
	}
}

package samtest

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"

	"golang.org/x/crypto/ocsp"

	"github.com/countersign/countersign/sam/sad"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// PIN is every device's PIN.
const PIN = "271828"

// Person is a signer with a device and a credential.
type Person struct {
	ID         string
	Subject    signing.Subject
	Mechanism  string
	Device     *Device
	Credential string
	Leaf       *x509.Certificate
}

// Device is an authenticator in the test's hand.
type Device struct {
	ID     string
	Key    *ecdsa.PrivateKey
	Handle []byte // of a passkey
	Origin string
	RPID   string
}

// Wish says what person is wanted.
type Wish struct {
	Mechanism  string // default: devicekey
	KeyType    signing.KeyType
	Multisign  int // default: 20
	MinWysiwys int
}

// Person enrols a signer with a device, a key and a certificate.
func (r *Rig) Person(w Wish) *Person {
	r.TB.Helper()
	p := r.Enrolled(w.Mechanism)
	r.Certify(p, w)
	return p
}

// Enrolled registers a signer and enrols a device.
func (r *Rig) Enrolled(mechanism string) *Person {
	r.TB.Helper()
	r.serial++
	if mechanism == "" {
		mechanism = samapi.DeviceKey
	}
	p := &Person{
		ID: fmt.Sprintf("signer-%d", r.serial), Mechanism: mechanism,
		Subject: signing.Subject{CommonName: fmt.Sprintf("Ada Lovelace %d", r.serial), GivenName: "Ada", Surname: "Lovelace", Country: "NO", SerialNumber: fmt.Sprintf("UN:NO-%d", r.serial)},
	}
	r.AddDevice(p)
	return p
}

// AddDevice enrols a device for a person, who is registered if need be.
func (r *Rig) AddDevice(p *Person) {
	r.TB.Helper()
	e, code := r.Ticket(p)
	d, req := r.NewDevice(e.ID, p.Mechanism, code)
	done, err := r.Enrol(r.TB.Context(), e.ID, req)
	if err != nil {
		r.TB.Fatalf("enrol: %v", err)
	}
	d.ID = done.Authenticator
	p.Device = d
}

// Ticket gives the RA's order for an enrolment.
func (r *Rig) Ticket(p *Person) (samapi.Enrolment, string) {
	r.TB.Helper()
	o := samapi.EnrolSigner{
		Order: r.Order(), Signer: p.ID, Subject: p.Subject, Assurance: "high", Mechanism: p.Mechanism,
		CodeExpires: r.Clock.Now().AddDate(0, 0, 7),
	}
	code := samapi.NewActivationCode()
	var err error
	if o.CodeHash, err = samapi.ActivationCodeHash(o.ID, code); err != nil {
		r.TB.Fatal(err)
	}
	e, err := r.EnrolSigner(r.TB.Context(), r.Seal(samapi.DomainEnrolSigner, o))
	if err != nil {
		r.TB.Fatalf("ticket: %v", err)
	}
	return e, code
}

// NewDevice makes a device and its enrolment request.
func (r *Rig) NewDevice(enrolment, mechanism, code string) (*Device, samapi.Enrol) {
	r.TB.Helper()
	u, err := url.Parse(r.Config.ApprovalURL)
	if err != nil {
		r.TB.Fatal(err)
	}
	d := &Device{Key: Key(r.TB), Origin: r.Config.ApprovalURL, RPID: u.Hostname()}
	req := samapi.Enrol{Code: code, Mechanism: mechanism, Name: "test device"}
	if mechanism == samapi.WebAuthn {
		d.Handle = make([]byte, 32)
		_, _ = rand.Read(d.Handle)
		challenge, err := samapi.EnrolChallenge(enrolment, mechanism, nil)
		if err != nil {
			r.TB.Fatal(err)
		}
		req.WebAuthn = &samapi.Registration{
			ID: d.Handle, ClientDataJSON: d.ClientData("webauthn.create", challenge), AuthenticatorData: d.Attested(),
		}
		return d, req
	}
	if req.SPKI, err = x509.MarshalPKIXPublicKey(&d.Key.PublicKey); err != nil {
		r.TB.Fatal(err)
	}
	challenge, err := samapi.EnrolChallenge(enrolment, mechanism, req.SPKI)
	if err != nil {
		r.TB.Fatal(err)
	}
	req.Signature = d.Sign(challenge)
	if mechanism == samapi.DeviceKey {
		req.PIN = PIN
	}
	return d, req
}

// Sign signs a hash with the device's key.
func (d *Device) Sign(hash []byte) []byte {
	sig, err := ecdsa.SignASN1(rand.Reader, d.Key, hash)
	if err != nil {
		panic(err)
	}
	return sig
}

// ClientData is what a browser makes of a challenge.
func (d *Device) ClientData(ceremony string, challenge []byte) []byte {
	return []byte(`{"type":"` + ceremony + `","challenge":"` + base64.RawURLEncoding.EncodeToString(challenge) +
		`","origin":"` + d.Origin + `","crossOrigin":false}`)
}

// Flags of authenticator data.
const (
	FlagUP = 0x01
	FlagUV = 0x04
	FlagAT = 0x40
	FlagED = 0x80
)

// AuthData is what a passkey says in an assertion, with the given flags.
func (d *Device) AuthData(flags byte) []byte {
	rp := sha256.Sum256([]byte(d.RPID))
	return append(append(rp[:], flags), 0, 0, 0, 0)
}

// Attested is what a passkey says in a registration.
func (d *Device) Attested() []byte {
	b := d.AuthData(FlagUP | FlagUV | FlagAT)
	b = append(b, make([]byte, 16)...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(d.Handle))) //nolint:gosec // 32
	b = append(b, d.Handle...)
	point, err := d.Key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	b = append(b, 0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20)
	b = append(b, point[1:33]...)
	b = append(b, 0x22, 0x58, 0x20)
	return append(b, point[33:]...)
}

// Assert is a passkey's assertion over a challenge.
func (d *Device) Assert(challenge []byte) *samapi.Assertion {
	a := &samapi.Assertion{ID: d.Handle, ClientDataJSON: d.ClientData("webauthn.get", challenge), AuthenticatorData: d.AuthData(FlagUP | FlagUV)}
	client := sha256.Sum256(a.ClientDataJSON)
	sum := sha256.Sum256(append(append([]byte{}, a.AuthenticatorData...), client[:]...))
	a.Signature = d.Sign(sum[:])
	return a
}

// Certify assigns a key to a person and binds a certificate to it.
func (r *Rig) Certify(p *Person, w Wish) {
	r.TB.Helper()
	a := r.Assign(p, w)
	p.Credential = a.Credential
	p.Leaf = r.CA.Leaf(p.Subject, r.Record(a).SPKI)
	if err := r.Bind(p.Credential, p.Leaf.Raw, r.CA.Cert.Raw); err != nil {
		r.TB.Fatalf("bind: %v", err)
	}
}

// Assign has a key made.
func (r *Rig) Assign(p *Person, w Wish) samapi.Assigned {
	r.TB.Helper()
	o := samapi.AssignKey{Order: r.Order(), Signer: p.ID, Mechanism: p.Mechanism, KeyType: w.KeyType, Multisign: w.Multisign, MinWysiwys: w.MinWysiwys}
	if o.KeyType == "" {
		o.KeyType = signing.P256
	}
	if o.Multisign == 0 {
		o.Multisign = 20
	}
	a, err := r.AssignKey(r.TB.Context(), r.Seal(samapi.DomainAssignKey, o))
	if err != nil {
		r.TB.Fatalf("assign: %v", err)
	}
	return a
}

// Record reads the key record of an assigned key.
func (r *Rig) Record(a samapi.Assigned) signing.KeyRecord {
	r.TB.Helper()
	id, err := r.Identity(r.TB.Context())
	if err != nil {
		r.TB.Fatal(err)
	}
	pub, err := x509.ParsePKIXPublicKey(id.SPKI)
	if err != nil {
		r.TB.Fatal(err)
	}
	b, err := a.KeyRecord.Open(signing.DomainKeyRecord, pub)
	if err != nil {
		r.TB.Fatalf("key record: %v", err)
	}
	var k signing.KeyRecord
	if err := signing.DecodeCanonical(b, &k); err != nil {
		r.TB.Fatal(err)
	}
	return k
}

// Bind gives a credential its certificate.
func (r *Rig) Bind(credential string, chain ...[]byte) error {
	r.TB.Helper()
	o := samapi.BindCertificate{Order: r.Order(), Credential: credential, Chain: chain}
	return r.BindCertificate(r.TB.Context(), r.Seal(samapi.DomainBindCertificate, o))
}

// Pending is a request that waits for approval.
type Pending struct {
	samapi.Begun

	View   string
	Raw    []byte
	SAD    *sad.SAD
	Number string
	Hashes [][]byte
}

// Hash is a digest that stands for a document.
func Hash(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

// Intent is a valid intent for the hashes.
func (r *Rig) Intent(p *Person, hashes ...[]byte) samapi.Intent {
	in := samapi.Intent{
		Org: "org", Client: Client, ClientName: "Northgate Housing", Credential: p.Credential,
		HashOID: signing.OIDSHA256, Request: Hash("request"), Gateway: Gateway,
	}
	for i, h := range hashes {
		in.Documents = append(in.Documents, samapi.Document{Label: fmt.Sprintf("Contract %d.pdf", i+1), Size: 1234, DTBSR: h})
	}
	return in
}

// Request begins a request and reads what the browser that started it sees.
func (r *Rig) Request(p *Person, hashes ...[]byte) *Pending {
	r.TB.Helper()
	return r.Started(r.Intent(p, hashes...))
}

// Started begins a request for an intent.
func (r *Rig) Started(in samapi.Intent) *Pending {
	r.TB.Helper()
	begun, err := r.Begin(r.TB.Context(), in)
	if err != nil {
		r.TB.Fatalf("begin: %v", err)
	}
	u, err := url.Parse(begun.URL)
	if err != nil {
		r.TB.Fatal(err)
	}
	q := &Pending{Begun: begun, View: u.Query().Get("v")}
	seen, err := r.View(r.TB.Context(), begun.SID, q.View)
	if err != nil {
		r.TB.Fatalf("view: %v", err)
	}
	q.Raw, q.Number = seen.SAD, seen.Number
	if q.SAD, err = sad.Parse(seen.SAD); err != nil {
		r.TB.Fatal(err)
	}
	for _, d := range in.Documents {
		q.Hashes = append(q.Hashes, d.DTBSR)
	}
	return q
}

// Yes is a valid approval of the request by the person's device.
func (p *Person) Yes(q *Pending) samapi.Approval {
	challenge := sad.Challenge(q.Raw)
	yes := samapi.Approval{Authenticator: p.Device.ID, Number: q.Number}
	if p.Mechanism == samapi.WebAuthn {
		yes.WebAuthn = p.Device.Assert(challenge[:])
		return yes
	}
	yes.Signature, yes.PIN = p.Device.Sign(challenge[:]), PIN
	return yes
}

// Approved begins a request and approves it.
func (r *Rig) Approved(p *Person, hashes ...[]byte) *Pending {
	r.TB.Helper()
	q := r.Request(p, hashes...)
	if state, err := r.Approve(r.TB.Context(), q.SID, p.Yes(q)); err != nil || state != samapi.Approved {
		r.TB.Fatalf("approve: %s, %v", state, err)
	}
	return q
}

// SignRequest is a valid request for signatures.
func (r *Rig) SignRequest(p *Person, q *Pending, hashes ...[]byte) samapi.SignRequest {
	r.TB.Helper()
	return samapi.SignRequest{
		SID: q.SID, Client: Client, Credential: p.Credential, Algorithm: signing.ECDSAWithSHA256,
		Hashes: hashes, OCSP: r.CA.OCSP(p.Leaf, ocsp.Good),
	}
}

// Wrong is a number or PIN that is not s.
func Wrong(s string) string {
	if strings.HasPrefix(s, "1") {
		return "9" + s[1:]
	}
	return "1" + s[1:]
}

// Hex is for messages.
func Hex(b []byte) string { return hex.EncodeToString(b) }

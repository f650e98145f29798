package cscsam_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/csc/cscsam"
	"github.com/countersign/countersign/csc/csctest"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// expired is a certificate that ended yesterday, for the signer's key.
func expired(d *desk) *x509.Certificate {
	d.Helper()
	template := *d.PKI.Signer.Cert
	template.SerialNumber = big.NewInt(4711)
	template.NotBefore, template.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, &template, d.PKI.CA.Cert, d.PKI.Signer.Key.Public(), d.PKI.CA.Key)
	if err != nil {
		d.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		d.Fatal(err)
	}
	return cert
}

func decode[T any](t *testing.T, r *reply) T {
	t.Helper()
	var v T
	if r.status != http.StatusOK {
		t.Fatalf("answered %d %s", r.status, r.body)
	}
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func hashes(n int) (raw [][]byte, text []string) {
	for i := range n {
		sum := sha256.Sum256([]byte{byte(i)})
		raw = append(raw, sum[:])
		text = append(text, base64.StdEncoding.EncodeToString(sum[:]))
	}
	return raw, text
}

// approved returns a token for n hashes.
func (d *desk) approved(n int) (token, sid string, raw [][]byte, text []string) {
	raw, text = hashes(n)
	sid = d.SAM.Approve(csctest.ClientID, csctest.CredentialID, raw)
	token = d.Token(csc.Caller{
		Org: csctest.Org, Client: csctest.ClientID, Subject: csctest.SignerID, Scope: csc.ScopeCredential,
		Credential: csctest.CredentialID, SID: sid,
	})
	return token, sid, raw, text
}

func (d *desk) check(r *reply, alg signing.Algorithm, raw [][]byte) []string {
	d.Helper()
	answer := decode[csc.SignHashResponse](d.T, r)
	if len(answer.Signatures) != len(raw) {
		d.Fatalf("%d signatures for %d hashes", len(answer.Signatures), len(raw))
	}
	for i, text := range answer.Signatures {
		sig, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			d.Fatal(err)
		}
		if err := signing.Verify(d.PKI.Signer.Cert.PublicKey, alg, raw[i], sig); err != nil {
			d.Errorf("signature %d: %v", i, err)
		}
	}
	return answer.Signatures
}

func TestSignaturesComeInTheOrderOfTheHashes(t *testing.T) {
	d := newDesk(t, signing.P256)
	token, _, raw, text := d.approved(7)
	slices.Reverse(raw)
	slices.Reverse(text)
	d.check(d.call("signatures/signHash", token, d.signHash(object{"hashes": text})), signing.ECDSAWithSHA256, raw)
}

func TestHashesAreTakenInEverySpelling(t *testing.T) {
	d := newDesk(t, signing.P256)
	raw := make([][]byte, 4)
	for i := range raw {
		raw[i] = []byte(strings.Repeat("\xfb\xff\xfe", 11))[:32]
	}
	sid := d.SAM.Approve(csctest.ClientID, csctest.CredentialID, raw)
	token := d.Token(csc.Caller{
		Org: csctest.Org, Client: csctest.ClientID, Scope: csc.ScopeCredential, Credential: csctest.CredentialID, SID: sid,
	})
	std := base64.StdEncoding.EncodeToString(raw[0])
	spelled := []string{std, strings.TrimRight(std, "="), base64.RawURLEncoding.EncodeToString(raw[0]), strings.NewReplacer("+", "%2B", "/", "%2F", "=", "%3D").Replace(std)}
	d.check(d.call("signatures/signHash", token, d.signHash(object{"hashes": spelled})), signing.ECDSAWithSHA256, raw)
}

func TestEveryAlgorithmOfTheKeyCanBeNamed(t *testing.T) {
	for _, k := range []signing.KeyType{signing.P256, signing.RSA3072} {
		d := newDesk(t, k)
		for _, alg := range k.Algorithms() {
			h := alg.Hash().New()
			h.Write([]byte("document"))
			digest := h.Sum(nil)
			names := []object{{"signAlgo": alg.OID()}, {"signAlgo": alg.OID(), "hashAlgorithmOID": signing.HashOID(alg.Hash()), "signAlgoParams": nil, "lang": nil}}
			if alg.PSS() {
				names = []object{{"signAlgo": alg.OID(), "signAlgoParams": alg.PSSParameters()}}
			} else {
				generic := signing.OIDECPublicKey
				if alg.Family() == signing.RSA {
					generic = signing.OIDRSAEncryption
				}
				names = append(names, object{"signAlgo": generic, "hashAlgorithmOID": signing.HashOID(alg.Hash())})
			}
			for _, q := range names {
				token := d.Token(csc.Caller{
					Org: csctest.Org, Client: csctest.ClientID, Scope: csc.ScopeCredential, Credential: csctest.CredentialID,
					SID: d.SAM.Approve(csctest.ClientID, csctest.CredentialID, [][]byte{digest}),
				})
				q["hashes"] = [][]byte{digest}
				d.check(d.call("signatures/signHash", token, d.signHash(q)), alg, [][]byte{digest})
			}
		}
	}
}

func TestHashAlgorithmThatContradictsIsRefused(t *testing.T) {
	d := newDesk(t, signing.P256)
	r := d.call("signatures/signHash", d.credential, d.signHash(object{"hashAlgorithmOID": signing.OIDSHA512}))
	if r.Description != csc.ErrHashContradicts.Description || d.SAM.Made() != 0 {
		t.Errorf("got %d %+v", r.status, r.Error)
	}
}

func TestTokenMayStandAsSAD(t *testing.T) {
	d := newDesk(t, signing.P256)
	other := d.Token(csc.Caller{Org: "other", Client: "other", Scope: csc.ScopeService})
	old := d.Token(csc.Caller{Org: csctest.Org, Client: csctest.ClientID, Scope: csc.ScopeCredential, Expires: time.Now().Add(-time.Minute)})
	refused := []struct{ bearer, sad, want string }{
		{other, d.credential, "Invalid parameter SAD"},           // somebody else's
		{d.service, d.service, "Invalid parameter SAD"},          // not of scope credential
		{d.credential, d.service, "Invalid parameter SAD"},       // another than the bearer's
		{d.service, "with space", "Invalid parameter SAD"},       // no token at all
		{d.service, "x\r\ny", "Invalid parameter SAD"},           // no header trick
		{d.service, old, "SAD expired"},                          // too late
		{d.credential, "", "Invalid parameter SAD"},              // empty is not absent
		{d.service, "", "Invalid parameter SAD"},                 // nor here
		{d.service, "*" + d.credential, "Invalid parameter SAD"}, // nearly
	}
	for _, row := range refused {
		r := d.call("signatures/signHash", row.bearer, d.signHash(object{"SAD": row.sad}))
		if r.status != http.StatusBadRequest || r.Description != row.want {
			t.Errorf("SAD %q: got %d %+v, want %s", row.sad, r.status, r.Error, row.want)
		}
	}
	if d.SAM.Made() != 0 {
		t.Fatal("something was signed")
	}
	for _, bearer := range []string{d.credential, d.service} {
		token, _, raw, text := d.approved(1)
		if bearer == d.credential {
			bearer = token
		}
		d.check(d.call("signatures/signHash", bearer, d.signHash(object{"SAD": token, "hashes": text})), signing.ECDSAWithSHA256, raw)
	}
}

func TestCredentialIsShownAsTheClientsNeedIt(t *testing.T) {
	d := newDesk(t, signing.P256)
	leaf := d.PKI.Signer.Cert
	want := csc.CredentialInfo{
		Description: "Alice Sample",
		Key:         csc.KeyInfo{Status: "enabled", Algo: []string{"1.2.840.10045.4.3.2", "1.2.840.10045.4.3.3", "1.2.840.10045.4.3.4"}, Len: 256, Curve: "1.2.840.10045.3.1.7"},
		Cert: csc.CertInfo{
			Status:       "valid",
			Certificates: []string{base64.StdEncoding.EncodeToString(leaf.Raw), base64.StdEncoding.EncodeToString(d.PKI.CA.Cert.Raw)},
			IssuerDN:     "CN=Sample Issuing CA,O=Sample,C=BE", SubjectDN: "CN=Alice Sample,O=Sample,C=BE",
			SerialNumber: strings.ToUpper(leaf.SerialNumber.Text(16)),
			ValidFrom:    leaf.NotBefore.UTC().Format("20060102150405") + "Z", ValidTo: leaf.NotAfter.UTC().Format("20060102150405") + "Z",
		},
		Auth: csc.AuthInfo{Mode: "oauth2code", Objects: []csc.AuthObject{}},
		SCAL: "2", Multisign: 20,
	}
	if len(want.Cert.SerialNumber)%2 == 1 {
		want.Cert.SerialNumber = "0" + want.Cert.SerialNumber
	}
	for _, token := range []string{d.service, d.user, d.credential} {
		r := d.call("credentials/info", token, object{"credentialID": csctest.CredentialID, "certificates": "chain", "certInfo": true, "authInfo": true})
		if diff := cmp.Diff(want, decode[csc.CredentialInfo](t, r)); diff != "" {
			t.Error(diff)
		}
		if strings.Contains(r.body, "null") || !strings.Contains(r.body, `"objects":[]`) {
			t.Errorf("nulls, or no objects: %s", r.body)
		}
	}
	bare := decode[csc.CredentialInfo](t, d.call("credentials/info", d.service, object{"credentialID": csctest.CredentialID}))
	if len(bare.Cert.Certificates) != 1 || bare.Cert.IssuerDN != "" {
		t.Errorf("without certInfo: %+v", bare.Cert)
	}
	none := decode[csc.CredentialInfo](t, d.call("credentials/info", d.service, object{"credentialID": csctest.CredentialID, "certificates": "none"}))
	if len(none.Cert.Certificates) != 0 {
		t.Errorf("certificates none: %+v", none.Cert)
	}
}

func TestListShowsLinkedSignersOnly(t *testing.T) {
	d := newDesk(t, signing.P256)
	d.SAM.Add(csctest.Credential("of-bob", "bob", signing.P256, d.PKI.Signer.Cert, d.PKI.CA.Cert), d.PKI.Signer.Key)
	unbound := csctest.Credential("unbound", csctest.SignerID, signing.P256, d.PKI.Signer.Cert)
	unbound.Chain, unbound.State = nil, samapi.CredentialNew
	d.SAM.Add(unbound, d.PKI.Signer.Key)
	gone := csctest.Credential("gone", csctest.SignerID, signing.P256, d.PKI.Signer.Cert, d.PKI.CA.Cert)
	gone.State = samapi.CredentialDestroyed
	d.SAM.Add(gone, d.PKI.Signer.Key)

	for _, q := range []object{{}, {"userID": nil}, {"userID": csctest.SignerID}, {"onlyValid": true}} {
		list := decode[csc.CredentialsListResponse](t, d.call("credentials/list", d.service, q))
		if diff := cmp.Diff([]string{csctest.CredentialID}, list.CredentialIDs); diff != "" {
			t.Errorf("%v: %s", q, diff)
		}
		if list.OnlyValid != (q["onlyValid"] == true) || list.CredentialInfos != nil {
			t.Errorf("%v: %+v", q, list)
		}
	}
	full := decode[csc.CredentialsListResponse](t, d.call("credentials/list", d.user, object{"credentialInfo": true, "certificates": "chain", "certInfo": true, "lang": nil}))
	if len(full.CredentialInfos) != 1 || full.CredentialInfos[0].CredentialID != csctest.CredentialID || len(full.CredentialInfos[0].Cert.Certificates) != 2 {
		t.Errorf("with infos: %+v", full)
	}
	stranger := d.Token(csc.Caller{Org: csctest.Org, Client: "stranger", Scope: csc.ScopeService})
	r := d.call("credentials/list", stranger, object{})
	if list := decode[csc.CredentialsListResponse](t, r); len(list.CredentialIDs) != 0 || !strings.Contains(r.body, `"credentialIDs":[]`) {
		t.Errorf("a stranger sees %s", r.body)
	}
	for _, id := range []string{"of-bob", "unbound", "gone", "nobody"} {
		if r := d.call("credentials/info", d.service, object{"credentialID": id}); r.Description != "Invalid parameter credentialID" {
			t.Errorf("%s: %d %s", id, r.status, r.body)
		}
	}
	if r := d.call("credentials/list", d.credential, object{}); r.status != http.StatusForbidden || r.Code != csc.CodeInsufficientScope {
		t.Errorf("list with a credential token: %d %s", r.status, r.body)
	}
}

func TestCredentialThatCannotSign(t *testing.T) {
	d := newDesk(t, signing.P256)
	off := csctest.Credential(csctest.CredentialID, csctest.SignerID, signing.P256, d.PKI.Signer.Cert, d.PKI.CA.Cert)
	off.State = samapi.CredentialSuspended
	d.SAM.Add(off, d.PKI.Signer.Key)
	if r := d.call("signatures/signHash", d.credential, d.signHash(nil)); r.Description != csc.ErrCredentialDisabled.Description {
		t.Errorf("suspended: %d %s", r.status, r.body)
	}
	info := decode[csc.CredentialInfo](t, d.call("credentials/info", d.service, object{"credentialID": csctest.CredentialID}))
	list := decode[csc.CredentialsListResponse](t, d.call("credentials/list", d.service, object{"onlyValid": true}))
	if info.Key.Status != "disabled" || len(list.CredentialIDs) != 0 {
		t.Errorf("suspended: %+v, %+v", info.Key, list)
	}
	_ = d.expiredCredential()
	if info := decode[csc.CredentialInfo](t, d.call("credentials/info", d.service, object{"credentialID": "expired"})); info.Cert.Status != "expired" {
		t.Errorf("expired: %+v", info.Cert)
	}
}

func TestRevokedCertificateIsNotUsed(t *testing.T) {
	d := newDesk(t, signing.P256)
	d.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/ocsp" {
			return false
		}
		_, _ = w.Write(d.PKI.OCSPResponse(adestest.Answer{Cert: d.PKI.Signer.Cert, RevokedAt: time.Now().Add(-time.Minute)}))
		return true
	}
	if r := d.call("signatures/signHash", d.credential, d.signHash(nil)); r.Description != csc.ErrCertificateRevoked.Description || d.SAM.Made() != 0 {
		t.Errorf("got %d %s", r.status, r.body)
	}
	if info := decode[csc.CredentialInfo](t, d.call("credentials/info", d.service, object{"credentialID": csctest.CredentialID})); info.Cert.Status != "revoked" {
		t.Errorf("status %q", info.Cert.Status)
	}
}

func TestNoSignatureWithoutCertificateStatus(t *testing.T) {
	stranger := adestest.New(t, adestest.Config{})
	answers := map[string]func(d *desk, w http.ResponseWriter){
		"down":    func(_ *desk, w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) },
		"garbage": func(_ *desk, w http.ResponseWriter) { _, _ = w.Write([]byte("good")) },
		"by a stranger": func(_ *desk, w http.ResponseWriter) {
			_, _ = w.Write(stranger.OCSPResponse(adestest.Answer{Cert: stranger.Signer.Cert}))
		},
		"about another": func(d *desk, w http.ResponseWriter) {
			_, _ = w.Write(d.PKI.OCSPResponse(adestest.Answer{Cert: d.PKI.TSA.Cert}))
		},
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, signing.P256)
			d.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/ocsp" {
					answer(d, w)
				}
				return r.URL.Path == "/ocsp"
			}
			if r := d.call("signatures/signHash", d.credential, d.signHash(nil)); r.status != http.StatusServiceUnavailable || d.SAM.Made() != 0 {
				t.Errorf("got %d %s", r.status, r.body)
			}
			if info := decode[csc.CredentialInfo](t, d.call("credentials/info", d.service, object{"credentialID": csctest.CredentialID})); info.Cert.Status != "" {
				t.Errorf("status %q although nobody knows", info.Cert.Status)
			}
		})
	}
}

func TestResponderIsAskedOnceForManySignatures(t *testing.T) {
	d := newDesk(t, signing.P256)
	var wg sync.WaitGroup
	for range 8 {
		token, _, raw, text := d.approved(1)
		wg.Go(func() {
			d.check(d.call("signatures/signHash", token, d.signHash(object{"hashes": text})), signing.ECDSAWithSHA256, raw)
		})
	}
	wg.Wait()
	n := 0
	for _, p := range d.Requests() {
		if p == "/ocsp" {
			n++
		}
	}
	if n < 1 || n > 2 { // a late one may come after the first flight landed
		t.Errorf("the responder was asked %d times", n)
	}
}

func TestStatusTooOldForTheModuleIsFetchedAnew(t *testing.T) {
	d := newDesk(t, signing.P256)
	n := 0
	d.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/ocsp" {
			return false
		}
		n++
		at := time.Now().Add(-7 * time.Minute)
		if n > 1 {
			at = time.Now()
		}
		_, _ = w.Write(d.PKI.OCSPResponse(adestest.Answer{Cert: d.PKI.Signer.Cert, ThisUpdate: at}))
		return true
	}
	d.SAM.Now = func() time.Time { return time.Now().Add(4 * time.Minute) } // the module's clock is ahead
	token, _, raw, text := d.approved(1)
	d.check(d.call("signatures/signHash", token, d.signHash(object{"hashes": text})), signing.ECDSAWithSHA256, raw)
	if n != 2 || d.SAM.Made() != 1 {
		t.Errorf("asked %d times, %d signatures", n, d.SAM.Made())
	}
}

// responder answers every OCSP request alike.
type responder struct {
	answer []byte
	err    error
	asked  int
}

func (r *responder) OCSP(context.Context, string, []byte) ([]byte, error) {
	r.asked++
	return r.answer, r.err
}

func TestAnswerFromTheFutureIsKeptNoLongerThanAnother(t *testing.T) {
	d := newDesk(t, signing.P256)
	now := time.Now()
	ahead := &responder{answer: d.PKI.OCSPResponse(adestest.Answer{Cert: d.PKI.Signer.Cert, ThisUpdate: now.Add(time.Hour)})}
	s, err := cscsam.New(cscsam.Config{SAM: d.SAM, Links: d.Service, OCSP: ahead, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	by := csc.Caller{Org: csctest.Org, Client: csctest.ClientID, Scope: csc.ScopeService}
	for _, want := range []int{1, 1, 2} {
		if _, err := s.CredentialsInfo(t.Context(), by, &csc.CredentialsInfoRequest{CredentialID: csctest.CredentialID}); err != nil {
			t.Fatal(err)
		}
		if ahead.asked != want {
			t.Errorf("asked %d times, want %d", ahead.asked, want)
		}
		now = now.Add(5 * time.Minute)
	}
}

func TestAnswerLostOnTheWayFromTheModule(t *testing.T) {
	d := newDesk(t, signing.P256)
	lost := true
	d.SAM.After = func(op string) error {
		if op == "Sign" && lost {
			lost = false
			return fault.New(fault.Unavailable, "connection reset")
		}
		return nil
	}
	token, _, raw, text := d.approved(3)
	d.check(d.call("signatures/signHash", token, d.signHash(object{"hashes": text})), signing.ECDSAWithSHA256, raw)
	if d.SAM.Made() != 3 {
		t.Errorf("%d signatures for 3 hashes", d.SAM.Made())
	}
}

func TestModuleThatFailsBeforeItSigns(t *testing.T) {
	d := newDesk(t, signing.P256)
	fail := true
	d.SAM.Before = func(op string) error {
		if op == "Sign" && fail {
			return fault.New(fault.Unavailable, "connection refused")
		}
		return nil
	}
	token, _, raw, text := d.approved(2)
	if r := d.call("signatures/signHash", token, d.signHash(object{"hashes": text})); r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "" {
		t.Errorf("got %d %s", r.status, r.body)
	}
	fail = false
	d.check(d.call("signatures/signHash", token, d.signHash(object{"hashes": text})), signing.ECDSAWithSHA256, raw)
	if d.SAM.Made() != 2 {
		t.Errorf("%d signatures for 2 hashes", d.SAM.Made())
	}
}

func TestAnswerThatWasNotDeliveredIsGivenAgain(t *testing.T) {
	d := newDesk(t, signing.P256)
	d.SAM.Before = func(op string) error { // as if the gateway died before it could acknowledge
		if op == "Acknowledge" {
			return errors.New("crash")
		}
		return nil
	}
	token, _, raw, text := d.approved(2)
	first := d.check(d.call("signatures/signHash", token, d.signHash(object{"hashes": text})), signing.ECDSAWithSHA256, raw)
	again := d.check(d.call("signatures/signHash", token, d.signHash(object{"hashes": text})), signing.ECDSAWithSHA256, raw)
	if diff := cmp.Diff(first, again); diff != "" || d.SAM.Made() != 2 {
		t.Errorf("%d signatures, %s", d.SAM.Made(), diff)
	}
	more := append(slices.Clone(text), base64.StdEncoding.EncodeToString(make([]byte, 32)))
	if r := d.call("signatures/signHash", token, d.signHash(object{"hashes": more})); r.Description != csc.ErrHashNotAuthorized.Description {
		t.Errorf("with one hash more: %d %s", r.status, r.body)
	}
	twice := append(slices.Clone(text), text[0])
	if r := d.call("signatures/signHash", token, d.signHash(object{"hashes": twice})); r.Description != csc.ErrHashNotAuthorized.Description {
		t.Errorf("with one hash twice: %d %s", r.status, r.body)
	}
}

func TestDeliveredSignaturesAreForgotten(t *testing.T) {
	d := newDesk(t, signing.P256)
	token, _, raw, text := d.approved(1)
	d.check(d.call("signatures/signHash", token, d.signHash(object{"hashes": text})), signing.ECDSAWithSHA256, raw)
	if r := d.call("signatures/signHash", token, d.signHash(object{"hashes": text})); r.Description != csc.ErrHashNotAuthorized.Description {
		t.Errorf("the same request again: %d %s", r.status, r.body)
	}
	if d.SAM.Made() != 1 {
		t.Errorf("%d signatures", d.SAM.Made())
	}
}

func TestDeliveryOfOneRequestForgetsNoOthers(t *testing.T) {
	d := newDesk(t, signing.P256)
	token, _, raw, text := d.approved(2)
	var once sync.Once
	d.SAM.Before = func(op string) (err error) { // as if the first answer never reached the client
		if op == "Acknowledge" {
			once.Do(func() { err = errors.New("cut off") })
		}
		return err
	}
	first := d.check(d.call("signatures/signHash", token, d.signHash(object{"hashes": text[:1]})), signing.ECDSAWithSHA256, raw[:1])
	d.check(d.call("signatures/signHash", token, d.signHash(object{"hashes": text[1:]})), signing.ECDSAWithSHA256, raw[1:])
	again := d.check(d.call("signatures/signHash", token, d.signHash(object{"hashes": text[:1]})), signing.ECDSAWithSHA256, raw[:1])
	if diff := cmp.Diff(first, again); diff != "" || d.SAM.Made() != 2 {
		t.Errorf("%d signatures, %s", d.SAM.Made(), diff)
	}
}

// TestSignaturesMadeWhileOthersAreAcknowledgedStay signs once more between the
// gateway's look at what is stored and its acknowledgement.
func TestSignaturesMadeWhileOthersAreAcknowledgedStay(t *testing.T) {
	d := newDesk(t, signing.P256)
	s, err := cscsam.New(cscsam.Config{SAM: d.SAM, Links: d.Service, OCSP: &responder{answer: d.PKI.OCSPResponse(adestest.Answer{Cert: d.PKI.Signer.Cert})}})
	d.must(err)
	_, sid, raw, text := d.approved(3)
	by := csc.Caller{Org: csctest.Org, Client: csctest.ClientID, Scope: csc.ScopeCredential, Credential: csctest.CredentialID, SID: sid}
	deliver := func(hashes ...string) {
		t.Helper()
		q := &csc.SignHashRequest{CredentialID: csctest.CredentialID, Hashes: hashes, SignAlgo: signing.ECDSAWithSHA256.OID()}
		answer, err := s.SignHash(t.Context(), by, q)
		d.must(err)
		s.Delivered(t.Context(), by, q, answer)
		s.Flush(t.Context())
	}
	var between sync.Once
	d.SAM.Before = func(op string) error {
		if op == "Acknowledge" {
			between.Do(func() { _, err := d.SAM.Sign(d.Context(), d.order(sid, raw[1:]...)); d.must(err) })
		}
		return nil
	}
	deliver(text[0])
	kept, err := d.SAM.Result(t.Context(), sid, csctest.ClientID)
	if err != nil || !slices.EqualFunc(kept.Hashes, raw[1:], slices.Equal) {
		t.Fatalf("kept %x, %v; want %x", kept.Hashes, err, raw[1:])
	}
	deliver(text[2])
	if kept, err = d.SAM.Result(t.Context(), sid, csctest.ClientID); err != nil || !slices.EqualFunc(kept.Hashes, raw[1:2], slices.Equal) {
		t.Errorf("kept %x, %v; want %x", kept.Hashes, err, raw[1:2])
	}
	if d.SAM.Made() != 3 {
		t.Errorf("%d signatures for 3 hashes", d.SAM.Made())
	}
}

// order is a request to the module for signatures under the approval.
func (d *desk) order(sid string, hashes ...[]byte) samapi.SignRequest {
	return samapi.SignRequest{
		SID: sid, Client: csctest.ClientID, Credential: csctest.CredentialID, Algorithm: signing.ECDSAWithSHA256, Hashes: hashes,
		OCSP: d.PKI.OCSPResponse(adestest.Answer{Cert: d.PKI.Signer.Cert}),
	}
}

func (d *desk) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

// TestStoredSignaturesAreGivenWhenNothingNewMayBeSigned: what was signed while all
// was well is handed out, whatever became of certificate and responder since, and
// nothing new is signed.
func TestStoredSignaturesAreGivenWhenNothingNewMayBeSigned(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(d *desk, now *time.Time, r *responder)
		want   string // refusal of what was not signed before
		asked  int    // the responder, for what was signed before
	}{
		{"responder down", func(_ *desk, _ *time.Time, r *responder) { r.err = errors.New("connection refused") }, csc.ErrUnavailable.Description, 0},
		{"certificate revoked", func(d *desk, _ *time.Time, r *responder) {
			r.answer = d.PKI.OCSPResponse(adestest.Answer{Cert: d.PKI.Signer.Cert, RevokedAt: time.Now()})
		}, csc.ErrCertificateRevoked.Description, 0},
		{"credential suspended", func(d *desk, _ *time.Time, _ *responder) {
			c := csctest.Credential(csctest.CredentialID, csctest.SignerID, signing.P256, d.PKI.Signer.Cert, d.PKI.CA.Cert)
			c.State = samapi.CredentialSuspended
			d.SAM.Add(c, d.PKI.Signer.Key)
		}, csc.ErrCredentialDisabled.Description, 0},
		{"certificate expired", func(d *desk, now *time.Time, _ *responder) { *now = d.PKI.Signer.Cert.NotAfter.Add(time.Second) }, csc.ErrCertificateExpired.Description, 0},
		{"revocation that only the module knows", func(d *desk, _ *time.Time, _ *responder) {
			d.SAM.Before = func(op string) error {
				if op == "Sign" {
					return fault.New(fault.Forbidden, "revoked").WithCode(samapi.CodeCertificateRevoked)
				}
				return nil
			}
		}, csc.ErrCertificateRevoked.Description, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := newDesk(t, signing.P256)
			now := time.Now()
			ocsp := &responder{answer: d.PKI.OCSPResponse(adestest.Answer{Cert: d.PKI.Signer.Cert})}
			s, err := cscsam.New(cscsam.Config{SAM: d.SAM, Links: d.Service, OCSP: ocsp, Now: func() time.Time { return now }})
			d.must(err)
			_, sid, _, text := d.approved(2)
			by := csc.Caller{Org: csctest.Org, Client: csctest.ClientID, Scope: csc.ScopeCredential, Credential: csctest.CredentialID, SID: sid}
			q := &csc.SignHashRequest{CredentialID: csctest.CredentialID, Hashes: text[:1], SignAlgo: signing.ECDSAWithSHA256.OID()}
			first, err := s.SignHash(t.Context(), by, q) // and the answer is lost
			d.must(err)

			now = now.Add(9 * time.Minute) // the status of then may not be used any more
			row.change(d, &now, ocsp)
			ocsp.asked = 0
			again, err := s.SignHash(t.Context(), by, q)
			if err != nil || !cmp.Equal(first, again) {
				t.Errorf("what was signed before: %v", err)
			}
			if ocsp.asked != row.asked {
				t.Errorf("the responder was asked %d times, want %d", ocsp.asked, row.asked)
			}
			fresh := *q
			fresh.Hashes = text[1:]
			var refused *csc.Error
			if _, err := s.SignHash(t.Context(), by, &fresh); !errors.As(err, &refused) || refused.Description != row.want {
				t.Errorf("what was not signed before: %v, want %q", err, row.want)
			}
			if d.SAM.Made() != 1 {
				t.Errorf("%d signatures", d.SAM.Made())
			}
			s.Delivered(t.Context(), by, q, first)
			if _, err := s.SignHash(t.Context(), by, q); err == nil {
				t.Error("given again although it was delivered")
			}
		})
	}
}

func TestUnreadableCertificateHidesNoOthers(t *testing.T) {
	d := newDesk(t, signing.P256)
	broken := csctest.Credential("broken", csctest.SignerID, signing.P256, d.PKI.Signer.Cert)
	broken.Chain = [][]byte{[]byte("no certificate")}
	d.SAM.Add(broken, d.PKI.Signer.Key)
	var written bytes.Buffer
	s, err := cscsam.New(cscsam.Config{
		SAM: d.SAM, Links: d.Service, OCSP: &responder{err: errors.New("down")}, Log: slog.New(slog.NewJSONHandler(&written, nil)),
	})
	d.must(err)
	by := csc.Caller{Org: csctest.Org, Client: csctest.ClientID, Scope: csc.ScopeService}
	list, err := s.CredentialsList(t.Context(), by, &csc.CredentialsListRequest{CredentialInfo: true})
	if err != nil || !slices.Equal(list.CredentialIDs, []string{csctest.CredentialID}) || len(list.CredentialInfos) != 1 {
		t.Errorf("list %+v, %v", list, err)
	}
	if !strings.Contains(written.String(), `"level":"ERROR"`) || !strings.Contains(written.String(), `"credential":"broken"`) {
		t.Errorf("logged: %s", written.String())
	}
	if _, err := s.CredentialsInfo(t.Context(), by, &csc.CredentialsInfoRequest{CredentialID: "broken"}); err == nil {
		t.Error("the broken one is described")
	}
}

func TestWrongSignatureOfTheModuleIsNotPassedOn(t *testing.T) {
	d := newDesk(t, signing.P256)
	d.SAM.Twist = func(i int, sig []byte) []byte {
		if i == 1 {
			sig[len(sig)-1] ^= 1
		}
		return sig
	}
	token, _, _, text := d.approved(2)
	r := d.call("signatures/signHash", token, d.signHash(object{"hashes": text}))
	if r.status != http.StatusInternalServerError || r.Code != csc.CodeServerError || strings.Contains(r.body, "signatures") {
		t.Errorf("got %d %s", r.status, r.body)
	}
}

func TestTimestampAnswersTheQuestion(t *testing.T) {
	d := newDesk(t, signing.P256)
	for _, nonce := range []any{nil, "1f", "F00d", "123"} {
		answer := decode[csc.TimestampResponse](t, d.call("signatures/timestamp", d.service, d.timestamp(object{"nonce": nonce})))
		der, err := base64.StdEncoding.DecodeString(answer.Timestamp)
		if err != nil {
			t.Fatal(err)
		}
		token, err := cms.ParseTimestampToken(der)
		if err != nil {
			t.Fatal(err)
		}
		if err := token.VerifyImprint([]byte("document")); err != nil {
			t.Error(err)
		}
		if text, ok := nonce.(string); ok {
			want, _ := new(big.Int).SetString(text, 16)
			if token.Info.Nonce == nil || token.Info.Nonce.Cmp(want) != 0 {
				t.Errorf("nonce %v, want %v", token.Info.Nonce, want)
			}
		} else if token.Info.Nonce != nil {
			t.Errorf("nonce %v although none was sent", token.Info.Nonce)
		}
	}
}

func TestTimestampOfAWrongClockIsNotPassedOn(t *testing.T) {
	d := newDesk(t, signing.P256)
	d.Skew = time.Hour
	if r := d.call("signatures/timestamp", d.service, d.timestamp(nil)); r.status != http.StatusServiceUnavailable {
		t.Errorf("got %d %s", r.status, r.body)
	}
}

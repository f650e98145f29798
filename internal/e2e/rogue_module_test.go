package e2e_test

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// onModule is what the rogue tries on the socket that it holds.
func (r *rogue) onModule() map[string][]attempt {
	call := func(name, operation string, v any, refused string) attempt {
		return attempt{name: name, do: func() (int, []byte) { return r.post(r.module, "http://sam/v1/"+operation, v) }, refused: refused}
	}
	type object = map[string]any
	m := map[string][]attempt{
		"identity":    {call("who are you", "identity", object{}, "")},
		"ready":       {call("are you well", "ready", object{}, "")},
		"checkpoint":  {call("the log's head", "checkpoint", object{}, "")},
		"bundle":      {call("the record of an approval", "bundle", object{"sid": r.approved.sid}, "")},
		"credentials": {call("Ada's credential", "credentials", samapi.CredentialQuery{Signers: []string{"ada"}}, "")},
		"outcome": {
			call("a guessed handle", "outcome", object{"sid": r.pending.SID, "handle": strings.Repeat("a", 43)}, samapi.CodeHandle),
			call("a handle of nothing", "outcome", object{"sid": r.approved.sid, "handle": ""}, samapi.CodeHandle),
		},
		"result": {
			call("of what was not approved", "result", object{"sid": r.pending.SID, "client": clientID}, "not found"),
			call("of another client", "result", object{"sid": r.approved.sid, "client": r.own.id}, samapi.CodeSADInvalid),
		},
		"acknowledge": {call("what was never signed", "acknowledge", object{"sid": r.pending.SID, "client": clientID}, "")},
		"acknowledge-all": {
			call("what was never signed, and of another client", "acknowledge-all", []object{
				{"sid": r.pending.SID, "client": clientID}, {"sid": r.approved.sid, "client": r.own.id, "signatures": [][]byte{{1}}},
			}, ""),
			call("more than anybody delivers at once", "acknowledge-all", slices.Repeat([]object{{}}, 1001), "too large"),
		},
		"begin":    r.onBegin(call),
		"delegate": r.onDelegate(call),
		"sign":     r.onSign(call),
	}
	// Two orders are pointless the second time, whoever brings them.
	again := map[string]string{
		"enrol-signer": samapi.CodeOrderReplayed, "assign-key": samapi.CodeOrderReplayed, "revoke-device": samapi.CodeOrderReplayed,
		"set-credential-state": samapi.CodeOrderReplayed, "bind-certificate": samapi.CodeCertificate, "destroy-key": samapi.CodeCredentialDisabled,
		"lift-block": samapi.CodeOrderReplayed,
	}
	for operation, change := range map[string]func(map[string]any){
		"enrol-signer":         func(o map[string]any) { o["codeHash"] = make([]byte, 32) },
		"assign-key":           func(o map[string]any) { o["signer"] = "ada"; o["minWysiwys"] = 0 },
		"bind-certificate":     func(o map[string]any) { o["credential"] = r.in.signer.Credential },
		"revoke-device":        func(o map[string]any) { o["reason"] = "none" },
		"set-credential-state": func(o map[string]any) { o["state"] = samapi.CredentialActive },
		"lift-block":           func(o map[string]any) { o["client"] = r.own.id },
		"destroy-key":          func(o map[string]any) { o["credential"] = r.in.signer.Credential },
	} {
		genuine := r.orders[operation]
		other := r.altered(genuine.Payload, change)
		m[operation] = []attempt{
			call("no signature", operation, signing.Signed{Payload: other, Key: genuine.Key}, samapi.CodeOrder),
			call("its own signature", operation, r.forge(r.orderDomain[operation], other, ""), samapi.CodeOrder),
			call("its own signature in the authority's name", operation, r.forge(r.orderDomain[operation], other, genuine.Key), samapi.CodeOrder),
			call("a genuine order, changed", operation, signing.Signed{Payload: other, Signature: genuine.Signature, Key: genuine.Key}, samapi.CodeOrder),
			call("a genuine order again", operation, genuine, again[operation]),
			call("a genuine order of another kind", operation, r.orders["proofing"], samapi.CodeOrder),
			call("nothing", operation, object{}, samapi.CodeOrder),
		}
	}
	return m
}

func (r *rogue) onBegin(call func(string, string, any, string) attempt) []attempt {
	changed := func(f func(*samapi.Intent)) samapi.Intent {
		in := r.intent(hash())
		f(&in)
		return in
	}
	type object = map[string]any
	return []attempt{
		call("asking, which is its trade", "begin", r.intent(hash()), ""),
		call("in the name of a client that Ada does not want to hear", "begin", changed(func(i *samapi.Intent) { i.Client = r.own.id }), samapi.CodeClientBlocked),
		call("a seal, as if a person could approve", "begin", changed(func(i *samapi.Intent) { i.Credential = r.sealed.Credential }), samapi.CodeCredentialDisabled),
		call("a way back of its own", "begin", changed(func(i *samapi.Intent) { i.Gateway = "http://rogue.example" }), samapi.CodeUnknownGateway),
		call("an approval that never ends", "begin", changed(func(i *samapi.Intent) { i.Redeem = 365 * 24 * time.Hour }), "invalid"),
		call("a key of nobody's", "begin", changed(func(i *samapi.Intent) { i.Credential = "none" }), samapi.CodeUnknownCredential),
		call("a lower level", "begin", object{"credential": r.in.signer.Credential, "scal": 1}, "json"),
		call("signed attributes of another document", "begin", changed(func(i *samapi.Intent) {
			i.Documents[0].SignedAttrs, i.Documents[0].DocHash = []byte{0x31, 0}, make([]byte, 32)
		}), samapi.CodeMismatch),
	}
}

func (r *rogue) onSign(call func(string, string, any, string) attempt) []attempt {
	changed := func(f func(*samapi.SignRequest)) samapi.SignRequest {
		q := r.wish(r.approved.sid, r.approved.hashes[1])
		f(&q)
		return q
	}
	h := r.approved.hashes
	return []attempt{
		call("before the approval", "sign", r.wish(r.pending.SID, r.hash), samapi.CodeNotApproved),
		call("after the rejection", "sign", r.wish(r.rejected.SID, hash()), samapi.CodeRejected),
		call("without an approval", "sign", r.wish("", r.hash), samapi.CodeSADInvalid),
		call("another hash than approved", "sign", r.wish(r.approved.sid, hash()), samapi.CodeHashNotAuthorized),
		call("an approved one and another", "sign", r.wish(r.approved.sid, h[1], hash()), samapi.CodeHashNotAuthorized),
		call("the approved one twice", "sign", r.wish(r.approved.sid, h[1], h[1]), samapi.CodeHashNotAuthorized),
		call("what was signed already", "sign", r.wish(r.approved.sid, h[0]), samapi.CodeHashNotAuthorized),
		call("more than was approved", "sign", r.wish(r.approved.sid, h[1], hash(), hash()), samapi.CodeTooMany),
		call("nothing", "sign", r.wish(r.approved.sid), "invalid"),
		call("for another client", "sign", changed(func(q *samapi.SignRequest) { q.Client = r.own.id }), samapi.CodeSADInvalid),
		call("with another key", "sign", changed(func(q *samapi.SignRequest) { q.Credential = r.own.who.Credential }), samapi.CodeSADInvalid),
		call("with another algorithm", "sign", changed(func(q *samapi.SignRequest) { q.Algorithm = signing.ECDSAWithSHA384 }), samapi.CodeAlgorithm),
		call("without the certificate's status", "sign", changed(func(q *samapi.SignRequest) { q.OCSP = nil }), samapi.CodeStatusUnknown),
		call("another hash than a machine ordered", "sign", r.sealWish(r.sealSID, r.sealed.Credential, hash()), samapi.CodeHashNotAuthorized),
		call("Ada's key for what a machine ordered", "sign", r.sealWish(r.sealSID, r.in.signer.Credential, r.sealed.Documents[0].DTBSR), samapi.CodeSADInvalid),
		call("a seal for what Ada approved", "sign", r.sealWish(r.approved.sid, r.sealed.Credential, h[1]), samapi.CodeSADInvalid),
		call("with a status of its own making", "sign", changed(func(q *samapi.SignRequest) { q.OCSP = r.ownStatus() }), samapi.CodeStatusUnknown),
	}
}

// ownStatus is an OCSP answer about Ada's certificate by a responder that the
// rogue certified itself.
func (r *rogue) ownStatus() []byte {
	r.t.Helper()
	responder := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "OCSP"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	cert, err := x509.ParseCertificate(issue(r.t, responder, responder, r.key, r.key))
	if err != nil {
		r.t.Fatal(err)
	}
	der, err := ocsp.CreateResponse(r.issuer, cert, ocsp.Response{
		Status: ocsp.Good, SerialNumber: r.leaf.SerialNumber, ThisUpdate: time.Now().Add(-time.Second), NextUpdate: time.Now().Add(time.Hour),
		Certificate: cert, IssuerHash: crypto.SHA256,
	}, r.key)
	if err != nil {
		r.t.Fatal(err)
	}
	return der
}

// altered is a JSON payload with a change, and with a number of its own so that it
// is no repetition.
func (r *rogue) altered(payload []byte, change func(map[string]any)) []byte {
	r.t.Helper()
	o := map[string]any{}
	decode(r.t, payload, &o)
	o["id"] = strings.ToLower(r.fresh().ID)
	change(o)
	return canonical(r.t, payload, o)
}

package e2e_test

import (
	"crypto"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/sam/device"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// overhearMachine gives a relying party a seal whose machine orders one signature, so
// that the rogue has an order that is genuine.
func (r *rogue) overhearMachine() {
	r.t.Helper()
	credential, machine := r.in.seal(r.t, "acme", "Acme Oy")
	k, err := device.Load(machine)
	if err != nil {
		r.t.Fatal(err)
	}
	r.sealed = r.intent(hash())
	r.sealed.Credential = credential
	r.order = r.orderBy(k.Private(), r.sealed)
	done, err := r.in.sockets().Module().Delegate(r.t.Context(), samapi.Delegated{Intent: r.sealed, Object: r.order})
	if err != nil {
		r.t.Fatal(err)
	}
	r.sealSID = done.SID
	r.sealLeaf, _, r.sealStatus = r.statusOf("acme")
	r.unused = r.intent(hash())
	r.unused.Credential = credential
	r.next = r.orderBy(k.Private(), r.unused)
	r.late = r.orderBy(k.Private(), r.sealed, func(d *signing.Delegation) { d.Issued -= 360; d.Expires -= 360 })
	r.elsewhere = r.orderBy(k.Private(), r.sealed, func(d *signing.Delegation) { d.Audience = "http://other.example" })
}

// orderBy is a machine's order for an intent.
func (r *rogue) orderBy(key crypto.Signer, in samapi.Intent, change ...func(*signing.Delegation)) string {
	r.t.Helper()
	now := time.Now()
	d := signing.Delegation{
		Audience: in.Gateway, Client: in.Client, Credential: in.Credential, HashOID: in.HashOID, By: "rogue", ID: store.NewID(),
		Issued: now.Unix(), Expires: now.Unix() + int64(signing.MaxDelegationLife/time.Second),
	}
	for _, doc := range in.Documents {
		d.Hashes = append(d.Hashes, doc.DTBSR)
	}
	for _, f := range change {
		f(&d)
	}
	jws, err := signing.SealDelegation(d, key)
	if err != nil {
		r.t.Fatal(err)
	}
	return jws
}

// sealWish is a call for the seal's signature.
func (r *rogue) sealWish(sid, credential string, hash []byte) samapi.SignRequest {
	return samapi.SignRequest{SID: sid, Client: clientID, Credential: credential, Algorithm: signing.ECDSAWithSHA256, Hashes: [][]byte{hash}, OCSP: r.sealStatus}
}

// sealStillSigns shows that the machine's order was worth having: what it names is
// signed, once.
func (r *rogue) sealStillSigns() {
	r.t.Helper()
	hash := r.sealed.Documents[0].DTBSR
	res, err := r.in.sockets().Module().Sign(r.t.Context(), r.sealWish(r.sealSID, r.sealed.Credential, hash))
	if err != nil {
		r.t.Fatalf("what the machine ordered is not sealed: %v", err)
	}
	if err := signing.Verify(r.sealLeaf.PublicKey, signing.ECDSAWithSHA256, hash, res.Signatures[0]); err != nil {
		r.t.Error(err)
	}
	if _, err := r.in.sockets().Module().Delegate(r.t.Context(), samapi.Delegated{Intent: r.unused, Object: r.next}); err != nil {
		r.t.Errorf("the machine's order that was tried in vain for something else is not good for what it says: %v", err)
	}
}

// onDelegate is what the rogue tries with seals: it has a genuine order that was
// carried out, keys of its own, and a person's credential.
func (r *rogue) onDelegate(call func(string, string, any, string) attempt) []attempt {
	order := func(object string, change func(*samapi.Intent)) samapi.Delegated {
		in := r.sealed
		change(&in)
		return samapi.Delegated{Intent: in, Object: object}
	}
	same := func(*samapi.Intent) {}
	other := r.intent(hash())
	other.Credential = r.sealed.Credential
	person, stranger, more := r.intent(hash()), r.unused, r.unused
	stranger.Client = r.own.id
	more.Documents = slices.Concat(more.Documents, other.Documents)
	parts := strings.Split(r.order, ".")
	none := "eyJhbGciOiJub25lIn0." + parts[1] + "."
	// What a genuine order says, of another hash.
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		r.t.Fatal(err)
	}
	altered := r.altered(payload, func(o map[string]any) {
		delete(o, "id")
		o["hashes"], o["jti"] = [][]byte{other.Documents[0].DTBSR}, store.NewID()
	})
	forged := parts[0] + "." + base64.RawURLEncoding.EncodeToString(altered) + "." + parts[2]
	return []attempt{
		call("a genuine order again", "delegate", order(r.order, same), samapi.CodeOrderReplayed),
		call("a genuine order for another hash", "delegate", samapi.Delegated{Intent: other, Object: r.next}, samapi.CodeAssertion),
		call("a genuine order for a person's key", "delegate", samapi.Delegated{Intent: person, Object: r.next}, samapi.CodeUnknownDevice),
		call("a genuine order for another client", "delegate", samapi.Delegated{Intent: stranger, Object: r.next}, samapi.CodeAssertion),
		call("an order of its own", "delegate", samapi.Delegated{Intent: other, Object: r.orderBy(r.key, other)}, samapi.CodeAssertion),
		call("an order of its own for a person's key", "delegate", samapi.Delegated{Intent: person, Object: r.orderBy(r.key, person)}, samapi.CodeUnknownDevice),
		call("an order that nobody signed", "delegate", samapi.Delegated{Intent: other, Object: none}, samapi.CodeAssertion),
		call("no order", "delegate", samapi.Delegated{Intent: other}, samapi.CodeAssertion),
		call("a genuine order, changed", "delegate", samapi.Delegated{Intent: other, Object: forged}, samapi.CodeAssertion),
		call("a genuine order that it held back too long", "delegate", order(r.late, same), samapi.CodeAssertion),
		call("a genuine order to another gateway", "delegate", order(r.elsewhere, same), samapi.CodeAssertion),
		call("a way back of its own", "delegate", order(r.elsewhere, func(i *samapi.Intent) { i.Gateway = "http://other.example" }), samapi.CodeUnknownGateway),
		call("more hashes than were ordered", "delegate", samapi.Delegated{Intent: more, Object: r.next}, samapi.CodeAssertion),
	}
}

package e2e_test

import (
	"crypto"
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
	if _, err := r.in.sockets().Module().Delegate(r.t.Context(), samapi.Delegated{Intent: r.sealed, Object: r.order}); err != nil {
		r.t.Fatal(err)
	}
}

// orderBy is a machine's order for an intent.
func (r *rogue) orderBy(key crypto.Signer, in samapi.Intent) string {
	r.t.Helper()
	d := signing.Delegation{
		Audience: in.Gateway, Client: in.Client, Credential: in.Credential, HashOID: in.HashOID, By: "rogue", ID: store.NewID(),
		Issued: time.Now().Unix(), Expires: time.Now().Add(time.Minute).Unix(),
	}
	for _, doc := range in.Documents {
		d.Hashes = append(d.Hashes, doc.DTBSR)
	}
	jws, err := signing.SealDelegation(d, key)
	if err != nil {
		r.t.Fatal(err)
	}
	return jws
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
	person := r.intent(hash())
	parts := strings.Split(r.order, ".")
	none := "eyJhbGciOiJub25lIn0." + parts[1] + "."
	return []attempt{
		call("a genuine order again", "delegate", order(r.order, same), samapi.CodeOrderReplayed),
		call("a genuine order for another hash", "delegate", samapi.Delegated{Intent: other, Object: r.order}, samapi.CodeAssertion),
		call("a genuine order for a person's key", "delegate", samapi.Delegated{Intent: person, Object: r.order}, samapi.CodeUnknownDevice),
		call("a genuine order for another client", "delegate", order(r.order, func(i *samapi.Intent) { i.Client = r.own.id }), samapi.CodeAssertion),
		call("an order of its own", "delegate", samapi.Delegated{Intent: other, Object: r.orderBy(r.key, other)}, samapi.CodeAssertion),
		call("an order of its own for a person's key", "delegate", samapi.Delegated{Intent: person, Object: r.orderBy(r.key, person)}, samapi.CodeUnknownDevice),
		call("an order that nobody signed", "delegate", samapi.Delegated{Intent: other, Object: none}, samapi.CodeAssertion),
		call("no order", "delegate", samapi.Delegated{Intent: other}, samapi.CodeAssertion),
	}
}

package sam_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"testing"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/sam"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samtest"
)

// checkable begins a request of which the module can check what is to be signed.
func checkable(r *samtest.Rig, p *samtest.Person, document string) *samtest.Pending {
	in := r.Intent(p, samtest.Hash(document))
	d := &in.Documents[0]
	d.DocHash = samtest.Hash(document)
	d.SignedAttrs, d.DTBSR = samtest.Attributes{Digest: d.DocHash, CertDigest: samtest.Hash(string(p.Leaf.Raw))}.DER()
	return r.Started(in)
}

func stated(q *samtest.Pending) samapi.DeviceStatement {
	sum := sha256.Sum256(q.Raw)
	return samapi.DeviceStatement{Version: 1, SADHash: sum[:], Wysiwys: 2}
}

// evidenceOf is the approval in the log.
func evidenceOf(r *samtest.Rig, sid string) (out struct {
	Number   bool
	Evidence struct {
		StatedByDevice *struct {
			Wysiwys int
			Signed  *samapi.SignedStatement
		}
	}
},
) {
	r.TB.Helper()
	r.Events(sid)
	all, err := r.Audit.Records(r.TB.Context(), audit.Filter{SID: sid, Type: "sad.approved"})
	if err != nil || len(all) != 1 {
		r.TB.Fatalf("%d approvals, %v", len(all), err)
	}
	if err := json.Unmarshal(all[0].Data, &out); err != nil {
		r.TB.Fatal(err)
	}
	return out
}

func TestDevicesStatementIsKeptUnderItsKey(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{Limits: noLimits})
	p, other := r.Person(samtest.Wish{}), r.Person(samtest.Wish{})
	q, second := checkable(r, p, "one"), checkable(r, p, "two")
	plain := r.Request(p, samtest.Hash("three"))
	for name, s := range map[string]*samapi.SignedStatement{
		"about another request": p.Device.State(stated(second)),
		"under another key":     other.Device.State(stated(q)),
		"of another level":      p.Device.State(func() samapi.DeviceStatement { s := stated(q); s.Wysiwys = 3; return s }()),
		"of another version":    p.Device.State(func() samapi.DeviceStatement { s := stated(q); s.Version = 2; return s }()),
		"in another form":       {Statement: []byte(`{"wysiwys":2}`), Signature: p.Device.Sign(samapi.StatementChallenge([]byte(`{"wysiwys":2}`)))},
		"empty":                 {},
	} {
		yes := p.Yes(q)
		yes.Statement = s
		if _, err := r.Approve(t.Context(), q.SID, yes); code(err) != samapi.CodeStatement {
			t.Errorf("a statement %s: %v", name, err)
		}
	}
	yes := p.Yes(plain)
	yes.Statement = p.Device.State(stated(plain))
	if _, err := r.Approve(t.Context(), plain.SID, yes); code(err) != samapi.CodeStatement {
		t.Errorf("a statement about documents of which nobody knows the digest: %v", err)
	}
	yes = p.Yes(q)
	yes.Statement = p.Device.State(stated(q))
	if _, err := r.Approve(t.Context(), q.SID, yes); err != nil {
		t.Fatal(err)
	}
	got := evidenceOf(r, q.SID)
	if s := got.Evidence.StatedByDevice; s == nil || s.Wysiwys != 2 || s.Signed == nil || string(s.Signed.Statement) != string(yes.Statement.Statement) || !got.Number {
		t.Errorf("recorded %+v", got)
	}
}

func TestPasskeyNeedsNoNumberInTheBrowserThatStarted(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{Limits: noLimits})
	passkey, key := r.Person(samtest.Wish{Mechanism: samapi.WebAuthn}), r.Person(samtest.Wish{})
	q, other := r.Request(passkey, samtest.Hash("x")), r.Request(passkey, samtest.Hash("y"))
	for name, change := range map[string]func(*samapi.Approval){
		"neither number nor token":  func(*samapi.Approval) {},
		"another request's token":   func(a *samapi.Approval) { a.View = other.View },
		"a wrong number beside it":  func(a *samapi.Approval) { a.View, a.Number = q.View, samtest.Wrong(q.Number) },
		"a token that nobody knows": func(a *samapi.Approval) { a.View = "x" },
	} {
		q = r.Request(passkey, samtest.Hash(name))
		yes := passkey.Yes(q)
		yes.Number = ""
		change(&yes)
		if _, err := r.Approve(t.Context(), q.SID, yes); code(err) != samapi.CodeNumber {
			t.Errorf("%s: %v", name, err)
		}
	}
	q = r.Request(passkey, samtest.Hash("good"))
	yes := passkey.Yes(q)
	yes.Number, yes.View = "", q.View
	if _, err := r.Approve(t.Context(), q.SID, yes); err != nil {
		t.Fatal(err)
	}
	if evidenceOf(r, q.SID).Number {
		t.Error("the log says that a number was typed")
	}
	// A device key has another screen: its number is always asked for.
	q = r.Request(key, samtest.Hash("device"))
	yes = key.Yes(q)
	yes.Number, yes.View = "", q.View
	if _, err := r.Approve(t.Context(), q.SID, yes); code(err) != samapi.CodeNumber {
		t.Errorf("a device key with the token: %v", err)
	}
}

func TestPhoneTokenShowsOneRequestWithoutItsNumber(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{Limits: noLimits})
	p := r.Person(samtest.Wish{Mechanism: samapi.WebAuthn})
	q, other := r.Request(p, samtest.Hash("x")), r.Request(p, samtest.Hash("y"))
	token, err := r.PhoneToken(t.Context(), q.SID, q.View)
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.PhoneView(t.Context(), q.SID, token)
	if err != nil || s.Number != "" || len(s.Passkey) != 1 || string(s.Passkey[0].Handle) != string(p.Device.Handle) {
		t.Errorf("%+v, %v", s, err)
	}
	_, wrong := r.PhoneView(t.Context(), other.SID, token)
	_, view := r.PhoneView(t.Context(), q.SID, q.View)
	_, back := r.Return(t.Context(), q.SID, token)
	_, number := r.View(t.Context(), q.SID, token)
	_, unasked := r.PhoneToken(t.Context(), q.SID, token)
	for name, err := range map[string]error{
		"another request": wrong, "the browser's token": view, "the way back": back, "the browser's page": number, "another code": unasked,
		"rejecting another": r.PhoneReject(t.Context(), other.SID, token, ""),
	} {
		if code(err) != samapi.CodeSADInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := r.PhoneReject(t.Context(), q.SID, token, "no"); err != nil {
		t.Fatal(err)
	}
	if v, err := r.View(t.Context(), q.SID, q.View); err != nil || v.State != samapi.Rejected || v.Reason != "no" {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestOpenEnrolmentIsShownUntilItIsUsed(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{})
	p := r.Enrolled(samapi.WebAuthn)
	e, activation := r.Ticket(p)
	got, err := r.OpenEnrolment(t.Context(), e.ID)
	if err != nil || got.Mechanism != samapi.WebAuthn || !got.Expires.Equal(e.Expires) {
		t.Errorf("%+v, %v", got, err)
	}
	_, req := r.NewDevice(e.ID, samapi.WebAuthn, activation)
	if _, err := r.Enrol(t.Context(), e.ID, req); err != nil {
		t.Fatal(err)
	}
	if _, err := r.OpenEnrolment(t.Context(), e.ID); code(err) != samapi.CodeActivation {
		t.Errorf("used: %v", err)
	}
	late, _ := r.Ticket(p)
	r.Clock.Add(8 * 24 * 60 * 60 * 1e9)
	if _, err := r.OpenEnrolment(t.Context(), late.ID); code(err) != samapi.CodeActivation {
		t.Errorf("expired: %v", err)
	}
	if _, err := r.OpenEnrolment(t.Context(), "nosuch"); code(err) != samapi.CodeActivation {
		t.Errorf("unknown: %v", err)
	}
}

// FuzzStatement changes what a device says and its signature: nothing but the one
// statement that it signed is taken.
func FuzzStatement(f *testing.F) {
	r := samtest.New(f, storetest.SQLite(f), samtest.Config{})
	p := r.Person(samtest.Wish{})
	q := checkable(r, p, "document")
	said := p.Device.State(stated(q))
	key := spki(f, p.Device.Key)
	if err := sam.CheckStatement(key, q.Raw, said.Statement, said.Signature); err != nil {
		f.Fatal(err)
	}
	f.Add(said.Statement, said.Signature)
	f.Add([]byte(`{"v":1,"sadHash":"","wysiwys":2}`), []byte{0x30, 0})
	f.Fuzz(func(t *testing.T, statement, signature []byte) {
		err := sam.CheckStatement(key, q.Raw, statement, signature)
		if err == nil && !bytes.Equal(statement, said.Statement) {
			t.Errorf("taken: %q", statement)
		}
		if err != nil && code(err) != samapi.CodeStatement {
			t.Errorf("%q: %v", statement, err)
		}
	})
}

package sam_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/sam"
	"github.com/countersign/countersign/sam/sad"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samtest"
	"github.com/countersign/countersign/signing"
)

// mutations changes each member of a SAD, by the name of its field.
var mutations = map[string]func(*sad.SAD){
	"Version":        func(s *sad.SAD) { s.Version = 2 },
	"Type":           func(s *sad.SAD) { s.Type = sad.TypeEnrol },
	"Issuer":         func(s *sad.SAD) { s.Issuer = "https://other.example" },
	"SID":            func(s *sad.SAD) { s.SID = store.NewID() },
	"Nonce":          func(s *sad.SAD) { s.Nonce = "A" + s.Nonce[1:] + "A" },
	"IssuedAt":       func(s *sad.SAD) { s.IssuedAt = s.IssuedAt.Add(-time.Second) },
	"Expires":        func(s *sad.SAD) { s.Expires = s.Expires.Add(time.Second) },
	"Signer":         func(s *sad.SAD) { s.Signer = "mallory" },
	"SignerName":     func(s *sad.SAD) { s.SignerName = "Mallory" },
	"Authenticators": func(s *sad.SAD) { s.Authenticators = append(s.Authenticators, "other") },
	"SCAL":           func(s *sad.SAD) { s.SCAL = 1 },
	"Assurance":      func(s *sad.SAD) { s.Assurance = "low" },
	"Credential":     func(s *sad.SAD) { s.Credential = "other" },
	"Key":            func(s *sad.SAD) { s.Key = samtest.Hash("other") },
	"Cert":           func(s *sad.SAD) { s.Cert = samtest.Hash("other") },
	"HashOID":        func(s *sad.SAD) { s.HashOID = signing.OIDSHA384 },
	"SignAlgos":      func(s *sad.SAD) { s.SignAlgos = append(s.SignAlgos, "other") },
	"Documents":      func(s *sad.SAD) { s.Documents[0].DTBSR = samtest.Hash("other") },
	"Party":          func(s *sad.SAD) { s.Party.Name = "Other" },
	"Path":           func(s *sad.SAD) { s.Path = []string{"https://between.example"} },
	"Request":        func(s *sad.SAD) { s.Request = samtest.Hash("other") },
	"Wysiwys":        func(s *sad.SAD) { s.Wysiwys = 1 },
}

// TestEveryMemberOfTheSADIsBound signs a SAD in which one member was changed, as
// somebody between module and device would have it, and then puts the changed SAD
// into the database as well.
func TestEveryMemberOfTheSADIsBound(t *testing.T) {
	t.Attr("control", "D13")
	t.Attr("control", "D11")
	t.Attr("control", "D23")
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{Limits: noLimits})
	p := r.Person(samtest.Wish{})
	for field := range reflect.TypeFor[sad.SAD]().Fields() {
		t.Run(field.Name, func(t *testing.T) {
			q := r.Request(p, samtest.Hash("x"))
			edit, ok := mutations[field.Name]
			if !ok {
				t.Fatal("no mutation of this member: add one")
			}
			changed, err := sad.Parse(q.Raw)
			if err != nil {
				t.Fatal(err)
			}
			edit(changed)
			other := *q
			if other.Raw, err = changed.Encode(); err != nil {
				t.Fatal(err)
			}
			if slices.Equal(other.Raw, q.Raw) {
				t.Fatal("nothing was changed")
			}
			_, err = r.Approve(t.Context(), q.SID, p.Yes(&other))
			refused(t, err, samapi.CodeAssertion)
			r.Exec(`UPDATE sam_request SET sad = $1 WHERE sid = $2`, other.Raw, q.SID)
			_, err = r.Approve(t.Context(), q.SID, p.Yes(&other))
			refused(t, err, samapi.CodeRecordTampered)
			r.Exec(`UPDATE sam_request SET sad = $1 WHERE sid = $2`, q.Raw, q.SID)
			if _, err := r.Approve(t.Context(), q.SID, p.Yes(q)); err != nil {
				t.Errorf("the true SAD: %v", err)
			}
			r.Exec(`UPDATE sam_request SET sad = $1 WHERE sid = $2`, other.Raw, q.SID)
			_, err = r.Sign(t.Context(), r.SignRequest(p, q, samtest.Hash("x")))
			refused(t, err, samapi.CodeRecordTampered)
		})
	}
}

func TestApprovalIsNotReplayedOrTransferred(t *testing.T) {
	t.Attr("control", "D02")
	t.Attr("control", "D07")
	for _, mechanism := range []string{samapi.DeviceKey, samapi.WebAuthn} {
		storetest.Each(t, func(t *testing.T, db *store.DB) {
			r := samtest.New(t, db, samtest.Config{Limits: noLimits})
			p := r.Person(samtest.Wish{Mechanism: mechanism})
			first, second := r.Request(p, samtest.Hash("x")), r.Request(p, samtest.Hash("x"))
			yes := p.Yes(first)
			if _, err := r.Approve(t.Context(), first.SID, yes); err != nil {
				t.Fatal(err)
			}
			_, err := r.Approve(t.Context(), first.SID, yes)
			refused(t, err, samapi.CodeSADInvalid)
			yes.Number = second.Number
			_, err = r.Approve(t.Context(), second.SID, yes)
			refused(t, err, samapi.CodeAssertion)
		})
	}
}

// TestSignatureOfAnotherKindIsNoApproval: what a device signed at enrolment, or
// over a SAD without the domain, is no approval.
func TestSignatureOfAnotherKindIsNoApproval(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{Limits: noLimits})
	p := r.Person(samtest.Wish{})
	q := r.Request(p, samtest.Hash("x"))
	sums := map[string][]byte{
		"without a domain": samtest.Hash(string(q.Raw)),
		"zero":             make([]byte, 32),
	}
	enrol := signing.Domain(samapi.DomainEnrol, q.Raw)
	sums["in the domain of enrolment"] = enrol[:]
	record := signing.Domain(signing.DomainKeyRecord, q.Raw)
	sums["in the domain of key records"] = record[:]
	for name, sum := range sums {
		t.Run(name, func(t *testing.T) {
			yes := p.Yes(q)
			yes.Signature = p.Device.Sign(sum)
			_, err := r.Approve(t.Context(), q.SID, yes)
			refused(t, err, samapi.CodeAssertion)
		})
	}
}

// TestKeyIsBoundToOneMechanism gives a signer a device of each mechanism; each key
// is approved with its own only.
func TestKeyIsBoundToOneMechanism(t *testing.T) {
	t.Attr("control", "D20")
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{Limits: noLimits})
	p := r.Person(samtest.Wish{Mechanism: samapi.DeviceKey})
	passkey := *p
	passkey.Mechanism = samapi.WebAuthn
	r.AddDevice(&passkey)
	q := r.Request(p, samtest.Hash("x"))
	if slices.Contains(q.SAD.Authenticators, passkey.Device.ID) {
		t.Error("the SAD names a device of the other mechanism")
	}
	_, err := r.Approve(t.Context(), q.SID, passkey.Yes(q))
	refused(t, err, samapi.CodeUnknownDevice)

	// A device key's signature dressed as an assertion, and the other way round.
	yes := passkey.Yes(q)
	yes.Authenticator = p.Device.ID
	_, err = r.Approve(t.Context(), q.SID, yes)
	refused(t, err, samapi.CodeAssertion)
	r.Certify(&passkey, samtest.Wish{})
	q = r.Request(&passkey, samtest.Hash("x"))
	yes = p.Yes(q)
	yes.Authenticator = passkey.Device.ID
	_, err = r.Approve(t.Context(), q.SID, yes)
	refused(t, err, samapi.CodeAssertion)
	if _, err := r.Approve(t.Context(), q.SID, passkey.Yes(q)); err != nil {
		t.Error(err)
	}
}

// TestAssertionsOfAWrongKind: phishing, another passkey's name, no user.
func TestAssertionsOfAWrongKind(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{})
	p := r.Person(samtest.Wish{Mechanism: samapi.WebAuthn})
	q := r.Request(p, samtest.Hash("x"))
	challenge := sad.Challenge(q.Raw)
	elsewhere := *p.Device
	elsewhere.Origin = "http://approve.localhost.mallory.example"
	otherRP := *p.Device
	otherRP.RPID = "mallory.example"
	named := p.Device.Assert(challenge[:])
	named.ID = samtest.Hash("another passkey")
	for name, yes := range map[string]samapi.Approval{
		"at a phishing page":         {WebAuthn: elsewhere.Assert(challenge[:])},
		"for another relying party":  {WebAuthn: otherRP.Assert(challenge[:])},
		"in another passkey's name":  {WebAuthn: named},
		"over something else":        {WebAuthn: p.Device.Assert(samtest.Hash("x"))},
		"a plain signature":          {Signature: p.Device.Sign(challenge[:])},
		"a plain signature with it":  {WebAuthn: p.Device.Assert(challenge[:]), Signature: p.Device.Sign(challenge[:])},
		"with a PIN that it has not": {WebAuthn: p.Device.Assert(challenge[:]), PIN: samtest.PIN},
		"nothing":                    {},
	} {
		yes.Authenticator, yes.Number = p.Device.ID, q.Number
		if _, err := r.Approve(t.Context(), q.SID, yes); fault.Of(err).Code != samapi.CodeAssertion {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := r.Approve(t.Context(), q.SID, p.Yes(q)); err != nil {
		t.Error(err)
	}
}

// TestDeviceThatTheSADDoesNotNameCannotApproveIt: a device that was enrolled later
// is the signer's own, and yet not one that this SAD was made for.
func TestDeviceThatTheSADDoesNotNameCannotApproveIt(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{})
	p := r.Person(samtest.Wish{})
	q := r.Request(p, samtest.Hash("x"))
	later := *p
	r.AddDevice(&later)
	_, err := r.Approve(t.Context(), q.SID, later.Yes(q))
	refused(t, err, samapi.CodeUnknownDevice)
	if _, err := r.Approve(t.Context(), q.SID, p.Yes(q)); err != nil {
		t.Error(err)
	}
}

func TestThirdWrongNumberRejects(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{Limits: noLimits})
		p := r.Person(samtest.Wish{})
		q := r.Request(p, samtest.Hash("x"))
		wrong := p.Yes(q)
		wrong.Number = samtest.Wrong(q.Number)
		for range 2 {
			_, err := r.Approve(t.Context(), q.SID, wrong)
			refused(t, err, samapi.CodeNumber)
		}
		_, err := r.Approve(t.Context(), q.SID, wrong)
		refused(t, err, samapi.CodeRejected)
		_, err = r.Approve(t.Context(), q.SID, p.Yes(q))
		refused(t, err, samapi.CodeRejected)
		if got := r.Events(q.SID); !slices.Equal(got, []string{"sad.created", "approval.failed", "approval.failed", "sad.rejected"}) {
			t.Errorf("events %v", got)
		}

		q = r.Request(p, samtest.Hash("x"))
		wrong = p.Yes(q)
		wrong.Number = samtest.Wrong(q.Number)
		var tried atomic.Int64
		var wg sync.WaitGroup
		for range 30 {
			wg.Go(func() {
				if _, err := r.Approve(t.Context(), q.SID, wrong); fault.Of(err).Code == samapi.CodeNumber {
					tried.Add(1)
				}
			})
		}
		wg.Wait()
		if tried.Load() != 2 {
			t.Errorf("of 30 parallel guesses %d were answered as wrong, want 2 and a rejection", tried.Load())
		}
	})
}

func TestWrongPINsLockAndBlockTheDevice(t *testing.T) {
	t.Attr("control", "C14")
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{Limits: noLimits})
		p := r.Person(samtest.Wish{})
		try := func(pin string) error {
			q := r.Request(p, samtest.Hash("x"))
			yes := p.Yes(q)
			yes.PIN = pin
			_, err := r.Approve(t.Context(), q.SID, yes)
			return err
		}
		wrong := samtest.Wrong(samtest.PIN)
		for range 4 {
			refused(t, try(wrong), samapi.CodePIN)
		}
		if err := try(samtest.PIN); err != nil {
			t.Fatalf("the right PIN after four wrong ones: %v", err)
		}
		for range 4 {
			refused(t, try(wrong), samapi.CodePIN) // counted from the beginning
		}
		refused(t, try(wrong), samapi.CodePINLocked)
		refused(t, try(samtest.PIN), samapi.CodePINLocked) // although it is right
		r.Restart()
		refused(t, try(samtest.PIN), samapi.CodePINLocked)
		r.Clock.Add(15*time.Minute + time.Second)
		for range 4 {
			refused(t, try(wrong), samapi.CodePIN)
		}
		refused(t, try(wrong), samapi.CodePINBlocked)
		r.Clock.Add(24 * time.Hour)
		refused(t, try(samtest.PIN), samapi.CodePINBlocked)
		events := r.Events("")
		if !slices.Contains(events, "device.locked") || !slices.Contains(events, "device.blocked") {
			t.Errorf("events %v", events)
		}
	})
}

// TestParallelPINGuessesAreAllCounted: with the stolen key file, hundred guesses at
// once are no more than five.
func TestParallelPINGuessesAreAllCounted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{Limits: noLimits})
		p := r.Person(samtest.Wish{})
		var answered atomic.Int64
		var wg sync.WaitGroup
		for range 40 {
			q := r.Request(p, samtest.Hash("x"))
			yes := p.Yes(q)
			yes.PIN = samtest.Wrong(samtest.PIN)
			wg.Go(func() {
				_, err := r.Approve(t.Context(), q.SID, yes)
				if c := fault.Of(err).Code; c == samapi.CodePIN {
					answered.Add(1)
				} else if c != samapi.CodePINLocked {
					t.Errorf("unexpected: %v", err)
				}
			})
		}
		wg.Wait()
		if answered.Load() != 4 {
			t.Errorf("%d guesses were answered before the lock, want 4", answered.Load())
		}
	})
}

// TestPINCounterCannotBePutBack: an old counter from a backup would give a thief
// new guesses.
func TestPINCounterCannotBePutBack(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{Limits: noLimits})
	p := r.Person(samtest.Wish{})
	q := r.Request(p, samtest.Hash("x"))
	wrong := p.Yes(q)
	wrong.PIN = samtest.Wrong(samtest.PIN)
	r.Exec(`CREATE TABLE kept AS SELECT * FROM sam_pin`)
	_, err := r.Approve(t.Context(), q.SID, wrong)
	refused(t, err, samapi.CodePIN)
	r.Exec(`UPDATE sam_pin SET failures = 0`)
	_, err = r.Approve(t.Context(), q.SID, wrong)
	refused(t, err, samapi.CodeRecordTampered)
	r.Exec(`DELETE FROM sam_pin`)
	_, err = r.Approve(t.Context(), q.SID, wrong)
	refused(t, err, samapi.CodeRecordTampered)
	r.Exec(`INSERT INTO sam_pin SELECT * FROM kept`)
	_, err = r.Approve(t.Context(), q.SID, wrong)
	refused(t, err, samapi.CodeRecordTampered)
}

func TestRevokedDeviceNeitherApprovesNorSigns(t *testing.T) {
	t.Attr("control", "C07")
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{Limits: noLimits})
		p := r.Person(samtest.Wish{})
		h := samtest.Hash("x")
		old := *p
		r.AddDevice(p) // a second one
		pending, approved := r.Request(&old, h), r.Approved(&old, h)
		revoke := func(device string) error {
			return r.RevokeDevice(t.Context(), r.Seal(samapi.DomainRevokeDevice, samapi.RevokeDevice{Order: r.Order(), Authenticator: device, Reason: "lost"}))
		}
		if err := revoke(old.Device.ID); err != nil {
			t.Fatal(err)
		}
		_, err := r.Approve(t.Context(), pending.SID, old.Yes(pending))
		refused(t, err, samapi.CodeDeviceRevoked)
		_, err = r.Sign(t.Context(), r.SignRequest(&old, approved, h))
		refused(t, err, samapi.CodeDeviceRevoked)
		refused(t, revoke(old.Device.ID), samapi.CodeDeviceRevoked)

		q := r.Approved(p, h) // the other device still works
		if slices.Contains(q.SAD.Authenticators, old.Device.ID) {
			t.Error("a new SAD names the revoked device")
		}
		if _, err := r.Sign(t.Context(), r.SignRequest(p, q, h)); err != nil {
			t.Fatal(err)
		}
		if err := revoke(p.Device.ID); err != nil { // the last one
			t.Fatal(err)
		}
		_, err = r.Begin(t.Context(), r.Intent(p, h))
		refused(t, err, samapi.CodeCredentialDisabled)
		list, err := r.Credentials(t.Context(), samapi.CredentialQuery{IDs: []string{p.Credential}})
		if err != nil || list[0].State != samapi.CredentialSuspended {
			t.Errorf("credential after its last device: %v, %v", list, err)
		}
		r.AddDevice(p)
		resume := samapi.CredentialState{Order: r.Order(), Credential: p.Credential, State: samapi.CredentialActive}
		if err := r.SetCredentialState(t.Context(), r.Seal(samapi.DomainCredentialState, resume)); err != nil {
			t.Fatal(err)
		}
		q = r.Approved(p, h)
		if _, err := r.Sign(t.Context(), r.SignRequest(p, q, h)); err != nil {
			t.Error(err)
		}
	})
}

func TestPendingRequestsAreLimited(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{})
		p := r.Person(samtest.Wish{})
		h := samtest.Hash("x")
		var begun atomic.Int64
		var wg sync.WaitGroup
		for range 40 {
			wg.Go(func() {
				_, err := r.Begin(t.Context(), r.Intent(p, h))
				if err == nil {
					begun.Add(1)
				} else if !errors.Is(err, fault.TooMany) {
					t.Errorf("unexpected: %v", err)
				}
			})
		}
		wg.Wait()
		if begun.Load() != 5 {
			t.Errorf("%d of 40 requests wait, want 5", begun.Load())
		}
		in := r.Intent(p, h)
		in.Client = "another"
		if _, err := r.Begin(t.Context(), in); err != nil {
			t.Errorf("another client: %v", err)
		}
		r.Clock.Add(301 * time.Second)
		if _, err := r.Begin(t.Context(), r.Intent(p, h)); err != nil {
			t.Errorf("after they expired: %v", err)
		}
	})
}

// TestWhatTheDeviceStatesIsRecordedAsItsWord: the device says that it recomputed
// the digests. The module cannot check that, and says so.
func TestWhatTheDeviceStatesIsRecordedAsItsWord(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{Limits: noLimits})
	p := r.Person(samtest.Wish{})
	for _, row := range []struct {
		name     string
		attrs    bool
		says     int
		recorded string
	}{
		{"nothing said", true, 0, `null`},
		{"recomputed", true, 2, `{"wysiwys":2}`},
		{"something unknown", true, 3, `null`},
		{"recomputed without attributes", false, 2, `null`},
	} {
		in := r.Intent(p, samtest.Hash(row.name))
		if row.attrs {
			doc := samtest.Hash(row.name)
			d := &in.Documents[0]
			d.SignedAttrs, d.DTBSR = samtest.Attributes{Digest: doc, CertDigest: samtest.Hash(string(p.Leaf.Raw))}.DER()
			d.DocHash = doc
		}
		q := r.Started(in)
		yes := p.Yes(q)
		yes.StatedWysiwys = row.says
		if _, err := r.Approve(t.Context(), q.SID, yes); err != nil {
			t.Fatal(err)
		}
		r.Events(q.SID)
		all, err := r.Audit.Records(t.Context(), audit.Filter{SID: q.SID})
		if err != nil || all[len(all)-1].Type != "sad.approved" {
			t.Fatalf("%d events, %v", len(all), err)
		}
		var said struct {
			SAD      []byte
			Evidence map[string]json.RawMessage
		}
		if err := json.Unmarshal(all[len(all)-1].Data, &said); err != nil {
			t.Fatal(err)
		}
		got := "null"
		if s := said.Evidence["statedByDevice"]; s != nil {
			got = string(s)
		}
		if got != row.recorded || said.Evidence["wysiwys"] != nil {
			t.Errorf("%s: recorded %s, want %s", row.name, got, row.recorded)
		}
		if s, err := sad.Parse(said.SAD); err != nil || (s.Wysiwys == 1) != row.attrs {
			t.Errorf("%s: the SAD's own level is %d, %v", row.name, s.Wysiwys, err)
		}
	}
	// The highest word of a device is no more than the module's own check.
	if _, err := sam.New(t.Context(), func() sam.Config { c := r.Config; c.Limits.MinWysiwys = 2; return c }()); err == nil {
		t.Error("a policy may demand what only the device says")
	}
}

package sam

import (
	"context"
	"crypto/hmac"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/sam/samapi"
)

// Bounds of what a device sees in its list.
const (
	inboxPending  = 50
	inboxFinished = 20
	inboxAge      = 30 * 24 * time.Hour
)

// Inbox shows a device the requests that it may approve, and those that ended.
func (m *Module) Inbox(ctx context.Context, secret string) (samapi.Inbox, error) {
	a, now, err := m.deviceOf(ctx, secret)
	if err != nil {
		return samapi.Inbox{}, err
	}
	who, err := m.signerByID(ctx, m.db, a.Signer)
	if err != nil {
		return samapi.Inbox{}, m.alarm(ctx, err)
	}
	in := samapi.Inbox{SignerName: who.Subject.CommonName, Pending: []samapi.Item{}, Finished: []samapi.Item{}, Device: samapi.Device{
		ID: a.ID, Signer: a.Signer, Name: a.Name, Mechanism: a.Mechanism, State: a.State, Enrolled: a.Enrolled,
	}}
	sids, err := m.strings(ctx, `SELECT sid FROM sam_request WHERE state = 'pending' AND signer = $1 AND expires > $2 ORDER BY issued, sid LIMIT $3`,
		a.Signer, store.Micros(now), inboxPending)
	if err != nil {
		return samapi.Inbox{}, fmt.Errorf("read inbox: %w", err)
	}
	if in.Pending, err = m.items(ctx, a, sids, now); err != nil {
		return samapi.Inbox{}, err
	}
	sids, err = m.strings(ctx, `SELECT sid FROM sam_request WHERE signer = $1 AND issued > $2 AND (state <> $3 OR expires <= $4) ORDER BY issued DESC, sid LIMIT $5`,
		a.Signer, store.Micros(now.Add(-inboxAge)), samapi.Pending, store.Micros(now), inboxFinished)
	if err != nil {
		return samapi.Inbox{}, fmt.Errorf("read inbox: %w", err)
	}
	in.Finished, err = m.items(ctx, a, sids, now)
	return in, err
}

// items are the requests among sids that name the device.
func (m *Module) items(ctx context.Context, a *authenticator, sids []string, now time.Time) ([]samapi.Item, error) {
	items := []samapi.Item{}
	for _, sid := range sids {
		r, err := m.requestByID(ctx, m.db, sid, now)
		if err != nil {
			return nil, m.alarm(ctx, err)
		}
		if !concerns(r, a) {
			continue
		}
		i := samapi.Item{
			SID: r.SID, State: browserState(r.state), Party: r.sad.Party.Name, Client: r.Client,
			Issued: r.Issued, Expires: r.Expires, Ended: r.ended, Reason: r.reason,
		}
		for _, d := range r.sad.Documents {
			i.Names = append(i.Names, d.Name)
		}
		items = append(items, i)
	}
	return items, nil
}

// concerns says whether the device is one of those that the request was made for.
func concerns(r *request, a *authenticator) bool {
	return r.Signer == a.Signer && r.sad.Signer == a.Signer && slices.Contains(r.sad.Authenticators, a.ID)
}

// browserState is a request's state to people: that hashes were spent is no
// business of theirs.
func browserState(state string) string {
	if state == samapi.Spent {
		return samapi.Approved
	}
	return state
}

// Pulse changes when the device's list does. It is cheap: it reads no records.
func (m *Module) Pulse(ctx context.Context, secret string) (string, error) {
	a, now, err := m.deviceOf(ctx, secret)
	if err != nil {
		return "", err
	}
	sids, err := m.strings(ctx, `SELECT sid FROM sam_request WHERE state = 'pending' AND signer = $1 AND expires > $2 ORDER BY sid`,
		a.Signer, store.Micros(now))
	if err != nil {
		return "", fmt.Errorf("read pulse: %w", err)
	}
	return strings.Join(sids, " "), nil
}

// StateOf is a request's state, for the holder of its view token.
func (m *Module) StateOf(ctx context.Context, sid, view string) (string, error) {
	r, _, err := m.viewed(ctx, sid, view)
	if err != nil {
		return "", err
	}
	return browserState(r.state), nil
}

// deviceRequest reads a request for a device's session. Of others it says nothing.
func (m *Module) deviceRequest(ctx context.Context, secret, sid string) (*authenticator, *request, time.Time, error) {
	a, now, err := m.deviceOf(ctx, secret)
	if err != nil {
		return nil, nil, now, err
	}
	r, err := m.requestByID(ctx, m.db, sid, now)
	if err != nil {
		return nil, nil, now, m.alarm(ctx, err)
	}
	if !concerns(r, a) {
		return nil, nil, now, errNoRequest()
	}
	return a, r, now, nil
}

// DeviceView shows a request to a device that may approve it, without the number:
// that is on the other screen.
func (m *Module) DeviceView(ctx context.Context, secret, sid string) (samapi.Shown, error) {
	_, r, _, err := m.deviceRequest(ctx, secret, sid)
	if err != nil {
		return samapi.Shown{}, err
	}
	s, err := m.shown(ctx, r)
	s.Number, s.Passkey = "", nil
	return s, err
}

// Shown is View with what a page says of key and way.
func (m *Module) Shown(ctx context.Context, sid, view string) (samapi.Shown, error) {
	r, _, err := m.viewed(ctx, sid, view)
	if err != nil {
		return samapi.Shown{}, err
	}
	return m.shown(ctx, r)
}

// macPhone makes the token of the phone's page from the request's id.
const macPhone = "countersign-sam-phone-v1"

// PhoneToken is what the code for the phone carries: it shows the request without
// its number, and is no way back to the gateway.
func (m *Module) PhoneToken(ctx context.Context, sid, view string) (string, error) {
	r, _, err := m.viewed(ctx, sid, view)
	if err != nil {
		return "", err
	}
	return m.phoneToken(ctx, r)
}

func (m *Module) phoneToken(ctx context.Context, r *request) (string, error) {
	mac, err := m.mac(ctx, macPhone, []string{r.SID})
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(mac[:16]), nil
}

// PhoneView shows a request to the phone that came by the code.
func (m *Module) PhoneView(ctx context.Context, sid, secret string) (samapi.Shown, error) {
	r, _, err := m.phoned(ctx, sid, secret)
	if err != nil {
		return samapi.Shown{}, err
	}
	s, err := m.shown(ctx, r)
	s.Number = ""
	return s, err
}

// PhoneState is a request's state, for the phone that came by the code.
func (m *Module) PhoneState(ctx context.Context, sid, secret string) (string, error) {
	r, _, err := m.phoned(ctx, sid, secret)
	if err != nil {
		return "", err
	}
	return browserState(r.state), nil
}

// PhoneReject ends a pending request in the name of that phone.
func (m *Module) PhoneReject(ctx context.Context, sid, secret, reason string) error {
	r, now, err := m.phoned(ctx, sid, secret)
	if err != nil {
		return err
	}
	if reason, err = cleanText(reason, maxReason); err != nil {
		return err
	}
	return m.tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		return m.reject(ctx, tx, r, now, "browser", reason)
	})
}

// phoned reads a request for the holder of its phone token.
func (m *Module) phoned(ctx context.Context, sid, secret string) (*request, time.Time, error) {
	now, err := m.clock.read()
	if err != nil {
		return nil, now, err
	}
	r, err := m.requestByID(ctx, m.db, sid, now)
	if err != nil {
		return nil, now, m.alarm(ctx, err)
	}
	want, err := m.phoneToken(ctx, r)
	if err != nil {
		return nil, now, err
	}
	if !hmac.Equal([]byte(want), []byte(secret)) {
		return nil, now, errNoRequest()
	}
	return r, now, nil
}

func (m *Module) shown(ctx context.Context, r *request) (samapi.Shown, error) {
	s := samapi.Shown{Request: viewOf(r), Client: r.Client, Gateway: r.Gateway}
	c, err := m.credentialByID(ctx, m.db, r.sad.Credential)
	if err != nil {
		return samapi.Shown{}, m.alarm(ctx, err)
	}
	s.Key = samapi.KeyFacts{Mechanism: c.Mechanism, Assurance: r.sad.Assurance, SCAL: r.sad.SCAL}
	h, err := m.holder(c)
	if err != nil {
		return samapi.Shown{}, err
	}
	s.Key.Holder, s.Key.NotAfter, s.Key.Qualified = h.leaf.Subject.CommonName, h.leaf.NotAfter, qualified(h)
	if c.Mechanism != samapi.WebAuthn || r.state != samapi.Pending {
		return s, nil
	}
	devices, err := m.authenticatorsOf(ctx, m.db, r.Signer, c.Mechanism)
	if err != nil {
		return samapi.Shown{}, m.alarm(ctx, err)
	}
	for _, a := range devices {
		if slices.Contains(r.sad.Authenticators, a.ID) {
			s.Passkey = append(s.Passkey, samapi.Passkey{Authenticator: a.ID, Handle: a.Handle, Name: a.Name})
		}
	}
	return s, nil
}

var (
	oidQCStatements = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3}
	oidQCCompliance = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 1}
)

// qualified says whether the certificate states to be qualified.
func qualified(h *holder) bool {
	for _, e := range h.leaf.Extensions {
		if !e.Id.Equal(oidQCStatements) {
			continue
		}
		var statements []asn1.RawValue
		if rest, err := asn1.Unmarshal(e.Value, &statements); err != nil || len(rest) > 0 {
			return false
		}
		for _, s := range statements {
			var id asn1.ObjectIdentifier
			if _, err := asn1.Unmarshal(s.Bytes, &id); err == nil && id.Equal(oidQCCompliance) {
				return true
			}
		}
	}
	return false
}

// OpenEnrolment shows an enrolment that can still be used.
func (m *Module) OpenEnrolment(ctx context.Context, id string) (samapi.OpenEnrolment, error) {
	now, err := m.clock.read()
	if err != nil {
		return samapi.OpenEnrolment{}, err
	}
	e, err := m.enrolmentByID(ctx, id)
	if err != nil {
		return samapi.OpenEnrolment{}, m.alarm(ctx, err)
	}
	var state string
	if err := m.db.QueryRow(ctx, `SELECT state FROM sam_enrolment WHERE id = $1`, e.ID).Scan(&state); err != nil {
		return samapi.OpenEnrolment{}, fmt.Errorf("read enrolment: %w", err)
	}
	if state != enrolmentOpen || !now.Before(e.Expires) {
		return samapi.OpenEnrolment{}, fault.New(fault.Expired, "this enrolment is used up or has expired; ask the registration authority for a new one").WithCode(samapi.CodeActivation)
	}
	return samapi.OpenEnrolment{ID: e.ID, Mechanism: e.Mechanism, Expires: e.Expires}, nil
}

package sam

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/sam/sad"
	"github.com/countersign/countersign/sam/samapi"
)

// request is a SAD and what became of it.
type request struct {
	fixed

	raw   []byte   // the SAD, exactly as the device gets it
	sad   *sad.SAD // parsed from raw
	state string
	ended time.Time

	reason   string
	approval approval
	assert   string // the assertion, as recorded
	mac      []byte // of the approval
	spent    string // one character for each document: 0 unspent, 1 spent
	returned bool
	held     *heldRequest // what does not change of it
}

// fixed is what does not change after Begin; the MAC holds it together.
type fixed struct {
	SID      string        `json:"sid"`
	SADHash  []byte        `json:"sadHash"`
	Number   string        `json:"number"`
	ViewHash []byte        `json:"viewHash"`
	Org      string        `json:"org"`
	Client   string        `json:"client"`
	Signer   string        `json:"signer"`
	Gateway  string        `json:"gateway"`
	Lang     string        `json:"lang"`
	Issued   time.Time     `json:"issued"`
	Expires  time.Time     `json:"expires"`
	Redeem   time.Duration `json:"redeem"`
}

// approval is what Approve adds to a request, under a MAC of its own: a row that
// says approved without the module having checked a device's assertion, PIN and
// number is worth nothing.
type approval struct {
	SID           string    `json:"sid"`
	SADHash       []byte    `json:"sadHash"`
	Authenticator string    `json:"authenticator"`
	Assertion     []byte    `json:"assertion"` // SHA-256
	Approved      time.Time `json:"approved"`
	RedeemUntil   time.Time `json:"redeemUntil"`
}

func (r *request) record() string { return "request/" + r.SID }

const selectRequest = `SELECT sid, sad, number, view_hash, org, client, signer, gateway, lang, issued, expires, redeem, mac,
	state, ended, reason, authenticator, assertion, redeem_until, approval_mac, spent, returned FROM sam_request `

func errNoRequest() error {
	return fault.New(fault.NotFound, "there is no such request").WithCode(samapi.CodeSADInvalid)
}

// requestByID reads a request and checks that what does not change is the module's
// own. A pending one whose time is over comes back expired.
func (m *Module) requestByID(ctx context.Context, q store.Querier, sid string, now time.Time) (*request, error) {
	var (
		s                      requestRow
		r                      request
		ended, until, returned int64
	)
	err := q.QueryRow(ctx, selectRequest+`WHERE sid = $1`, sid).Scan(&s.sid, &s.sad, &s.number, &s.viewHash, &s.org, &s.client,
		&s.signer, &s.gateway, &s.lang, &s.issued, &s.expires, &s.redeem, &s.mac,
		&r.state, &ended, &r.reason, &r.approval.Authenticator, &r.assert, &until, &r.mac, &r.spent, &returned)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errNoRequest()
	}
	if err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	if r.held, err = m.readRequest(ctx, &s); err != nil {
		return nil, err
	}
	r.fixed, r.raw, r.sad = r.held.fixed, r.held.raw, r.held.sad
	r.ended, r.returned = store.Time(ended), returned != 0
	if len(r.spent) != len(r.sad.Documents) || strings.Trim(r.spent, "01") != "" {
		return nil, tampered(r.record(), "its count of spent hashes is unreadable")
	}
	said := sha256.Sum256([]byte(r.assert))
	r.approval = approval{
		SID: r.SID, SADHash: r.SADHash, Authenticator: r.approval.Authenticator,
		Assertion: said[:], Approved: r.ended, RedeemUntil: store.Time(until),
	}
	if r.state == samapi.Pending && !now.Before(r.Expires) {
		r.state, r.ended = samapi.Expired, r.Expires
	}
	return &r, nil
}

// requestRow is what does not change of a request, as it is stored.
type requestRow struct {
	sid, sad, number, viewHash, org, client, signer, gateway, lang, mac string
	issued, expires, redeem                                             int64
}

// heldRequest is a row and what was made of it.
type heldRequest struct {
	row   requestRow
	fixed fixed
	raw   []byte
	sad   *sad.SAD

	approval atomic.Pointer[approvalRow] // the last whose MAC was right
}

// approvalRow is an approval as it is stored.
type approvalRow struct {
	authenticator, assert, mac string
	approved, until            int64
}

// readRequest checks the MAC of a stored request and parses its SAD.
func (m *Module) readRequest(ctx context.Context, s *requestRow) (*heldRequest, error) {
	known, ok := m.memory.requests.get(s.sid)
	if ok && known.row == *s {
		return known, nil
	}
	h := &heldRequest{row: *s, raw: []byte(s.sad)}
	sum := sha256.Sum256(h.raw)
	h.fixed = fixed{
		SID: s.sid, SADHash: sum[:], Number: s.number, ViewHash: []byte(s.viewHash), Org: s.org, Client: s.client,
		Signer: s.signer, Gateway: s.gateway, Lang: s.lang, Issued: store.Time(s.issued), Expires: store.Time(s.expires),
		Redeem: time.Duration(s.redeem) * time.Microsecond,
	}
	record := "request/" + s.sid
	if err := m.verify(ctx, macRequest, record, &h.fixed, []byte(s.mac)); err != nil {
		return nil, err
	}
	var err error
	if h.sad, err = sad.Parse(h.raw); err != nil {
		return nil, tampered(record, "its SAD is unreadable")
	}
	if len(h.raw) <= maxHeldSAD {
		m.memory.requests.keep(s.sid, h)
	}
	return h, nil
}

// approved says whether the module itself approved the request.
func (m *Module) approved(ctx context.Context, r *request) error {
	row := approvalRow{r.approval.Authenticator, r.assert, string(r.mac), store.Micros(r.approval.Approved), store.Micros(r.approval.RedeemUntil)}
	if known := r.held.approval.Load(); known != nil && *known == row {
		return nil
	}
	if err := m.verify(ctx, macApproval, r.record(), &r.approval, r.mac); err != nil {
		return err
	}
	r.held.approval.Store(&row)
	return nil
}

func (m *Module) insertRequest(ctx context.Context, tx *store.Tx, r *request) error {
	mac, err := m.mac(ctx, macRequest, &r.fixed)
	if err != nil {
		return err
	}
	none := []byte{}
	_, err = tx.Exec(ctx, `INSERT INTO sam_request (sid, sad, number, view_hash, org, client, signer, gateway, lang, issued, expires, redeem, mac,
		state, ended, reason, tries, failures, authenticator, assertion, redeem_until, approval_mac, spent, handle_hash, returned)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0, '', 0, 0, '', '', 0, $15, $16, $17, 0)`,
		r.SID, r.raw, r.Number, r.ViewHash, r.Org, r.Client, r.Signer, r.Gateway, r.Lang,
		store.Micros(r.Issued), store.Micros(r.Expires), r.Redeem.Microseconds(), mac,
		samapi.Pending, none, r.spent, none)
	if err != nil {
		return fmt.Errorf("insert request: %w", err)
	}
	if len(r.raw) <= maxHeldSAD {
		m.memory.requests.keep(r.SID, &heldRequest{fixed: r.fixed, raw: r.raw, sad: r.sad, row: requestRow{
			sid: r.SID, sad: string(r.raw), number: r.Number, viewHash: string(r.ViewHash), org: r.Org, client: r.Client,
			signer: r.Signer, gateway: r.Gateway, lang: r.Lang, mac: string(mac),
			issued: store.Micros(r.Issued), expires: store.Micros(r.Expires), redeem: r.Redeem.Microseconds(),
		}})
	}
	return nil
}

// token makes a secret for a URL, 128 random bits, and the hash that is stored.
func token() (secret string, hash []byte) {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	secret = base64.RawURLEncoding.EncodeToString(b[:])
	sum := sha256.Sum256([]byte(secret))
	return secret, sum[:]
}

func matches(secret string, hash []byte) bool {
	sum := sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(sum[:], hash) == 1
}

// viewed reads a request for the holder of its view token. Without it, nobody
// learns that the request exists.
func (m *Module) viewed(ctx context.Context, sid, view string) (*request, time.Time, error) {
	now, err := m.clock.read()
	if err != nil {
		return nil, now, err
	}
	r, err := m.requestByID(ctx, m.db, sid, now)
	if err != nil {
		return nil, now, m.alarm(ctx, err)
	}
	if !matches(view, r.ViewHash) {
		return nil, now, errNoRequest()
	}
	return r, now, nil
}

// View shows a request to the browser that started it.
func (m *Module) View(ctx context.Context, sid, view string) (samapi.Request, error) {
	r, _, err := m.viewed(ctx, sid, view)
	if err != nil {
		return samapi.Request{}, err
	}
	return viewOf(r), nil
}

func viewOf(r *request) samapi.Request {
	out := samapi.Request{
		SID: r.SID, State: browserState(r.state), Issued: r.Issued, Expires: r.Expires, Ended: r.ended,
		Party: r.sad.Party.Name, SignerName: r.sad.SignerName, Reason: r.reason, Lang: r.Lang,
		SAD: r.raw, Returned: r.returned,
	}
	for _, d := range r.sad.Documents {
		out.Names = append(out.Names, d.Name)
	}
	if r.state == samapi.Pending {
		out.Number = r.Number
	}
	return out
}

// Return says where the browser goes once the request has its final state: the
// gateway's registered URL, with a handle that is good once. A handle that was not
// redeemed yet is replaced.
func (m *Module) Return(ctx context.Context, sid, view string) (string, error) {
	r, now, err := m.viewed(ctx, sid, view)
	if err != nil {
		return "", err
	}
	if r.state == samapi.Pending {
		return "", fault.New(fault.Conflict, "the request is not decided yet").WithCode(samapi.CodeUnfinished)
	}
	to, hash, err := m.wayBack(ctx, m.db, r)
	if err != nil {
		return "", m.alarm(ctx, err)
	}
	if err := m.expire(ctx, r, now); err != nil {
		return "", err
	}
	n, err := m.db.Exec(ctx, `UPDATE sam_request SET handle_hash = $1 WHERE sid = $2 AND returned = 0`, hash, r.SID)
	if err != nil {
		return "", fmt.Errorf("write handle: %w", err)
	}
	if n != 1 {
		return "", fault.New(fault.Conflict, "this request has ended and its way back was used").WithCode(samapi.CodeHandle)
	}
	return to, nil
}

// wayBack is the address at the gateway with a new handle, and the handle's hash.
func (m *Module) wayBack(ctx context.Context, q store.Querier, r *request) (to string, hash []byte, err error) {
	g, err := m.gatewayByIssuer(ctx, q, r.Gateway)
	if err != nil {
		return "", nil, err
	}
	back, err := url.Parse(g.ReturnURL)
	if err != nil {
		return "", nil, fmt.Errorf("return URL of %s: %w", g.Issuer, err)
	}
	handle, hash := token()
	query := back.Query()
	query.Set("sid", r.SID)
	query.Set("handle", handle)
	back.RawQuery = query.Encode()
	return back.String(), hash, nil
}

// expire writes down that a request has expired, once.
func (m *Module) expire(ctx context.Context, r *request, now time.Time) error {
	if r.state != samapi.Expired {
		return nil
	}
	return m.tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE sam_request SET state = $1, ended = expires WHERE sid = $2 AND state = $3 AND expires <= $4`,
			samapi.Expired, r.SID, samapi.Pending, store.Micros(now))
		if err != nil || n == 0 {
			return err
		}
		return m.audit.Append(ctx, tx, audit.Event{
			Type: eventSADExpired, Subject: r.sad.Credential, Actor: actorSelf, SID: r.SID, Outcome: audit.Failure,
		})
	})
}

// Outcome redeems the handle with which the approval page sent the browser back.
// It is good once.
func (m *Module) Outcome(ctx context.Context, sid, handle string) (samapi.Outcome, error) {
	now, err := m.clock.read()
	if err != nil {
		return samapi.Outcome{}, err
	}
	var out samapi.Outcome
	err = m.tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		out, err = m.outcome(ctx, tx, sid, handle, now)
		return err
	})
	if err != nil {
		return samapi.Outcome{}, m.alarm(ctx, err)
	}
	return out, nil
}

func (m *Module) outcome(ctx context.Context, tx *store.Tx, sid, handle string, now time.Time) (samapi.Outcome, error) {
	r, err := m.requestByID(ctx, tx, sid, now)
	if err != nil {
		return samapi.Outcome{}, err
	}
	sum := sha256.Sum256([]byte(handle))
	n, err := tx.Exec(ctx, `UPDATE sam_request SET returned = $1, handle_hash = $2 WHERE sid = $3 AND handle_hash = $4 AND returned = 0`,
		store.Micros(now), []byte{}, r.SID, sum[:])
	if err != nil {
		return samapi.Outcome{}, fmt.Errorf("redeem handle: %w", err)
	}
	if n != 1 {
		return samapi.Outcome{}, fault.New(fault.Forbidden, "the handle is unknown or was used before").WithCode(samapi.CodeHandle)
	}
	out := samapi.Outcome{SID: r.SID, State: r.state, Client: r.Client, Credential: r.sad.Credential, Expires: r.Expires, Reason: r.reason}
	if r.state == samapi.Approved || r.state == samapi.Spent {
		if err := m.approved(ctx, r); err != nil {
			return samapi.Outcome{}, err
		}
		out.State, out.Signer, out.Count, out.Expires = samapi.Approved, r.Signer, len(r.sad.Documents), r.approval.RedeemUntil
	}
	return out, nil
}

// Reject ends a pending request in the name of the browser that started it.
func (m *Module) Reject(ctx context.Context, sid, view, reason string) error {
	r, now, err := m.viewed(ctx, sid, view)
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

func (m *Module) reject(ctx context.Context, tx *store.Tx, r *request, now time.Time, actor, reason string) error {
	n, err := tx.Exec(ctx, `UPDATE sam_request SET state = $1, ended = $2, reason = $3 WHERE sid = $4 AND state = $5 AND expires > $2`,
		samapi.Rejected, store.Micros(now), reason, r.SID, samapi.Pending)
	if err != nil {
		return fmt.Errorf("reject: %w", err)
	}
	if n != 1 {
		return errDecided(r)
	}
	return m.audit.Append(ctx, tx, audit.Event{
		Type: eventSADRejected, Subject: r.sad.Credential, Actor: actor, SID: r.SID, Outcome: audit.Failure,
		Data: map[string]string{"reason": reason},
	})
}

// errDecided says why a request can no longer be approved or rejected.
func errDecided(r *request) error {
	switch r.state {
	case samapi.Expired:
		return fault.New(fault.Expired, "the request has expired; nothing was signed").WithCode(samapi.CodeSADExpired)
	case samapi.Rejected:
		return fault.New(fault.Conflict, "the request was rejected").WithCode(samapi.CodeRejected)
	}
	return fault.New(fault.Conflict, "the request is decided already").WithCode(samapi.CodeSADInvalid)
}

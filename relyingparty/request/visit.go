package request

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/relyingparty/notify"
)

func errLink() error {
	return fault.New(fault.NotFound, "this link is not known, or no longer: ask the sender for another").WithCode(CodeLink)
}

func errVisit() error {
	return fault.New(fault.Unauthenticated, "open the link of your invitation again").WithCode(CodeVisit)
}

func errWorking() error {
	return fault.New(fault.Conflict, "you have said yes already; the signatures are being made").WithCode(CodeWorking)
}

// code is what the database holds of the one-time code that was sent last.
type code struct {
	salt   string
	tries  int
	ends   time.Time
	orders int
	window time.Time // when the first of the orders was made
}

// byLink finds the signer of a link.
func (s *Service) byLink(ctx context.Context, q store.Querier, link string) (Request, *Signer, code, error) {
	var (
		id, request                       string
		c                                 code
		tries, ends, orders, windowBegins int64
	)
	err := q.QueryRow(ctx, `SELECT id, request_id, code_salt, code_tries, code_ends, code_orders, code_window FROM request_signer WHERE link_hash = $1`, hashOf(link)).
		Scan(&id, &request, &c.salt, &tries, &ends, &orders, &windowBegins)
	if errors.Is(err, sql.ErrNoRows) {
		return Request{}, nil, code{}, errLink()
	}
	if err != nil {
		return Request{}, nil, code{}, fmt.Errorf("find link: %w", err)
	}
	c.tries, c.ends, c.orders, c.window = int(tries), store.Time(ends), int(orders), store.Time(windowBegins)
	r, err := s.load(ctx, q, request)
	if err != nil {
		return Request{}, nil, code{}, err
	}
	if r.State == Draft || (r.State.Final() && s.now().After(r.Ended.Add(s.config.Policy.Keep))) {
		return Request{}, nil, code{}, errLink() // never sent, or its results are kept no longer
	}
	return r, r.signer(id), c, nil
}

// landing says what a signer's link shows.
func landingState(r Request, g *Signer) LandingState {
	switch r.State { //nolint:exhaustive // while it runs, the signer's state decides
	case Completed:
		return LandCompleted
	case Rejected:
		return LandRejected
	case Withdrawn:
		return LandWithdrawn
	case Expired:
		return LandExpired
	case Stopped:
		return LandStopped
	}
	switch g.State { //nolint:exhaustive // in the others it is their turn
	case Waiting:
		return LandNotYet
	case Signing:
		return LandWorking
	case Signed:
		return LandSigned
	}
	return LandSign
}

// visible says whether documents may be shown to a signer at all.
func (l LandingState) visible() bool {
	return slices.Contains([]LandingState{LandSign, LandWorking, LandSigned, LandCompleted}, l)
}

// Landing says what a link shows. It changes nothing, so that mail scanners that
// open links do no harm.
func (s *Service) Landing(ctx context.Context, link string) (Landing, error) {
	r, g, c, err := s.byLink(ctx, s.config.DB, link)
	if err != nil {
		return Landing{}, err
	}
	return s.landing(r, g, c), nil
}

func (s *Service) landing(r Request, g *Signer, c code) Landing {
	p := s.config.Policy
	l := Landing{
		Signer: g.ID, Name: g.Name, Lang: g.Lang, State: landingState(r, g), Sender: r.Sender, Email: r.Email, Org: r.Org,
		Deadline: r.Deadline, Step: g.Position, Steps: len(r.Signers), Reason: r.Reason, By: r.By, Factor: g.Factor,
		Length: p.CodeLength, Digits: strings.Trim(p.CodeAlphabet, "0123456789") == "",
	}
	switch g.Factor {
	case NoFactor:
	case MailCode:
		l.SentTo = mask(g.Email)
	case SMSCode:
		l.SentTo = mask(g.Phone)
	}
	now := s.now()
	if c.salt != "" && c.tries > 0 && now.Before(c.ends) {
		l.CodeEnds, l.CodeTries = c.ends, c.tries
	}
	if again := c.window.Add(p.CodeWindow); c.orders >= p.CodeOrders && now.Before(again) {
		l.Again = again
	}
	return l
}

// mask shows enough of an address or number to recognise one's own.
func mask(to string) string {
	local, host, isMail := strings.Cut(to, "@")
	if isMail {
		r := []rune(local)
		return string(r[:1]) + "•••@" + host
	}
	if len(to) < 6 {
		return "•••"
	}
	return to[:3] + " ••• ••" + to[len(to)-2:]
}

// SendCode sends a one-time code by the signer's second channel. The code before
// is void.
func (s *Service) SendCode(ctx context.Context, link string, v Visitor) error {
	var request string
	err := s.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		r, g, c, err := s.byLink(ctx, tx, link)
		if err != nil {
			return err
		}
		request = r.ID
		if g.Factor == NoFactor {
			return nil
		}
		if l := landingState(r, g); !l.visible() {
			return notVisible(r, l)
		}
		return s.newCode(ctx, tx, r, g, c, v)
	})
	if err == nil {
		s.changed(request)
	}
	return err
}

// newCode replaces a signer's code and sends it.
func (s *Service) newCode(ctx context.Context, tx *store.Tx, r Request, g *Signer, c code, v Visitor) error {
	p, now := s.config.Policy, s.now()
	if !now.Before(c.window.Add(p.CodeWindow)) {
		c.orders, c.window = 0, now
	}
	if c.orders >= p.CodeOrders {
		return fault.New(fault.TooMany, "%d codes were ordered; the next can be ordered from %s on", c.orders,
			c.window.Add(p.CodeWindow).Format("15:04 UTC")).WithCode(CodeTooSoon)
	}
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	salt, ends := base64.RawURLEncoding.EncodeToString(b), now.Add(p.CodeLife)
	_, err := tx.Exec(ctx, `UPDATE request_signer SET code_salt = $1, code_tries = $2, code_ends = $3, code_orders = $4, code_window = $5 WHERE id = $6`,
		salt, p.CodeTries, store.Micros(ends), c.orders+1, store.Micros(c.window), g.ID)
	if err != nil {
		return fmt.Errorf("order code: %w", err)
	}
	m := s.message(r, notify.Code)
	m.Title, m.Reason, m.Who = "", "", ""
	m.To, m.ToName, m.Lang, m.Deadline = g.Email, g.Name, g.Lang, ends
	m.Code = s.secrets.code(g.ID, salt, p.CodeAlphabet, p.CodeLength)
	to := g.Email
	if g.Factor == SMSCode {
		m.Channel, m.To, to = notify.SMS, g.Phone, g.Phone
	}
	if err := s.record(ctx, tx, r.Org, r.ID, EventCodeSent, g.ID, g.actor(v), "channel", string(g.Factor), "to", mask(to)); err != nil {
		return err
	}
	_, err = s.config.Outbox.Queue(ctx, tx, m)
	return err
}

func notVisible(r Request, l LandingState) error {
	if l == LandNotYet {
		return fault.New(fault.Forbidden, "it is not your turn yet; you will get a message when it is").WithCode(CodeNotYourTurn)
	}
	return errClosed(r)
}

func errClosed(r Request) error {
	return fault.New(fault.Conflict, "the request is closed: it is %s", r.State).WithCode(CodeClosed)
}

// Enter begins a visit: text is the one-time code, empty for signers without a
// second factor. The secret that comes back is for a cookie (HttpOnly,
// SameSite=Lax) named after Landing.Signer. A link before its turn, or of a request
// that was closed, gives none. A code is good once.
func (s *Service) Enter(ctx context.Context, link, text string, v Visitor) (visit string, err error) {
	var (
		refused error
		request string
	)
	err = s.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		refused, visit = nil, ""
		r, g, c, err := s.byLink(ctx, tx, link)
		if err != nil {
			return err
		}
		request = r.ID
		if l := landingState(r, g); !l.visible() {
			return notVisible(r, l)
		}
		if g.Factor != NoFactor {
			if refused, err = s.checkCode(ctx, tx, r, g, c, text, v); err != nil || refused != nil {
				return err // what was counted is kept
			}
		}
		visit = newToken()
		if _, err := tx.Exec(ctx, `INSERT INTO request_visit (hash, org_id, signer_id, ends) VALUES ($1, $2, $3, $4)`,
			hashOf(visit), r.Org, g.ID, store.Micros(s.now().Add(s.config.Policy.VisitLife))); err != nil {
			return fmt.Errorf("begin visit: %w", err)
		}
		return s.opened(ctx, tx, r, g, v)
	})
	if err != nil {
		return "", err
	}
	s.changed(request)
	return visit, refused
}

// checkCode compares a code. The try is counted first: guesses at the same time are
// counted one after the other.
func (s *Service) checkCode(ctx context.Context, tx *store.Tx, r Request, g *Signer, c code, text string, v Visitor) (refused, err error) {
	if c.salt == "" || !s.now().Before(c.ends) {
		return fault.New(fault.Expired, "no code is good any more; order another").WithCode(CodeNoCode), nil
	}
	counted, err := once(tx.Exec(ctx, `UPDATE request_signer SET code_tries = code_tries - 1 WHERE id = $1 AND code_salt = $2 AND code_tries > 0`, g.ID, c.salt))
	if err != nil {
		return nil, err
	}
	if !counted {
		return fault.New(fault.TooMany, "the code was wrong too often; order another").WithCode(CodeBlocked), nil
	}
	want := s.secrets.code(g.ID, c.salt, s.config.Policy.CodeAlphabet, s.config.Policy.CodeLength)
	got := strings.NewReplacer(" ", "", "-", "").Replace(strings.TrimSpace(text))
	if subtle.ConstantTimeCompare([]byte(want), []byte(got)) == 1 {
		if _, err := tx.Exec(ctx, `UPDATE request_signer SET code_salt = '', code_tries = 0, code_ends = 0 WHERE id = $1`, g.ID); err != nil {
			return nil, fmt.Errorf("use code: %w", err)
		}
		return nil, s.record(ctx, tx, r.Org, r.ID, EventCodeRight, g.ID, g.actor(v), "channel", string(g.Factor))
	}
	left := c.tries - 1
	if left <= 0 {
		return fault.New(fault.TooMany, "the code was wrong too often; order another").WithCode(CodeBlocked),
			s.record(ctx, tx, r.Org, r.ID, EventCodeBlocked, g.ID, g.actor(v))
	}
	return fault.New(fault.Forbidden, "this is not the code that was sent; %d tries are left", left).WithCode(CodeWrongCode),
		s.record(ctx, tx, r.Org, r.ID, EventCodeWrong, g.ID, g.actor(v), "left", strconv.Itoa(left))
}

// opened records that a signer came, once.
func (s *Service) opened(ctx context.Context, tx *store.Tx, r Request, g *Signer, v Visitor) error {
	first, err := once(tx.Exec(ctx, `UPDATE request_signer SET state = $1, opened = $2 WHERE id = $3 AND state = $4`,
		string(Opened), store.Micros(s.config.Now()), g.ID, string(Invited)))
	if err != nil || !first {
		return err
	}
	return s.record(ctx, tx, r.Org, r.ID, EventOpened, g.ID, g.actor(v))
}

// visitor finds request and signer of a visit.
func (s *Service) visitor(ctx context.Context, q store.Querier, visit string) (Request, *Signer, error) {
	var (
		signer, request string
		ends            int64
	)
	err := q.QueryRow(ctx, `SELECT v.signer_id, v.ends, g.request_id FROM request_visit v JOIN request_signer g ON g.id = v.signer_id WHERE v.hash = $1`, hashOf(visit)).
		Scan(&signer, &ends, &request)
	if errors.Is(err, sql.ErrNoRows) || (err == nil && !s.now().Before(store.Time(ends))) {
		return Request{}, nil, errVisit()
	}
	if err != nil {
		return Request{}, nil, fmt.Errorf("find visit: %w", err)
	}
	r, err := s.load(ctx, q, request)
	if err != nil {
		return Request{}, nil, err
	}
	g := r.signer(signer)
	if r.State.Final() && s.now().After(r.Ended.Add(s.config.Policy.Keep)) {
		return Request{}, nil, errLink()
	}
	if l := landingState(r, g); !l.visible() {
		return Request{}, nil, notVisible(r, l)
	}
	return r, g, nil
}

// Visit shows what the signer sees. link may be empty; if it is given, the visit
// must be its own (CodeVisit otherwise).
func (s *Service) Visit(ctx context.Context, link, visit string) (View, error) {
	r, g, err := s.visitor(ctx, s.config.DB, visit)
	if err != nil {
		return View{}, err
	}
	if link != "" && subtle.ConstantTimeCompare([]byte(link), []byte(s.secrets.link(g.ID))) != 1 {
		return View{}, errVisit()
	}
	view := View{Landing: s.landing(r, g, code{}), Title: r.Title, Message: r.Message, Documents: r.Documents, Me: *g, Log: r.Log != "", Seq: r.Seq}
	for _, o := range r.Signers {
		o.Email, o.Phone, o.Credential, o.Problem, o.Code = "", "", "", "", ""
		view.Signers = append(view.Signers, o)
	}
	return view, nil
}

// Viewed records that the documents were shown, once per signer.
func (s *Service) Viewed(ctx context.Context, visit string, v Visitor) error {
	r, g, err := s.visitor(ctx, s.config.DB, visit)
	if err != nil {
		return err
	}
	err = s.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		first, err := once(tx.Exec(ctx, `UPDATE request_signer SET viewed = $1 WHERE id = $2 AND viewed = 0`, store.Micros(s.config.Now()), g.ID))
		if err != nil || !first {
			return err
		}
		return s.record(ctx, tx, r.Org, r.ID, EventViewed, g.ID, g.actor(v))
	})
	if err == nil {
		s.changed(r.ID)
	}
	return err
}

// OpenVisit opens the current revision of a document, or the log, for a signer.
// That it was handed out is in the log of the request.
func (s *Service) OpenVisit(ctx context.Context, visit, document string, v Visitor) (*Download, error) {
	r, g, err := s.visitor(ctx, s.config.DB, visit)
	if err != nil {
		return nil, err
	}
	d, err := s.open(ctx, r, document)
	if err != nil {
		return nil, err
	}
	err = s.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		return s.record(ctx, tx, r.Org, r.ID, EventDownloaded, g.ID, g.actor(v), "document", d.Name, "sha256", d.SHA256)
	})
	if err != nil {
		return nil, errors.Join(err, d.File.Close())
	}
	s.changed(r.ID)
	return d, nil
}

// WatchVisit is Watch for a signer. Addresses of the network and of people are left
// out.
func (s *Service) WatchVisit(ctx context.Context, visit string, after int64) (<-chan Event, error) {
	r, _, err := s.visitor(ctx, s.config.DB, visit)
	if err != nil {
		return nil, err
	}
	return s.watch(ctx, r.ID, after, func(e Event) Event {
		e.Address = ""
		delete(e.Data, "to")
		return e
	}), nil
}

// Purge forgets visits that ended.
func (s *Service) Purge(ctx context.Context) error {
	if _, err := s.config.DB.Exec(ctx, `DELETE FROM request_visit WHERE ends < $1`, store.Micros(s.config.Now())); err != nil {
		return fmt.Errorf("purge visits: %w", err)
	}
	return nil
}

package request

import (
	"context"
	"crypto/x509"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/jobs"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/relyingparty/documents"
	"github.com/countersign/countersign/relyingparty/notify"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Codes of the faults of this package; each has a text of its own for people.
const (
	CodeLink        = "link_unknown"       // no such link
	CodeNotYourTurn = "not_your_turn"      // signers before have not signed
	CodeClosed      = "request_closed"     // rejected, withdrawn, expired, stopped or completed: see Landing
	CodeSigned      = "already_signed"     // by this signer
	CodeWorking     = "already_signing"    // said yes already; the signatures are being made
	CodeVisit       = "visit_ended"        // open the link again
	CodeWrongCode   = "code_wrong"         // the detail says how many tries are left
	CodeNoCode      = "code_none"          // none was sent, it ran out, or it was used: order another
	CodeBlocked     = "code_blocked"       // too many wrong tries: order another
	CodeTooSoon     = "code_too_soon"      // too many codes ordered; the detail says when
	CodeState       = "request_state"      // not possible in this state
	CodeIncomplete  = "draft_incomplete"   // the detail names what is missing
	CodeSigner      = "signer_wrong"       // a signer's data; the detail names signer and field
	CodeReminder    = "reminder_too_soon"  // the detail says when
	CodeReason      = "reason_missing"     // a reason is asked for, or is too long
	CodeTooMany     = "too_many_documents" //
	CodeNoSMS       = "sms_unavailable"
	CodeNoKey       = "no_personal_key" // no credential of the signing service is known for this signer
	CodeReturn      = "return_unknown"  // the way back from the approval does not belong to this visit
	CodeService     = "signing_unavailable"
)

// LinkPath is where links lead, below Config.BaseURL, followed by the link's secret.
const LinkPath = "/s/"

// ReturnPath is where the approval page sends browsers back to, below
// Config.BaseURL: it is to be registered as the client's redirect address.
const ReturnPath = "/returned"

// SenderPath is where messages to senders lead, below Config.BaseURL, followed by
// the request's id.
const SenderPath = "/requests/"

// Policy are an organisation's settings; zero values are the defaults.
type Policy struct {
	CodeLength   int           // of one-time codes; default 6, 4 to 12
	CodeAlphabet string        // default "0123456789"; at least 10 different letters
	CodeTries    int           // per code; default 5
	CodeLife     time.Duration // default 10 min
	CodeOrders   int           // codes a signer may order within CodeWindow; default 5
	CodeWindow   time.Duration // default 2 h
	VisitLife    time.Duration // of a browser that showed the code; default 12 h
	Remind       time.Duration // least time between two reminders; default 24 h
	Deadline     time.Duration // longest way to a deadline; default 90 days
	Keep         time.Duration // links show results for so long after the end; default 30 days
	Documents    int           // most documents; default 20
	Signers      int           // most signers; default 20
}

// Config is what New needs; all but Policy, Now and Log are required.
type Config struct {
	DB        *store.DB
	Jobs      *jobs.Queue
	Documents *documents.Store
	Outbox    *notify.Outbox
	// Seal puts the organisation's seal on files; Personal signs with the keys of
	// signers. *signer.Signer makes both.
	Seal     Seal
	Personal PersonalKeys
	// Anchors are what signatures in stored files must validate with.
	Anchors []*x509.Certificate
	// Secret is random, at least 32 bytes: links and codes are derived from it.
	Secret []byte
	// BaseURL is the portal's address without a path.
	BaseURL string
	// OrgName is the organisation's name, in messages and in the log.
	OrgName string
	Policy  Policy
	Now     func() time.Time
	Log     *slog.Logger
}

// Service keeps requests. All methods may be called at once.
type Service struct {
	config  Config
	secrets secrets
	feed    feed
	work    string // folder of files under way
}

// New brings the tables up to date and registers the jobs with the queue.
func New(ctx context.Context, c Config) (*Service, error) {
	switch {
	case c.DB == nil || c.Jobs == nil || c.Documents == nil || c.Outbox == nil:
		return nil, errors.New("open requests: a database, jobs, documents and an outbox are needed")
	case c.Seal == nil || c.Personal == nil:
		return nil, errors.New("open requests: the seal and personal keys are needed")
	case len(c.Secret) < 32:
		return nil, errors.New("open requests: a secret of 32 bytes is needed")
	case len(c.Anchors) == 0:
		return nil, errors.New("open requests: without trust anchors no signature can be verified")
	}
	if u, err := url.Parse(c.BaseURL); err != nil || u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("open requests: %q is no address of a portal", c.BaseURL)
	}
	c.BaseURL = strings.TrimRight(c.BaseURL, "/")
	if err := c.Policy.complete(); err != nil {
		return nil, fmt.Errorf("open requests: %w", err)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	sql, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	if err := c.DB.Migrate(ctx, "request", sql); err != nil {
		return nil, err
	}
	s := &Service{config: c, feed: newFeed()}
	if s.secrets, err = newSecrets(c.Secret); err != nil {
		return nil, err
	}
	if s.work, err = c.Documents.WorkDir(); err != nil {
		return nil, err
	}
	c.Jobs.Handle(jobs.Kind{Name: jobSign, Handle: s.runSign, Tries: signTries, GaveUp: s.signingFailed, Backoff: jobs.Doubling(2*time.Second, time.Minute)})
	c.Jobs.Handle(jobs.Kind{Name: jobSeal, Handle: s.runSeal, GaveUp: s.sealingGivenUp, Backoff: jobs.Doubling(2*time.Second, 5*time.Minute)})
	c.Jobs.Handle(jobs.Kind{Name: jobDeadline, Handle: s.runDeadline})
	c.Outbox.SetOutcomes(s)
	return s, nil
}

// The jobs of this package.
const (
	jobSign     = "request.sign"
	jobSeal     = "request.seal"
	jobDeadline = "request.deadline"
	signTries   = 6 // about a minute, while the signer waits
)

func (p *Policy) complete() error {
	for _, f := range []struct {
		field *int
		value int
	}{{&p.CodeLength, 6}, {&p.CodeTries, 5}, {&p.CodeOrders, 5}, {&p.Documents, 20}, {&p.Signers, 20}} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	for _, f := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&p.CodeLife, 10 * time.Minute},
		{&p.CodeWindow, 2 * time.Hour},
		{&p.VisitLife, 12 * time.Hour},
		{&p.Remind, 24 * time.Hour},
		{&p.Deadline, 90 * 24 * time.Hour},
		{&p.Keep, 30 * 24 * time.Hour},
	} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	if p.CodeAlphabet == "" {
		p.CodeAlphabet = "0123456789"
	}
	return p.check()
}

func (p *Policy) check() error {
	seen := map[rune]bool{}
	for _, r := range p.CodeAlphabet {
		if r <= ' ' || r > '~' || seen[r] {
			return fmt.Errorf("the alphabet of codes %q must be different ASCII letters or digits", p.CodeAlphabet)
		}
		seen[r] = true
	}
	switch {
	case len(seen) < 10:
		return fmt.Errorf("the alphabet of codes has %d letters, at least 10 are needed", len(seen))
	case p.CodeLength < 4 || p.CodeLength > 12:
		return fmt.Errorf("codes of %d letters: want 4 to 12", p.CodeLength)
	case p.CodeTries < 1 || p.CodeTries > 10:
		return fmt.Errorf("%d tries per code: want 1 to 10", p.CodeTries)
	case p.CodeOrders < 1 || p.CodeLife < 0 || p.CodeWindow < 0 || p.VisitLife < 0 || p.Remind < 0 || p.Deadline < 0 || p.Keep < 0 || p.Documents < 1 || p.Signers < 1:
		return errors.New("limits and times must not be negative")
	}
	return nil
}

// workFile is where the new revision of a document grows.
func (s *Service) workFile(stored string) string { return filepath.Join(s.work, stored+".pdf") }

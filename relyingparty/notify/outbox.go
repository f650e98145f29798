package notify

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/mail"
	"regexp"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/i18n"
	"github.com/countersign/countersign/internal/jobs"
	"github.com/countersign/countersign/internal/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

//go:embed locales/*.json
var locales embed.FS

// Transport hands a mail to a mail server. A refusal for good is an error that
// Permanent made; every other error means later.
type Transport interface {
	Send(ctx context.Context, m *Envelope) error
}

// Texter sends short messages. A refusal for good is an error that Permanent made.
type Texter interface {
	Text(ctx context.Context, number, text string) error
}

// Outcomes is told what became of a message, in the transaction that writes it
// down. It may be called again for the same message after a failed transaction.
type Outcomes interface {
	Delivered(ctx context.Context, tx *store.Tx, m Delivery) error
}

// Config is what New needs. DB, Jobs, Secret, Transport and From are required.
type Config struct {
	DB   *store.DB
	Jobs *jobs.Queue
	// Secret is random, at least 32 bytes: messages wait sealed with it, because
	// they hold links and codes.
	Secret []byte
	// Transport takes the mails; SMTP is one.
	Transport Transport
	// Texter sends SMS; nil means that there are none, and messages by SMS are
	// refused.
	Texter Texter
	// From is the address of the sender, FromName its name. Reply-To is the
	// person's.
	From, FromName string
	// DKIM signs mails for the domain of From; without a key they are not signed.
	DKIM DKIM
	// Outcomes is told what became of messages; it may be nil, see SetOutcomes.
	Outcomes Outcomes
	// GiveUp is how long delivery is tried; the default is 3 days. A code is tried
	// until it ends.
	GiveUp time.Duration
	// Test marks every mail of a test installation.
	Test bool
	// Zone is what times are written in; the default is UTC.
	Zone *time.Location
	Now  func() time.Time
}

// Outbox queues and delivers messages. All methods may be called at once.
type Outbox struct {
	config  Config
	seal    cipher.AEAD
	catalog *i18n.Catalog
	dkim    *signer
}

// jobKind is the name of the job that delivers a message.
const jobKind = "notify.deliver"

// New brings the tables up to date and registers its job with the queue.
func New(ctx context.Context, c Config) (*Outbox, error) {
	if c.DB == nil || c.Jobs == nil || c.Transport == nil || len(c.Secret) < 32 {
		return nil, errors.New("open outbox: a database, jobs, a transport and a secret of 32 bytes are needed")
	}
	if a, err := mail.ParseAddress(c.From); err != nil || a.Address != c.From {
		return nil, fmt.Errorf("open outbox: From %q is no e-mail address", c.From)
	}
	if c.GiveUp == 0 {
		c.GiveUp = 72 * time.Hour
	}
	if c.Zone == nil {
		c.Zone = time.UTC
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	o := &Outbox{config: c}
	var err error
	if o.dkim, err = newSigner(c.DKIM, c.From); err != nil {
		return nil, fmt.Errorf("open outbox: %w", err)
	}
	if o.catalog, err = i18n.Load(locales); err != nil {
		return nil, fmt.Errorf("open outbox: %w", err)
	}
	key, err := hkdf.Key(sha256.New, c.Secret, nil, "countersign outbox", 32)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if o.seal, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		return nil, err
	}
	sql, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	if err := c.DB.Migrate(ctx, "notify", sql); err != nil {
		return nil, err
	}
	c.Jobs.Handle(jobs.Kind{Name: jobKind, Handle: o.deliver, Timeout: 2 * time.Minute})
	return o, nil
}

// HasSMS says whether messages by SMS can be sent.
func (o *Outbox) HasSMS() bool { return o.config.Texter != nil }

// SetOutcomes says who is told what became of messages. It is called before the
// jobs run.
func (o *Outbox) SetOutcomes(to Outcomes) { o.config.Outcomes = to }

// number is a telephone number in E.164 form.
var number = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

// CheckNumber refuses what is no telephone number in E.164 form, such as
// +4915112345678.
func CheckNumber(n string) error {
	if !number.MatchString(n) {
		return fault.New(fault.Invalid, "%q is no telephone number with country code, such as +4915112345678", n)
	}
	return nil
}

func (o *Outbox) check(m Message) error {
	switch {
	case m.Channel == Mail:
		if a, err := mail.ParseAddress(m.To); err != nil || a.Address != m.To {
			return fault.New(fault.Invalid, "%q is no e-mail address", m.To)
		}
	case m.Channel != SMS:
		return fmt.Errorf("queue message: channel %q", m.Channel)
	case !o.HasSMS():
		return fault.New(fault.Unavailable, "this installation sends no SMS")
	default:
		return CheckNumber(m.To)
	}
	if m.Org == "" || !slices.Contains(kinds, m.Kind) || (m.Kind == Code) != (m.Code != "") {
		return fmt.Errorf("queue message: kind %q of organisation %q is not complete", m.Kind, m.Org)
	}
	return nil
}

// Queue queues a message in the caller's transaction and returns its id. Call
// jobs.Queue.Wake after the transaction.
func (o *Outbox) Queue(ctx context.Context, tx *store.Tx, m Message) (string, error) {
	if m.Channel == "" {
		m.Channel = Mail
	}
	if err := o.check(m); err != nil {
		return "", err
	}
	id := store.NewID()
	sealed, err := o.sealMessage(id, m)
	if err != nil {
		return "", err
	}
	now := store.Micros(o.config.Now())
	_, err = tx.Exec(ctx, `INSERT INTO notify_message (id, org_id, request_id, kind, channel, recipient, sealed, state, attempts, queued, sent, next_try, last_error)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, 0, $9, '')`,
		id, m.Org, m.Request, string(m.Kind), string(m.Channel), m.To, sealed, string(Queued), now)
	if err != nil {
		return "", fmt.Errorf("queue message: %w", err)
	}
	if _, err := o.config.Jobs.Add(ctx, tx, jobs.New{Org: m.Org, Kind: jobKind, Key: id, Data: id}); err != nil {
		return "", err
	}
	return id, nil
}

func (o *Outbox) sealMessage(id string, m Message) (string, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("queue message: %w", err)
	}
	return base64.RawStdEncoding.EncodeToString(o.seal.Seal(nil, nil, b, []byte(id))), nil //nolint:gosec // NewGCMWithRandomNonce makes the nonce
}

func (o *Outbox) openMessage(id, sealed string) (m Message, err error) {
	b, err := base64.RawStdEncoding.DecodeString(sealed)
	if err != nil {
		return m, fmt.Errorf("message %s: %w", id, err)
	}
	if b, err = o.seal.Open(nil, nil, b, []byte(id)); err != nil {
		return m, fmt.Errorf("message %s cannot be opened: was it sealed with another secret? %w", id, err)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("message %s: %w", id, err)
	}
	return m, nil
}

const selectDelivery = `SELECT id, request_id, kind, channel, recipient, state, attempts, queued, sent, next_try, last_error, sealed FROM notify_message `

type scanner interface{ Scan(dest ...any) error }

func scanDelivery(from scanner) (d Delivery, sealed string, err error) {
	var queued, sent, next int64
	err = from.Scan(&d.ID, &d.Request, &d.Kind, &d.Channel, &d.To, &d.State, &d.Attempts, &queued, &sent, &next, &d.Error, &sealed)
	d.Queued, d.Sent, d.Next = store.Time(queued), store.Time(sent), store.Time(next)
	return d, sealed, err
}

// Deliveries lists the messages of a request, the oldest first.
func (o *Outbox) Deliveries(ctx context.Context, org, request string) (list []Delivery, err error) {
	rows, err := o.config.DB.Query(ctx, selectDelivery+`WHERE org_id = $1 AND request_id = $2 ORDER BY queued, id`, org, request)
	if err != nil {
		return nil, fmt.Errorf("list messages: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		d, _, err := scanDelivery(rows)
		if err != nil {
			return nil, fmt.Errorf("list messages: %w", err)
		}
		list = append(list, d)
	}
	return list, rows.Err()
}

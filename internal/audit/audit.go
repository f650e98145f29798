// Package audit keeps the event log: append-only, in the caller's own database,
// and provable to people who do not trust that database.
//
// [Log.Append] puts an event into an outbox inside the caller's transaction, so
// that an act and its record are one. A sequencer gives the events positions in a
// Merkle tree (RFC 6962 hashes) and signs checkpoints over it (C2SP tlog-checkpoint,
// an Ed25519 signed note). Who keeps a checkpoint notices later if an event was
// changed, the log was cut, or two people were shown different logs.
package audit

import (
	"context"
	"crypto"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/countersign/countersign/internal/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// ErrTampered says that the log is not what was signed.
var ErrTampered = errors.New("the audit log does not match its checkpoints")

// Config says where the log is and who signs it.
type Config struct {
	// DB is the database whose transactions append. Its audit_… tables are made
	// when they are not there.
	DB *store.DB
	// Origin names the log in its checkpoints, e.g. "sign.example.org/sam". It
	// never changes. It has neither spaces nor plus signs.
	Origin string
	// Signer signs checkpoints: an Ed25519 key, of a keystore for example.
	Signer crypto.Signer
	// Log gets what goes wrong in Run; required there.
	Log *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	SequenceEvery   time.Duration // zero is 1 s: so long an event may have no position
	CheckpointEvery time.Duration // zero is 10 s
	CheckpointAfter int64         // events; zero is 1,000
	HeartbeatEvery  time.Duration // zero is 1 min: a log without heartbeats was cut
}

// Log is an event log. All methods may be called at once, and by several
// processes on PostgreSQL.
type Log struct {
	Config
	signer   note.Signer
	verifier note.Verifier
	vkey     string
}

// New opens the log and makes its tables.
func New(ctx context.Context, c Config) (*Log, error) {
	if c.DB == nil || c.Signer == nil {
		return nil, errors.New("audit: needs a DB and a Signer")
	}
	signer, vkey, err := newSigner(c.Origin, c.Signer)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	orDefault(&c.SequenceEvery, time.Second)
	orDefault(&c.CheckpointEvery, 10*time.Second)
	orDefault(&c.CheckpointAfter, 1000)
	orDefault(&c.HeartbeatEvery, time.Minute)
	if err := c.DB.Migrate(ctx, "audit", migrations); err != nil {
		return nil, err
	}
	return &Log{Config: c, signer: signer, verifier: verifier, vkey: vkey}, nil
}

// VerifierKey is the public key of the checkpoints in the form of signed notes:
// "origin+hash+base64". Auditors get it on a way that does not lead through the log.
func (l *Log) VerifierKey() string { return l.vkey }

// State is how far the log is.
type State struct {
	Size       int64     // events with a position
	Waiting    int64     // events without one
	Signed     int64     // events under the last checkpoint
	SignedAt   time.Time // when that was made
	LastRecord time.Time // time of the last event with a position
}

// State says how far the log is, for metrics and readiness.
func (l *Log) State(ctx context.Context) (State, error) {
	var (
		s            State
		signed, last int64
	)
	err := l.DB.QueryRow(ctx, `SELECT t.size, (SELECT COUNT(*) FROM audit_outbox),
		COALESCE((SELECT MAX(size) FROM audit_checkpoint), 0),
		COALESCE((SELECT at FROM audit_checkpoint ORDER BY size DESC LIMIT 1), 0),
		COALESCE((SELECT at FROM audit_entry ORDER BY pos DESC LIMIT 1), 0)
		FROM audit_tree t WHERE t.id = 1`).Scan(&s.Size, &s.Waiting, &s.Signed, &signed, &last)
	if err != nil {
		return State{}, fmt.Errorf("read state of the audit log: %w", err)
	}
	s.SignedAt, s.LastRecord = store.Time(signed), store.Time(last)
	return s, nil
}

func orDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

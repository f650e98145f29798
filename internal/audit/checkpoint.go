package audit

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/store"
)

// Checkpoint is a signed statement: the log of that name had that size and that
// root hash.
type Checkpoint struct {
	Origin string
	Size   int64
	Root   tlog.Hash
	Note   []byte // the signed note, to keep and to hand out
}

// Checkpoint signs the log as it is now. It returns the last checkpoint when the
// log has not grown since.
func (l *Log) Checkpoint(ctx context.Context) (Checkpoint, error) {
	c, err := l.checkpoint(ctx)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("sign checkpoint: %w", err)
	}
	return c, nil
}

func (l *Log) checkpoint(ctx context.Context) (Checkpoint, error) {
	// In this order: another process may sign in between, but the log never shrinks.
	last, err := l.Latest(ctx)
	first := errors.Is(err, sql.ErrNoRows)
	if err != nil && !first {
		return Checkpoint{}, err
	}
	size, err := treeSize(ctx, l.DB)
	switch {
	case err != nil:
		return Checkpoint{}, err
	case !first && last.Size == size:
		return last, nil
	case last.Size > size:
		return Checkpoint{}, fmt.Errorf("%w: it has %d events, signed were %d", ErrTampered, size, last.Size)
	}
	hashes := newHashReader(ctx, l.DB)
	root, err := tlog.TreeHash(size, hashes)
	if err != nil {
		return Checkpoint{}, err
	}
	// Never sign a tree that does not continue what was signed before.
	if last.Size > 0 {
		old, err := tlog.TreeHash(last.Size, hashes)
		if err != nil {
			return Checkpoint{}, err
		}
		if old != last.Root {
			return Checkpoint{}, fmt.Errorf("%w: the first %d events have another root", ErrTampered, last.Size)
		}
	}
	text := l.Origin + "\n" + strconv.FormatInt(size, 10) + "\n" + root.String() + "\n"
	signed, err := note.Sign(&note.Note{Text: text}, l.signer)
	if err != nil {
		return Checkpoint{}, err
	}
	// Another process may have signed the same size: both notes are true.
	_, err = l.DB.Exec(ctx, `INSERT INTO audit_checkpoint (size, at, note) VALUES ($1, $2, $3) ON CONFLICT (size) DO NOTHING`,
		size, store.Micros(l.Now()), string(signed))
	if err != nil {
		return Checkpoint{}, err
	}
	return Checkpoint{Origin: l.Origin, Size: size, Root: root, Note: signed}, nil
}

// Latest returns the last checkpoint; sql.ErrNoRows when there is none yet.
func (l *Log) Latest(ctx context.Context) (Checkpoint, error) {
	var text string
	err := l.DB.QueryRow(ctx, `SELECT note FROM audit_checkpoint ORDER BY size DESC LIMIT 1`).Scan(&text)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("read checkpoint: %w", err)
	}
	return openCheckpoint([]byte(text), l.verifier)
}

// OpenCheckpoint checks the signature of a checkpoint. vkey is [Log.VerifierKey].
func OpenCheckpoint(text []byte, vkey string) (Checkpoint, error) {
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("read the log's public key: %w", err)
	}
	return openCheckpoint(text, v)
}

func openCheckpoint(text []byte, v note.Verifier) (Checkpoint, error) {
	n, err := note.Open(text, note.VerifierList(v))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: checkpoint: %w", ErrTampered, err)
	}
	lines := strings.SplitN(n.Text, "\n", 4)
	if len(lines) != 4 || lines[0] != v.Name() {
		return Checkpoint{}, fmt.Errorf("%w: the checkpoint is not of log %q", ErrTampered, v.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return Checkpoint{}, fmt.Errorf("%w: checkpoint of size %q", ErrTampered, lines[1])
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return Checkpoint{}, fmt.Errorf("%w: checkpoint with root %q", ErrTampered, lines[2])
	}
	return Checkpoint{Origin: lines[0], Size: size, Root: tlog.Hash(root), Note: text}, nil
}

// Consistency proves that the log as it was at size old is the beginning of the
// log as it is in the returned checkpoint.
func (l *Log) Consistency(ctx context.Context, old int64) (tlog.TreeProof, Checkpoint, error) {
	c, err := l.Latest(ctx)
	if err != nil {
		return nil, Checkpoint{}, err
	}
	if old < 1 || old > c.Size {
		return nil, Checkpoint{}, fmt.Errorf("no proof from size %d to %d", old, c.Size)
	}
	proof, err := tlog.ProveTree(c.Size, old, newHashReader(ctx, l.DB))
	if err != nil {
		return nil, Checkpoint{}, fmt.Errorf("prove consistency: %w", err)
	}
	return proof, c, nil
}

// CheckConsistency checks offline that the log of the older checkpoint is the
// beginning of the log of the newer.
func CheckConsistency(older, newer Checkpoint, proof tlog.TreeProof) error {
	if older.Origin != newer.Origin || older.Size < 1 || older.Size > newer.Size {
		return fmt.Errorf("%w: %s at %d does not come before %s at %d", ErrTampered, older.Origin, older.Size, newer.Origin, newer.Size)
	}
	if err := tlog.CheckTree(proof, newer.Size, newer.Root, older.Size, older.Root); err != nil {
		return fmt.Errorf("%w: the log was rewritten between size %d and %d", ErrTampered, older.Size, newer.Size)
	}
	return nil
}

// noteSigner lets a key of a keystore sign notes.
type noteSigner struct {
	name string
	hash uint32
	key  crypto.Signer
}

func newSigner(origin string, key crypto.Signer) (note.Signer, string, error) {
	pub, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, "", fmt.Errorf("checkpoints are signed with Ed25519, not with %T", key.Public())
	}
	vkey, err := note.NewEd25519VerifierKey(origin, pub)
	if err != nil {
		return nil, "", err
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, "", fmt.Errorf("origin %q: %w", origin, err)
	}
	return &noteSigner{name: origin, hash: v.KeyHash(), key: key}, vkey, nil
}

func (s *noteSigner) Name() string    { return s.name }
func (s *noteSigner) KeyHash() uint32 { return s.hash }

// Sign signs a note. The key's own randomness is not used by Ed25519.
func (s *noteSigner) Sign(msg []byte) ([]byte, error) {
	sig, err := s.key.Sign(nil, msg, crypto.Hash(0))
	if err != nil {
		return nil, err
	}
	if pub, ok := s.key.Public().(ed25519.PublicKey); !ok || !ed25519.Verify(pub, msg, sig) {
		return nil, errors.New("the key made a wrong signature")
	}
	return sig, nil
}

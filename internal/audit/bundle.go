package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/fault"
)

// BundleFormat is the format member of a [Bundle].
const BundleFormat = "countersign-audit-bundle-v1"

// Bundle is what one signature activation left in the log, with the proof that
// the log holds it. With the log's public key it is checked offline, years later
// ([VerifyBundle]). It proves that these events are in the log, not that there
// are no others.
type Bundle struct {
	Format     string  `json:"format"`
	SID        string  `json:"sid"`
	Checkpoint string  `json:"checkpoint"` // a signed note
	Entries    []Entry `json:"entries"`
}

// Entry is one event of a bundle.
type Entry struct {
	Pos   int64            `json:"pos"`
	Leaf  string           `json:"leaf"`  // the canonical JSON of the event
	Proof tlog.RecordProof `json:"proof"` // RFC 6962 inclusion proof in the tree of the checkpoint
}

// Bundle collects the events of one activation. It gives them positions and signs
// a checkpoint first where that has not happened yet.
func (l *Log) Bundle(ctx context.Context, sid string) (*Bundle, error) {
	if sid == "" {
		return nil, fault.New(fault.Invalid, "name the activation (sid) to export")
	}
	if err := l.Sequence(ctx); err != nil {
		return nil, err
	}
	c, err := l.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	records, err := l.Records(ctx, Filter{SID: sid, Before: c.Size})
	if err != nil {
		return nil, err
	}
	if len(records) == 0 {
		return nil, fault.New(fault.NotFound, "the audit log has no event of activation %s", sid)
	}
	b := &Bundle{Format: BundleFormat, SID: sid, Checkpoint: string(c.Note)}
	hashes := newHashReader(ctx, l.DB)
	for _, r := range records {
		proof, err := tlog.ProveRecord(c.Size, r.Pos, hashes)
		if err != nil {
			return nil, fmt.Errorf("prove event %d: %w", r.Pos, err)
		}
		e := Entry{Pos: r.Pos, Leaf: string(r.Leaf), Proof: proof}
		// A changed row must not leave with a proof that fails at the auditor's.
		if err := e.check(c); err != nil {
			return nil, err
		}
		b.Entries = append(b.Entries, e)
	}
	return b, nil
}

// VerifyBundle checks a bundle with nothing but the log's public key
// ([Log.VerifierKey]) and returns its events in order.
func VerifyBundle(b *Bundle, vkey string) ([]Record, error) {
	if b.Format != BundleFormat {
		return nil, fmt.Errorf("format %q is not %q", b.Format, BundleFormat)
	}
	c, err := OpenCheckpoint([]byte(b.Checkpoint), vkey)
	if err != nil {
		return nil, err
	}
	if len(b.Entries) == 0 || b.SID == "" {
		return nil, errors.New("the bundle is empty")
	}
	records := make([]Record, 0, len(b.Entries))
	last := int64(-1)
	for _, e := range b.Entries {
		if e.Pos <= last {
			return nil, fmt.Errorf("event %d stands after event %d", e.Pos, last)
		}
		last = e.Pos
		if err := e.check(c); err != nil {
			return nil, err
		}
		r, err := decode(e.Pos, []byte(e.Leaf))
		if err != nil {
			return nil, err
		}
		if r.SID != b.SID {
			return nil, fmt.Errorf("event %d is of activation %q, not %q", e.Pos, r.SID, b.SID)
		}
		records = append(records, r)
	}
	return records, nil
}

// ReadBundle parses the JSON form of a bundle. It checks no proof.
func ReadBundle(data []byte) (*Bundle, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var b Bundle
	if err := d.Decode(&b); err != nil {
		return nil, fmt.Errorf("read audit bundle: %w", err)
	}
	if d.More() {
		return nil, errors.New("read audit bundle: something follows it")
	}
	return &b, nil
}

func (e Entry) check(c Checkpoint) error {
	if e.Pos < 0 || e.Pos >= c.Size {
		return fmt.Errorf("%w: event %d is not in a log of %d", ErrTampered, e.Pos, c.Size)
	}
	if err := tlog.CheckRecord(e.Proof, c.Size, c.Root, e.Pos, tlog.RecordHash([]byte(e.Leaf))); err != nil {
		return fmt.Errorf("%w: event %d is not what the log holds", ErrTampered, e.Pos)
	}
	return nil
}

package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/store"
)

// maxLeaf bounds one event: the log holds facts, no documents.
const maxLeaf = 256 << 10

// The outcomes of most events. Other words may be used.
const (
	Success = "success"
	Failure = "failure"
)

// Event is what is to be recorded. It must hold no secret, and of persons only
// what the record cannot do without: it cannot be taken back.
type Event struct {
	Type    string // what happened, e.g. "sad.consumed"; required
	Subject string // to what, e.g. the id of a credential
	Actor   string // who did it: the responsible person, client or program; required
	SID     string // the signature activation that it belongs to, if any
	Outcome string // Success when empty
	Data    any    // more, as JSON
}

// Record is an event in the log.
type Record struct {
	Pos     int64 // position in the log, from 0
	At      time.Time
	ID      string // unlike that of any other event
	Type    string
	Subject string
	Actor   string
	SID     string
	Outcome string
	Data    json.RawMessage // nil when there was none
	Leaf    []byte          // the bytes that the tree is made over
}

// leaf is the canonical form of an event: JSON without white space, the members
// in alphabetical order at every depth.
type leaf struct {
	Actor   string          `json:"actor"`
	At      string          `json:"at"`
	Data    json.RawMessage `json:"data,omitempty"`
	ID      string          `json:"id"`
	Outcome string          `json:"outcome"`
	SID     string          `json:"sid,omitempty"`
	Subject string          `json:"subject,omitempty"`
	Type    string          `json:"type"`
}

// leafTime has a fixed number of digits, down to the database's microseconds.
const leafTime = "2006-01-02T15:04:05.000000Z"

// Append records an event in the caller's transaction: it is in the log exactly
// when the transaction commits, and has its position a moment later. The act that
// it records must not be reported as done before that commit.
func (l *Log) Append(ctx context.Context, tx store.Querier, e Event) error {
	if e.Outcome == "" {
		e.Outcome = Success
	}
	at := store.Micros(l.Now())
	b, err := encode(e, store.Time(at))
	if err != nil {
		return fmt.Errorf("append %q to the audit log: %w", e.Type, err)
	}
	n, err := tx.Exec(ctx, `INSERT INTO audit_outbox (at, type, subject, actor, sid, outcome, leaf)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`, at, e.Type, e.Subject, e.Actor, e.SID, e.Outcome, string(b))
	if err == nil && n != 1 {
		err = fmt.Errorf("%d rows", n)
	}
	if err != nil {
		return fmt.Errorf("append %q to the audit log: %w", e.Type, err)
	}
	return nil
}

func encode(e Event, at time.Time) ([]byte, error) {
	if e.Type == "" || e.Actor == "" {
		return nil, errors.New("an event needs a type and an actor")
	}
	data, err := canonical(e.Data)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	b := leaf{
		Actor: e.Actor, At: at.Format(leafTime), Data: data, ID: store.NewID(),
		Outcome: e.Outcome, SID: e.SID, Subject: e.Subject, Type: e.Type,
	}.encode()
	switch {
	case len(b) > maxLeaf:
		return nil, fmt.Errorf("the event has %d bytes, more than %d", len(b), maxLeaf)
	case bytes.IndexByte(b, 0) >= 0 || bytes.Contains(b, []byte(`\u0000`)):
		return nil, errors.New("the event has a zero character") // PostgreSQL has no TEXT with it
	}
	return b, nil
}

// encode is marshal for a leaf, several times as fast.
func (f leaf) encode() []byte {
	b := make([]byte, 0, 256+len(f.Data)+len(f.Actor)+len(f.Subject))
	b = appendString(append(b, `{"actor":`...), f.Actor)
	b = appendString(append(b, `,"at":`...), f.At)
	if len(f.Data) > 0 {
		b = append(append(b, `,"data":`...), f.Data...)
	}
	b = appendString(append(b, `,"id":`...), f.ID)
	b = appendString(append(b, `,"outcome":`...), f.Outcome)
	if f.SID != "" {
		b = appendString(append(b, `,"sid":`...), f.SID)
	}
	if f.Subject != "" {
		b = appendString(append(b, `,"subject":`...), f.Subject)
	}
	b = appendString(append(b, `,"type":`...), f.Type)
	return append(b, '}')
}

// canonical is v as JSON with sorted members.
func canonical(v any) (json.RawMessage, error) {
	if v == nil {
		return nil, nil
	}
	b, err := marshal(v)
	if err != nil {
		return nil, err
	}
	if ordered(b) {
		return b, nil
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return nil, err
	}
	if tree == nil {
		return nil, nil
	}
	return marshal(tree)
}

// marshal is json.Marshal without escapes for HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// decode reads a leaf back, from an auditor's bundle also.
func decode(pos int64, b []byte) (Record, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var f leaf
	if err := d.Decode(&f); err != nil {
		return Record{}, fmt.Errorf("event %d: %w", pos, err)
	}
	again, err := marshal(f)
	if err != nil || !bytes.Equal(again, b) {
		return Record{}, fmt.Errorf("event %d is not in canonical form", pos)
	}
	at, err := time.Parse(leafTime, f.At)
	if err != nil {
		return Record{}, fmt.Errorf("event %d: %w", pos, err)
	}
	return Record{
		Pos: pos, At: at, ID: f.ID, Type: f.Type, Subject: f.Subject, Actor: f.Actor,
		SID: f.SID, Outcome: f.Outcome, Data: f.Data, Leaf: b,
	}, nil
}

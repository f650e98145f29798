package sam

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/sam/sad"
	"github.com/countersign/countersign/sam/samapi"
)

// Inventory lists every key, without anything that names a person, and the bounds
// that the module enforces.
func (m *Module) Inventory(ctx context.Context) (samapi.Inventory, error) {
	inv := samapi.Inventory{
		Keys: []samapi.Key{}, Devices: map[string]int{},
		Approval: m.limits.Approval, Redeem: m.limits.Redeem, OCSPAge: m.limits.OCSPAge, MinWysiwys: m.limits.MinWysiwys,
	}
	ids, err := m.strings(ctx, `SELECT id FROM sam_credential ORDER BY id`)
	if err != nil {
		return inv, fmt.Errorf("list keys: %w", err)
	}
	for _, id := range ids {
		k, err := m.inventoryKey(ctx, id)
		if err != nil {
			return inv, m.alarm(ctx, fmt.Errorf("list keys: %w", err))
		}
		inv.Keys = append(inv.Keys, k)
	}
	all, err := m.Devices(ctx, "")
	if err != nil {
		return inv, err
	}
	for _, d := range all {
		if d.State == stateActive {
			inv.Devices[d.Mechanism]++
		}
	}
	return inv, nil
}

func (m *Module) inventoryKey(ctx context.Context, id string) (samapi.Key, error) {
	c, err := m.credentialByID(ctx, m.db, id)
	if err != nil {
		return samapi.Key{}, err
	}
	who, err := m.signerByID(ctx, m.db, c.Signer)
	if err != nil {
		return samapi.Key{}, err
	}
	spki := sha256.Sum256(c.SPKI)
	k := samapi.Key{
		Credential: c.ID, Type: c.KeyType, Mechanism: c.Mechanism, SCAL: c.SCAL, State: c.State, Assurance: who.Assurance, Multisign: c.Multisign,
		Made: c.Made, Certificate: c.CertHash, SPKIHash: hex.EncodeToString(spki[:]),
	}
	if len(c.blob) > 0 {
		k.KEK = c.KEK
	}
	if len(c.chain) > 0 {
		cert, err := x509.ParseCertificate(c.chain[0])
		if err != nil {
			return k, fmt.Errorf("certificate of credential %s: %w", id, err)
		}
		k.NotAfter = cert.NotAfter
	}
	return k, nil
}

// mostAnomalies is how many a Ledger names one by one.
const mostAnomalies = 20

// Ledger reads the whole event log: its hashes and checkpoints, also checkpoints
// that were kept elsewhere, and whether every signature in it goes back to an
// approval that names its hash.
func (m *Module) Ledger(ctx context.Context, kept []string) (samapi.Ledger, error) {
	l := samapi.Ledger{VerifierKey: m.audit.VerifierKey(), Events: map[string]int{}, Anomalies: []string{}}
	var err error
	if l.Checkpoint, err = m.Checkpoint(ctx); err != nil {
		return l, err
	}
	notes := make([][]byte, len(kept))
	for i, k := range kept {
		notes[i] = []byte(k)
	}
	switch _, err = m.audit.Verify(ctx, notes...); {
	case errors.Is(err, audit.ErrTampered):
		l.LogError = err.Error()
	case err != nil:
		return l, err
	default:
		l.Kept = len(kept)
	}
	r := &reader{ledger: &l, open: map[string]map[string]int{}, spent: map[string]spentBatch{}}
	var read int64
	const page = 1000
	for at := int64(0); at < l.Checkpoint.Size; at += page {
		records, err := m.audit.Records(ctx, audit.Filter{After: at, Before: min(at+page, l.Checkpoint.Size)})
		if err != nil {
			return l, fmt.Errorf("read the log: %w", err)
		}
		for _, e := range records {
			r.take(e)
		}
		read += int64(len(records))
	}
	if read != l.Checkpoint.Size && l.LogError == "" {
		l.LogError = fmt.Sprintf("%d of %d events could be read", read, l.Checkpoint.Size)
	}
	return l, nil
}

// reader follows the log from its beginning.
type reader struct {
	ledger *samapi.Ledger
	open   map[string]map[string]int // approved hashes that are unspent, how often, by sid
	spent  map[string]spentBatch     // those that are neither signed nor burned
}

// spentBatch is the hashes of one call, which were spent and wait for signatures.
type spentBatch struct {
	sid    string
	hashes [][]byte
}

// loggedBatch is the data of the events about the hashes of one call.
type loggedBatch struct {
	Batch      string   `json:"batch"`
	Hashes     [][]byte `json:"hashes"`
	Signatures [][]byte `json:"signatures"`
	SAD        []byte   `json:"sad"`
}

func (r *reader) take(e audit.Record) {
	l := r.ledger
	l.Events[e.Type]++
	if l.First.IsZero() {
		l.First = e.At
	}
	l.Last = e.At
	switch e.Type {
	case eventSADApproved, eventSADConsumed, eventSignatureCreated, eventSignatureBurned:
	default:
		return
	}
	var b loggedBatch
	if err := json.Unmarshal(e.Data, &b); err != nil {
		r.odd(e, "its data cannot be read")
		return
	}
	switch e.Type {
	case eventSADApproved:
		r.approved(e, b)
	case eventSADConsumed:
		for _, h := range b.Hashes {
			if r.open[e.SID][string(h)] == 0 {
				r.odd(e, "a hash was spent that no approval names, or more often than it does")
				continue
			}
			r.open[e.SID][string(h)]--
		}
		if _, twice := r.spent[b.Batch]; twice {
			r.odd(e, "a batch was spent that was spent before")
		}
		r.spent[b.Batch] = spentBatch{e.SID, b.Hashes}
	case eventSignatureCreated:
		was, ok := r.spent[b.Batch]
		switch {
		case !ok || was.sid != e.SID:
			r.odd(e, "signatures without hashes that were spent before")
		case len(b.Signatures) != len(b.Hashes) || !slices.EqualFunc(b.Hashes, was.hashes, bytes.Equal):
			r.odd(e, "signatures of other hashes than were spent before")
		}
		l.Signatures += len(b.Signatures)
		delete(r.spent, b.Batch)
	case eventSignatureBurned:
		delete(r.spent, b.Batch)
	}
}

func (r *reader) approved(e audit.Record, b loggedBatch) {
	s, err := sad.Parse(b.SAD)
	if err != nil || s.SID != e.SID {
		r.odd(e, "the approved SAD cannot be read")
		return
	}
	if r.open[e.SID] != nil {
		r.odd(e, "it was approved before")
		return
	}
	r.open[e.SID] = map[string]int{}
	for _, d := range s.Documents {
		r.open[e.SID][string(d.DTBSR)]++
	}
}

func (r *reader) odd(e audit.Record, what string) {
	if l := r.ledger; len(l.Anomalies) < mostAnomalies {
		l.Anomalies = append(l.Anomalies, fmt.Sprintf("event %d, %s: %s", e.Pos, e.Type, what))
	}
}

// reportID is what a report may be called in the log: never like an activation.
var reportID = regexp.MustCompile(`^report-[a-z0-9]{16,64}$`)

// Attest records the digest of a report in the event log and returns the log's
// proof, as the JSON of an audit.Bundle: who has the log's public key sees offline
// that this report, and no other under its name, was made on this installation.
func (m *Module) Attest(ctx context.Context, a samapi.Attestation) (json.RawMessage, error) {
	if !reportID.MatchString(a.ID) || len(a.SHA256) != sha256.Size {
		return nil, fault.New(fault.Invalid, "a report needs an id like report-0123456789abcdef and a SHA-256")
	}
	known, err := m.audit.Records(ctx, audit.Filter{SID: a.ID, Limit: 1})
	if err != nil {
		return nil, fmt.Errorf("attest: %w", err)
	}
	if len(known) > 0 {
		return nil, fault.New(fault.Conflict, "the log has a report %s already", a.ID)
	}
	err = m.tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		return m.audit.Append(ctx, tx, audit.Event{
			Type: eventReport, Subject: hex.EncodeToString(a.SHA256), Actor: "admin", SID: a.ID,
		})
	})
	if err != nil {
		return nil, fmt.Errorf("attest: %w", err)
	}
	return m.Bundle(ctx, a.ID)
}

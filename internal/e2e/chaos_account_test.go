package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/store"
)

// books is what the module has written down.
type books struct {
	// By activation.
	approved map[string]bool
	ended    map[string]string // rejected or expired, as the log says
	consumed map[string][]batch
	signed   map[string][]batch
	burned   map[string][]batch
	state    map[string]string    // of the request, as the table says
	until    map[string]time.Time // when the approval could last be used
	receipts map[string]bool      // of the gateway
}

// batch is an event about the hashes of one call.
type batch struct {
	Batch      string
	Positions  []int
	Hashes     [][]byte
	Signatures [][]byte
}

func openBooks(t *testing.T, in *installation) *books {
	t.Helper()
	b := &books{
		approved: map[string]bool{}, ended: map[string]string{}, consumed: map[string][]batch{}, signed: map[string][]batch{}, burned: map[string][]batch{},
		state: map[string]string{}, until: map[string]time.Time{}, receipts: map[string]bool{},
	}
	for _, e := range in.events(t) {
		var d batch
		switch e.Type {
		case "sad.approved":
			b.approved[e.SID] = true
			continue
		case "sad.rejected", "sad.expired":
			b.ended[e.SID] = e.Type
			continue
		case "sad.consumed", "signature.created", "signature.burned":
			if err := json.Unmarshal(e.Data, &d); err != nil {
				t.Fatal(err)
			}
		}
		switch e.Type {
		case "sad.consumed":
			if !b.approved[e.SID] {
				t.Errorf("%s: hashes were spent before the approval was recorded", e.SID)
			}
			b.consumed[e.SID] = append(b.consumed[e.SID], d)
		case "signature.created":
			if !holds(b.consumed[e.SID], d.Batch) {
				t.Errorf("%s: signed before it was recorded that the hashes are spent", e.SID)
			}
			b.signed[e.SID] = append(b.signed[e.SID], d)
		case "signature.burned":
			b.burned[e.SID] = append(b.burned[e.SID], d)
		}
	}
	in.inDatabase(t, "sam", func(ctx context.Context, db *store.DB) error {
		return each(ctx, db, "SELECT sid, state, redeem_until FROM sam_request", func(scan func(...any) error) error {
			var (
				sid, state string
				until      int64
			)
			err := scan(&sid, &state, &until)
			b.state[sid], b.until[sid] = state, store.Time(until)
			return err
		})
	})
	in.inDatabase(t, "gateway", func(ctx context.Context, db *store.DB) error {
		return each(ctx, db, "SELECT sid FROM federation_receipt", func(scan func(...any) error) error {
			var sid string
			err := scan(&sid)
			b.receipts[sid] = true
			return err
		})
	})
	return b
}

// each calls do for every row.
func each(ctx context.Context, db *store.DB, query string, do func(scan func(...any) error) error) error {
	rows, err := db.Query(ctx, query)
	if err != nil {
		return err
	}
	for rows.Next() {
		if err := do(rows.Scan); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

func holds(list []batch, id string) bool {
	for _, b := range list {
		if b.Batch == id {
			return true
		}
	}
	return false
}

// account compares what the relying parties got with what the module wrote down.
func (c *counts) account(t *testing.T, in *installation, ledger []*asked) {
	t.Helper()
	b := openBooks(t, in)
	c.Begun = len(b.state)
	c.twice(t, b)
	known := map[string]bool{}
	for _, a := range ledger {
		c.Repeated += max(0, a.calls-1)
		if a.sid == "" {
			if a.end != brokenOff {
				t.Errorf("%s without an approval", a.end)
			}
			continue
		}
		known[a.sid] = true
		if b.state[a.sid] == "" {
			t.Errorf("%s is not in the module's table", a.sid)
		}
		c.compare(t, b, a)
	}
	for sid, state := range b.state {
		for _, d := range b.burned[sid] {
			c.Burned += len(d.Positions)
		}
		c.final(t, b, sid, state, known[sid])
	}
}

// twice counts hashes that were spent or signed more than once; the load never
// asks for one twice.
func (c *counts) twice(t *testing.T, b *books) {
	t.Helper()
	for what, all := range map[string]map[string][]batch{"spent": b.consumed, "signed": b.signed} {
		seen := map[string]string{}
		for sid, list := range all {
			for _, d := range list {
				for _, h := range d.Hashes {
					if other, ok := seen[string(h)]; ok {
						c.SignedTwice++
						t.Errorf("hash %x was %s twice: in %s and %s", h, what, other, sid)
					}
					seen[string(h)] = sid
					if what == "signed" {
						c.Signatures++
					}
				}
			}
		}
	}
}

// compare holds one request's end against the books.
func (c *counts) compare(t *testing.T, b *books, a *asked) {
	t.Helper()
	switch a.end {
	case delivered:
		c.Delivered++
		for i, s := range a.signatures {
			if !recorded(b.signed[a.sid], a.hashes[i], s) {
				c.WithoutRecord++
				t.Errorf("%s: signature %d was delivered and is not in the log", a.sid, i+1)
			}
		}
		if !b.receipts[a.sid] {
			c.WithoutRecord++
			t.Errorf("%s: delivered without a receipt of the gateway", a.sid)
		}
	case refused:
		c.Refused++
		if len(b.signed[a.sid]) > 0 {
			c.WithoutFinalState++
			t.Errorf("%s: refused after %d calls (%v), and signed all the same", a.sid, a.calls, a.why)
		}
		if len(b.consumed[a.sid]) > 0 && len(b.burned[a.sid]) == 0 {
			c.WithoutFinalState++
			t.Errorf("%s: refused after %d calls (%v), and its hashes are neither signed nor reported as burned", a.sid, a.calls, a.why)
		}
	case brokenOff:
		if len(b.consumed[a.sid]) > 0 {
			c.WithoutFinalState++
			t.Errorf("%s: spent although nobody asked for signatures", a.sid)
		}
	}
}

func recorded(list []batch, hash, signature []byte) bool {
	for _, d := range list {
		for i, h := range d.Hashes {
			if bytes.Equal(h, hash) && bytes.Equal(d.Signatures[i], signature) {
				return true
			}
		}
	}
	return false
}

// final checks that a request of the module is over: every hash that was spent is
// signed or reported as burned, and nothing more can be signed.
func (c *counts) final(t *testing.T, b *books, sid, state string, known bool) {
	t.Helper()
	open := ""
	for _, d := range b.consumed[sid] {
		if holds(b.signed[sid], d.Batch) == holds(b.burned[sid], d.Batch) {
			open = fmt.Sprintf("batch %s is signed: %v, burned: %v", d.Batch, holds(b.signed[sid], d.Batch), holds(b.burned[sid], d.Batch))
		}
	}
	switch {
	case state == "rejected" || state == "expired":
		c.Lapsed++
		if b.ended[sid] == "" {
			open = state + " without an event"
		}
	case state == "approved" && b.approved[sid] && time.Now().After(b.until[sid]):
		if len(b.consumed[sid]) == 0 {
			c.Lapsed++
		}
	case state == "spent" && b.approved[sid] && len(b.consumed[sid]) > 0:
	default:
		open = fmt.Sprintf("state %s, approved in the log: %v, usable until %s", state, b.approved[sid], b.until[sid])
	}
	if !known && len(b.signed[sid]) > 0 {
		open = "signed for nobody who asked"
	}
	if open != "" {
		c.WithoutFinalState++
		t.Errorf("%s: %s", sid, open)
	}
}

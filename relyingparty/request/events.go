package request

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/relyingparty/notify"
)

// actor is who did something.
type actor struct{ id, name, address string }

var machine = actor{id: "machine", name: ""}

func (by Sender) actor() actor { return actor{"user:" + by.User, by.Name, by.Address} }

func (g *Signer) actor(v Visitor) actor { return actor{"signer:" + g.ID, g.Name, v.Address} }

// record appends an event in the transaction of what it records.
func (s *Service) record(ctx context.Context, tx *store.Tx, org, request string, t EventType, signer string, by actor, data ...string) error {
	if len(data)%2 != 0 {
		return fmt.Errorf("event %s: names and values are no pairs", t)
	}
	details := map[string]string{}
	for pair := range slices.Chunk(data, 2) {
		if pair[1] != "" {
			details[pair[0]] = pair[1]
		}
	}
	b, err := json.Marshal(details)
	if err != nil {
		return err
	}
	now := store.Micros(s.config.Now())
	if n, err := tx.Exec(ctx, `UPDATE request SET seq = seq + 1, changed = $1 WHERE id = $2 AND org_id = $3`, now, request, org); err != nil || n != 1 {
		return fmt.Errorf("record %s: %d rows: %w", t, n, err)
	}
	var seq int64
	if err := tx.QueryRow(ctx, `SELECT seq FROM request WHERE id = $1`, request).Scan(&seq); err != nil {
		return fmt.Errorf("record %s: %w", t, err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO request_event (org_id, request_id, seq, type, at, signer_id, actor, name, address, data)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		org, request, seq, string(t), now, signer, by.id, by.name, by.address, string(b))
	if err != nil {
		return fmt.Errorf("record %s: %w", t, err)
	}
	return nil
}

// events reads what happened after an event.
func (s *Service) events(ctx context.Context, q store.Querier, request string, after int64) (list []Event, err error) {
	rows, err := q.Query(ctx, `SELECT seq, type, at, signer_id, actor, name, address, data FROM request_event WHERE request_id = $1 AND seq > $2 ORDER BY seq`, request, after)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var (
			e    Event
			at   int64
			data string
		)
		if err := rows.Scan(&e.Seq, &e.Type, &at, &e.Signer, &e.Actor, &e.Name, &e.Address, &data); err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		if err := json.Unmarshal([]byte(data), &e.Data); err != nil {
			return nil, fmt.Errorf("event %d: %w", e.Seq, err)
		}
		e.At = store.Time(at)
		list = append(list, e)
	}
	return list, rows.Err()
}

// Events returns what happened after an event, in order; 0 is from the beginning.
func (s *Service) Events(ctx context.Context, by Sender, id string, after int64) ([]Event, error) {
	r, err := s.loadFor(ctx, s.config.DB, by, id)
	if err != nil {
		return nil, err
	}
	return s.events(ctx, s.config.DB, r.ID, after)
}

// Deliveries lists the messages of a request with their state: what waits for the
// mail server, what was sent, what was given up and why.
func (s *Service) Deliveries(ctx context.Context, by Sender, id string) ([]notify.Delivery, error) {
	r, err := s.loadFor(ctx, s.config.DB, by, id)
	if err != nil {
		return nil, err
	}
	return s.config.Outbox.Deliveries(ctx, r.Org, r.ID)
}

// Delivered implements notify.Outcomes: what became of a message is in the log.
func (s *Service) Delivered(ctx context.Context, tx *store.Tx, d notify.Delivery) error {
	var org string
	if err := tx.QueryRow(ctx, `SELECT org_id FROM request WHERE id = $1`, d.Request).Scan(&org); err != nil {
		return fmt.Errorf("find request of message: %w", err)
	}
	t := EventMailSent
	if d.State == notify.Failed {
		t = EventMailFailed
	}
	to := d.To
	if d.Kind == notify.Code {
		to = mask(d.To)
	}
	defer s.feed.wake(d.Request) // a little early; watchers also look by themselves
	return s.record(ctx, tx, org, d.Request, t, "", machine, "kind", string(d.Kind), "channel", string(d.Channel), "to", to,
		"attempts", strconv.Itoa(d.Attempts), "error", d.Error)
}

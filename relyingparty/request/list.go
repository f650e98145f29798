package request

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
)

// Request returns a request of the sender's organisation that it may see.
func (s *Service) Request(ctx context.Context, by Sender, id string) (Request, error) {
	return s.loadFor(ctx, s.config.DB, by, id)
}

// where builds the conditions of a list.
type where struct {
	text strings.Builder
	args []any
}

func (w *where) arg(v any) string {
	w.args = append(w.args, v)
	return "$" + strconv.Itoa(len(w.args))
}

// like makes text a pattern that is found anywhere; ! escapes.
func like(text string) string {
	return "%" + strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(strings.ToLower(text)) + "%"
}

// mine are the requests that a sender may see.
func (w *where) mine(by Sender) {
	w.text.WriteString("org_id = " + w.arg(by.Org))
	if !by.All {
		w.text.WriteString(" AND owner = " + w.arg(by.User))
	}
}

func (w *where) filter(f Filter) {
	if len(f.States) > 0 {
		var list []string
		for _, state := range f.States {
			list = append(list, w.arg(string(state)))
		}
		w.text.WriteString(" AND state IN (" + strings.Join(list, ", ") + ")")
	}
	if f.Text != "" {
		p := w.arg(like(f.Text))
		w.text.WriteString(" AND (LOWER(title) LIKE " + p + " ESCAPE '!' OR EXISTS (SELECT 1 FROM request_signer g WHERE g.request_id = request.id AND (LOWER(g.name) LIKE " + p +
			" ESCAPE '!' OR LOWER(g.email) LIKE " + p + " ESCAPE '!')))")
	}
	if !f.From.IsZero() {
		w.text.WriteString(" AND made >= " + w.arg(store.Micros(f.From)))
	}
	if !f.To.IsZero() {
		w.text.WriteString(" AND made < " + w.arg(store.Micros(f.To)))
	}
}

// List returns requests that the sender may see, the newest first.
func (s *Service) List(ctx context.Context, by Sender, f Filter) (list []Summary, err error) {
	if f.Limit <= 0 || f.Limit > 500 {
		f.Limit = 50
	}
	w := &where{}
	w.mine(by)
	w.filter(f)
	if f.Before != "" {
		last, err := s.loadFor(ctx, s.config.DB, by, f.Before)
		if err != nil {
			return nil, fault.New(fault.Invalid, "the page before ended with a request that is not there any more; begin at the first").Because(err)
		}
		at := w.arg(store.Micros(last.Made))
		w.text.WriteString(" AND (made < " + at + " OR (made = " + at + " AND id < " + w.arg(last.ID) + "))")
	}
	limit := w.arg(f.Limit)
	rows, err := s.config.DB.Query(ctx, `SELECT id, title, owner_name, state, made, deadline, changed FROM request WHERE `+w.text.String()+` ORDER BY made DESC, id DESC LIMIT `+limit, w.args...)
	if err != nil {
		return nil, fmt.Errorf("list requests: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var (
			m                       Summary
			made, deadline, changed int64
		)
		if err := rows.Scan(&m.ID, &m.Title, &m.Sender, &m.State, &made, &deadline, &changed); err != nil {
			return nil, fmt.Errorf("list requests: %w", err)
		}
		m.Made, m.Deadline, m.Changed = store.Time(made), store.Time(deadline), store.Time(changed)
		list = append(list, m)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list requests: %w", err)
	}
	return list, s.addSigners(ctx, by, list)
}

// addSigners completes summaries with what is known of their signers.
func (s *Service) addSigners(ctx context.Context, by Sender, list []Summary) (err error) {
	if len(list) == 0 {
		return nil
	}
	at, q := map[string]*Summary{}, &where{}
	org := q.arg(by.Org)
	var ids []string
	for i := range list {
		at[list[i].ID] = &list[i]
		ids = append(ids, q.arg(list[i].ID))
	}
	rows, err := s.config.DB.Query(ctx, `SELECT request_id, name, state FROM request_signer WHERE org_id = `+org+` AND request_id IN (`+strings.Join(ids, ", ")+`) ORDER BY request_id, position`, q.args...)
	if err != nil {
		return fmt.Errorf("list signers: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var (
			id, name string
			state    SignerState
		)
		if err := rows.Scan(&id, &name, &state); err != nil {
			return fmt.Errorf("list signers: %w", err)
		}
		m := at[id]
		m.Signers++
		m.Names = append(m.Names, name)
		switch {
		case state == Signed:
			m.Signed++
		case m.Current == "" && m.State == Running && state != Waiting:
			m.Current = name
		}
	}
	return rows.Err()
}

// Counts counts the requests that the sender may see, by state.
func (s *Service) Counts(ctx context.Context, by Sender) (_ map[State]int, err error) {
	w := &where{}
	w.mine(by)
	rows, err := s.config.DB.Query(ctx, `SELECT state, COUNT(*) FROM request WHERE `+w.text.String()+` GROUP BY state`, w.args...)
	if err != nil {
		return nil, fmt.Errorf("count requests: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	out := map[State]int{}
	for rows.Next() {
		var (
			state State
			n     int
		)
		if err := rows.Scan(&state, &n); err != nil {
			return nil, fmt.Errorf("count requests: %w", err)
		}
		out[state] = n
	}
	return out, rows.Err()
}

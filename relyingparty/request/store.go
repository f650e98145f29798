package request

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
)

type scanner interface{ Scan(dest ...any) error }

const selectRequest = `SELECT id, org_id, owner, owner_name, owner_email, title, message, lang, deadline, state, reason, reason_by,
	made, sent, ended, reminded, log_id, seq FROM request `

func scanRequest(from scanner) (r Request, err error) {
	var deadline, made, sent, ended, reminded int64
	err = from.Scan(&r.ID, &r.Org, &r.Owner, &r.Sender, &r.Email, &r.Title, &r.Message, &r.Lang, &deadline, &r.State, &r.Reason, &r.By,
		&made, &sent, &ended, &reminded, &r.Log, &r.Seq)
	r.Deadline, r.Made, r.Sent, r.Ended, r.Reminded = store.Time(deadline), store.Time(made), store.Time(sent), store.Time(ended), store.Time(reminded)
	return r, err
}

func errNoRequest() error { return fault.New(fault.NotFound, "there is no such request") }

// load reads a request with documents and signers, whoever asks.
func (s *Service) load(ctx context.Context, q store.Querier, id string) (Request, error) {
	r, err := scanRequest(q.QueryRow(ctx, selectRequest+`WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return Request{}, errNoRequest()
	}
	if err != nil {
		return Request{}, fmt.Errorf("read request: %w", err)
	}
	if r.Documents, err = s.documents(ctx, q, id); err != nil {
		return Request{}, err
	}
	r.Signers, err = s.signers(ctx, q, id)
	return r, err
}

// loadFor reads a request for a sender who may see it; for others there is none.
func (s *Service) loadFor(ctx context.Context, q store.Querier, by Sender, id string) (Request, error) {
	r, err := s.load(ctx, q, id)
	if err != nil {
		return Request{}, err
	}
	if r.Org != by.Org || (r.Owner != by.User && !by.All) {
		return Request{}, errNoRequest()
	}
	return r, nil
}

func (s *Service) documents(ctx context.Context, q store.Querier, id string) (list []Document, err error) {
	rows, err := q.Query(ctx, `SELECT id, position, name, original_sha256, revision, stored, size, sha256, sha512 FROM request_document WHERE request_id = $1 ORDER BY position, id`, id)
	if err != nil {
		return nil, fmt.Errorf("read documents: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var d Document
		if err := rows.Scan(&d.ID, &d.Position, &d.Name, &d.OriginalSHA256, &d.Revision, &d.Stored, &d.Size, &d.SHA256, &d.SHA512); err != nil {
			return nil, fmt.Errorf("read documents: %w", err)
		}
		list = append(list, d)
	}
	return list, rows.Err()
}

const selectSigner = `SELECT id, position, name, email, phone, lang, level, factor, credential, state, reason, problem, code,
	invited, opened, acted, reminded, certificate, verdict, signing FROM request_signer `

func scanSigner(from scanner) (g Signer, err error) {
	var invited, opened, acted, reminded int64
	err = from.Scan(&g.ID, &g.Position, &g.Name, &g.Email, &g.Phone, &g.Lang, &g.Level, &g.Factor, &g.Credential, &g.State, &g.Reason, &g.Problem, &g.Code,
		&invited, &opened, &acted, &reminded, &g.Certificate, &g.Verdict, &g.signing)
	g.Invited, g.Opened, g.Acted, g.Reminded = store.Time(invited), store.Time(opened), store.Time(acted), store.Time(reminded)
	return g, err
}

func (s *Service) signers(ctx context.Context, q store.Querier, id string) (list []Signer, err error) {
	rows, err := q.Query(ctx, selectSigner+`WHERE request_id = $1 ORDER BY position`, id)
	if err != nil {
		return nil, fmt.Errorf("read signers: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		g, err := scanSigner(rows)
		if err != nil {
			return nil, fmt.Errorf("read signers: %w", err)
		}
		list = append(list, g)
	}
	return list, rows.Err()
}

// signer returns the signer of that id.
func (r *Request) signer(id string) *Signer {
	for i := range r.Signers {
		if r.Signers[i].ID == id {
			return &r.Signers[i]
		}
	}
	return nil
}

// current is the signer whose turn it is, nil if there is none.
func (r *Request) current() *Signer {
	for i := range r.Signers {
		if g := &r.Signers[i]; g.State != Signed {
			if g.State == Waiting || g.State == Refused {
				return nil
			}
			return g
		}
	}
	return nil
}

// now is the time as the database keeps it.
func (s *Service) now() time.Time { return store.Time(store.Micros(s.config.Now())) }

// once makes a change that one caller wins: it reports whether this one did.
func once(rows int64, err error) (bool, error) {
	if err != nil {
		return false, fmt.Errorf("change request: %w", err)
	}
	return rows == 1, nil
}

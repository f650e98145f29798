package request

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/relyingparty/notify"
)

// Longest texts, in letters.
const (
	maxTitle   = 200
	maxMessage = 5000
	maxName    = 120
	maxReason  = 1000
)

// Create makes a draft.
func (s *Service) Create(ctx context.Context, by Sender, d NewDraft) (Request, error) {
	if by.Org == "" || by.User == "" || by.Email == "" {
		return Request{}, errors.New("create request: the sender is not complete")
	}
	if err := s.checkDraft(&d); err != nil {
		return Request{}, err
	}
	id, now := store.NewID(), store.Micros(s.config.Now())
	err := s.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO request (id, org_id, owner, owner_name, owner_email, title, message, lang, deadline, state, reason, reason_by,
			made, sent, ended, reminded, changed, log_id, seq) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, '', '', $11, 0, 0, 0, $11, '', 0)`,
			id, by.Org, by.User, by.Name, by.Email, d.Title, d.Message, d.Lang, store.Micros(d.Deadline), string(Draft), now)
		if err != nil {
			return fmt.Errorf("make request: %w", err)
		}
		return s.record(ctx, tx, by.Org, id, EventCreated, "", by.actor())
	})
	if err != nil {
		return Request{}, err
	}
	return s.load(ctx, s.config.DB, id)
}

func (s *Service) checkDraft(d *NewDraft) error {
	d.Title = cleanLine(d.Title)
	d.Message = strings.TrimSpace(strings.Map(func(r rune) rune {
		if (unicode.IsControl(r) && r != '\n') || reorders(r) {
			return -1
		}
		return r
	}, strings.ReplaceAll(d.Message, "\r\n", "\n")))
	switch {
	case utf8.RuneCountInString(d.Title) > maxTitle:
		return fault.New(fault.Invalid, "the title may have %d letters", maxTitle).WithCode(CodeIncomplete)
	case utf8.RuneCountInString(d.Message) > maxMessage:
		return fault.New(fault.Invalid, "the message may have %d letters", maxMessage).WithCode(CodeIncomplete)
	case len(d.Lang) > 35:
		return fault.New(fault.Invalid, "the language is no language tag").WithCode(CodeIncomplete)
	}
	return nil
}

// cleanLine makes somebody's words one line without characters that hide or
// reorder.
func cleanLine(text string) string {
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		if reorders(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, text)), " ")
}

// reorders says whether a character changes how others are shown: format
// characters but for the joiners that some scripts need.
func reorders(r rune) bool { return unicode.Is(unicode.Cf, r) && r != '\u200c' && r != '\u200d' }

// draft runs do in a transaction in which the request is a draft of the sender's.
func (s *Service) draft(ctx context.Context, by Sender, id string, do func(ctx context.Context, tx *store.Tx, r Request) error) error {
	return s.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		// The write comes first: who comes second sees what the first did.
		if _, err := tx.Exec(ctx, `UPDATE request SET changed = $1 WHERE id = $2 AND org_id = $3`, store.Micros(s.config.Now()), id, by.Org); err != nil {
			return fmt.Errorf("change draft: %w", err)
		}
		r, err := s.loadFor(ctx, tx, by, id)
		if err != nil {
			return err
		}
		if r.State != Draft {
			return fault.New(fault.Conflict, "the request was sent; it cannot be changed any more").WithCode(CodeState)
		}
		return do(ctx, tx, r)
	})
}

// Update changes title, message, language and deadline of a draft.
func (s *Service) Update(ctx context.Context, by Sender, id string, d NewDraft) error {
	if err := s.checkDraft(&d); err != nil {
		return err
	}
	return s.draft(ctx, by, id, func(ctx context.Context, tx *store.Tx, r Request) error {
		_, err := tx.Exec(ctx, `UPDATE request SET title = $1, message = $2, lang = $3, deadline = $4 WHERE id = $5`,
			d.Title, d.Message, d.Lang, store.Micros(d.Deadline), r.ID)
		return err
	})
}

// SetSigners replaces the signers of a draft. Their order is the order in which
// they sign.
func (s *Service) SetSigners(ctx context.Context, by Sender, id string, list []NewSigner) error {
	if len(list) > s.config.Policy.Signers {
		return fault.New(fault.Invalid, "a request may have %d signers", s.config.Policy.Signers).WithCode(CodeSigner)
	}
	for i := range list {
		if err := s.checkSigner(i+1, &list[i]); err != nil {
			return err
		}
	}
	return s.draft(ctx, by, id, func(ctx context.Context, tx *store.Tx, r Request) error {
		if _, err := tx.Exec(ctx, `DELETE FROM request_signer WHERE request_id = $1`, r.ID); err != nil {
			return fmt.Errorf("replace signers: %w", err)
		}
		for i, n := range list {
			signer := store.NewID()
			_, err := tx.Exec(ctx, `INSERT INTO request_signer (id, org_id, request_id, position, name, email, phone, lang, level, factor, credential, state,
				reason, problem, code, invited, opened, viewed, acted, reminded, certificate, verdict, link_hash, signing,
				code_salt, code_tries, code_ends, code_orders, code_window)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, '', '', '', 0, 0, 0, 0, 0, '', '', $13, '', '', 0, 0, 0, 0)`,
				signer, r.Org, r.ID, i+1, n.Name, n.Email, n.Phone, n.Lang, string(n.Level), string(n.Factor), n.Credential, string(Waiting),
				hashOf(s.secrets.link(signer)))
			if err != nil {
				return fmt.Errorf("add signer: %w", err)
			}
		}
		return nil
	})
}

func (s *Service) checkSigner(position int, n *NewSigner) error {
	bad := func(format string, args ...any) error {
		return fault.New(fault.Invalid, "signer %d: %s", position, fmt.Sprintf(format, args...)).WithCode(CodeSigner)
	}
	n.Name, n.Email, n.Phone = cleanLine(n.Name), strings.TrimSpace(n.Email), strings.NewReplacer(" ", "", "-", "", "(", "", ")", "", "/", "").Replace(n.Phone)
	if n.Level == "" {
		n.Level = Click
	}
	if n.Factor == "" {
		n.Factor = MailCode
	}
	a, err := mail.ParseAddress(n.Email)
	switch {
	case n.Name == "" || utf8.RuneCountInString(n.Name) > maxName:
		return bad("the name is missing or has more than %d letters", maxName)
	case err != nil || a.Address != n.Email || len(n.Email) > 254:
		return bad("%q is no e-mail address", n.Email)
	case n.Level != Click && n.Level != Personal:
		return bad("the level must be click or personal")
	case n.Factor != NoFactor && n.Factor != MailCode && n.Factor != SMSCode:
		return bad("the second factor must be none, mail or sms")
	case len(n.Credential) > 200 || len(n.Lang) > 35:
		return bad("the credential or language is too long")
	}
	if n.Factor == SMSCode {
		if !s.config.Outbox.HasSMS() {
			return fault.New(fault.Invalid, "signer %d: this installation sends no SMS; choose a code by mail", position).WithCode(CodeNoSMS)
		}
		if err := notify.CheckNumber(n.Phone); err != nil {
			return bad("%s", fault.Of(err).Detail)
		}
	} else {
		n.Phone = "" // not needed, not kept
	}
	return nil
}

// AddDocument streams a file into a draft. A file that cannot be signed is refused
// with the reason (see documents.Put), and the others stay.
func (s *Service) AddDocument(ctx context.Context, by Sender, id, name string, r io.Reader) (Document, error) {
	have, err := s.loadFor(ctx, s.config.DB, by, id)
	if err != nil {
		return Document{}, err
	}
	if err := s.roomForDocument(have); err != nil {
		return Document{}, err
	}
	stored, err := s.config.Documents.Put(ctx, by.Org, name, r)
	if err != nil {
		return Document{}, err
	}
	d := Document{
		ID: store.NewID(), Name: stored.Name, Size: stored.Size, Stored: stored.ID,
		SHA256: hex.EncodeToString(stored.SHA256), SHA512: hex.EncodeToString(stored.SHA512), OriginalSHA256: hex.EncodeToString(stored.SHA256),
	}
	err = s.draft(ctx, by, id, func(ctx context.Context, tx *store.Tx, r Request) error {
		if err := s.roomForDocument(r); err != nil {
			return err
		}
		d.Position = 1
		if n := len(r.Documents); n > 0 {
			d.Position = r.Documents[n-1].Position + 1
		}
		if err := s.insertDocument(ctx, tx, r, d); err != nil {
			return err
		}
		return s.record(ctx, tx, r.Org, r.ID, EventDocumentAdded, "", by.actor(), "document", d.Name, "document_id", d.ID,
			"sha256", d.SHA256, "sha512", d.SHA512, "size", strconv.FormatInt(d.Size, 10))
	})
	if err != nil {
		return Document{}, errors.Join(err, s.config.Documents.Delete(context.WithoutCancel(ctx), by.Org, stored.ID))
	}
	return d, nil
}

func (s *Service) roomForDocument(r Request) error {
	if r.State != Draft {
		return fault.New(fault.Conflict, "the request was sent; it cannot be changed any more").WithCode(CodeState)
	}
	if len(r.Documents) >= s.config.Policy.Documents {
		return fault.New(fault.Invalid, "a request may have %d documents", s.config.Policy.Documents).WithCode(CodeTooMany)
	}
	return nil
}

func (s *Service) insertDocument(ctx context.Context, tx *store.Tx, r Request, d Document) error {
	_, err := tx.Exec(ctx, `INSERT INTO request_document (id, org_id, request_id, position, name, original, original_sha256, revision, stored, size, sha256, sha512)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $6, $8, $7, $9)`,
		d.ID, r.Org, r.ID, d.Position, d.Name, d.Stored, d.SHA256, d.Size, d.SHA512)
	if err != nil {
		return fmt.Errorf("add document: %w", err)
	}
	return nil
}

// RemoveDocument takes a file out of a draft.
func (s *Service) RemoveDocument(ctx context.Context, by Sender, id, document string) error {
	var stored string
	err := s.draft(ctx, by, id, func(ctx context.Context, tx *store.Tx, r Request) error {
		for _, d := range r.Documents {
			if d.ID != document {
				continue
			}
			stored = d.Stored
			if _, err := tx.Exec(ctx, `DELETE FROM request_document WHERE id = $1`, d.ID); err != nil {
				return fmt.Errorf("remove document: %w", err)
			}
			return s.record(ctx, tx, r.Org, r.ID, EventDocumentRemoved, "", by.actor(), "document", d.Name, "sha256", d.SHA256)
		}
		return fault.New(fault.NotFound, "there is no such document in this request")
	})
	if err != nil {
		return err
	}
	return s.config.Documents.Delete(ctx, by.Org, stored)
}

// Discard deletes a draft with its files.
func (s *Service) Discard(ctx context.Context, by Sender, id string) error {
	var list []Document
	err := s.draft(ctx, by, id, func(ctx context.Context, tx *store.Tx, r Request) error {
		list = r.Documents
		for _, table := range []string{`request_document WHERE request_id`, `request_signer WHERE request_id`, `request_event WHERE request_id`, `request WHERE id`} {
			if _, err := tx.Exec(ctx, `DELETE FROM `+table+` = $1`, r.ID); err != nil {
				return fmt.Errorf("discard draft: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, d := range list {
		if err := s.config.Documents.Delete(ctx, by.Org, d.Stored); err != nil {
			return err
		}
	}
	return nil
}

// LinkCredential says which credential of the signing service belongs to a person,
// for signers at level Personal. An empty one takes it back.
func (s *Service) LinkCredential(ctx context.Context, org, email, credential string) error {
	email = strings.ToLower(strings.TrimSpace(email))
	return s.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM request_credential WHERE org_id = $1 AND email = $2`, org, email); err != nil {
			return fmt.Errorf("link credential: %w", err)
		}
		if credential == "" {
			return nil
		}
		_, err := tx.Exec(ctx, `INSERT INTO request_credential (org_id, email, credential) VALUES ($1, $2, $3)`, org, email, credential)
		return err
	})
}

// credential finds the credential of a signer; empty if none is known.
func (s *Service) credential(ctx context.Context, q store.Querier, org string, g Signer) (string, error) {
	if g.Credential != "" {
		return g.Credential, nil
	}
	var c string
	err := q.QueryRow(ctx, `SELECT credential FROM request_credential WHERE org_id = $1 AND email = $2`, org, strings.ToLower(g.Email)).Scan(&c)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("find credential: %w", err)
	}
	return c, nil
}

// Open opens the current revision of a document, or of the sealed log
// (document == LogDocument), for the sender. Close its File.
func (s *Service) Open(ctx context.Context, by Sender, id, document string) (*Download, error) {
	r, err := s.loadFor(ctx, s.config.DB, by, id)
	if err != nil {
		return nil, err
	}
	return s.open(ctx, r, document)
}

// LogDocument stands for the sealed log where a document's id is asked for.
const LogDocument = "log"

// Download is a file to be sent to somebody who may have it. Close its File.
type Download struct {
	File interface {
		io.ReadSeeker
		io.Closer
	}
	Name   string
	Size   int64
	SHA256 string // hex
	Made   time.Time
}

func (s *Service) open(ctx context.Context, r Request, document string) (*Download, error) {
	stored, name := "", ""
	if document == LogDocument && r.Log != "" {
		stored = r.Log
	}
	for _, d := range r.Documents {
		if d.ID == document {
			stored, name = d.Stored, d.Name
		}
	}
	if stored == "" {
		return nil, fault.New(fault.NotFound, "there is no such document in this request")
	}
	f, d, err := s.config.Documents.Open(ctx, r.Org, stored)
	if err != nil {
		return nil, err
	}
	if name == "" {
		name = d.Name
	}
	return &Download{File: f, Name: name, Size: d.Size, SHA256: hex.EncodeToString(d.SHA256), Made: d.Made}, nil
}

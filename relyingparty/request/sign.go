package request

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/jobs"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/relyingparty/documents"
)

// Levels of the signatures: the seal at the end carries the archive time-stamp for
// all of them.
const (
	signLevel = pades.LT
	sealLevel = pades.LTA
)

// newID is the id of the document's revision that a signing makes. A job that runs
// again finds what it made before.
func newID(signing string, d Document) string { return derivedID(signing, d.ID, d.Stored) }

// files are the files of a signing, whose stored content was checked.
func (s *Service) files(ctx context.Context, r Request, signing string) ([]File, error) {
	var list []File
	for _, d := range r.Documents {
		stored, err := s.config.Documents.Document(ctx, r.Org, d.Stored)
		if err != nil {
			return nil, err
		}
		if err := s.config.Documents.Verify(ctx, stored); err != nil {
			return nil, err
		}
		list = append(list, File{In: s.config.Documents.Path(stored), Out: s.workFile(newID(signing, d)), Label: d.Name})
	}
	return list, nil
}

// terms are what a signer's signatures say.
func (s *Service) terms(r Request, g *Signer) Terms {
	t := Terms{Level: signLevel, By: "signer " + g.ID + " of process " + r.ID, Reason: fmt.Sprintf("Signed by %s <%s>", g.Name, g.Email)}
	if g.Level == Click {
		t.Reason = fmt.Sprintf("Agreed to by %s <%s> by click; sealed by %s", g.Name, g.Email, s.orgName())
	}
	return t
}

func (s *Service) orgName() string {
	if s.config.OrgName == "" {
		return "the sending organisation"
	}
	return s.config.OrgName
}

// runSign is the job that makes and verifies the signatures of a signer who said
// yes.
func (s *Service) runSign(ctx context.Context, j *jobs.Job) error {
	var d signJob
	if err := j.Decode(&d); err != nil {
		return err
	}
	r, err := s.load(ctx, s.config.DB, d.Request)
	if err != nil {
		return err
	}
	g := r.signer(d.Signer)
	if r.State != Running || g == nil || g.State != Signing || g.signing != d.Signing {
		return nil // done, or withdrawn before it was begun
	}
	made, err := s.makeSignatures(ctx, r, g, d)
	if err != nil {
		return s.judge(ctx, j, r, g.ID, err)
	}
	checked, err := s.check(ctx, r, made, signLevel)
	if err != nil {
		return s.judge(ctx, j, r, g.ID, err)
	}
	if err := s.signed(ctx, j, r, g, d, made, checked); err != nil {
		return err
	}
	s.clean(ctx, r, made)
	s.changed(r.ID)
	return nil
}

// judge tells what becomes of a job that failed: a signature that is none stops the
// request; trouble that may pass is tried again; the rest is given up.
func (s *Service) judge(ctx context.Context, j *jobs.Job, r Request, signer string, err error) error {
	f, ok := errors.AsType[*fault.Error](err)
	switch {
	case !ok:
		return err
	case bad(f.Code):
		return s.stop(ctx, j, r, signer, f)
	case f.Kind == fault.Unavailable, f.Kind == fault.Internal, f.Kind == fault.TooMany:
		return err
	}
	return jobs.Stop(err)
}

// bad says whether a code means that a signature or a stored file is not what it
// should be.
func bad(code string) bool {
	switch code {
	case CodeSignatureWrong, CodeNotValid, CodeVerification, documents.CodeDamaged:
		return true
	}
	return false
}

// makeSignatures brings the signed revision of every document into the store,
// unless an earlier run of the job did.
func (s *Service) makeSignatures(ctx context.Context, r Request, g *Signer, d signJob) ([]documents.Document, error) {
	w, err := s.workLeft(ctx, r, d.Signing)
	if err != nil {
		return nil, err
	}
	switch {
	case len(w.sign) == 0:
	case d.Approval != "":
		err = s.signPersonally(ctx, r, d)
	default:
		err = s.seal(ctx, r, w, g.ID, actor{"signer:" + g.ID, g.Name, ""}, "signature of "+g.Name+" by click", s.terms(r, g))
	}
	if err != nil {
		return nil, err
	}
	return s.adopt(ctx, r, d.Signing, w.adopt)
}

// workLeft is what a signing still has to do.
type workLeft struct {
	sign  []Document // have no new revision yet
	files []File     // of those
	adopt []Document // whose new revision is not in the store
}

// workLeft looks what an earlier run of the job did. A signed file appears whole or
// not at all, so what is there is not signed again.
func (s *Service) workLeft(ctx context.Context, r Request, signing string) (w workLeft, err error) {
	all, err := s.files(ctx, r, signing)
	if err != nil {
		return w, err
	}
	for i, d := range r.Documents {
		_, err := s.config.Documents.Document(ctx, r.Org, newID(signing, d))
		if err == nil {
			continue
		}
		if !errors.Is(err, fault.NotFound) {
			return w, err
		}
		w.adopt = append(w.adopt, d)
		_, err = os.Stat(all[i].Out)
		if errors.Is(err, os.ErrNotExist) {
			w.sign, w.files = append(w.sign, d), append(w.files, all[i])
			continue
		}
		if err != nil {
			return w, fmt.Errorf("look for signed file: %w", err)
		}
	}
	return w, nil
}

// seal uses the seal, after its use was recorded.
func (s *Service) seal(ctx context.Context, r Request, w workLeft, signer string, by actor, purpose string, t Terms) error {
	if err := s.sealUsed(ctx, r, signer, by, purpose, w.sign); err != nil {
		return err
	}
	_, err := s.config.Seal.Seal(ctx, w.files, t)
	return err
}

// sealUsed records each use of the seal before it is used: who for, on what, and
// through which yes, also when the file shows the organisation only.
func (s *Service) sealUsed(ctx context.Context, r Request, signer string, by actor, purpose string, list []Document) error {
	return s.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		for _, d := range list {
			if err := s.record(ctx, tx, r.Org, r.ID, EventSealUsed, signer, by, "document", d.Name, "document_id", d.ID, "sha256", d.SHA256, "purpose", purpose); err != nil {
				return err
			}
		}
		return nil
	})
}

// adopt moves new revisions into the store and returns all of a signing.
func (s *Service) adopt(ctx context.Context, r Request, signing string, missing []Document) ([]documents.Document, error) {
	for _, d := range missing {
		id := newID(signing, d)
		if _, err := s.config.Documents.Adopt(ctx, r.Org, id, d.Name, s.workFile(id)); err != nil {
			return nil, err
		}
	}
	var made []documents.Document
	for _, d := range r.Documents {
		m, err := s.config.Documents.Document(ctx, r.Org, newID(signing, d))
		if err != nil {
			return nil, err
		}
		made = append(made, m)
	}
	return made, nil
}

// signPersonally goes on with a personal signature where it was left.
func (s *Service) signPersonally(ctx context.Context, r Request, d signJob) error {
	a, err := s.approval(ctx, s.config.DB, "id", d.Approval)
	if err != nil {
		return err
	}
	progress, err := s.secrets.openText(a.id, a.sealed)
	if err != nil {
		return err
	}
	save := func(phase string) func(b []byte) error {
		return func(b []byte) error {
			_, err := s.config.DB.Exec(context.WithoutCancel(ctx), `UPDATE request_approval SET phase = $1, sealed = $2 WHERE id = $3`, phase, s.secrets.sealText(a.id, b), a.id)
			if err != nil {
				return fmt.Errorf("keep approval: %w", err)
			}
			return nil
		}
	}
	if a.phase == phaseReturned {
		returned, err := s.secrets.openText(a.id, a.returned)
		if err != nil {
			return err
		}
		if progress, err = s.config.Personal.Redeem(ctx, progress, string(returned)); err != nil {
			return err
		}
		if err := save(phaseRedeemed)(progress); err != nil {
			return err
		}
	}
	files, err := s.files(ctx, r, d.Signing)
	if err != nil {
		return err
	}
	_, err = s.config.Personal.Finish(ctx, progress, files, func(b json.RawMessage) error { return save(phaseRedeemed)(b) })
	return err
}

// signed writes down in one transaction that a signer's signatures are there and
// verified, and goes on with the next step.
func (s *Service) signed(ctx context.Context, j *jobs.Job, r Request, g *Signer, d signJob, made []documents.Document, checked []Checked) error {
	return s.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		running, err := once(tx.Exec(ctx, `UPDATE request SET changed = $1 WHERE id = $2 AND state = $3`, store.Micros(s.config.Now()), r.ID, string(Running)))
		if err != nil {
			return err
		}
		if !running { // withdrawn meanwhile: what was made is not added
			return j.Done(ctx, tx)
		}
		first, err := once(tx.Exec(ctx, `UPDATE request_signer SET state = $1, acted = $2, certificate = $3, verdict = $4 WHERE id = $5 AND state = $6 AND signing = $7`,
			string(Signed), store.Micros(s.config.Now()), checked[0].Subject, checked[0].Verdict, g.ID, string(Signing), d.Signing))
		if err != nil {
			return err
		}
		if !first {
			return j.Done(ctx, tx)
		}
		if err := s.newRevisions(ctx, tx, r, g.ID, made, checked); err != nil {
			return err
		}
		if d.Approval != "" {
			if _, err := tx.Exec(ctx, `UPDATE request_approval SET phase = $1, sealed = '', returned = '' WHERE id = $2`, phaseDone, d.Approval); err != nil {
				return fmt.Errorf("end approval: %w", err)
			}
		}
		if err := s.record(ctx, tx, r.Org, r.ID, EventSigned, g.ID, actor{"signer:" + g.ID, g.Name, ""}, "level", string(g.Level), "certificate", checked[0].Subject); err != nil {
			return err
		}
		if err := s.next(ctx, tx, r, g); err != nil {
			return err
		}
		return j.Done(ctx, tx)
	})
}

// newRevisions replaces documents by their new revisions, with what was found in
// them.
func (s *Service) newRevisions(ctx context.Context, tx *store.Tx, r Request, signer string, made []documents.Document, checked []Checked) error {
	for i, d := range r.Documents {
		m, c := made[i], checked[i]
		sum256, sum512 := fmt.Sprintf("%x", m.SHA256), fmt.Sprintf("%x", m.SHA512)
		replaced, err := once(tx.Exec(ctx, `UPDATE request_document SET stored = $1, size = $2, sha256 = $3, sha512 = $4, revision = revision + 1 WHERE id = $5 AND stored = $6`,
			m.ID, m.Size, sum256, sum512, d.ID, d.Stored))
		if err != nil {
			return err
		}
		if !replaced {
			return fmt.Errorf("document %s of request %s was replaced by somebody else", d.ID, r.ID)
		}
		if err := s.record(ctx, tx, r.Org, r.ID, EventSignatureMade, signer, machine, "document", d.Name, "document_id", d.ID, "field", c.Field,
			"sha256", sum256, "sha512", sum512, "size", strconv.FormatInt(m.Size, 10)); err != nil {
			return err
		}
		if err := s.record(ctx, tx, r.Org, r.ID, EventSignatureChecked, signer, machine, "document", d.Name, "document_id", d.ID, "field", c.Field,
			"verdict", c.Verdict, "level", c.Level, "signer", c.Subject, "covers", c.Covers); err != nil {
			return err
		}
	}
	return nil
}

// next invites the next signer, or has the request sealed.
func (s *Service) next(ctx context.Context, tx *store.Tx, r Request, done *Signer) error {
	for _, g := range r.Signers {
		if g.Position > done.Position {
			return s.invite(ctx, tx, r, g)
		}
	}
	first, err := once(tx.Exec(ctx, `UPDATE request SET state = $1 WHERE id = $2 AND state = $3`, string(Sealing), r.ID, string(Running)))
	if err != nil || !first {
		return err
	}
	_, err = s.config.Jobs.Add(ctx, tx, jobs.New{Org: r.Org, Kind: jobSeal, Key: r.ID, Data: r.ID})
	return err
}

// clean removes what is not needed any more; what it cannot remove only takes space.
func (s *Service) clean(ctx context.Context, r Request, made []documents.Document) {
	for i, d := range r.Documents {
		_ = os.Remove(s.workFile(made[i].ID))
		if d.Revision == 0 {
			continue // the original is kept
		}
		if err := s.config.Documents.Delete(ctx, r.Org, d.Stored); err != nil {
			s.config.Log.WarnContext(ctx, "old revision not removed", "request", r.ID, "error", err)
		}
	}
}

// signingFailed gives a yes back to the signer: nothing was signed, and they may say
// it again.
func (s *Service) signingFailed(ctx context.Context, tx *store.Tx, j *jobs.Job, cause error) error {
	var d signJob
	if err := j.Decode(&d); err != nil {
		return err
	}
	detail, code := told(cause)
	first, err := once(tx.Exec(ctx, `UPDATE request_signer SET state = $1, problem = $2, code = $3 WHERE id = $4 AND state = $5 AND signing = $6`,
		string(Opened), detail, code, d.Signer, string(Signing), d.Signing))
	if err != nil || !first {
		return err
	}
	if d.Approval != "" {
		if _, err := tx.Exec(ctx, `UPDATE request_approval SET phase = $1, sealed = '', returned = '' WHERE id = $2`, phaseFailed, d.Approval); err != nil {
			return fmt.Errorf("end approval: %w", err)
		}
	}
	defer s.feed.wake(d.Request)
	return s.record(ctx, tx, j.Org, d.Request, EventSigningFailed, d.Signer, machine, "code", code, "error", detail)
}

// told is what people may know of a failure, with a code for programs.
func told(cause error) (detail, code string) {
	f := fault.Of(cause)
	detail, code = f.Detail, f.Code
	if f.Kind == fault.Internal && code == "" {
		detail = "the signature could not be made because of trouble here; the operator's log says why"
	}
	if code == "" {
		code = CodeService
	}
	return detail, code
}

package request

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/countersign/countersign/ades/validate"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/jobs"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/relyingparty/documents"
	"github.com/countersign/countersign/relyingparty/notify"
	"github.com/countersign/countersign/relyingparty/request/prooflog"
)

// runSeal is the job that seals the files and the log of a request that everybody
// signed, and sends the results.
func (s *Service) runSeal(ctx context.Context, j *jobs.Job) error {
	var id string
	if err := j.Decode(&id); err != nil {
		return err
	}
	r, err := s.load(ctx, s.config.DB, id)
	if err != nil {
		return err
	}
	if r.State != Sealing {
		return nil
	}
	made, checked, err := s.sealFiles(ctx, r)
	if err != nil {
		return s.notSealed(ctx, j, r, err)
	}
	proof, err := s.sealLog(ctx, r, made, checked)
	if err != nil {
		return s.notSealed(ctx, j, r, err)
	}
	if err := s.completed(ctx, j, r, made, checked, proof); err != nil {
		return err
	}
	s.clean(ctx, r, made)
	s.changed(r.ID)
	return nil
}

// notSealed records why a request is not sealed yet, once for each reason, and goes
// on as judge says.
func (s *Service) notSealed(ctx context.Context, j *jobs.Job, r Request, cause error) error {
	detail, code := told(cause)
	err := s.config.DB.Tx(context.WithoutCancel(ctx), func(ctx context.Context, tx *store.Tx) error {
		list, err := s.events(ctx, tx, r.ID, 0)
		if err != nil {
			return err
		}
		for _, e := range slices.Backward(list) {
			if e.Type == EventSealingFailed {
				if e.Data["error"] == detail {
					return nil
				}
				break
			}
		}
		return s.record(ctx, tx, r.Org, r.ID, EventSealingFailed, "", machine, "code", code, "error", detail)
	})
	s.changed(r.ID)
	return errors.Join(s.judge(ctx, j, r, "", cause), err)
}

// sealingGivenUp stops a request that can never be sealed.
func (s *Service) sealingGivenUp(ctx context.Context, tx *store.Tx, j *jobs.Job, cause error) error {
	var id string
	if err := j.Decode(&id); err != nil {
		return err
	}
	r, err := s.load(ctx, tx, id)
	if err != nil {
		return err
	}
	detail, _ := told(cause)
	defer s.feed.wake(id)
	_, err = s.close(ctx, tx, r, ending{state: Stopped, event: EventStopped, kind: notify.Stopped, reason: detail, actor: machine})
	return err
}

// sealing names the signing at the end of a request.
func sealing(r Request) string { return "seal " + r.ID }

// sealFiles puts the seal on every document and verifies it.
func (s *Service) sealFiles(ctx context.Context, r Request) ([]documents.Document, []Checked, error) {
	w, err := s.workLeft(ctx, r, sealing(r))
	if err != nil {
		return nil, nil, err
	}
	if len(w.sign) > 0 {
		if err := s.seal(ctx, r, w, "", machine, "seal at the end of the process", s.sealTerms(r)); err != nil {
			return nil, nil, err
		}
	}
	made, err := s.adopt(ctx, r, sealing(r), w.adopt)
	if err != nil {
		return nil, nil, err
	}
	checked, err := s.check(ctx, r, made, sealLevel)
	return made, checked, err
}

func (s *Service) sealTerms(r Request) Terms {
	return Terms{Level: sealLevel, By: "machine, end of process " + r.ID, Reason: fmt.Sprintf("End of the signing process %s of %s", r.ID, s.orgName())}
}

// sealLog writes the log of the process as a document, seals it and verifies it.
func (s *Service) sealLog(ctx context.Context, r Request, made []documents.Document, checked []Checked) (documents.Document, error) {
	id := derivedID(sealing(r), "log")
	d, err := s.config.Documents.Document(ctx, r.Org, id)
	if errors.Is(err, fault.NotFound) {
		d, err = s.makeLog(ctx, r, id, made, checked)
	}
	if err != nil {
		return documents.Document{}, err
	}
	return d, s.checkLog(ctx, d)
}

func (s *Service) makeLog(ctx context.Context, r Request, id string, made []documents.Document, checked []Checked) (documents.Document, error) {
	list := []Document{{Name: "log"}}
	if err := s.sealUsed(ctx, r, "", machine, "seal on the log of the process", list); err != nil {
		return documents.Document{}, err
	}
	events, err := s.events(ctx, s.config.DB, r.ID, 0)
	if err != nil {
		return documents.Document{}, err
	}
	plain, sealed := filepath.Join(s.work, id+".plain.pdf"), s.workFile(id)
	b, err := prooflog.Render(s.story(r, events, made, checked))
	if err != nil {
		return documents.Document{}, err
	}
	if err := os.WriteFile(plain, b, 0o600); err != nil {
		return documents.Document{}, fmt.Errorf("write log: %w", err)
	}
	defer func() {
		_ = os.Remove(plain)
		_ = os.Remove(sealed)
	}()
	file := File{In: plain, Out: sealed, Label: "Log of " + r.Title}
	if _, err := s.config.Seal.Seal(ctx, []File{file}, s.sealTerms(r)); err != nil {
		return documents.Document{}, err
	}
	return s.config.Documents.Adopt(ctx, r.Org, id, "log-"+r.ID+".pdf", sealed)
}

// checkLog verifies the sealed log as it is stored.
func (s *Service) checkLog(ctx context.Context, d documents.Document) error {
	if err := s.config.Documents.Verify(ctx, d); err != nil {
		return err
	}
	f, err := os.Open(s.config.Documents.Path(d))
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	report, err := validate.File(f, d.Size, validate.Options{Anchors: s.config.Anchors, Now: s.config.Now})
	if err != nil {
		return err
	}
	if len(report.Signatures) != 1 {
		return refuse("the log has %d seals instead of one", len(report.Signatures))
	}
	return report.Require(report.Signatures[0].Field, "PAdES-"+sealLevel.String())
}

// completed writes down the end and sends everybody the results.
func (s *Service) completed(ctx context.Context, j *jobs.Job, r Request, made []documents.Document, checked []Checked, proof documents.Document) error {
	return s.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		now := s.now()
		first, err := once(tx.Exec(ctx, `UPDATE request SET state = $1, ended = $2, log_id = $3 WHERE id = $4 AND state = $5`,
			string(Completed), store.Micros(now), proof.ID, r.ID, string(Sealing)))
		if err != nil {
			return err
		}
		if !first {
			return j.Done(ctx, tx)
		}
		if err := s.newRevisions(ctx, tx, r, "", made, checked); err != nil {
			return err
		}
		if err := s.record(ctx, tx, r.Org, r.ID, EventCompleted, "", machine, "log", proof.Name, "sha256", fmt.Sprintf("%x", proof.SHA256), "sha512", fmt.Sprintf("%x", proof.SHA512)); err != nil {
			return err
		}
		end := r
		end.State, end.Ended = Completed, now
		for _, g := range end.Signers {
			if err := s.tell(ctx, tx, end, g, notify.Completed); err != nil {
				return err
			}
		}
		if err := s.tellOwner(ctx, tx, end, notify.Completed); err != nil {
			return err
		}
		return j.Done(ctx, tx)
	})
}

// story is what the log tells. Network addresses stay with the sender: every signer
// gets the log.
func (s *Service) story(r Request, events []Event, made []documents.Document, checked []Checked) prooflog.Story {
	st := prooflog.Story{
		Request: r.ID, Organisation: s.orgName(), Title: r.Title, Sender: r.Sender, SenderEmail: r.Email, Message: r.Message,
		Made: r.Made, Sent: r.Sent, Deadline: r.Deadline, Written: s.now(),
	}
	for i, d := range r.Documents {
		st.Documents = append(st.Documents, prooflog.Document{
			Name: d.Name, Original: d.OriginalSHA256, Size: made[i].Size, Field: checked[i].Field,
			SHA256: fmt.Sprintf("%x", made[i].SHA256), SHA512: fmt.Sprintf("%x", made[i].SHA512),
		})
	}
	for _, g := range r.Signers {
		st.Signers = append(st.Signers, prooflog.Signer{
			Position: g.Position, Name: g.Name, Email: g.Email, Level: string(g.Level), Factor: string(g.Factor),
			Invited: g.Invited, Signed: g.Acted, Certificate: g.Certificate, Verdict: g.Verdict,
		})
	}
	for _, e := range events {
		st.Events = append(st.Events, prooflog.Event{Seq: e.Seq, At: e.At, Type: string(e.Type), Actor: e.Actor, Name: e.Name, Data: e.Data})
	}
	return st
}

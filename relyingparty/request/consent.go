package request

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"net/url"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/jobs"
	"github.com/countersign/countersign/internal/store"
)

// signJob is the data of the job that makes a signer's signatures.
type signJob struct {
	Request string `json:"request"`
	Signer  string `json:"signer"`
	// Signing names this yes; ids of new revisions are derived from it.
	Signing string `json:"signing"`
	// Approval is set for a personal key.
	Approval string `json:"approval,omitempty"`
}

// mayAct says why a signer cannot sign or reject now.
func mayAct(r Request, g *Signer) error {
	switch l := landingState(r, g); l {
	case LandSign:
		return nil
	case LandWorking:
		return errWorking()
	case LandSigned, LandCompleted:
		return fault.New(fault.Conflict, "you have signed already").WithCode(CodeSigned)
	case LandNotYet, LandRejected, LandWithdrawn, LandExpired, LandStopped:
		return notVisible(r, l)
	}
	return errWorking()
}

// say turns a signer's state to Signing, once, and makes the job. If another yes was
// faster, it does nothing.
func (s *Service) say(ctx context.Context, tx *store.Tx, r Request, g *Signer, j signJob, v Visitor) error {
	first, err := once(tx.Exec(ctx, `UPDATE request_signer SET state = $1, signing = $2, problem = '', code = '' WHERE id = $3 AND state IN ($4, $5, $6)`,
		string(Signing), j.Signing, g.ID, string(Invited), string(Opened), string(Approval)))
	if err != nil || !first {
		return err
	}
	data := []string{"level", string(g.Level)}
	for _, d := range r.Documents {
		data = append(data, "document."+d.ID, d.SHA256)
	}
	if err := s.record(ctx, tx, r.Org, r.ID, EventSigningBegun, g.ID, g.actor(v), data...); err != nil {
		return err
	}
	_, err = s.config.Jobs.Add(ctx, tx, jobs.New{Org: r.Org, Kind: jobSign, Key: j.Signing, Data: j})
	return err
}

// Click is a signer's yes at level Click. It returns when the yes is durable; the
// signatures are made and verified by a job (watch for EventSigned or
// EventSigningFailed). Said twice, it is done once. seq is View.Seq of the page
// that was shown: if documents changed since, it is refused with CodeState.
func (s *Service) Click(ctx context.Context, visit string, seq int64, v Visitor) error {
	r, g, err := s.visitor(ctx, s.config.DB, visit)
	if err != nil {
		return err
	}
	if g.Level != Click {
		return fault.New(fault.Invalid, "this signature is made with your own key").WithCode(CodeState)
	}
	err = s.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		r, err := s.load(ctx, tx, r.ID)
		if err != nil {
			return err
		}
		me := r.signer(g.ID)
		if err := mayAct(r, me); err != nil {
			return said(err)
		}
		if err := s.unchangedSince(ctx, tx, r, seq); err != nil {
			return err
		}
		return s.say(ctx, tx, r, me, signJob{Request: r.ID, Signer: me.ID, Signing: store.NewID()}, v)
	})
	if err == nil {
		s.changed(r.ID)
	}
	return err
}

// said makes a yes that was said before no error.
func said(err error) error {
	if c := fault.Of(err).Code; c == CodeWorking || c == CodeSigned {
		return nil
	}
	return err
}

// unchangedSince refuses a yes to other documents than the page showed.
func (s *Service) unchangedSince(ctx context.Context, tx *store.Tx, r Request, seq int64) error {
	var n int
	err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM request_event WHERE request_id = $1 AND seq > $2 AND type = $3`, r.ID, seq, string(EventSignatureMade)).Scan(&n)
	if err != nil {
		return fmt.Errorf("look for changes: %w", err)
	}
	if n > 0 || seq > r.Seq || seq < 1 {
		return fault.New(fault.Conflict, "the documents changed since this page was shown; look at them again").WithCode(CodeState)
	}
	return nil
}

// Phases of an approval.
const (
	phaseBegun    = "begun"    // the browser is on its way
	phaseReturned = "returned" // it came back with a code
	phaseRedeemed = "redeemed" // what allows signing is here
	phaseRefused  = "refused"
	phaseDone     = "done"
	phaseFailed   = "failed"
)

// BeginPersonal prepares the signatures of a signer at level Personal and returns
// the address of the approval page, to which the browser is to be sent. Pressed
// twice, there are two approvals; the first that comes back signs, and the other
// one signs nothing.
func (s *Service) BeginPersonal(ctx context.Context, visit string, v Visitor) (approvalURL string, err error) {
	r, g, err := s.visitor(ctx, s.config.DB, visit)
	if err != nil {
		return "", err
	}
	if g.Level != Personal {
		return "", fault.New(fault.Invalid, "this signature is made by a click").WithCode(CodeState)
	}
	if err := mayAct(r, g); err != nil {
		return "", err
	}
	credential, err := s.credential(ctx, s.config.DB, r.Org, *g)
	if err != nil {
		return "", err
	}
	if credential == "" {
		return "", fault.New(fault.Invalid, "no key of your own is known here; ask the sender").WithCode(CodeNoKey)
	}
	id := store.NewID()
	files, err := s.files(ctx, r, id)
	if err != nil {
		return "", err
	}
	begun, err := s.config.Personal.Begin(ctx, credential, files, s.terms(r, g))
	if err != nil {
		return "", err
	}
	err = s.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		now, err := s.load(ctx, tx, r.ID)
		if err != nil {
			return err
		}
		if err := mayAct(now, now.signer(g.ID)); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO request_approval (id, org_id, request_id, signer_id, state_hash, phase, sealed, returned, made) VALUES ($1, $2, $3, $4, $5, $6, $7, '', $8)`,
			id, r.Org, r.ID, g.ID, hashOf(begun.State), phaseBegun, s.secrets.sealText(id, begun.Progress), store.Micros(s.config.Now()))
		if err != nil {
			return fmt.Errorf("keep approval: %w", err)
		}
		if _, err := tx.Exec(ctx, `UPDATE request_signer SET state = $1 WHERE id = $2 AND state IN ($3, $4)`, string(Approval), g.ID, string(Invited), string(Opened)); err != nil {
			return fmt.Errorf("keep approval: %w", err)
		}
		return s.record(ctx, tx, r.Org, r.ID, EventApprovalBegun, g.ID, g.actor(v), "credential", credential)
	})
	if err != nil {
		return "", err
	}
	s.changed(r.ID)
	return begun.URL, nil
}

// approval is a row of request_approval.
type approval struct{ id, request, signer, phase, sealed, returned string }

func (s *Service) approval(ctx context.Context, q store.Querier, where, value string) (a approval, err error) {
	err = q.QueryRow(ctx, `SELECT id, request_id, signer_id, phase, sealed, returned FROM request_approval WHERE `+where+` = $1`, value).
		Scan(&a.id, &a.request, &a.signer, &a.phase, &a.sealed, &a.returned)
	if errors.Is(err, sql.ErrNoRows) {
		return a, fault.New(fault.NotFound, "this way back from an approval is not known here; open the link of your invitation again").WithCode(CodeReturn)
	}
	if err != nil {
		return a, fmt.Errorf("read approval: %w", err)
	}
	return a, nil
}

// byReturn finds the approval that a browser comes back from.
func (s *Service) byReturn(ctx context.Context, returned string) (approval, url.Values, error) {
	u, err := url.Parse(returned)
	if err != nil {
		return approval{}, nil, fault.New(fault.Invalid, "this address cannot be read").WithCode(CodeReturn).Because(err)
	}
	q := u.Query()
	if len(q["state"]) != 1 {
		return approval{}, nil, fault.New(fault.Invalid, "this way back from an approval is not complete").WithCode(CodeReturn)
	}
	a, err := s.approval(ctx, s.config.DB, "state_hash", hashOf(q.Get("state")))
	return a, q, err
}

// SignerOfReturn names the signer to whose visit a return from the approval page
// belongs, so that the page finds the cookie. returned is the whole URL.
func (s *Service) SignerOfReturn(ctx context.Context, returned string) (signer string, err error) {
	a, _, err := s.byReturn(ctx, returned)
	return a.signer, err
}

// FinishPersonal takes the URL on which the browser came back from the approval
// page, in the browser of the same visit. It returns when the yes is durable; a job
// does the rest, as with Click. An approval that was refused is Forbidden with the
// reason, and the signer may begin again. Repeated (reload, two tabs) it changes
// nothing. link is the address of the signer's page, to go on to; it comes with the
// refusal too.
func (s *Service) FinishPersonal(ctx context.Context, visit, returned string, v Visitor) (link string, err error) {
	a, q, err := s.byReturn(ctx, returned)
	if err != nil {
		return "", err
	}
	r, g, err := s.visitor(ctx, s.config.DB, visit)
	if err != nil {
		return "", err
	}
	if subtle.ConstantTimeCompare([]byte(g.ID), []byte(a.signer)) != 1 {
		return "", errVisit()
	}
	link = s.config.BaseURL + LinkPath + s.secrets.link(g.ID)
	var refused error
	err = s.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		refused = nil
		if q.Get("code") == "" {
			refused, err = s.refused(ctx, tx, r, g, a, q, v)
			return err
		}
		return s.returned(ctx, tx, r, g, a, returned, v)
	})
	if err == nil {
		s.changed(r.ID)
		err = refused
	}
	return link, err
}

// returned keeps the way back and makes the job, once.
func (s *Service) returned(ctx context.Context, tx *store.Tx, r Request, g *Signer, a approval, returned string, v Visitor) error {
	first, err := once(tx.Exec(ctx, `UPDATE request_approval SET phase = $1, returned = $2 WHERE id = $3 AND phase = $4`,
		phaseReturned, s.secrets.sealText(a.id, []byte(returned)), a.id, phaseBegun))
	if err != nil || !first {
		return err
	}
	r, err = s.load(ctx, tx, r.ID)
	if err != nil {
		return err
	}
	if err := mayAct(r, r.signer(g.ID)); err != nil {
		return said(err) // the other tab was faster: this approval is never redeemed
	}
	return s.say(ctx, tx, r, g, signJob{Request: r.ID, Signer: g.ID, Signing: a.id, Approval: a.id}, v)
}

// refused notes that the signer said no on the approval page, or that it expired.
func (s *Service) refused(ctx context.Context, tx *store.Tx, r Request, g *Signer, a approval, q url.Values, v Visitor) (refused, err error) {
	why := cleanLine(q.Get("error_description"))
	if len(why) > maxReason {
		why = why[:maxReason]
	}
	refused = fault.New(fault.Forbidden, "the approval was not given; nothing was signed, and you can begin again").WithCode(CodeRefusedApproval)
	first, err := once(tx.Exec(ctx, `UPDATE request_approval SET phase = $1, sealed = '' WHERE id = $2 AND phase = $3`, phaseRefused, a.id, phaseBegun))
	if err != nil || !first {
		return refused, err
	}
	if _, err := tx.Exec(ctx, `UPDATE request_signer SET state = $1 WHERE id = $2 AND state = $3`, string(Opened), g.ID, string(Approval)); err != nil {
		return nil, fmt.Errorf("note refusal: %w", err)
	}
	return refused, s.record(ctx, tx, r.Org, r.ID, EventApprovalRefused, g.ID, g.actor(v), "error", q.Get("error"), "reason", why)
}

// CodeRefusedApproval says that the signer, or time, refused on the approval page.
const CodeRefusedApproval = "approval_refused"

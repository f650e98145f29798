package federation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
)

// again answers a request that was made before, without sending anything that
// signs: what is kept is given, what is uncertain is looked up.
func (p *Peers) again(ctx context.Context, a *authorization, k *handle, o *operation, order *csc.Order) (*csc.Verified, error) {
	switch o.state {
	case opVerified, opDelivered:
		return p.kept(o, k, order)
	case opSending:
		if p.now().Before(o.lease) {
			return nil, errInFlight
		}
		if err := p.end(ctx, o, opIndeterminate, "interrupted while the request was on its way"); err != nil {
			return nil, err
		}
		o.state = opIndeterminate
	case opQuarantined:
		return nil, errQuarantined()
	case opLost:
		return nil, errLost()
	}
	return p.resolve(ctx, a, k, o, order)
}

// kept gives signatures that were verified before. They are verified once more, for
// they come from the database now.
func (p *Peers) kept(o *operation, k *handle, order *csc.Order) (*csc.Verified, error) {
	var answer csc.SignHashResponse
	if o.signatures == "" {
		return nil, csc.ErrHashNotAuthorized // delivered, and its time is over
	}
	if err := p.sealer.open(o.place(), o.signatures, &answer); err != nil {
		return nil, err
	}
	signatures, err := answer.Decode()
	if err != nil {
		return nil, err
	}
	return order.Verify(k.leaf, signatures)
}

// keep stores an answer that could not be verified yet.
func (p *Peers) keep(ctx context.Context, o *operation, answer *csc.SignHashResponse) error {
	sealed, err := p.sealer.seal(o.place(), answer)
	if err != nil {
		return err
	}
	_, err = p.db.Exec(context.WithoutCancel(ctx), `UPDATE federation_operation SET signatures = $2 WHERE id = $1 AND (state = 'SENDING' OR state = 'INDETERMINATE')`, o.id, sealed)
	if err != nil {
		return fmt.Errorf("keep answer of operation %s: %w", o.id, err)
	}
	return nil
}

// resolve finds out what became of an uncertain operation: from an answer that is
// kept here, or by reading the peer's result where it offers that. It never sends
// the request again.
func (p *Peers) resolve(ctx context.Context, a *authorization, k *handle, o *operation, order *csc.Order) (*csc.Verified, error) {
	e, _, err := p.usable(ctx, a.org, a.peer, k.level)
	if err != nil {
		return nil, errIndeterminate().Because(err)
	}
	var answer *csc.SignHashResponse
	switch {
	case o.signatures != "":
		answer = &csc.SignHashResponse{}
		if err := p.sealer.open(o.place(), o.signatures, answer); err != nil {
			return nil, err
		}
	case !e.Results || a.sealed == "":
		return nil, errIndeterminate()
	default:
		token, err := p.token(a)
		if err != nil {
			return nil, err
		}
		err = e.gate.pass(func() (err error) {
			answer, err = e.remote.Result(ctx, token, o.request)
			if errors.Is(err, fault.NotFound) || errors.Is(err, fault.Unauthenticated) {
				err = fmt.Errorf("%w: %w", csc.ErrSADExpired, err) // an answer: the peer is well
			}
			return err
		})
		if err != nil {
			return nil, errIndeterminate().Because(err)
		}
	}
	p.log.InfoContext(ctx, "uncertain operation resolved", "peer", e.ID, "sid", o.sid, "operation", o.id)
	return p.accept(ctx, e, k, o, order, answer, true)
}

// Delivered implements csc.Deliverer.
func (p *Peers) Delivered(_ context.Context, by csc.Caller, q *csc.SignHashRequest, _ *csc.SignHashResponse) {
	order, err := q.Order()
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.delivered) < maxDelivered { // advice: what is not noted stays VERIFIED
		p.delivered = append(p.delivered, arrival{by.SID, fingerprintOf(order)})
	}
}

type arrival struct{ sid, fingerprint string }

const maxDelivered = 10_000

const (
	// graceTime after its token's end, an operation that is still uncertain is lost:
	// the peer cannot be asked any more, and must not sign any more.
	graceTime = 2 * time.Minute
	// retention is how long signatures and tokens are kept at most.
	retention = 24 * time.Hour
	// history is how long it is kept what became of operations, beside their receipts.
	history = 30 * 24 * time.Hour
	// sweepMany bounds the work of one sweep.
	sweepMany = 200
	// askEvery is how often the result of an uncertain operation is asked for, by one
	// node at a time.
	askEvery = 15 * time.Second
	// purgeEvery is how often what is over is forgotten, clearEvery what is old.
	purgeEvery = time.Minute
	clearEvery = time.Hour
)

// Sweep does what has to be done now and then, on every node: it notes deliveries,
// ends what was interrupted, looks uncertain operations up, and forgets secrets
// whose time is over. Every uncertain operation ends within its token's time and a
// little more.
func (p *Peers) Sweep(ctx context.Context) error {
	return errors.Join(p.noteDelivered(ctx), p.sweepInterrupted(ctx), p.sweepUncertain(ctx), p.purge(ctx))
}

func (p *Peers) noteDelivered(ctx context.Context) error {
	p.mu.Lock()
	list := p.delivered
	p.delivered = nil
	p.mu.Unlock()
	if len(list) == 0 {
		return nil
	}
	err := p.db.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		for _, d := range list {
			_, err := tx.Exec(ctx, `UPDATE federation_operation SET state = 'DELIVERED', changed = $3 WHERE sid = $1 AND fingerprint = $2 AND state = 'VERIFIED'`,
				d.sid, d.fingerprint, store.Micros(p.now()))
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("note deliveries: %w", err)
	}
	return nil
}

func (p *Peers) sweepInterrupted(ctx context.Context) error {
	list, err := p.operations(ctx, `state = 'SENDING' AND lease < $1 ORDER BY lease LIMIT $2`, store.Micros(p.now()), sweepMany)
	if err != nil {
		return err
	}
	var errs []error
	for _, o := range list {
		p.log.ErrorContext(ctx, "outcome at a peer not known", "alarm", true, "peer", o.peer, "sid", o.sid, "operation", o.id, "error", "interrupted while the request was on its way")
		errs = append(errs, p.end(ctx, o, opIndeterminate, "interrupted while the request was on its way"))
	}
	return errors.Join(errs...)
}

func (p *Peers) sweepUncertain(ctx context.Context) error {
	now := p.now()
	list, err := p.operations(ctx, `state = 'INDETERMINATE' AND lease <= $1 ORDER BY lease LIMIT $2`, store.Micros(now), sweepMany)
	if err != nil {
		return err
	}
	var errs []error
	for _, o := range list {
		n, err := p.db.Exec(ctx, `UPDATE federation_operation SET lease = $3 WHERE id = $1 AND lease = $2 AND state = 'INDETERMINATE'`,
			o.id, store.Micros(o.lease), store.Micros(now.Add(askEvery)))
		if err != nil || n != 1 { // another node has it
			errs = append(errs, err)
			continue
		}
		if err := p.sweepOne(ctx, o); err != nil {
			errs = append(errs, fmt.Errorf("operation %s: %w", o.id, err))
		}
	}
	return errors.Join(errs...)
}

func (p *Peers) sweepOne(ctx context.Context, o *operation) error {
	a, err := p.authorization(ctx, o.sid)
	if err != nil || a == nil {
		return err
	}
	k, err := p.handle(ctx, o.org, o.client, o.handle)
	if err != nil {
		return err
	}
	order, err := o.request.Order()
	if err != nil {
		return err
	}
	_, err = p.resolve(ctx, a, k, o, order)
	if err == nil {
		return nil
	}
	switch {
	case csc.ErrorOf(err).Code == codeIndeterminate:
	case asLie(err) != nil:
		return nil //nolint:nilerr // it has been dealt with
	default: // this side has trouble
		return err
	}
	if p.now().After(a.tokenExpires.Add(graceTime)) {
		p.log.ErrorContext(ctx, "operation at a peer lost", "alarm", true, "peer", o.peer, "sid", o.sid, "operation", o.id)
		return p.end(ctx, o, opLost, "the peer could not say in time what became of it")
	}
	return nil
}

func (p *Peers) operations(ctx context.Context, where string, args ...any) ([]*operation, error) {
	rows, err := p.db.Query(ctx, selectOperation+where, args...)
	return scanOperations(rows, err)
}

// due reports whether something that is done now and then is to be done again.
func (p *Peers) due(last *time.Time, every time.Duration) bool {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Before(last.Add(every)) && !last.After(now) {
		return false
	}
	*last = now
	return true
}

// purge ends approvals nobody came back for and forgets tokens with their end, once
// a minute; once an hour it forgets what is old. Old rows have no index: every
// signature would pay for it.
func (p *Peers) purge(ctx context.Context) error {
	before := func(d time.Duration) int64 { return store.Micros(p.now().Add(-d)) }
	if p.due(&p.purged, purgeEvery) {
		err := p.forgetAll(ctx, map[string]int64{
			`UPDATE federation_authorization SET state = 'EXPIRED', sealed = '' WHERE state IN ('AUTHORIZING', 'RETURNED') AND expires < $1`: before(graceTime),
			`UPDATE federation_authorization SET state = 'ENDED', sealed = '' WHERE state = 'AUTHORIZED' AND token_expires < $1
				AND NOT EXISTS (SELECT 1 FROM federation_operation o WHERE o.sid = federation_authorization.sid AND o.state IN ('SENDING', 'INDETERMINATE'))`: before(0),
		})
		if err != nil {
			return err
		}
	}
	if !p.due(&p.cleared, clearEvery) {
		return nil
	}
	return p.forgetAll(ctx, map[string]int64{
		`UPDATE federation_operation SET signatures = '' WHERE signatures <> '' AND changed < $1 AND state IN ('VERIFIED', 'DELIVERED', 'LOST', 'QUARANTINED')`: before(retention),
		`DELETE FROM federation_operation WHERE created < $1`:     before(history),
		`DELETE FROM federation_grant WHERE expires < $1`:         before(history),
		`DELETE FROM federation_authorization WHERE created < $1`: before(history),
	})
}

func (p *Peers) forgetAll(ctx context.Context, statements map[string]int64) error {
	for text, before := range statements {
		if _, err := p.db.Exec(ctx, text, before); err != nil {
			return fmt.Errorf("forget what is over: %w", err)
		}
	}
	return nil
}

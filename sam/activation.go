package sam

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// signTimeout bounds the work on one activation once its hashes are spent.
const signTimeout = time.Minute

// opener is the part of a keystore that uses signers' keys. Nothing but the
// activator has it, and nothing but a redeemed activation calls it.
type opener interface {
	Open(ctx context.Context, k keystore.WrappedKey) (keystore.Handle, error)
}

// activator makes activations.
type activator struct{ keys opener }

// activation is the right to sign some hashes with one key, once. It exists only
// when every check has passed and the hashes are durably spent; redeem uses it up.
type activation struct {
	keys      opener
	redeemed  atomic.Bool
	m         *Module
	batch     string
	req       *request
	cred      *credential
	holder    *holder
	alg       signing.Algorithm
	positions []int
}

// Sign makes the signatures that an approved SAD allows. Each hash of the SAD is
// spent before the key is used and never given back: what cannot be signed then is
// burned and recorded. Signatures leave only after they are recorded and stored;
// if the answer is lost, Result has them.
func (m *Module) Sign(ctx context.Context, req samapi.SignRequest) (samapi.SignResult, error) {
	a, err := m.authorise(ctx, req)
	if err != nil {
		return samapi.SignResult{}, m.alarm(ctx, err)
	}
	// A caller who goes away now would burn the hashes.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), signTimeout)
	defer cancel()
	signatures, err := a.redeem(ctx)
	if err != nil {
		return samapi.SignResult{}, err
	}
	return samapi.SignResult{Signatures: signatures}, nil
}

// authorise makes every check and spends the hashes, in one transaction: what is
// checked is what is there when they are spent.
func (m *Module) authorise(ctx context.Context, req samapi.SignRequest) (*activation, error) {
	now, err := m.clock.read()
	if err != nil {
		return nil, err
	}
	m.prepare(ctx, req, now)
	var (
		a    *activation
		seen []version
	)
	err = m.tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		a = &activation{keys: m.activate.keys, m: m, batch: store.NewID(), alg: req.Algorithm}
		device, err := a.check(ctx, tx, req, now)
		if err != nil {
			return err
		}
		seen = []version{{a.cred.record(), a.cred.Version}, {device.record(), device.Version}}
		return a.spend(ctx, tx, req, now)
	})
	if err != nil {
		return nil, err
	}
	m.seenAll(seen)
	return a, nil
}

// prepare parses the certificate and verifies the OCSP response before the
// transaction, which then finds both in memory: it must not be long. It decides
// nothing.
func (m *Module) prepare(ctx context.Context, req samapi.SignRequest, now time.Time) {
	var c *credential
	if known, ok := m.memory.credentials.get(req.Credential); ok {
		c = &known.cred
	} else {
		var err error
		if c, err = m.credentialByID(ctx, m.db, req.Credential); err != nil {
			return // the transaction says what is wrong
		}
	}
	if h, err := m.holder(c); err == nil {
		_, _ = m.status(req.OCSP, h, now) // see above
	}
}

// check makes every check but those of the single hashes.
func (a *activation) check(ctx context.Context, tx *store.Tx, req samapi.SignRequest, now time.Time) (*authenticator, error) {
	m := a.m
	var err error
	if a.req, err = m.requestByID(ctx, tx, req.SID, now); err != nil {
		return nil, err
	}
	if err := m.checkApproved(ctx, a.req, req, now); err != nil {
		return nil, err
	}
	if a.cred, err = m.credentialByID(ctx, tx, a.req.sad.Credential); err != nil {
		return nil, err
	}
	device, err := a.checkLinked(ctx, tx, now)
	if err != nil {
		return nil, err
	}
	if err := m.checkStatus(a.holder, req.OCSP, now); err != nil {
		return nil, err
	}
	return device, checkWanted(a.req, a.cred, req)
}

// checkApproved checks that the SAD is approved, by the module's own word, for this
// client and credential, and not over.
func (m *Module) checkApproved(ctx context.Context, r *request, req samapi.SignRequest, now time.Time) error {
	if req.Client != r.Client || req.Client != r.sad.Party.Client || req.Credential != r.sad.Credential {
		return fault.New(fault.Forbidden, "the approval is for another client or credential").WithCode(samapi.CodeSADInvalid)
	}
	switch r.state {
	case samapi.Approved, samapi.Spent:
	case samapi.Rejected:
		return fault.New(fault.Forbidden, "the signer rejected the request").WithCode(samapi.CodeRejected)
	case samapi.Expired:
		return fault.New(fault.Expired, "the request expired before it was approved").WithCode(samapi.CodeSADExpired)
	default:
		return fault.New(fault.Forbidden, "the signer has not approved the request").WithCode(samapi.CodeNotApproved)
	}
	if err := m.approved(ctx, r); err != nil {
		return err
	}
	if r.state == samapi.Spent {
		return errSpent()
	}
	if !now.Before(r.approval.RedeemUntil) {
		return fault.New(fault.Expired, "the approval was to be used within %s", r.Redeem).WithCode(samapi.CodeSADExpired)
	}
	return nil
}

func errSpent() error {
	return fault.New(fault.Conflict, "a hash was signed before, as often as the signer approved it").WithCode(samapi.CodeHashNotAuthorized)
}

// checkLinked holds SAD, key, certificate and device together as they are now.
func (a *activation) checkLinked(ctx context.Context, tx *store.Tx, now time.Time) (*authenticator, error) {
	m, r, c := a.m, a.req, a.cred
	if err := usable(c); err != nil {
		return nil, err
	}
	key := sha256.Sum256(c.SPKI)
	if !bytes.Equal(key[:], r.sad.Key) || c.CertHash != hex.EncodeToString(r.sad.Cert) {
		return nil, fault.New(fault.Forbidden, "the approval is for another key or certificate").WithCode(samapi.CodeSADInvalid)
	}
	device, err := m.authenticatorByID(ctx, tx, r.approval.Authenticator)
	if err != nil {
		return nil, err
	}
	if err := mayApprove(device, c, r); err != nil {
		return nil, err
	}
	if a.holder, err = m.holder(c); err != nil {
		return nil, err
	}
	if !bytes.Equal(a.holder.leaf.RawSubjectPublicKeyInfo, c.SPKI) {
		return nil, tampered(c.record(), "its certificate is for another key")
	}
	return device, a.holder.validAt(now)
}

// checkWanted checks algorithm, number and lengths of the hashes.
func checkWanted(r *request, c *credential, req samapi.SignRequest) error {
	alg := req.Algorithm
	if !alg.Valid() || !slices.Contains(r.sad.SignAlgos, alg.String()) || !slices.Contains(c.algorithms(r.sad.HashOID), alg) {
		return fault.New(fault.Forbidden, "the signer did not approve %s", alg).WithCode(samapi.CodeAlgorithm)
	}
	switch {
	case len(req.Hashes) == 0:
		return fault.New(fault.Invalid, "there is nothing to sign")
	case len(req.Hashes) > len(r.sad.Documents):
		return fault.New(fault.Forbidden, "%d signatures are asked for, the signer approved %d", len(req.Hashes), len(r.sad.Documents)).WithCode(samapi.CodeTooMany)
	}
	for i, h := range req.Hashes {
		if len(h) != alg.Hash().Size() {
			return fault.New(fault.Invalid, "hash %d has %d bytes, %s has %d", i+1, len(h), alg.Hash(), alg.Hash().Size()).WithCode(samapi.CodeHashLength)
		}
	}
	return nil
}

// pick finds an unspent position of the SAD for each hash. A hash that stands n
// times in the SAD may be signed n times.
func pick(r *request, spent string, hashes [][]byte) (positions []int, now string, err error) {
	flags := []byte(spent)
	for i, h := range hashes {
		at, known := -1, false
		for p, d := range r.sad.Documents {
			if !bytes.Equal(d.DTBSR, h) {
				continue
			}
			known = true
			if flags[p] == '0' {
				at = p
				break
			}
		}
		if !known {
			return nil, "", fault.New(fault.Forbidden, "the signer did not approve hash %d", i+1).WithCode(samapi.CodeHashNotAuthorized)
		}
		if at < 0 {
			return nil, "", errSpent()
		}
		flags[at] = '1'
		positions = append(positions, at)
	}
	return positions, string(flags), nil
}

// spend is the end of the first transaction: the hashes are spent and that is
// recorded, or neither.
func (a *activation) spend(ctx context.Context, tx *store.Tx, req samapi.SignRequest, now time.Time) error {
	positions, next, err := pick(a.req, a.req.spent, req.Hashes)
	if err != nil {
		return err
	}
	a.positions = positions
	state := samapi.Approved
	if !strings.Contains(next, "0") {
		state = samapi.Spent
	}
	n, err := tx.Exec(ctx, `UPDATE sam_request SET spent = $1, state = $2 WHERE sid = $3 AND state = $4 AND spent = $5`,
		next, state, a.req.SID, samapi.Approved, a.req.spent)
	if err != nil {
		return fmt.Errorf("spend: %w", err)
	}
	if n != 1 {
		return fault.New(fault.Conflict, "the approval changed at the same moment; nothing was signed").WithCode(samapi.CodeSADInvalid)
	}
	return a.record(ctx, tx, now)
}

// record stores the batch and the event of the first transaction.
func (a *activation) record(ctx context.Context, tx *store.Tx, now time.Time) error {
	where, err := json.Marshal(a.positions)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO sam_batch (id, sid, client, algorithm, positions, signatures, state, begun, ended)
		VALUES ($1, $2, $3, $4, $5, '', $6, $7, 0)`,
		a.batch, a.req.SID, a.req.Client, int(a.alg), string(where), batchSpent, store.Micros(now))
	if err != nil {
		return fmt.Errorf("spend: %w", err)
	}
	return a.m.audit.Append(ctx, tx, audit.Event{
		Type: eventSADConsumed, Subject: a.cred.ID, Actor: "client:" + a.req.Client, SID: a.req.SID,
		Data: map[string]any{"batch": a.batch, "positions": a.positions, "hashes": a.hashes(), "algorithm": a.alg.String()},
	})
}

func (a *activation) hashes() [][]byte {
	out := make([][]byte, len(a.positions))
	for i, p := range a.positions {
		out[i] = a.req.sad.Documents[p].DTBSR
	}
	return out
}

// redeem signs, verifies, records and stores; then only does it give the
// signatures away. It works once.
func (a *activation) redeem(ctx context.Context) ([][]byte, error) {
	if a == nil || a.m == nil || a.batch == "" || a.redeemed.Swap(true) {
		return nil, errors.New("an activation is redeemed once")
	}
	signatures, err := a.sign(ctx)
	if err != nil {
		err = fault.New(fault.Unavailable, "the key could not be used; what was to be signed needs a new approval").Because(err)
		return nil, errors.Join(err, a.m.burn(context.WithoutCancel(ctx), a.batch, "the keystore failed"))
	}
	if err := a.keep(ctx, signatures); err != nil {
		return nil, fault.New(fault.Unavailable, "the record of the signatures could not be confirmed, so they are not given out; ask for the result, and for a new approval if there is none").Because(err)
	}
	return signatures, nil
}

// sign uses the key: opened once, closed whatever happens, each signature verified
// with the certificate's key, so that a wrong handle, a swapped row or a fault of
// the module never gets out.
func (a *activation) sign(ctx context.Context) (out [][]byte, err error) {
	key, err := a.keys.Open(ctx, a.cred.wrapped())
	if err != nil {
		return nil, fmt.Errorf("open key: %w", err)
	}
	defer func() { err = errors.Join(err, key.Close()) }()
	for _, hash := range a.hashes() {
		sig, err := key.Sign(ctx, a.alg, hash)
		if err != nil {
			return nil, fmt.Errorf("sign: %w", err)
		}
		if err := signing.Verify(a.holder.public(), a.alg, hash, sig); err != nil {
			return nil, fmt.Errorf("verify the signature just made: %w", err)
		}
		out = append(out, sig)
	}
	return out, nil
}

// keep is the second transaction: the signatures are stored and recorded. It fails
// when the batch was burned meanwhile.
func (a *activation) keep(ctx context.Context, signatures [][]byte) error {
	text, err := json.Marshal(signatures)
	if err != nil {
		return err
	}
	return a.m.tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE sam_batch SET state = $1, signatures = $2, ended = $3 WHERE id = $4 AND state = $5`,
			batchSigned, string(text), store.Micros(a.m.clock.now()), a.batch, batchSpent)
		if err != nil {
			return fmt.Errorf("store signatures: %w", err)
		}
		if n != 1 {
			return errors.New("store signatures: the batch was burned meanwhile")
		}
		return a.m.audit.Append(ctx, tx, audit.Event{
			Type: eventSignatureCreated, Subject: a.cred.ID, Actor: "signer:" + a.cred.Signer, SID: a.req.SID,
			Data: map[string]any{
				"batch": a.batch, "certificate": a.cred.CertHash, "authenticator": a.req.approval.Authenticator,
				"hashes": a.hashes(), "signatures": signatures, "algorithm": a.alg.String(),
			},
		})
	})
}

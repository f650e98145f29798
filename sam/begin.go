package sam

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/sam/sad"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// intent is an Intent that was checked, with all that its SAD needs.
type intent struct {
	samapi.Intent
	parties

	now     time.Time
	hash    crypto.Hash
	names   []string // algorithms allowed
	holder  *holder
	party   string // name, safe to show
	labels  []string
	wysiwys int
	redeem  time.Duration
}

// errMoved says that a record is not what it was when the SAD was made.
var errMoved = errors.New("a record changed while the request was made")

// Begin checks what a relying party wants signed and makes the SAD, which then
// waits for the signer's approval. Nothing of it can be changed afterwards.
//
// The SAD is made from what is known of the records, and the transaction that
// stores it reads them: is one of them another by now, a new SAD is made from what
// was read.
func (m *Module) Begin(ctx context.Context, in samapi.Intent) (samapi.Begun, error) {
	for known := true; ; known = false {
		out, err := m.begin(ctx, in, known)
		if errors.Is(err, errMoved) && known {
			continue
		}
		if errors.Is(err, errMoved) {
			err = fault.New(fault.Conflict, "the credential or its device was changed at the same moment; ask again").Because(err)
		}
		return out, m.alarm(ctx, err)
	}
}

func (m *Module) begin(ctx context.Context, in samapi.Intent, known bool) (samapi.Begun, error) {
	i, err := m.checkIntent(ctx, in, known)
	if err != nil && known {
		return samapi.Begun{}, errMoved // nobody is refused for what was
	}
	if err != nil {
		return samapi.Begun{}, err
	}
	if i.cred.Mechanism == samapi.Delegation {
		return samapi.Begun{}, fault.New(fault.Forbidden, "the key is used by a machine; no person can approve for it").WithCode(samapi.CodeCredentialDisabled)
	}
	r, err := m.newRequest(i)
	if err != nil {
		return samapi.Begun{}, err
	}
	view, hash := token()
	r.ViewHash = hash
	err = m.tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := m.confirm(ctx, tx, &i.parties); err != nil {
			return err
		}
		if err := m.checkBlock(ctx, tx, i.who.ID, i.Client, i.now); err != nil {
			return err
		}
		if err := m.checkPending(ctx, tx, i); err != nil {
			return err
		}
		if err := m.insertRequest(ctx, tx, r); err != nil {
			return err
		}
		return m.audit.Append(ctx, tx, audit.Event{
			Type: eventSADCreated, Subject: i.cred.ID, Actor: "client:" + i.Client, SID: r.SID,
			Data: map[string]any{
				"sadHash": hex.EncodeToString(r.SADHash), "signer": i.who.ID, "org": i.Org, "gateway": i.Gateway,
				"documents": len(i.Documents), "wysiwys": i.wysiwys, "request": hex.EncodeToString(i.Request),
			},
		})
	})
	if err != nil {
		return samapi.Begun{}, err
	}
	m.seenAll(i.versions())
	return samapi.Begun{SID: r.SID, URL: m.approval + "/a/" + r.SID + "?v=" + view, Expires: r.Expires}, nil
}

// checkPending keeps a relying party from flooding a signer with requests. Who it is
// says the gateway, so all of them together are bounded too: what waits fits into the
// list on the signer's device.
func (m *Module) checkPending(ctx context.Context, tx *store.Tx, i *intent) error {
	var all, own int
	err := tx.QueryRow(ctx, `SELECT COUNT(*), COALESCE(SUM(CASE WHEN client = $2 THEN 1 ELSE 0 END), 0) FROM sam_request
		WHERE state = 'pending' AND signer = $1 AND expires > $3`, i.who.ID, i.Client, store.Micros(i.now)).Scan(&all, &own)
	switch {
	case err != nil:
		return fmt.Errorf("count pending requests: %w", err)
	case own >= m.limits.Pending:
		return fault.New(fault.TooMany, "%d requests of this client are waiting for the signer; wait until they are decided", own).WithCode(samapi.CodeTooManyPending)
	case all >= max(m.limits.Pending, inboxPending):
		return fault.New(fault.TooMany, "%d requests are waiting for the signer; wait until they are decided", all).WithCode(samapi.CodeTooManyPending)
	}
	return nil
}

func (m *Module) checkIntent(ctx context.Context, in samapi.Intent, known bool) (*intent, error) {
	now, err := m.clock.read()
	if err != nil {
		return nil, err
	}
	i := &intent{Intent: in, now: now}
	if err := m.checkAsker(i); err != nil {
		return nil, err
	}
	if err := m.checkCredential(ctx, i, known); err != nil {
		return nil, err
	}
	if err := i.checkAlgorithms(); err != nil {
		return nil, err
	}
	if err := m.checkDocuments(i); err != nil {
		return nil, err
	}
	return i, nil
}

// checkAsker checks who asks and how.
func (m *Module) checkAsker(i *intent) error {
	if i.Client == "" || len(i.Client) > 200 || !plain(i.Client) || len(i.Org) > 200 || len(i.Lang) > 35 {
		return fault.New(fault.Invalid, "the client, organisation or language is missing, too long, or not of plain letters")
	}
	if len(i.Request) != sha256.Size {
		return fault.New(fault.Invalid, "the hash of the authorisation request must have %d bytes", sha256.Size)
	}
	if i.ClientName == "" {
		i.ClientName = i.Client
	}
	var err error
	if i.party, err = cleanText(i.ClientName, maxName); err != nil {
		return err
	}
	if i.party == "" { // a name of blanks
		i.party = i.Client
	}
	switch {
	case i.Redeem < 0 || i.Redeem > m.limits.MaxRedeem:
		return fault.New(fault.Invalid, "signatures may be asked for at most %s after the approval", m.limits.MaxRedeem)
	case i.Redeem == 0:
		i.redeem = m.limits.Redeem
	default:
		i.redeem = i.Redeem.Truncate(time.Microsecond)
	}
	return nil
}

// checkCredential checks that the credential can sign and somebody can approve.
func (m *Module) checkCredential(ctx context.Context, i *intent, known bool) error {
	p, ok := m.recall(i.Gateway, i.Credential)
	if !ok || !known {
		var err error
		if p, err = m.read(ctx, m.db, i.Gateway, i.Credential); err != nil {
			return err
		}
	}
	i.parties = p
	if err := usable(i.cred); err != nil {
		return err
	}
	var err error
	if i.holder, err = m.holder(i.cred); err != nil {
		return err
	}
	if err := i.holder.validAt(i.now); err != nil {
		return err
	}
	if len(i.devices) == 0 {
		return fault.New(fault.Forbidden, "the signer has no device that can approve for this credential").WithCode(samapi.CodeCredentialDisabled)
	}
	return nil
}

// usable refuses credentials that may not sign now.
func usable(c *credential) error {
	if c.State == samapi.CredentialActive {
		return nil
	}
	word := map[string]string{
		samapi.CredentialNew:       "has no certificate yet",
		samapi.CredentialSuspended: "is suspended",
		samapi.CredentialDestroyed: "was destroyed",
	}[c.State]
	return fault.New(fault.Forbidden, "the credential %s", word).WithCode(samapi.CodeCredentialDisabled)
}

// checkAlgorithms settles the digest algorithm and the set of signature algorithms.
func (i *intent) checkAlgorithms() error {
	bad := func(format string, args ...any) error {
		return fault.New(fault.Invalid, format, args...).WithCode(samapi.CodeAlgorithm)
	}
	var err error
	if i.hash, err = signing.HashByOID(i.HashOID); err != nil {
		return bad("the digest algorithm %q is not allowed", i.HashOID)
	}
	able := i.cred.algorithms(i.HashOID)
	if len(able) == 0 {
		return bad("a %s key does not sign %s digests here", i.cred.KeyType, i.hash)
	}
	chosen := able
	if len(i.Algorithms) > 0 {
		chosen = slices.Clone(i.Algorithms)
	}
	for _, a := range chosen {
		if !slices.Contains(able, a) {
			return bad("%s does not fit the credential's %s key and %s digests", a, i.cred.KeyType, i.hash)
		}
		if !slices.Contains(i.names, a.String()) {
			i.names = append(i.names, a.String())
		}
	}
	return nil
}

// checkDocuments checks number, digests and names, and what can be known of each
// document from its signed attributes.
func (m *Module) checkDocuments(i *intent) error {
	most := min(i.cred.Multisign, m.limits.Documents)
	switch n := len(i.Documents); {
	case n == 0:
		return fault.New(fault.Invalid, "there is nothing to sign")
	case n > most:
		return fault.New(fault.Invalid, "%d signatures are asked for, the credential allows %d at once", n, most).WithCode(samapi.CodeTooMany)
	}
	i.wysiwys = 1
	for n, d := range i.Documents {
		if len(d.DTBSR) != i.hash.Size() {
			return fault.New(fault.Invalid, "hash %d has %d bytes, %s has %d", n+1, len(d.DTBSR), i.hash, i.hash.Size()).WithCode(samapi.CodeHashLength)
		}
		if d.Size < 0 || len(d.DocHash) > 64 {
			return fault.New(fault.Invalid, "the size or document digest of hash %d is out of range", n+1)
		}
		label, err := cleanText(d.Label, maxLabel)
		if err != nil {
			return err
		}
		if label == "" {
			label = fmt.Sprintf("Document %d", n+1)
		}
		i.labels = append(i.labels, label)
		if len(d.SignedAttrs) == 0 {
			i.wysiwys = 0
			continue
		}
		if err := checkAttributes(d.SignedAttrs, i.hash, d.DTBSR, d.DocHash, i.holder.leaf); err != nil {
			return fault.New(fault.Invalid, "document %d: %v", n+1, err).WithCode(samapi.CodeMismatch)
		}
	}
	if least := max(i.cred.MinWysiwys, m.limits.MinWysiwys, m.limits.PartyWysiwys[i.Client]); i.wysiwys < least {
		return fault.New(fault.Invalid, "the signed attributes of every document are needed to sign with this credential for this client").WithCode(samapi.CodeMismatch)
	}
	return nil
}

// newRequest makes the SAD and its request.
func (m *Module) newRequest(i *intent) (*request, error) {
	nonce := make([]byte, 32)
	_, _ = rand.Read(nonce) // never fails
	key, cert := sha256.Sum256(i.cred.SPKI), sha256.Sum256(i.holder.leaf.Raw)
	s := &sad.SAD{
		Version: 1, Type: sad.TypeSign, Issuer: m.issuer, SID: store.NewID(),
		Nonce:    base64.RawURLEncoding.EncodeToString(nonce),
		IssuedAt: i.now, Expires: i.now.Add(m.limits.Approval),
		Signer: i.who.ID, SignerName: i.who.Subject.CommonName,
		SCAL: i.cred.SCAL, Assurance: i.who.Assurance,
		Credential: i.cred.ID, Key: key[:], Cert: cert[:],
		HashOID: i.HashOID, SignAlgos: i.names,
		Party:   sad.Party{Client: i.Client, Name: i.party},
		Request: i.Request, Wysiwys: i.wysiwys,
	}
	for _, a := range i.devices {
		s.Authenticators = append(s.Authenticators, a.ID)
	}
	for n, d := range i.Documents {
		s.Documents = append(s.Documents, sad.Doc{Name: i.labels[n], Size: d.Size, DocHash: d.DocHash, SignedAttrs: d.SignedAttrs, DTBSR: d.DTBSR})
	}
	raw, err := s.Encode()
	if err != nil {
		return nil, fault.New(fault.TooLarge, "the request is too long: names and signed attributes together may have %d KB", sad.MaxSize>>10).Because(err)
	}
	if s, err = sad.Parse(raw); err != nil { // what everybody else will read
		return nil, fmt.Errorf("the SAD that was made cannot be read: %w", err)
	}
	number, err := m.number()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(raw)
	return &request{
		fixed: fixed{
			SID: s.SID, SADHash: sum[:], Number: number, Org: i.Org, Client: i.Client, Signer: i.who.ID,
			Gateway: i.Gateway, Lang: i.Lang, Issued: s.IssuedAt, Expires: s.Expires, Redeem: i.redeem,
		},
		raw: raw, sad: s, state: samapi.Pending, spent: strings.Repeat("0", len(i.Documents)),
	}, nil
}

// number makes the number that the signer reads on one screen and types on the
// other. It does not begin with 0, which people leave out.
func (m *Module) number() (string, error) {
	least := int64(1)
	for range m.limits.Digits - 1 {
		least *= 10
	}
	n, err := rand.Int(rand.Reader, big.NewInt(9*least))
	if err != nil {
		return "", errors.New("no randomness")
	}
	return n.Add(n, big.NewInt(least)).String(), nil
}

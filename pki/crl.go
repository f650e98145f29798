package pki

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"time"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
)

// crlRefresh is how old a list may be before it is signed anew though nothing
// changed.
const crlRefresh = time.Hour

var oidExpiredCertsOnCRL = asn1.ObjectIdentifier{2, 5, 29, 60}

// CRL returns the revocation list of the root or of the issuing CA, in DER. It
// knows every revocation that returned before CRL was called, and is newer than
// every certificate issued.
func (a *Authority) CRL(ctx context.Context, issuer Role) ([]byte, error) {
	h := map[Role]*holder{RoleRoot: a.root, RoleCA: a.ca}[issuer]
	if h == nil {
		return nil, fault.New(fault.NotFound, "%s has no revocation list", issuer)
	}
	if row, err := crlState(ctx, a.cfg.DB, issuer); err != nil || a.crlFresh(row) {
		return row.DER, err
	}
	a.building.Lock()
	defer a.building.Unlock()
	for range 5 {
		row, err := crlState(ctx, a.cfg.DB, issuer)
		if err != nil || a.crlFresh(row) {
			return row.DER, err
		}
		next, done, err := a.buildCRL(ctx, issuer, h, row)
		if err != nil {
			return nil, fmt.Errorf("sign revocation list of %s: %w", issuer, err)
		}
		if done {
			return next.DER, nil
		}
	}
	return nil, fault.New(fault.Unavailable, "the revocation list changes faster than it is signed: try again")
}

func (a *Authority) crlFresh(r crlRow) bool {
	age := a.cfg.Now().Sub(r.ThisUpdate)
	return r.Built == r.Version && age >= 0 && age < min(crlRefresh, a.cfg.StatusLife/4)
}

// buildCRL signs the list that follows old. What was read before the list of
// revocations decides the version, so that none can be missed.
func (a *Authority) buildCRL(ctx context.Context, issuer Role, h *holder, old crlRow) (next crlRow, done bool, err error) {
	revoked, err := revokedBy(ctx, a.cfg.DB, issuer)
	if err != nil {
		return crlRow{}, false, err
	}
	now := a.cfg.Now().UTC().Truncate(time.Second)
	if !now.Before(h.cert.NotAfter) {
		return crlRow{}, false, fmt.Errorf("its certificate ended on %s", h.cert.NotAfter.Format(time.DateOnly))
	}
	since, err := asn1.MarshalWithParams(h.cert.NotBefore, "generalized")
	if err != nil {
		return crlRow{}, false, err
	}
	next = crlRow{Version: old.Version, Built: old.Version, Number: old.Number + 1, ThisUpdate: now}
	t := &x509.RevocationList{
		Number:     big.NewInt(next.Number),
		ThisUpdate: now,
		NextUpdate: earlier(now.Add(a.cfg.StatusLife), h.cert.NotAfter),
		// Revoked certificates stay on the list after their end, so that a list
		// made years later still speaks about old signatures (X.509 §9.5.2.8).
		ExtraExtensions: []pkix.Extension{{Id: oidExpiredCertsOnCRL, Value: since}},
	}
	for _, c := range revoked {
		serial, ok := new(big.Int).SetString(c.Serial, 16)
		if !ok {
			return crlRow{}, false, fmt.Errorf("serial number %q in the database", c.Serial)
		}
		t.RevokedCertificateEntries = append(t.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: serial, RevocationTime: c.Revoked.Truncate(time.Second), ReasonCode: int(c.Reason),
		})
	}
	if next.DER, err = x509.CreateRevocationList(rand.Reader, t, h.cert, h.key); err != nil {
		return crlRow{}, false, err
	}
	err = a.cfg.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if done, err = putCRL(ctx, tx, issuer, next); err != nil || !done {
			return err
		}
		return a.record(ctx, tx, audit.Event{Type: "pki.crl.signed", Subject: string(issuer), Actor: "pki", Data: crlEvent{
			Number: next.Number, Entries: len(revoked), NextUpdate: t.NextUpdate,
		}})
	})
	return next, done, err
}

// crlEvent is what the log keeps of a revocation list.
type crlEvent struct {
	Number     int64     `json:"number"`
	Entries    int       `json:"entries"`
	NextUpdate time.Time `json:"nextUpdate"`
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

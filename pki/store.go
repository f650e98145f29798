package pki

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"time"

	"github.com/countersign/countersign/internal/store"
)

//go:embed migrations
var migrations embed.FS

// certificate is a row of pki_certificate.
type certificate struct {
	Serial, Slot, Issuer string
	Role                 Role
	Generation           int
	KeyName, KeyHash     string
	Subject              string
	Signer, Credential   string
	KeyRecord, Proofing  string
	DER                  []byte
	NotBefore, NotAfter  time.Time
	Made, Revoked        time.Time
	Reason               Reason
}

const certificateColumns = `serial, slot, issuer, role, generation, key_name, key_hash, subject, signer, credential,
	key_record, proofing, der, not_before, not_after, made, revoked, reason`

// insertCertificate reports whether the row is new: false when the slot or the
// key is taken.
func insertCertificate(ctx context.Context, q store.Querier, c certificate) (bool, error) {
	n, err := q.Exec(ctx, `INSERT INTO pki_certificate (`+certificateColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 0, 0) ON CONFLICT DO NOTHING`,
		c.Serial, c.Slot, c.Issuer, string(c.Role), c.Generation, c.KeyName, c.KeyHash, c.Subject, c.Signer, c.Credential,
		c.KeyRecord, c.Proofing, c.DER, store.Micros(c.NotBefore), store.Micros(c.NotAfter), store.Micros(c.Made))
	return n == 1, err
}

type scanner interface{ Scan(dest ...any) error }

func scanCertificate(row scanner) (certificate, error) {
	var (
		c                                          certificate
		role                                       string
		notBefore, notAfter, made, revoked, reason int64
	)
	err := row.Scan(&c.Serial, &c.Slot, &c.Issuer, &role, &c.Generation, &c.KeyName, &c.KeyHash, &c.Subject, &c.Signer, &c.Credential,
		&c.KeyRecord, &c.Proofing, &c.DER, &notBefore, &notAfter, &made, &revoked, &reason)
	c.Role, c.Reason = Role(role), Reason(reason)
	c.NotBefore, c.NotAfter = store.Time(notBefore), store.Time(notAfter)
	c.Made, c.Revoked = store.Time(made), store.Time(revoked)
	return c, err
}

func certificateBySerial(ctx context.Context, q store.Querier, serial string) (certificate, error) {
	return scanCertificate(q.QueryRow(ctx, `SELECT `+certificateColumns+` FROM pki_certificate WHERE serial = $1`, serial))
}

func certificateByKey(ctx context.Context, q store.Querier, hash string) (certificate, error) {
	return scanCertificate(q.QueryRow(ctx, `SELECT `+certificateColumns+` FROM pki_certificate WHERE key_hash = $1`, hash))
}

// newest returns the latest certificate of one of our own roles.
func newest(ctx context.Context, q store.Querier, role Role) (certificate, error) {
	return scanCertificate(q.QueryRow(ctx, `SELECT `+certificateColumns+` FROM pki_certificate
		WHERE role = $1 ORDER BY generation DESC LIMIT 1`, string(role)))
}

// certificatesAfter lists certificates in the order of their serial numbers.
func certificatesAfter(ctx context.Context, q store.Querier, after string, limit int) ([]certificate, error) {
	rows, err := q.Query(ctx, `SELECT `+certificateColumns+` FROM pki_certificate WHERE serial > $1 ORDER BY serial LIMIT $2`, after, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []certificate
	for rows.Next() {
		c, err := scanCertificate(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, rows.Err()
}

// useProofing reports whether the record was unused.
func useProofing(ctx context.Context, q store.Querier, authority, id string, now time.Time) (bool, error) {
	n, err := q.Exec(ctx, `INSERT INTO pki_proofing (authority, id, used) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
		authority, id, store.Micros(now))
	return n == 1, err
}

// markRevoked reports whether the certificate was not revoked before.
func markRevoked(ctx context.Context, q store.Querier, serial string, reason Reason, now time.Time) (bool, error) {
	n, err := q.Exec(ctx, `UPDATE pki_certificate SET revoked = $1, reason = $2 WHERE serial = $3 AND revoked = 0`,
		store.Micros(now), int64(reason), serial)
	return n == 1, err
}

// crlRow is the state of one CA's revocation list.
type crlRow struct {
	Version, Built, Number int64
	ThisUpdate             time.Time
	DER                    []byte
}

func crlState(ctx context.Context, q store.Querier, issuer Role) (crlRow, error) {
	var (
		r  crlRow
		at int64
	)
	err := q.QueryRow(ctx, `SELECT version, built, number, this_update, der FROM pki_crl WHERE issuer = $1`, string(issuer)).
		Scan(&r.Version, &r.Built, &r.Number, &at, &r.DER)
	r.ThisUpdate = store.Time(at)
	return r, err
}

func makeCRLRow(ctx context.Context, q store.Querier, issuer Role) error {
	_, err := q.Exec(ctx, `INSERT INTO pki_crl (issuer, version, built, number, this_update, der) VALUES ($1, 1, 0, 0, 0, $2)
		ON CONFLICT DO NOTHING`, string(issuer), []byte{})
	return err
}

// touchCRL makes the list of issuer stale.
func touchCRL(ctx context.Context, q store.Querier, issuer string) error {
	_, err := q.Exec(ctx, `UPDATE pki_crl SET version = version + 1 WHERE issuer = $1`, issuer)
	return err
}

// putCRL stores a list built for r.Version under number r.Number, unless
// another one took the number meanwhile.
func putCRL(ctx context.Context, q store.Querier, issuer Role, r crlRow) (bool, error) {
	n, err := q.Exec(ctx, `UPDATE pki_crl SET built = $1, number = $2, this_update = $3, der = $4 WHERE issuer = $5 AND number = $6`,
		r.Version, r.Number, store.Micros(r.ThisUpdate), r.DER, string(issuer), r.Number-1)
	return n == 1, err
}

// revokedBy lists what issuer revoked, expired certificates included.
func revokedBy(ctx context.Context, q store.Querier, issuer Role) ([]certificate, error) {
	rows, err := q.Query(ctx, `SELECT serial, revoked, reason FROM pki_certificate WHERE issuer = $1 AND revoked > 0 ORDER BY revoked, serial`,
		string(issuer))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []certificate
	for rows.Next() {
		var (
			c          certificate
			at, reason int64
		)
		if err := rows.Scan(&c.Serial, &at, &reason); err != nil {
			return nil, err
		}
		c.Revoked, c.Reason = store.Time(at), Reason(reason)
		list = append(list, c)
	}
	return list, rows.Err()
}

// takeNumbers reserves n numbers of a counter and returns the first, and the
// latest time at which any were reserved before.
func takeNumbers(ctx context.Context, q store.Querier, name, prefix string, n int, now time.Time) (first int64, usedPrefix string, latest time.Time, err error) {
	if _, err = q.Exec(ctx, `INSERT INTO pki_counter (name, prefix, value, at) VALUES ($1, $2, 0, 0) ON CONFLICT DO NOTHING`, name, prefix); err != nil {
		return 0, "", time.Time{}, err
	}
	var at int64
	if err = q.QueryRow(ctx, `SELECT prefix, value, at FROM pki_counter WHERE name = $1`, name).Scan(&usedPrefix, &first, &at); err != nil {
		return 0, "", time.Time{}, err
	}
	moved, err := q.Exec(ctx, `UPDATE pki_counter SET value = value + $1, at = $2 WHERE name = $3 AND value = $4`,
		n, max(at, store.Micros(now)), name, first)
	if err == nil && moved != 1 {
		err = errors.New("counter moved inside of a transaction")
	}
	return first + 1, usedPrefix, store.Time(at), err
}

func noRows(err error) bool { return errors.Is(err, sql.ErrNoRows) }

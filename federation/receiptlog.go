package federation

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
)

// LoggedReceipt is a receipt as the signed log holds it and as peers compare it:
// digests, and no name of a relying party or a person.
type LoggedReceipt struct {
	ID         string    `json:"id"`
	Time       time.Time `json:"time"`
	SID        string    `json:"sid"`
	Service    string    `json:"service"`          // where it was signed: local, or peer:ID
	Client     string    `json:"client,omitempty"` // for whom; not told of what a peer signed
	Algorithm  string    `json:"algorithm"`
	Count      int       `json:"count"`
	Binding    string    `json:"binding"`    // signing.DigestSet.Binding of the hashes, hex
	Cert       string    `json:"cert"`       // SHA-256, hex
	Signatures string    `json:"signatures"` // SHA-256 over each with its length before it, hex
}

func logged(r Receipt) LoggedReceipt {
	l := LoggedReceipt{
		ID: r.ID, Time: r.Time.UTC(), SID: r.SID, Service: r.Service, Client: r.Client, Algorithm: r.Algorithm.String(), Count: r.Count,
		Binding: hex.EncodeToString(r.Binding[:]), Cert: hex.EncodeToString(r.Cert[:]), Signatures: hex.EncodeToString(r.Signatures[:]),
	}
	if strings.HasPrefix(l.Service, PeerService) {
		l.Client = ""
	}
	return l
}

// key is what both sides of a hop must have the same.
func (l LoggedReceipt) key() string {
	return fmt.Sprintf("%s\x00%d\x00%s\x00%s\x00%s", l.Algorithm, l.Count, l.Binding, l.Cert, l.Signatures)
}

// logMany receipts go into the log in one transaction.
const logMany = 200

// LogReceipts puts the receipts that are not in it yet into the event log, where
// they are chained by hash and signed. It is to be called all the time.
func (s *Store) LogReceipts(ctx context.Context, events Events) error {
	for {
		list, err := s.receipts(ctx, `logged = 0 ORDER BY made, id LIMIT $1`, logMany)
		if err != nil || len(list) == 0 {
			return err
		}
		err = s.db.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
			last := list[len(list)-1]
			n, err := tx.Exec(ctx, `UPDATE federation_receipt SET logged = 1 WHERE logged = 0 AND (made < $1 OR (made = $1 AND id <= $2))`, store.Micros(last.Time), last.ID)
			if err != nil {
				return err
			}
			if n != int64(len(list)) { // another node was faster, or one came in between: the next time
				return errRace
			}
			for _, r := range list {
				if err := events.Append(ctx, tx, audit.Event{Type: EventReceipt, Subject: r.Service, Actor: "gateway", SID: r.SID, Data: logged(r)}); err != nil {
					return err
				}
			}
			return nil
		})
		if errors.Is(err, errRace) {
			continue
		}
		if err != nil {
			return fmt.Errorf("put receipts into the log: %w", err)
		}
		if len(list) < logMany {
			return nil
		}
	}
}

// Partner is a peer as it stands in receipts.
type Partner struct {
	Peer   string // its id here, for what it signed
	Client string // its client_id here, for what was signed for it; may be empty
}

// maxExport bounds the activations of one export.
const maxExport = 10_000

// sids are the activations with receipts that concern a partner.
func (s *Store) sids(ctx context.Context, org string, p Partner, since time.Time) (list []string, err error) {
	client := p.Client
	if client == "" {
		client = "\n" // nobody's
	}
	rows, err := s.db.Query(ctx, `SELECT sid, MIN(made) FROM federation_receipt WHERE org_id = $1 AND made >= $2 AND (service = $3 OR client = $4)
		GROUP BY sid ORDER BY 2, 1 LIMIT $5`, org, store.Micros(since), PeerService+p.Peer, client, maxExport+1)
	if err != nil {
		return nil, fmt.Errorf("select receipts: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var sid string
		var made int64
		if err := rows.Scan(&sid, &made); err != nil {
			return nil, fmt.Errorf("scan receipts: %w", err)
		}
		list = append(list, sid)
	}
	if len(list) > maxExport {
		return nil, fault.New(fault.TooLarge, "there are more than %d activations: export from a later time on", maxExport)
	}
	return list, rows.Err()
}

// ExportReceipts is what the log holds about a partner, for that partner or an
// auditor: a line for each activation, a bundle with the proof that the signed log
// holds it.
func (s *Store) ExportReceipts(ctx context.Context, events *audit.Log, org string, p Partner, since time.Time) ([]byte, error) {
	if err := s.LogReceipts(ctx, events); err != nil {
		return nil, err
	}
	sids, err := s.sids(ctx, org, p, since)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for _, sid := range sids {
		b, err := events.Bundle(ctx, sid)
		if err != nil {
			return nil, fmt.Errorf("bundle of %s: %w", sid, err)
		}
		line, err := json.Marshal(b)
		if err != nil {
			return nil, fmt.Errorf("encode bundle of %s: %w", sid, err)
		}
		out.Write(line)
		out.WriteByte('\n')
	}
	return out.Bytes(), nil
}

// ReadReceipts checks a file of ExportReceipts with the log's public key and returns
// its receipts.
func ReadReceipts(file []byte, vkey string) ([]LoggedReceipt, error) {
	var out []LoggedReceipt
	seen := map[string]bool{}
	n := 0
	for line := range bytes.Lines(file) {
		n++
		b, err := audit.ReadBundle(bytes.TrimSpace(line))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		records, err := audit.VerifyBundle(b, vkey)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		for _, r := range records {
			if r.Type != EventReceipt {
				continue
			}
			var l LoggedReceipt
			if err := json.Unmarshal(r.Data, &l); err != nil {
				return nil, fmt.Errorf("line %d: receipt: %w", n, err)
			}
			if l.SID != r.SID || seen[l.ID] {
				return nil, fmt.Errorf("line %d: receipt %s is of another activation, or there twice", n, l.ID)
			}
			seen[l.ID] = true
			out = append(out, l)
		}
	}
	return out, nil
}

// Comparison is what two sides' receipts say about each other.
type Comparison struct {
	Agreed []ReceiptPair   `json:"agreed"`
	OnlyA  []LoggedReceipt `json:"only_a"` // said by A alone
	OnlyB  []LoggedReceipt `json:"only_b"`
}

// ReceiptPair is one act, as both sides recorded it.
type ReceiptPair struct {
	A LoggedReceipt `json:"a"`
	B LoggedReceipt `json:"b"`
}

// Fits reports whether each side's receipts are borne out by the other's.
func (c *Comparison) Fits() bool { return len(c.OnlyA) == 0 && len(c.OnlyB) == 0 }

// CompareReceipts pairs receipts over the same hashes, with the same certificate and
// the same signatures.
func CompareReceipts(a, b []LoggedReceipt) *Comparison {
	c := &Comparison{Agreed: []ReceiptPair{}, OnlyA: []LoggedReceipt{}, OnlyB: []LoggedReceipt{}}
	there := map[string][]LoggedReceipt{}
	for _, r := range b {
		there[r.key()] = append(there[r.key()], r)
	}
	for _, r := range a {
		list := there[r.key()]
		if len(list) == 0 {
			c.OnlyA = append(c.OnlyA, r)
			continue
		}
		c.Agreed = append(c.Agreed, ReceiptPair{r, list[0]})
		there[r.key()] = list[1:]
	}
	for _, r := range b {
		if list := there[r.key()]; len(list) > 0 && list[0].ID == r.ID {
			c.OnlyB = append(c.OnlyB, r)
			there[r.key()] = list[1:]
		}
	}
	return c
}

package conformance

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"time"

	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/internal/audit"
)

// maxAge is how far apart the end of asking and the record of the report may lie.
// Clocks that differ by less are for the report itself to say.
const maxAge = 24 * time.Hour

// MaxSize is the most bytes of a report that Verify reads.
const MaxSize = 32 << 20

// Trust is what the reader of a report brings along.
type Trust struct {
	// Key is the public key of the event log, as sumdb/note writes it.
	Key string
	// Anchors are the roots that the time-stamp authority goes back to.
	Anchors []*x509.Certificate
}

// Verified is a report that is what the installation's audit key signed.
type Verified struct {
	Report *Report
	SHA256 string // of the report, hex
	Size   int64  // events in the log at that time
	// Recorded is when the module says it recorded the report, Stamped when the
	// time-stamp authority says the proof was there.
	Recorded, Stamped time.Time
	Authority         string // who made the time-stamp
	// Reproduced says that this program comes to the same results, and counts of them,
	// from the evidence in the report. Another version may judge otherwise.
	Reproduced bool
	// Otherwise are the controls that this program judges otherwise.
	Otherwise []string
}

// Errors of Verify.
var (
	ErrFormat  = errors.New("this is not a conformance report")
	ErrChanged = errors.New("the report is not what was signed")
)

// Read parses a signed report: its JSON, or an HTML page that Render made of it.
func Read(data []byte) (*Signed, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%w: it has more than %d bytes", ErrFormat, MaxSize)
	}
	if inner, ok := embedded(data); ok {
		data = inner
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var s Signed
	if err := d.Decode(&s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: something follows it", ErrFormat)
	}
	return &s, s.onlyForm(data)
}

// onlyForm refuses a file that says a thing twice, or under a name of another
// spelling: other readers could take the one that is not signed.
func (s *Signed) onlyForm(data []byte) error {
	var have bytes.Buffer
	if err := json.Compact(&have, data); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	want, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if !bytes.Equal(have.Bytes(), want) {
		return fmt.Errorf("%w: it is not written as this program writes it", ErrFormat)
	}
	return nil
}

// Verify checks a report with nothing but public keys. The file may be the JSON or
// the HTML; of a page every byte is checked, since it is rendered again from the
// report in it.
func Verify(data []byte, t Trust) (*Verified, error) {
	s, err := Read(data)
	if err != nil {
		return nil, err
	}
	r, err := parse(s.Report)
	if err != nil {
		return nil, err
	}
	sum, err := digest(s.Report)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	v := &Verified{Report: r, SHA256: hex.EncodeToString(sum[:])}
	if err := v.logged(s.Proof.Bundle, t.Key); err != nil {
		return nil, err
	}
	if err := v.evident(t.Key); err != nil {
		return nil, err
	}
	if err := v.stamped(s.Proof, t.Anchors); err != nil {
		return nil, err
	}
	if _, ok := embedded(data); ok {
		page, err := Render(s)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(page, data) {
			return nil, fmt.Errorf("%w: the report inside of the page is genuine, but the page does not show it as this version would; check the JSON, or with the version that made it (%s)",
				ErrChanged, r.Evidence.Version)
		}
	}
	v.judge()
	return v, nil
}

// judge answers every control again.
func (v *Verified) judge() {
	var counts Counts
	said := map[string]Result{}
	for _, one := range v.Report.Results {
		said[one.ID] = one
	}
	results := Evaluate(v.Report.Evidence)
	for _, one := range results {
		counts.add(one.State)
		if !reflect.DeepEqual(one, said[one.ID]) {
			v.Otherwise = append(v.Otherwise, one.ID)
		}
	}
	slices.Sort(v.Otherwise)
	v.Reproduced = counts == v.Report.Counts && reflect.DeepEqual(results, v.Report.Results)
}

// evident checks that the evidence is of the log that holds the report, and of the
// time at which it was recorded.
func (v *Verified) evident(key string) error {
	e := v.Report.Evidence
	if e.Module != nil && e.Module.Ledger.VerifierKey != key {
		return fmt.Errorf("%w: the evidence is of another log than the one that holds the report", ErrChanged)
	}
	if e.Module != nil && e.Module.Ledger.Checkpoint.Size >= v.Size {
		return fmt.Errorf("%w: the evidence is of %d events, the log had %d with the report itself", ErrChanged, e.Module.Ledger.Checkpoint.Size, v.Size)
	}
	if d := v.Recorded.Sub(e.Ended); d > maxAge || d < -maxAge {
		return fmt.Errorf("%w: the evidence is of %s, the report was recorded at %s", ErrChanged, date(e.Ended), date(v.Recorded))
	}
	return nil
}

func parse(raw json.RawMessage) (*Report, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	var r Report
	if err := d.Decode(&r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if r.Format != Format || r.Evidence == nil {
		return nil, fmt.Errorf("%w of a form that this version knows (%q)", ErrFormat, r.Format)
	}
	return &r, nil
}

// Before is what a later report says of this one, and the checkpoint that the log must
// still contain. The log's proof is checked with the key that the report itself names:
// whether that is the key of the log at hand is for the module to say, of the
// checkpoint.
func (s *Signed) Before() (Previous, string, error) {
	r, err := parse(s.Report)
	if err != nil {
		return Previous{}, "", err
	}
	if r.Evidence.Module == nil {
		return Previous{}, "", fmt.Errorf("%w that asked the module", ErrFormat)
	}
	sum, err := digest(s.Report)
	if err != nil {
		return Previous{}, "", fmt.Errorf("%w: %w", ErrFormat, err)
	}
	v := &Verified{Report: r, SHA256: hex.EncodeToString(sum[:])}
	if err := v.logged(s.Proof.Bundle, r.Evidence.Module.Ledger.VerifierKey); err != nil {
		return Previous{}, "", err
	}
	b, err := audit.ReadBundle(s.Proof.Bundle)
	if err != nil {
		return Previous{}, "", fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return Previous{ID: r.ID, Ended: r.Evidence.Ended, Size: v.Size}, b.Checkpoint, nil
}

// logged checks that the event log holds this report under its name.
func (v *Verified) logged(raw json.RawMessage, key string) error {
	b, err := audit.ReadBundle(raw)
	if err != nil {
		return fmt.Errorf("%w: proof of the log: %w", ErrFormat, err)
	}
	records, err := audit.VerifyBundle(b, key)
	if err != nil {
		return fmt.Errorf("%w: proof of the log: %w", ErrChanged, err)
	}
	if len(records) != 1 || records[0].Type != "report.attested" || records[0].SID != v.Report.ID || records[0].Subject != v.SHA256 {
		return fmt.Errorf("%w: the log's proof is of something else", ErrChanged)
	}
	c, err := audit.OpenCheckpoint([]byte(b.Checkpoint), key)
	if err != nil {
		return fmt.Errorf("%w: checkpoint: %w", ErrChanged, err)
	}
	v.Recorded, v.Size = records[0].At, c.Size
	return nil
}

// stamped checks the time-stamp over the log's proof.
func (v *Verified) stamped(p Proof, anchors []*x509.Certificate) error {
	token, err := cms.ParseTimestampToken(p.TimeStamp)
	if err != nil {
		return fmt.Errorf("%w: time-stamp: %w", ErrFormat, err)
	}
	sum, err := digest(p.Bundle)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if token.Info.Hash != crypto.SHA256 {
		return fmt.Errorf("%w: the time-stamp is not over a SHA-256", ErrChanged)
	}
	if err := token.VerifyDigest(sum[:]); err != nil {
		return fmt.Errorf("%w: time-stamp: %w", ErrChanged, err)
	}
	cert, err := token.Verify(nil)
	if err != nil {
		return fmt.Errorf("%w: time-stamp: %w", ErrChanged, err)
	}
	roots, others := x509.NewCertPool(), x509.NewCertPool()
	for _, a := range anchors {
		roots.AddCert(a)
	}
	for _, c := range token.SignedData.Certificates {
		others.AddCert(c)
	}
	_, err = cert.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: others, CurrentTime: token.Info.Time, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping},
	})
	if err != nil {
		return fmt.Errorf("%w: the time-stamp authority does not go back to a root that is trusted: %w", ErrChanged, err)
	}
	v.Stamped, v.Authority = token.Info.Time, cert.Subject.CommonName
	return nil
}

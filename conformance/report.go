package conformance

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Format is the format member of a Report.
const Format = "countersign-conformance-report-v1"

// Schema is the JSON Schema of a signed report.
//
//go:embed schema.json
var Schema []byte

// Counts are how many controls stand how.
type Counts struct {
	Proven  int `json:"proven"`
	Gap     int `json:"gap"`
	Outside int `json:"outside"`
}

// Report is what was asked and what was found.
type Report struct {
	Format string `json:"format"`
	// ID names the report in the event log.
	ID       string    `json:"id"`
	Counts   Counts    `json:"counts"`
	Results  []Result  `json:"results"`
	Evidence *Evidence `json:"evidence"`
}

// New answers every control by the evidence.
func New(e *Evidence) *Report {
	r := &Report{Format: Format, ID: "report-" + strings.ToLower(rand.Text()), Evidence: e, Results: Evaluate(e)}
	for _, one := range r.Results {
		r.Counts.add(one.State)
	}
	return r
}

func (c *Counts) add(s State) {
	switch s {
	case Proven:
		c.Proven++
	case Gap:
		c.Gap++
	case Outside:
		c.Outside++
	}
}

// Group is the counts of one group of controls.
type Group struct {
	Letter, Name string
	Counts       Counts
}

// Groups counts by group, in the order of the catalogue.
func (r *Report) Groups() []Group {
	var groups []Group
	at := map[string]int{}
	for _, c := range Catalogue() {
		letter := c.ID[:1]
		if _, ok := at[letter]; !ok {
			at[letter] = len(groups)
			groups = append(groups, Group{Letter: letter, Name: c.Group})
		}
	}
	for _, one := range r.Results {
		if i, ok := at[one.ID[:1]]; ok {
			groups[i].Counts.add(one.State)
		}
	}
	return groups
}

// Of are the results in one state.
func (r *Report) Of(s State) []Result {
	var list []Result
	for _, one := range r.Results {
		if one.State == s {
			list = append(list, one)
		}
	}
	return list
}

// Uncertified says that the signers' keys are in no certified module: the first
// thing that a reader must know.
func (r *Report) Uncertified() bool {
	return r.Evidence.Module == nil || !r.Evidence.Module.Probe.Hardware
}

// Signed is a report as it is kept: its very bytes, the log's proof that it was
// made on this installation, and the time-stamp over that proof.
type Signed struct {
	Report json.RawMessage `json:"report"`
	Proof  Proof           `json:"proof"`
}

// Proof is what makes a report checkable offline.
type Proof struct {
	// Bundle is an audit bundle whose one event names the SHA-256 of the report, as
	// compact JSON; the audit key signed the checkpoint in it.
	Bundle json.RawMessage `json:"bundle"`
	// TimeStamp is an RFC 3161 token over the SHA-256 of the bundle, as compact JSON.
	TimeStamp []byte `json:"timeStamp"`
}

// digest is the SHA-256 of a JSON value without the white space between its parts.
func digest(raw json.RawMessage) ([sha256.Size]byte, error) {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("read JSON: %w", err)
	}
	return sha256.Sum256(b.Bytes()), nil
}

// Seal has the event log hold the report and a time-stamp authority date the
// log's proof.
func Seal(r *Report, attest func(id string, sum []byte) (json.RawMessage, error), stamp func(sum []byte) ([]byte, error)) (*Signed, error) {
	raw, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("write the report: %w", err)
	}
	sum, err := digest(raw)
	if err != nil {
		return nil, err
	}
	s := &Signed{Report: raw}
	if s.Proof.Bundle, err = attest(r.ID, sum[:]); err != nil {
		return nil, fmt.Errorf("record the report in the event log: %w", err)
	}
	if sum, err = digest(s.Proof.Bundle); err != nil {
		return nil, err
	}
	if s.Proof.TimeStamp, err = stamp(sum[:]); err != nil {
		return nil, fmt.Errorf("time-stamp the report: %w", err)
	}
	return s, nil
}

// JSON is the signed report as a file.
func (s *Signed) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// date writes a time as readers of English do, in UTC.
func date(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04:05 UTC") }

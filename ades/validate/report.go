package validate

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"time"
)

// Report is the outcome for one file.
type Report struct {
	// File is the name the caller gave; it may be empty.
	File       string
	Signatures []*Signature
	// Timestamps are the document time-stamps of the file, the oldest first. Each
	// also stands with the signatures it covers.
	Timestamps []*Timestamp
	// Revisions is how many revisions the file has.
	Revisions int
	// Error says why the file could not be read, or that it holds no signature.
	Error string
	// Now is when the judgement was made.
	Now time.Time
	// Trusted is whether the caller gave trust anchors.
	Trusted bool
}

// Signature is the judgement on one signature.
type Signature struct {
	Field string
	// Level is PAdES-B-B, PAdES-B-T, PAdES-B-LT, PAdES-B-LTA; PAdES-BES for a
	// CAdES signature that misses the baseline; PKCS7-B and so on for
	// adbe.pkcs7.detached; CAdES-B-B and so on outside PDF.
	Level         string
	Verdict       Verdict
	Subindication Sub
	// Signer is the subject of the certificate; Certificate is nil if it was not found.
	Signer      string
	Certificate *x509.Certificate
	// Chain is the certificate chain found, from the signer's to the anchor.
	Chain []*x509.Certificate
	// ClaimedTime is what the signer's side wrote; zero if nothing. BestTime is
	// the earliest time at which the signature is proved to have existed; zero if
	// that is not proved.
	ClaimedTime, BestTime time.Time
	Reason, Location      string
	Algorithm             string
	// Covers says in words what of the file is signed; Revision is the number of
	// the revision, 0 if unclear. WholeDocument is whether nothing follows.
	Covers        string
	Revision      int
	WholeDocument bool
	// Changes are what later revisions changed, the permitted ones too.
	Changes    []Change
	Timestamps []*Timestamp
	// Errors are why the verdict is not TOTAL-PASSED; Notes are remarks that do
	// not touch it.
	Errors, Notes []string
	// Certifies is the DocMDP level if this signature certifies the file, else 0.
	Certifies int
	// Qualified is whether the certificate states that it is an EU qualified one.
	// The statement is the issuer's own; no trusted list was asked.
	Qualified bool
}

// Change is one thing that happened after signing.
type Change struct {
	Revision  int
	Text      string
	Permitted bool
}

// Kind is a kind of time-stamp.
type Kind string

// The kinds of time-stamps.
const (
	SignatureTimestamp Kind = "signature-time-stamp"
	DocumentTimestamp  Kind = "document-time-stamp"
	ContentTimestamp   Kind = "content-time-stamp"
)

// Timestamp is the judgement on one time-stamp. A verdict of TOTAL-PASSED means
// that its time proves that what it covers existed.
type Timestamp struct {
	Kind          Kind
	Verdict       Verdict
	Subindication Sub
	Time          time.Time
	// Authority is the subject of the time-stamping certificate.
	Authority string
	// Field and Revision are set for document time-stamps.
	Field    string
	Revision int
	Chain    []*x509.Certificate
	Errors   []string
	Notes    []string

	intact bool // imprint and signature verify, whoever made it
}

// Passed reports whether there is a signature and every one is TOTAL-PASSED.
func (r *Report) Passed() bool {
	for _, s := range r.Signatures {
		if s.Verdict != Passed {
			return false
		}
	}
	return r.Error == "" && len(r.Signatures) > 0
}

// JSON is the report as one line of `verify --json`.
func (r *Report) JSON() ([]byte, error) { return json.Marshal(r) }

// MarshalJSON writes the members that INTERFACES promises and no others.
func (r *Report) MarshalJSON() ([]byte, error) {
	type stamp struct {
		Kind    Kind    `json:"kind"`
		Verdict Verdict `json:"verdict"`
		Time    *string `json:"time"`
	}
	type sig struct {
		Field         string   `json:"field"`
		Level         string   `json:"level"`
		Verdict       Verdict  `json:"verdict"`
		Subindication *Sub     `json:"subindication"`
		Signer        string   `json:"signer"`
		ClaimedTime   *string  `json:"claimedTime"`
		BestTime      *string  `json:"bestTime"`
		Covers        string   `json:"covers"`
		Changes       []string `json:"changes"`
		Timestamps    []stamp  `json:"timestamps"`
		Errors        []string `json:"errors"`
	}
	out := struct {
		File       string  `json:"file"`
		Signatures []sig   `json:"signatures"`
		Error      *string `json:"error"`
	}{File: r.File, Signatures: []sig{}}
	if r.Error != "" {
		out.Error = &r.Error
	}
	for _, s := range r.Signatures {
		j := sig{
			Field: s.Field, Level: s.Level, Verdict: s.Verdict, Signer: s.Signer, Covers: s.Covers,
			ClaimedTime: timeText(s.ClaimedTime), BestTime: timeText(s.BestTime),
			Changes: []string{}, Timestamps: []stamp{}, Errors: append([]string{}, s.Errors...),
		}
		if s.Subindication != "" {
			j.Subindication = &s.Subindication
		}
		for _, c := range s.Changes {
			j.Changes = append(j.Changes, c.String())
		}
		for _, t := range s.Timestamps {
			j.Timestamps = append(j.Timestamps, stamp{t.Kind, t.Verdict, timeText(t.Time)})
		}
		out.Signatures = append(out.Signatures, j)
	}
	return json.Marshal(out)
}

func timeText(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.UTC().Format(time.RFC3339)
	return &s
}

// String is the change in words, with its revision and whether it is permitted.
func (c Change) String() string {
	judgement := "not permitted"
	if c.Permitted {
		judgement = "permitted"
	}
	if c.Revision == 0 {
		return c.Text + " (" + judgement + ")"
	}
	return fmt.Sprintf("revision %d: %s (%s)", c.Revision, c.Text, judgement)
}

package validate

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Text writes the report for people: who signed, when, at which level, what was
// checked, and what a reader such as Adobe's will say and why.
func (r *Report) Text(w io.Writer) error {
	p := &printer{w: w}
	if r.File != "" {
		p.line(0, "%s", r.File)
	}
	if r.Error != "" {
		p.line(1, "%s", r.Error)
	}
	for i, s := range r.Signatures {
		p.signature(i+1, s)
	}
	p.alone(r)
	if len(r.Signatures) > 0 {
		p.reader(r)
	}
	return p.err
}

type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(indent int, format string, args ...any) {
	if p.err != nil {
		return
	}
	_, p.err = fmt.Fprintln(p.w, strings.Repeat("  ", indent)+clean(fmt.Sprintf(format, args...)))
}

// clean keeps what a file says from steering the terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || (r >= 0x7f && r < 0xa0) || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069) {
			return '\ufffd'
		}
		return r
	}, s)
}

func (p *printer) item(label, format string, args ...any) {
	p.line(1, "%-14s %s", label, fmt.Sprintf(format, args...))
}

func (p *printer) signature(n int, s *Signature) {
	verdict := string(s.Verdict)
	if s.Subindication != "" {
		verdict += " (" + string(s.Subindication) + ")"
	}
	p.line(0, "Signature %d: %s", n, verdict)
	p.item("field", "%s", s.Field)
	p.item("signed by", "%s", or(s.Signer, "unknown"))
	if s.Certificate != nil {
		p.item("issued by", "%s", issuerOf(s.Certificate))
	}
	p.item("level", "%s", s.Level)
	p.item("claimed time", "%s", when(s.ClaimedTime, "none"))
	p.item("proved time", "%s", when(s.BestTime, "none: no trusted time-stamp covers the signature"))
	if s.Reason != "" {
		p.item("reason", "%s", s.Reason)
	}
	p.item("algorithm", "%s", or(s.Algorithm, "unknown"))
	p.item("covers", "%s", s.Covers)
	if s.Certifies > 0 {
		p.item("certifies", "the document, and permits afterwards: %s", permitted(s.Certifies))
	}
	for _, c := range s.Changes {
		p.item("change", "%s", c)
	}
	for _, t := range s.Timestamps {
		p.item("time-stamp", "%s, %s: %s%s", t.Kind, when(t.Time, "no time"), t.Verdict, by(t.Authority))
		for _, e := range t.Errors {
			p.item("", "%s", e)
		}
		for _, n := range t.Notes {
			p.item("", "note: %s", n)
		}
	}
	for _, e := range s.Errors {
		p.item("problem", "%s", e)
	}
	for _, n := range s.Notes {
		p.item("note", "%s", n)
	}
	p.item("checked", "%s", checked(s))
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func by(authority string) string {
	if authority == "" {
		return ""
	}
	return " by " + authority
}

func when(t time.Time, none string) string {
	if t.IsZero() {
		return none
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

func permitted(p int) string {
	switch p {
	case 1:
		return "nothing"
	case 2:
		return "filling in forms and signing"
	}
	return "filling in forms, signing and comments"
}

// checked lists what the verdict rests on.
func checked(s *Signature) string {
	parts := []string{"signed bytes", "signature value", "format"}
	if s.Certificate != nil {
		parts = append(parts, "certificate reference", "certificate chain", "revocation", "algorithms")
	}
	if len(s.Timestamps) > 0 {
		parts = append(parts, "time-stamps")
	}
	if !s.WholeDocument && s.Revision > 0 {
		parts = append(parts, "later changes")
	}
	return strings.Join(parts, ", ")
}

// alone prints document time-stamps that cover no signature.
func (p *printer) alone(r *Report) {
	for _, t := range r.Timestamps {
		if slices.ContainsFunc(r.Signatures, func(s *Signature) bool { return slices.Contains(s.Timestamps, t) }) {
			continue
		}
		p.line(0, "Document time-stamp: %s%s", t.Verdict, by(t.Authority))
		p.item("field", "%s", t.Field)
		p.item("time", "%s", when(t.Time, "none"))
		for _, e := range t.Errors {
			p.item("problem", "%s", e)
		}
	}
}

// reader says what other programs show, which is often not what was checked here.
func (p *printer) reader(r *Report) {
	p.line(0, "What a PDF reader will say")
	if !r.Trusted {
		p.line(1, "Nothing was trusted here, so nothing can pass. Give the root certificate with --trust.")
	}
	bad := slices.ContainsFunc(r.Signatures, func(s *Signature) bool { return s.Verdict == Failed })
	if bad {
		p.line(1, "Adobe Reader and others will call a signature invalid, or warn that the document was changed.")
	}
	qualified := slices.ContainsFunc(r.Signatures, func(s *Signature) bool { return s.Qualified })
	if root := r.root(); root != "" {
		p.line(1, "Adobe Reader shows a green tick only if its trust list (AATL or the EU trusted lists) holds the root %q.", root)
		p.line(1, "If it does not, it says that the signer's identity is unknown: the signature is intact all the same.")
		p.line(1, "Import that root as a trusted certificate in the reader (Signatures, Identities & Trusted Certificates), and the tick appears.")
	}
	if qualified {
		p.line(1, "A certificate states that it is qualified under eIDAS. Whether it is, only the EU trusted lists say; they were not asked.")
	} else {
		p.line(1, "No certificate here states that it is qualified under eIDAS: these are not qualified signatures.")
	}
}

// root is the name of an anchor that a signature's chain ends at.
func (r *Report) root() string {
	for _, s := range r.Signatures {
		if len(s.Chain) > 0 && s.Subindication != NoChain {
			return name(s.Chain[len(s.Chain)-1])
		}
	}
	return ""
}

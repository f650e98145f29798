package validate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/countersign/countersign/ades/pdf"
)

// class says what kind of change something is, and so who may make it.
type class int

const (
	// validation data, document time-stamps, metadata: always permitted
	// (ISO 32000-2 §12.8.5.3).
	maintenance class = iota
	// signatures and empty signature fields: DocMDP level 2.
	signingChange
	// values and appearances of form fields: DocMDP level 2, unless locked.
	formFill
	// comments: DocMDP level 3, stated.
	annotation
	// everything else.
	forbidden
)

// change is one difference between two revisions, before it is known to whom it matters.
type change struct {
	class class
	text  string
	field string // the form field, for locks
}

// revisionDiff is what one revision changed.
type revisionDiff struct {
	number  int
	changes []change
}

// permission is what a signature allows to happen after it.
type permission struct {
	p      int
	stated bool // by DocMDP; else p is the default
	locks  []pdf.Lock
}

func (x permission) permits(c change) bool {
	switch c.class {
	case maintenance:
		return true
	case signingChange, formFill:
		if c.field != "" && slices.ContainsFunc(x.locks, func(l pdf.Lock) bool { return l.Locks(c.field) }) {
			return false
		}
		return x.p >= 2
	case annotation:
		return x.p >= 3
	case forbidden:
	}
	return false
}

// permissionOf collects DocMDP and FieldMDP as they stood when it was signed.
func (d *document) permissionOf(s *pdf.Signature, then *pdf.File) (permission, error) {
	x := permission{p: 2}
	state := func(p int) {
		if p > 0 && (!x.stated || p < x.p) {
			x.p, x.stated = p, true
		}
	}
	p, _, err := then.Certification()
	if err != nil {
		return x, fmt.Errorf("read the certification: %w", err)
	}
	state(p)
	for _, r := range s.References {
		switch r.Method {
		case "DocMDP":
			state(r.P)
		case "FieldMDP":
			x.locks = append(x.locks, r.Lock)
		}
	}
	if s.Lock != nil {
		state(s.Lock.P)
		x.locks = append(x.locks, *s.Lock)
	}
	return x, nil
}

// judgeChanges looks at every revision behind the signed one.
func (d *document) judgeChanges(j *subject, s *pdf.Signature) error {
	then, err := d.at(d.revisions[s.Revision-1])
	if err != nil {
		return err
	}
	allowed, err := d.permissionOf(s, then)
	if err != nil {
		return err
	}
	var broken, unexpected []Change
	add := func(c Change, stated bool) {
		j.Changes = append(j.Changes, c)
		switch {
		case c.Permitted:
		case stated:
			broken = append(broken, c)
		default:
			unexpected = append(unexpected, c)
		}
	}
	for n := s.Revision + 1; n <= len(d.revisions); n++ {
		diff, err := d.diff(n)
		if err != nil {
			return err
		}
		for _, c := range diff.changes {
			locked := c.class != forbidden && permission{p: 3}.permits(c) && !permission{p: 3, locks: allowed.locks}.permits(c)
			add(Change{Revision: n, Text: c.text, Permitted: allowed.permits(c)}, allowed.stated || locked)
		}
	}
	if stray, err := d.f.Strays(d.revisions[s.Revision-1]); err != nil {
		return err
	} else if stray {
		add(Change{Text: "objects that no cross-reference lists were added"}, false)
	}
	if tail := d.tail(); tail != "" && !s.CoversFile {
		add(Change{Text: tail}, false)
	}
	if len(broken) > 0 {
		j.p.fail(FormatFailure, "a later change breaks what the signature permits: "+broken[0].Text)
	}
	if len(unexpected) > 0 {
		j.p.doubt(SigConstraintsFailure, "the document was changed after signing: "+unexpected[0].Text)
	}
	return nil
}

// tail describes bytes behind the last revision. White space is harmless; other
// bytes may be an update that some readers would repair and show.
func (d *document) tail() string {
	last := d.revisions[len(d.revisions)-1]
	rest := d.f.Size() - last.End
	if last.End == 0 || rest <= 0 {
		return ""
	}
	section := io.NewSectionReader(d.r, last.End, rest)
	buf := make([]byte, 32<<10)
	for {
		n, err := section.Read(buf)
		if len(bytes.Trim(buf[:n], " \t\r\n\f\x00")) > 0 || (err != nil && !errors.Is(err, io.EOF)) {
			return fmt.Sprintf("%d bytes that belong to no revision follow at the end of the file", rest)
		}
		if err != nil {
			return ""
		}
	}
}

// diff compares revision n with the one before it, once.
func (d *document) diff(n int) (*revisionDiff, error) {
	if done, ok := d.diffs[n]; ok {
		return done, nil
	}
	from, to := d.revisions[n-2], d.revisions[n-1]
	old, err := d.at(from)
	if err != nil {
		return nil, err
	}
	now, err := d.at(to)
	if err != nil {
		return nil, err
	}
	list, err := d.f.Changes(from, to)
	if err != nil {
		return nil, err
	}
	x := &differ{old: old, new: now, out: &revisionDiff{number: n}, said: map[change]bool{}, visits: &d.visits}
	if err := x.run(list, from, to); err != nil {
		return nil, fmt.Errorf("compare revisions %d and %d: %w", n-1, n, err)
	}
	if d.diffs == nil {
		d.diffs = map[int]*revisionDiff{}
	}
	d.diffs[n] = x.out
	return x.out, nil
}

// at is the file as it was at the end of a revision. The last two are kept: a
// revision is compared with the one before it and the one behind.
func (d *document) at(rev pdf.Revision) (*pdf.File, error) {
	for _, o := range d.opened {
		if o.number == rev.Number {
			return o.f, nil
		}
	}
	f, err := d.f.At(rev)
	if err != nil {
		return nil, err
	}
	d.opened[0], d.opened[1] = d.opened[1], openedRevision{rev.Number, f}
	return f, nil
}

func sortStamps(list []*Timestamp) {
	slices.SortStableFunc(list, func(a, b *Timestamp) int { return a.Revision - b.Revision })
}

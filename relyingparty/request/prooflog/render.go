package prooflog

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/ades/fonts"
	"github.com/countersign/countersign/ades/truetype"
)

// AttachmentName is the name of the attached file.
const AttachmentName = "process.json"

// Render returns the log as a PDF. Characters that the font lacks are shown as a
// question mark in brackets; the attached file has them.
func Render(s Story) ([]byte, error) {
	attachment, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write log: %w", err)
	}
	font, err := truetype.Parse(fonts.Regular())
	if err != nil {
		return nil, fmt.Errorf("write log: %w", err)
	}
	l := &layout{font: font, chars: map[rune]bool{}}
	s.tell(l)
	return write(l, s, attachment)
}

// Sizes of text, in points.
const (
	large = 18
	mid   = 12
	body  = 9
)

func (s Story) tell(l *layout) {
	l.text(large, "Log of a signing process")
	l.space(6)
	l.text(mid, s.Title)
	l.space(8)
	for _, row := range [][2]string{
		{"Organisation", s.Organisation},
		{"Sender", s.Sender + " <" + s.SenderEmail + ">"},
		{"Process", s.Request},
		{"Begun", stamp(s.Made)},
		{"Sent", stamp(s.Sent)},
		{"Deadline", stamp(s.Deadline)},
		{"Log written", stamp(s.Written)},
	} {
		l.row(row[0], row[1])
	}
	if s.Message != "" {
		l.row("Message", s.Message)
	}
	l.heading("Documents")
	for _, d := range s.Documents {
		l.text(body, d.Name)
		l.row("Size", fmt.Sprintf("%d bytes, sealed (field %s)", d.Size, d.Field))
		l.row("SHA-256", d.SHA256)
		l.row("SHA-512", d.SHA512)
		l.row("SHA-256 as uploaded", d.Original)
		l.space(4)
	}
	l.heading("Signers in their order")
	for _, g := range s.Signers {
		l.text(body, fmt.Sprintf("%d. %s <%s>", g.Position, g.Name, g.Email))
		l.row("Level", level(g.Level))
		l.row("Second factor", factor(g.Factor))
		l.row("Invited", stamp(g.Invited))
		l.row("Signed", stamp(g.Signed))
		l.row("Certificate", g.Certificate)
		l.row("Verified", g.Verdict)
		l.space(4)
	}
	l.heading("Events")
	for _, e := range s.Events {
		l.text(body, fmt.Sprintf("%d  %s  %s", e.Seq, stamp(e.At), strings.ReplaceAll(e.Type, "_", " ")))
		who := e.Name
		if e.Actor == "machine" {
			who = "this installation"
		}
		l.row("by", who)
		for _, k := range slices.Sorted(maps.Keys(e.Data)) {
			l.row(strings.ReplaceAll(k, "_", " "), e.Data[k])
		}
		l.space(2)
	}
	l.space(8)
	l.text(body, "The attached file "+AttachmentName+" says the same for programs. The seal on this file shows that neither was changed since.")
}

func level(l string) string {
	switch l {
	case "click":
		return "by click: the act is recorded, the organisation's seal is on the file"
	case "personal":
		return "with a key of their own, approved on their own device"
	}
	return l
}

func factor(f string) string {
	switch f {
	case "mail":
		return "one-time code by mail"
	case "sms":
		return "one-time code by SMS"
	case "none":
		return "none: the link alone"
	}
	return f
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

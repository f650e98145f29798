package notify

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"strings"
	"time"
	"unicode"

	gomail "github.com/wneessen/go-mail"

	"github.com/countersign/countersign/internal/i18n"
)

//go:embed templates/*.html
var templates embed.FS

// kinds are all kinds of messages.
var kinds = []Kind{Invitation, Reminder, Code, Rejected, Withdrawn, Expired, Stopped, Completed}

// letter is a message in words. Text and HTML are made from the same letter.
type letter struct {
	Lang      string
	Subject   string
	Greeting  string
	Lead      string
	Title     string // the sender's title, with its caption
	Caption   string
	Quote     []string // the sender's words, by lines, with who wrote them
	QuoteBy   string
	Reason    string
	Code      string
	Link      string
	LinkHint  string
	Button    string
	Deadline  string
	Foot      string
	TestNotes string
}

// write puts a message into words.
func (o *Outbox) write(m Message) (letter, error) {
	l := o.catalog.For(m.Lang)
	say := &sayer{l: l}
	kind := string(m.Kind)
	who := person(m.Who, m.Sender)
	w := letter{
		Lang:     l.Lang(),
		Subject:  clean(say.t("mail."+kind+".subject", "Title", m.Title, "Sender", m.Sender, "Organisation", m.SenderOrg)),
		Greeting: clean(say.t("mail.greeting", "Name", m.ToName)),
		Lead:     clean(say.t("mail."+kind+".lead", "Sender", m.Sender, "Organisation", m.SenderOrg, "Who", who, "Title", m.Title)),
		Foot:     clean(say.t("mail.foot", "Sender", m.Sender, "Organisation", m.SenderOrg)),
		Code:     m.Code, Link: m.Link, Reason: "",
	}
	if m.Title != "" && m.Kind != Code {
		w.Caption, w.Title = say.t("mail.title"), clean(m.Title)
	}
	if m.Text != "" {
		w.QuoteBy = clean(say.t("mail.writes", "Sender", m.Sender))
		for line := range strings.Lines(m.Text) {
			w.Quote = append(w.Quote, clean(line))
		}
	}
	if m.Reason != "" {
		w.Reason = clean(say.t("mail.reason", "Reason", m.Reason))
	}
	if m.Link != "" {
		w.Button, w.LinkHint = say.t("mail."+kind+".button"), say.t("mail.link")
	}
	if !m.Deadline.IsZero() {
		w.Deadline = say.t("mail."+deadlineKey(m.Kind), "Time", o.when(l, m.Deadline))
	}
	if o.config.Test {
		w.TestNotes = say.t("mail.test")
	}
	return w, say.err
}

func deadlineKey(k Kind) string {
	if k == Code {
		return "code.ends"
	}
	if k == Completed {
		return "until"
	}
	return "deadline"
}

func (o *Outbox) when(l *i18n.Localizer, t time.Time) string { return l.Time(t.In(o.config.Zone)) }

// sayer keeps the first message that cannot be said.
type sayer struct {
	l   *i18n.Localizer
	err error
}

func (s *sayer) t(key string, data ...any) string {
	text, err := s.l.Say(key, data...)
	if err != nil && s.err == nil {
		s.err = err
	}
	return text
}

func person(name, other string) string {
	if name == "" {
		return other
	}
	return name
}

// clean takes out of people's words what could act as a header, reorder text or
// hide: control and format characters.
func clean(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, s))
}

// plain is the text part.
func (w letter) plain() string {
	var b strings.Builder
	part := func(lines ...string) {
		for _, line := range lines {
			b.WriteString(line + "\n")
		}
		b.WriteString("\n")
	}
	if w.TestNotes != "" {
		part(w.TestNotes)
	}
	part(w.Greeting)
	part(w.Lead)
	if w.Title != "" {
		part(w.Caption + ": " + w.Title)
	}
	if len(w.Quote) > 0 {
		quoted := []string{w.QuoteBy}
		for _, line := range w.Quote {
			quoted = append(quoted, strings.TrimRight("> "+line, " "))
		}
		part(quoted...)
	}
	if w.Reason != "" {
		part(w.Reason)
	}
	if w.Code != "" {
		part("    " + w.Code)
	}
	if w.Link != "" {
		part(w.Button+":", w.Link)
	}
	if w.Deadline != "" {
		part(w.Deadline)
	}
	if w.Link != "" {
		part(w.LinkHint)
	}
	b.WriteString("-- \n" + w.Foot + "\n")
	return b.String()
}

// html is the HTML part: the same words and the same one link.
func (w letter) html() (string, error) {
	t, err := template.ParseFS(templates, "templates/letter.html")
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, w); err != nil {
		return "", fmt.Errorf("write mail: %w", err)
	}
	return b.String(), nil
}

// text is a message by SMS.
func (o *Outbox) text(m Message) (string, error) {
	say := &sayer{l: o.catalog.For(m.Lang)}
	var text string
	if m.Kind == Code {
		text = say.t("sms.code", "Code", m.Code, "Organisation", m.SenderOrg)
	} else {
		text = say.t("mail."+string(m.Kind)+".subject", "Title", m.Title, "Sender", m.Sender, "Organisation", m.SenderOrg)
		if m.Link != "" {
			text += " " + m.Link
		}
	}
	return clean(text), say.err
}

// envelope is a message as a mail, signed.
func (o *Outbox) envelope(id string, m Message) (*Envelope, error) {
	w, err := o.write(m)
	if err != nil {
		return nil, err
	}
	html, err := w.html()
	if err != nil {
		return nil, err
	}
	msg := gomail.NewMsg(gomail.WithEncoding(gomail.EncodingQP), gomail.WithNoDefaultUserAgent())
	name := o.config.FromName
	if m.Sender != "" && m.SenderOrg != "" {
		name = clean(m.Sender + " (" + m.SenderOrg + ")")
	}
	if err := msg.FromFormat(name, o.config.From); err != nil {
		return nil, fmt.Errorf("mail from %q: %w", o.config.From, err)
	}
	if err := msg.AddToFormat(clean(m.ToName), m.To); err != nil {
		return nil, fmt.Errorf("mail to %q: %w", m.To, err)
	}
	if m.ReplyTo != "" {
		if err := msg.ReplyTo(m.ReplyTo); err != nil {
			return nil, fmt.Errorf("reply to %q: %w", m.ReplyTo, err)
		}
	}
	msg.Subject(w.Subject)
	msg.SetDateWithValue(o.config.Now())
	msg.SetMessageIDWithValue(id + "@" + domain(o.config.From))
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no out-of-office replies
	msg.SetGenHeader("Content-Language", w.Lang)
	msg.SetBodyString(gomail.TypeTextPlain, w.plain())
	msg.AddAlternativeString(gomail.TypeTextHTML, html)
	var b bytes.Buffer
	if _, err := msg.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("write mail: %w", err)
	}
	body, err := o.dkim.sign(b.Bytes())
	if err != nil {
		return nil, err
	}
	return &Envelope{From: o.config.From, To: m.To, Body: body}, nil
}

func domain(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }

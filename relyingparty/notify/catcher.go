package notify

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/emersion/go-smtp"
)

// Caught is a message that a local catcher took instead of a mail server.
type Caught struct {
	ID      string // ascending
	Channel Channel
	From    string
	To      string
	Subject string
	Text    string // the plain part
	HTML    string // the HTML part; show it only as source, or inside a sandboxed frame
	Raw     string // as it came
	DKIM    string // "pass", "none", or why not
	At      time.Time
}

// CatcherConfig is what NewCatcher needs; all may be empty.
type CatcherConfig struct {
	// Addr to listen on, a loopback address; the default is a free port.
	Addr string
	// DKIM is the key with which signatures of caught mails are checked, in place
	// of DNS.
	DKIM DKIM
	// Keep is how many messages are kept; the default is 500.
	Keep int
	Now  func() time.Time
}

// Catcher is an SMTP server on loopback that keeps what it is given in memory, for
// demonstrations and tests: nothing leaves the machine. It is a Texter too.
type Catcher struct {
	config CatcherConfig
	server *smtp.Server
	listen net.Listener

	// mu guards what follows.
	mu       sync.Mutex
	messages []Caught
	last     int
}

// NewCatcher starts a catcher.
func NewCatcher(ctx context.Context, c CatcherConfig) (*Catcher, error) {
	if c.Addr == "" {
		c.Addr = "127.0.0.1:0"
	}
	if c.Keep == 0 {
		c.Keep = 500
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	host, _, err := net.SplitHostPort(c.Addr)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("mail catcher at %q: want a loopback address and port", c.Addr)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Addr)
	if err != nil {
		return nil, fmt.Errorf("mail catcher: %w", err)
	}
	k := &Catcher{config: c, listen: l}
	k.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &catch{catcher: k}, nil }))
	k.server.Domain = "localhost"
	k.server.MaxMessageBytes, k.server.MaxRecipients = 1<<20, 10
	k.server.ReadTimeout, k.server.WriteTimeout = 30*time.Second, 30*time.Second
	go func() { _ = k.server.Serve(l) }() // ends with Close
	return k, nil
}

// Addr is where it listens, host:port.
func (k *Catcher) Addr() string { return k.listen.Addr().String() }

// Close ends it.
func (k *Catcher) Close() error {
	if err := k.server.Close(); err != nil && !errors.Is(err, smtp.ErrServerClosed) {
		return fmt.Errorf("close mail catcher: %w", err)
	}
	return nil
}

// Messages returns what was caught for an address or number (any if empty), the
// newest first.
func (k *Catcher) Messages(to string) []Caught {
	k.mu.Lock()
	defer k.mu.Unlock()
	var list []Caught
	for _, m := range slices.Backward(k.messages) {
		if to == "" || strings.EqualFold(m.To, to) {
			list = append(list, m)
		}
	}
	return list
}

// Message returns one caught message.
func (k *Catcher) Message(id string) (Caught, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, m := range k.messages {
		if m.ID == id {
			return m, true
		}
	}
	return Caught{}, false
}

// Text implements Texter.
func (k *Catcher) Text(_ context.Context, number, text string) error {
	k.keep(Caught{Channel: SMS, To: number, Text: text, DKIM: "none"})
	return nil
}

func (k *Catcher) keep(m Caught) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last++
	m.ID, m.At = strconv.Itoa(k.last), k.config.Now()
	k.messages = append(k.messages, m)
	if over := len(k.messages) - k.config.Keep; over > 0 {
		k.messages = slices.Delete(k.messages, 0, over)
	}
}

// catch is one connection.
type catch struct {
	catcher *Catcher
	from    string
	to      []string
}

// Reset implements smtp.Session.
func (c *catch) Reset() { c.from, c.to = "", nil }

// Logout implements smtp.Session.
func (c *catch) Logout() error { return nil }

// Mail implements smtp.Session.
func (c *catch) Mail(from string, _ *smtp.MailOptions) error {
	c.from = from
	return nil
}

// Rcpt implements smtp.Session.
func (c *catch) Rcpt(to string, _ *smtp.RcptOptions) error {
	c.to = append(c.to, to)
	return nil
}

// Data implements smtp.Session.
func (c *catch) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	for _, to := range c.to {
		m := Caught{Channel: Mail, From: c.from, To: to, Raw: string(raw), DKIM: c.catcher.verify(raw)}
		if err := m.read(raw); err != nil {
			return &smtp.SMTPError{Code: 554, Message: "this is no mail: " + err.Error()}
		}
		c.catcher.keep(m)
	}
	return nil
}

// maxPart is the largest part of a mail that is shown.
const maxPart = 256 << 10

// read takes subject and parts out of a mail.
func (m *Caught) read(raw []byte) error {
	msg, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	if m.Subject, err = (&mime.WordDecoder{}).DecodeHeader(msg.Header.Get("Subject")); err != nil {
		return fmt.Errorf("subject: %w", err)
	}
	kind, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil {
		kind = "text/plain"
	}
	if !strings.HasPrefix(kind, "multipart/") {
		m.Text, err = decode(msg.Body, msg.Header.Get("Content-Transfer-Encoding"))
		return err
	}
	parts := multipart.NewReader(msg.Body, params["boundary"])
	for range 20 {
		p, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("part: %w", err)
		}
		text, err := decode(p, p.Header.Get("Content-Transfer-Encoding"))
		if err != nil {
			return err
		}
		switch kind, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type")); kind {
		case "text/plain":
			m.Text = text
		case "text/html":
			m.HTML = text
		}
	}
	return errors.New("too many parts")
}

func decode(r io.Reader, encoding string) (string, error) {
	switch strings.ToLower(encoding) {
	case "quoted-printable":
		r = quotedprintable.NewReader(r)
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, r)
	}
	b, err := io.ReadAll(io.LimitReader(r, maxPart))
	if err != nil {
		return "", fmt.Errorf("body: %w", err)
	}
	return strings.ToValidUTF8(string(b), "\ufffd"), nil
}

// verify checks a mail's DKIM signature with the key at hand.
func (k *Catcher) verify(raw []byte) string {
	list, err := dkim.VerifyWithOptions(bytes.NewReader(raw), &dkim.VerifyOptions{LookupTXT: k.lookup, MaxVerifications: 3})
	if err != nil {
		return err.Error()
	}
	if len(list) == 0 {
		return "none"
	}
	if list[0].Err != nil {
		return list[0].Err.Error()
	}
	return "pass"
}

// lookup plays DNS for the one key.
func (k *Catcher) lookup(name string) ([]string, error) {
	d := k.config.DKIM
	if d.Key == nil || !strings.EqualFold(name, d.Selector+"._domainkey."+d.Domain) {
		return nil, &net.DNSError{Err: "no such name", Name: name, IsNotFound: true}
	}
	record, err := d.Record()
	return []string{record}, err
}

// Record is the TXT record for DNS at Selector._domainkey.Domain.
func (d DKIM) Record() (string, error) {
	if pub, ok := d.Key.Public().(ed25519.PublicKey); ok {
		return "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(pub), nil
	}
	spki, err := x509.MarshalPKIXPublicKey(d.Key.Public())
	if err != nil {
		return "", fmt.Errorf("DKIM record: %w", err)
	}
	return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(spki), nil
}

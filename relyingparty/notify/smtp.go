package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/loopback"
)

// Security is how the way to the mail server is protected.
type Security string

// The kinds of protection. Plain is for loopback only.
const (
	StartTLS Security = "starttls" // the default
	TLS      Security = "tls"      // from the first byte (port 465)
	Plain    Security = "plain"
)

// SMTP hands mails to a mail server (RFC 5321). It is a Transport.
type SMTP struct {
	Addr     string // host:port
	Security Security
	Username string // empty: no authentication
	Password string
	Hello    string         // how this machine names itself; default localhost
	RootCAs  *x509.CertPool // nil: the system's
	Timeout  time.Duration  // of a whole delivery; the default is 1 minute
}

// Check refuses settings that would send mail or password unprotected.
func (s *SMTP) Check() error {
	host, _, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return fmt.Errorf("mail server %q: want host:port", s.Addr)
	}
	switch s.Security {
	case StartTLS, TLS, "":
		return nil
	case Plain:
		if loopback.Is(host) {
			return nil
		}
		return fmt.Errorf("mail server %s: plain connections are for this machine only; use starttls or tls", s.Addr)
	}
	return fmt.Errorf("mail server security %q: want starttls, tls or plain", s.Security)
}

// Send implements Transport.
func (s *SMTP) Send(ctx context.Context, m *Envelope) error {
	if err := s.Check(); err != nil {
		return fault.New(fault.Unavailable, "the mail server's settings are wrong; tell the operator").Because(err)
	}
	timeout := s.Timeout
	if timeout == 0 {
		timeout = time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c, err := s.connect(ctx)
	if err != nil {
		return unreachable(err)
	}
	defer func() { _ = c.Close() }() // after Quit, or broken
	if s.Username != "" {
		if err := c.Auth(sasl.NewPlainClient("", s.Username, s.Password)); err != nil {
			return fault.New(fault.Unavailable, "the mail server does not accept this installation's name and password; tell the operator").Because(err)
		}
	}
	if err := c.SendMail(m.From, []string{m.To}, bytes.NewReader(m.Body)); err != nil {
		return refused(err)
	}
	_ = c.Quit() // the mail is the server's since its answer to DATA
	return nil
}

func (s *SMTP) connect(ctx context.Context) (*smtp.Client, error) {
	host, _, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	config := &tls.Config{ServerName: host, RootCAs: s.RootCAs, MinVersion: tls.VersionTLS12}
	var c *smtp.Client
	switch s.Security {
	case TLS:
		c = smtp.NewClient(tls.Client(conn, config))
	case Plain:
		c = smtp.NewClient(conn)
	case StartTLS, "":
		if c, err = smtp.NewClientStartTLS(conn, config); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	hello := s.Hello
	if hello == "" {
		hello = "localhost"
	}
	if err := c.Hello(hello); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func unreachable(err error) error {
	return fault.New(fault.Unavailable, "the mail server cannot be reached; delivery is tried again").Because(err)
}

// refused tells a refusal for good (5xx) from one for now.
func refused(err error) error {
	e, ok := errors.AsType[*smtp.SMTPError](err)
	if !ok {
		return unreachable(err)
	}
	if e.Code >= 500 {
		return Permanent(fault.New(fault.Invalid, "the mail server refused the message (%d): is the address right?", e.Code).Because(err))
	}
	return fault.New(fault.Unavailable, "the mail server takes no messages now (%d); delivery is tried again", e.Code).Because(err)
}

package cscclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/fault"
)

// Codes of the faults that this package makes. All are of kind
// fault.Unavailable except CodeRefused, which has the kind of the refusal, and
// CodeApprovalRefused, which is fault.Forbidden.
const (
	CodeUnreachable     = "unreachable"
	CodeSlow            = "timeout"
	CodeUntrusted       = "tls_untrusted"
	CodeGarbage         = "unexpected_answer"
	CodeRefused         = "refused"
	CodeApprovalRefused = "approval_refused"
)

// answer is a whole HTTP response.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// caller sends requests with limits on time and size, and turns what goes wrong
// on the way into faults.
type caller struct {
	name    string // of the other side, for sentences
	once    *http.Client
	again   *retryablehttp.Client // for reads
	timeout time.Duration         // of a whole call, repetitions included
	agent   string
}

func newCaller(name string, t *http.Transport, timeout time.Duration, agent string) *caller {
	once := &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	again := retryablehttp.NewClient()
	again.HTTPClient = once
	again.Logger = nil
	again.RetryMax = 2
	again.RetryWaitMin, again.RetryWaitMax = 100*time.Millisecond, time.Second
	again.CheckRetry = func(ctx context.Context, resp *http.Response, err error) (bool, error) {
		if errors.Is(err, errAddress) {
			return false, err
		}
		return retryablehttp.DefaultRetryPolicy(ctx, resp, err)
	}
	again.ErrorHandler = retryablehttp.PassthroughErrorHandler
	return &caller{name: name, once: once, again: again, timeout: timeout, agent: agent}
}

// call is one request.
type call struct {
	method, url string
	header      http.Header
	body        []byte
	read        bool // may be repeated: it changes nothing over there
	limit       int64
}

func (c *caller) do(ctx context.Context, r call) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, bytes.NewReader(r.body))
	if err != nil {
		return nil, c.garbage("named an unusable address").Because(err)
	}
	if r.header != nil {
		req.Header = r.header
	}
	req.Header.Set("User-Agent", c.agent)
	resp, err := c.send(req, r)
	if err != nil {
		return nil, c.failed(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, r.limit+1))
	if err != nil {
		return nil, c.failed(ctx, fmt.Errorf("answer broke off: %w", err))
	}
	if int64(len(body)) > r.limit {
		return nil, c.garbage("answered with more than the %d KB that such an answer may have", r.limit>>10)
	}
	return &answer{resp.StatusCode, resp.Header, body}, nil
}

func (c *caller) send(req *http.Request, r call) (*http.Response, error) {
	if !r.read {
		return c.once.Do(req)
	}
	again, err := retryablehttp.FromRequest(req)
	if err != nil {
		return nil, err
	}
	if err := again.SetBody(r.body); err != nil {
		return nil, err
	}
	return c.again.Do(again)
}

// failed says what became of a request that got no whole answer.
func (c *caller) failed(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fault.New(fault.Unavailable, "the call to %s was given up", c.name).WithCode(CodeUnreachable).Because(err)
	}
	if e, ok := errors.AsType[net.Error](err); errors.Is(err, context.DeadlineExceeded) || (ok && e.Timeout()) {
		return fault.New(fault.Unavailable, "%s did not answer within %s; try again later", c.name, c.timeout).WithCode(CodeSlow).Because(err)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return untrusted(c.name, err)
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return untrusted(c.name, err)
	}
	if errors.Is(err, errAddress) {
		return fault.New(fault.Unavailable, "%s is at a private address; allow that host if this is meant", c.name).WithCode(CodeUnreachable).Because(err)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || strings.Contains(err.Error(), "malformed HTTP") {
		return c.garbage("broke off its answer or did not answer in HTTP; check its address, or try again later").Because(err)
	}
	return fault.New(fault.Unavailable, "%s cannot be reached: check its address and whether it is up", c.name).WithCode(CodeUnreachable).Because(err)
}

func untrusted(name string, err error) error {
	return fault.New(fault.Unavailable, "%s shows a TLS certificate that is not trusted; configure the CA that issued it", name).WithCode(CodeUntrusted).Because(err)
}

// garbage makes the fault for an answer that should not have come.
func (c *caller) garbage(format string, args ...any) *fault.Error {
	return fault.New(fault.Unavailable, "%s %s", c.name, fmt.Sprintf(format, args...)).WithCode(CodeGarbage)
}

// decode reads a JSON answer with one of the wanted statuses into out; an error
// in the API's form becomes a fault of its kind, and whatever else comes is
// garbage.
func (c *caller) decode(a *answer, out any, want ...int) error {
	isJSON := false
	if t, _, err := mime.ParseMediaType(a.header.Get("Content-Type")); err == nil {
		isJSON = t == "application/json" || strings.HasSuffix(t, "+json")
	}
	for _, w := range want {
		if a.status != w {
			continue
		}
		if !isJSON {
			return c.garbage("answered %d without JSON; check its address", a.status)
		}
		if err := json.Unmarshal(a.body, out); err != nil {
			return c.garbage("answered %d with JSON that cannot be read", a.status).Because(err)
		}
		return nil
	}
	var e csc.Error
	if a.status >= 400 && isJSON && json.Unmarshal(a.body, &e) == nil && e.Code != "" {
		e.Status = a.status
		e.Description = printable(e.Description)
		e.Code = printable(e.Code)
		said := e.Description
		if said == "" {
			said = e.Code
		}
		kind := e.KindOf()
		if kind == fault.Unavailable || kind == fault.TooMany {
			said = strings.TrimSuffix(said, ".") + "; try again later"
		}
		return fault.New(kind, "%s refused: %s", c.name, said).WithCode(CodeRefused).Because(&e)
	}
	if a.status >= http.StatusInternalServerError {
		return c.garbage("answered %d; try again later", a.status)
	}
	return c.garbage("answered %d, which was not expected here; check its address", a.status)
}

// printable makes text from outside fit for a terminal or a log: one line, no
// control characters, no endless story.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || (r >= 0x80 && r < 0xa0) || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069) {
			return ' '
		}
		return r
	}, s)
	if r := []rune(s); len(r) > 300 {
		s = string(r[:300]) + "…"
	}
	return s
}

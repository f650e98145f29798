package faultnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// Transport is an http.RoundTripper that fails by its script.
type Transport struct {
	Base   http.RoundTripper // nil is http.DefaultTransport
	Script *Script           // nil never fails
	// Match limits the script to some requests; nil is all.
	Match func(*http.Request) bool
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	if t.Match != nil && !t.Match(r) {
		return base.RoundTrip(r)
	}
	f := t.Script.next()
	switch f.Kind {
	case None:
	case Delay:
		if err := wait(r.Context(), f.For); err != nil {
			closeBody(r)
			return nil, err
		}
	case DropBefore:
		closeBody(r)
		return nil, ErrDropped
	case Hang:
		closeBody(r)
		<-r.Context().Done()
		return nil, r.Context().Err()
	case Status:
		closeBody(r)
		return answer(r, f.Bytes, []byte("faultnet")), nil
	case Garbage:
		resp, err := base.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		drain(resp)
		resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(rubbish(f.Bytes))), -1
		resp.Header.Del("Content-Length")
		return resp, nil
	case DropAfter:
		resp, err := base.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		drain(resp)
		return nil, ErrDropped
	case Truncate:
		resp, err := base.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		resp.Body = &cut{ReadCloser: resp.Body, left: f.Bytes}
		return resp, nil
	case Twice:
		return twice(base, r)
	case WrongCert:
		closeBody(r)
		return nil, errors.New("faultnet: a transport has no certificates: use the proxy")
	}
	return base.RoundTrip(r)
}

// twice sends the request a second time, as a network or a retrying proxy may.
func twice(base http.RoundTripper, r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		closeBody(r)
	}
	again := func() *http.Request {
		c := r.Clone(r.Context())
		if r.Body != nil {
			c.Body = io.NopCloser(bytes.NewReader(body))
		}
		return c
	}
	resp, err := base.RoundTrip(again())
	if err != nil {
		return nil, err
	}
	if second, err := base.RoundTrip(again()); err == nil {
		drain(second)
	}
	return resp, nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func answer(r *http.Request, status int, body []byte) *http.Response {
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}

func drain(resp *http.Response) {
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
}

// cut is a body that breaks.
type cut struct {
	io.ReadCloser
	left int
}

// Read implements io.Reader.
func (c *cut) Read(b []byte) (int, error) {
	if c.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := c.ReadCloser.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}

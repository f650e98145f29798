package device

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/sam/sad"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// Prompter is the person at the device.
type Prompter interface {
	// Decide shows what is to be signed and asks for PIN and number. It is asked
	// again when one of them was wrong. An error ends the approval.
	Decide(ctx context.Context, r Request) (Answer, error)
}

// Request is what is shown: read from the very bytes that will be signed.
type Request struct {
	SAD *sad.SAD
	// Shown is the number on the page that started the request; the person types
	// it. Here both screens are the same terminal.
	Shown string
	// Checked says for each document how far its digest was checked: 0 name only,
	// 1 the module and this device checked the signed attributes, 2 this device
	// recomputed the digest from the document.
	Checked []int
	// Refused is why the answer before was not taken; nil the first time.
	Refused error
}

// Answer is what the person said.
type Answer struct {
	Approve bool
	PIN     string
	Number  string
	Reason  string // why not
}

// Device approves requests with a key.
type Device struct {
	Key    *Key
	Prompt Prompter
	// Digest computes the digest of a document's signed byte ranges, if this device
	// has the document; ok is false if it has not. May be nil.
	Digest func(ctx context.Context, d sad.Doc) (digest []byte, ok bool, err error)
	Net    Net
	// End is the relying party's redirect URI, if it is known: where the way ends. With
	// it the way may lead through other services, as when a gateway has the approval
	// taken by the trust service that holds the key.
	End string
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Approve starts from an authorisation URL and goes the way of the browser: to the
// approval origin, through the signer's decision, back to the gateway. It returns
// the URL on which the browser ends, at the relying party; it is not fetched. A
// URL of the approval origin is taken too; then the end is the gateway's return
// URL. A rejection by the signer is no error.
func (d *Device) Approve(ctx context.Context, start string) (string, error) {
	if d.Now == nil {
		d.Now = time.Now
	}
	u, err := parseURL(start)
	if err != nil {
		return "", err
	}
	w := &walk{Device: d, browser: newBrowser(d.Net), gateway: origin(u)}
	defer w.browser.close()
	page, ended, err := w.toApproval(ctx, u)
	if err != nil || ended != "" {
		return ended, err
	}
	if err := w.decide(ctx, page); err != nil {
		return "", err
	}
	return w.home(ctx)
}

// walk is one way through gateway and approval origin.
type walk struct {
	*Device

	browser *browser
	gateway string   // origin where the way began
	passed  []string // origins on the way to the approval page, the gateway's first
	status  struct {
		SID     string    `json:"sid"`
		State   string    `json:"state"`
		Number  string    `json:"number"`
		Expires time.Time `json:"expires"`
		SAD     string    `json:"sad"`
		// Bytes of the SAD, from a page that has room for them.
		Bytes  []byte `json:"sadBytes"`
		Return string `json:"return"`
		Reason string `json:"reason"`
	}
	page *url.URL
	back string // the way back to the gateway, if the approval was answered with it
}

// toApproval follows redirects to the approval origin. Any other place where they
// lead is the end: the gateway refused and told the relying party so.
func (w *walk) toApproval(ctx context.Context, u *url.URL) (page *url.URL, ended string, err error) {
	for range maxRedirects {
		if origin(u) == w.Key.Approval {
			return u, "", nil
		}
		if w.isEnd(u) {
			return nil, u.String(), nil
		}
		w.pass(u)
		a, err := w.browser.get(ctx, u)
		if err != nil {
			return nil, "", err
		}
		if a.to == nil {
			if a.status < 300 {
				return nil, "", fault.New(fault.Unavailable, "%s did not send the browser to the approval page", u.Host)
			}
			return nil, "", a.refusal(u.Host)
		}
		u = a.to
	}
	return nil, "", fault.New(fault.Unavailable, "%s sends the browser in circles", w.gateway)
}

// isEnd reports whether the browser has left for the relying party: it is at its
// redirect URI or, where that is not known, not at the gateway.
func (w *walk) isEnd(u *url.URL) bool {
	if w.End == "" {
		return origin(u) != w.gateway
	}
	end, err := url.Parse(w.End)
	return err != nil || (origin(u) == origin(end) && u.Path == end.Path)
}

func (w *walk) pass(u *url.URL) {
	if !slices.Contains(w.passed, origin(u)) {
		w.passed = append(w.passed, origin(u))
	}
}

// decide shows the request and sends the signer's decision.
func (w *walk) decide(ctx context.Context, page *url.URL) error {
	w.page = page
	a, err := w.browser.get(ctx, page)
	if err != nil {
		return err
	}
	if err := a.read(page.Host, &w.status); err != nil {
		return err
	}
	if w.status.State != samapi.Pending {
		return nil // decided before; the way goes on
	}
	raw, s, err := w.fetch(ctx)
	if err != nil {
		return err
	}
	checked, err := w.check(ctx, s)
	if err != nil {
		return errors.Join(err, w.reject(ctx, "the device found that the documents are not what they are said to be"))
	}
	req := Request{SAD: s, Shown: w.status.Number, Checked: checked}
	for {
		answer, err := w.Prompt.Decide(ctx, req)
		if err != nil {
			return err
		}
		if !answer.Approve {
			return w.reject(ctx, answer.Reason)
		}
		err = w.approve(ctx, raw, checked, answer)
		if err == nil {
			return nil
		}
		switch fault.Of(err).Code {
		case samapi.CodeNumber, samapi.CodePIN:
			req.Refused = err
		default:
			return err
		}
	}
}

// fetch reads the SAD and refuses one that this device must not sign.
func (w *walk) fetch(ctx context.Context) ([]byte, *sad.SAD, error) {
	raw, err := w.raw(ctx)
	if err != nil {
		return nil, nil, err
	}
	s, err := sad.Parse(raw)
	if err != nil {
		return nil, nil, fault.New(fault.Unavailable, "the approval page sent something that is no request; nothing was signed").Because(err)
	}
	switch now := w.Now(); {
	case s.Type != sad.TypeSign:
		err = fault.New(fault.Forbidden, "this is not a request to sign documents")
	case s.Issuer != w.Key.Module:
		err = fault.New(fault.Forbidden, "the request is of another module than this device is enrolled at")
	case s.Signer != w.Key.Signer || !slices.Contains(s.Authenticators, w.Key.Authenticator):
		err = fault.New(fault.Forbidden, "the request is for %s; this device is %s's", s.SignerName, w.Key.SignerName)
	case s.SID != w.status.SID:
		err = fault.New(fault.Forbidden, "the approval page sent another request than it shows")
	case !now.Before(s.Expires):
		err = fault.New(fault.Expired, "the request ended at %s by this machine's clock", s.Expires.Format(time.RFC3339)).WithCode(samapi.CodeSADExpired)
	}
	return raw, s, err
}

// raw is the SAD's bytes: what the device parses, shows and signs.
func (w *walk) raw(ctx context.Context) ([]byte, error) {
	if len(w.status.Bytes) > 0 {
		return w.status.Bytes, nil
	}
	u, err := w.local(w.status.SAD)
	if err != nil {
		return nil, err
	}
	a, err := w.browser.get(ctx, u)
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, a.refusal(u.Host)
	}
	return a.body, nil
}

// check looks at each document as far as this device can.
func (w *walk) check(ctx context.Context, s *sad.SAD) ([]int, error) {
	h, err := signing.HashByOID(s.HashOID)
	if err != nil {
		return nil, err
	}
	checked := make([]int, len(s.Documents))
	for i, doc := range s.Documents {
		if len(doc.SignedAttrs) == 0 {
			continue
		}
		bad := fault.New(fault.Forbidden, "what is to be signed for %q is not that document; nothing was signed", doc.Name).WithCode(samapi.CodeMismatch)
		sum := h.New()
		sum.Write(doc.SignedAttrs)
		a, err := sad.ParseAttributes(doc.SignedAttrs)
		if err != nil {
			return nil, bad.Because(err)
		}
		if !bytes.Equal(sum.Sum(nil), doc.DTBSR) || !bytes.Equal(a.MessageDigest, doc.DocHash) ||
			(a.CertHash.Size() == sha256.Size && !bytes.Equal(a.CertDigest, s.Cert)) {
			return nil, bad
		}
		checked[i] = 1
		if w.Digest == nil {
			continue
		}
		own, ok, err := w.Digest(ctx, doc)
		if err != nil {
			return nil, fmt.Errorf("compute the digest of %s: %w", doc.Name, err)
		}
		if !ok {
			continue
		}
		if !bytes.Equal(own, doc.DocHash) {
			return nil, bad
		}
		checked[i] = 2
	}
	return checked, nil
}

func (w *walk) approve(ctx context.Context, raw []byte, checked []int, a Answer) error {
	challenge := sad.Challenge(raw)
	sig, err := w.Key.sign(challenge[:])
	if err != nil {
		return fmt.Errorf("sign the approval: %w", err)
	}
	var out struct {
		State string `json:"state"`
		To    string `json:"to"`
	}
	yes := samapi.Approval{Authenticator: w.Key.Authenticator, Signature: sig, PIN: a.PIN, Number: strings.TrimSpace(a.Number)}
	if slices.Min(checked) == 2 {
		yes.StatedWysiwys = 2
	}
	u, err := w.local("/a/" + url.PathEscape(w.status.SID) + "/approve")
	if err != nil {
		return err
	}
	u.RawQuery = w.page.RawQuery // who has seen the page may take the way back
	if err := w.browser.post(ctx, u.String(), yes, &out); err != nil {
		return err
	}
	if out.State != samapi.Approved {
		return fault.New(fault.Unavailable, "the approval was answered with state %q", out.State)
	}
	w.back = out.To
	return nil
}

func (w *walk) reject(ctx context.Context, reason string) error {
	u, err := w.local("/a/" + url.PathEscape(w.status.SID) + "/reject")
	if err != nil {
		return err
	}
	u.RawQuery = w.page.RawQuery
	var out struct{}
	return w.browser.post(ctx, u.String(), map[string]string{"reason": reason}, &out)
}

// wayBack is where the approval page sends the browser: it came with the answer to
// the approval, or is asked for.
func (w *walk) wayBack(ctx context.Context) (*answer, error) {
	if w.back != "" {
		to, err := parseURL(w.back)
		return &answer{to: to}, err
	}
	u, err := w.local(w.status.Return)
	if err != nil {
		return nil, err
	}
	a, err := w.browser.get(ctx, u)
	if err != nil {
		return nil, err
	}
	if a.to == nil {
		return nil, a.refusal(u.Host)
	}
	return a, nil
}

// home goes back through the services that it came through. The first redirect
// that leaves them is the end.
func (w *walk) home(ctx context.Context) (string, error) {
	a, err := w.wayBack(ctx)
	if w.gateway == w.Key.Approval && fault.Of(err).Code == samapi.CodeOtherBrowser {
		return w.page.String(), nil // a browser opened the page, and goes on by itself
	}
	if err != nil {
		return "", err
	}
	if w.gateway == w.Key.Approval {
		return a.to.String(), nil // started at the approval page: the gateway knows another browser
	}
	for range maxRedirects {
		if !slices.Contains(w.passed, origin(a.to)) {
			return "", fault.New(fault.Forbidden, "the approval page sends the browser to %s, the request began at %s", origin(a.to), w.gateway)
		}
		back, err := w.browser.get(ctx, a.to)
		if err != nil {
			return "", err
		}
		if back.to == nil {
			return "", back.refusal(a.to.Host)
		}
		if w.End == "" || w.isEnd(back.to) {
			return back.to.String(), nil
		}
		a = back
	}
	return "", fault.New(fault.Unavailable, "%s sends the browser in circles", w.gateway)
}

// local resolves a path of the approval origin and refuses to leave it.
func (w *walk) local(path string) (*url.URL, error) {
	u, err := w.page.Parse(path)
	if err != nil || origin(u) != w.Key.Approval {
		return nil, fault.New(fault.Unavailable, "the approval page names an address that is not its own")
	}
	return u, nil
}

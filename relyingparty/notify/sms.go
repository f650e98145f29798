package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/loopback"
	"github.com/countersign/countersign/internal/store"
)

// HTTPTexter hands short messages to a gateway as a JSON object {"to","text"}. It is
// a Texter.
type HTTPTexter struct {
	URL   string // https; http for loopback only
	Token string // sent as Bearer; empty for none
	// Client makes the calls; nil is one with a timeout of 20 s that follows no
	// redirects.
	Client *http.Client
}

// Text implements Texter.
func (h *HTTPTexter) Text(ctx context.Context, number, text string) error {
	u, err := url.Parse(h.URL)
	if err != nil || u.Host == "" || (u.Scheme != "https" && (u.Scheme != "http" || !loopback.Is(u.Hostname()))) {
		return fault.New(fault.Unavailable, "the SMS gateway's address is wrong; tell the operator").Because(err)
	}
	body, err := json.Marshal(map[string]string{"to": number, "text": text})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if h.Token != "" {
		req.Header.Set("Authorization", "Bearer "+h.Token)
	}
	client := h.Client
	if client == nil {
		client = &http.Client{Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	res, err := client.Do(req)
	if err != nil {
		return fault.New(fault.Unavailable, "the SMS gateway cannot be reached; delivery is tried again").Because(err)
	}
	_, _ = io.CopyN(io.Discard, res.Body, 1<<16) // so that the connection can be used again
	_ = res.Body.Close()                         // only read
	switch {
	case res.StatusCode < 300:
		return nil
	case res.StatusCode == http.StatusBadRequest || res.StatusCode == http.StatusUnprocessableEntity || res.StatusCode == http.StatusNotFound:
		return Permanent(fault.New(fault.Invalid, "the SMS gateway refused the message (%d): is the number right?", res.StatusCode))
	}
	return fault.New(fault.Unavailable, "the SMS gateway takes no messages now (%d); delivery is tried again", res.StatusCode)
}

// FileTexter writes short messages to files of a folder, for a gateway that picks
// them up: first line the number, then the text. It is a Texter.
type FileTexter struct{ Dir string }

// Text implements Texter. The file appears whole.
func (f *FileTexter) Text(_ context.Context, number, text string) error {
	part, err := os.CreateTemp(f.Dir, ".*.part")
	if err != nil {
		return fault.New(fault.Unavailable, "the folder for SMS cannot be written; tell the operator").Because(err)
	}
	_, err = fmt.Fprintf(part, "%s\n%s\n", number, text)
	if err = errors.Join(err, part.Sync(), part.Close()); err == nil {
		err = os.Rename(part.Name(), filepath.Join(f.Dir, time.Now().UTC().Format("20060102T150405.000000000")+"-"+store.NewID()[:8]+".sms"))
	}
	if err != nil {
		_ = os.Remove(part.Name()) // it is not whole
		return fault.New(fault.Unavailable, "the folder for SMS cannot be written; tell the operator").Because(err)
	}
	return nil
}

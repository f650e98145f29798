// Package local is how the operator of a machine speaks to the processes that
// run on it: JSON over HTTP on Unix sockets that only the operator may open.
// Faults cross with their kind and code.
package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"syscall"
	"time"

	"github.com/countersign/countersign/internal/fault"
)

// maxBody is the most bytes of a request or an answer.
const maxBody = 1 << 20

// Handle serves one operation on a mux of the standard library. The pattern
// names method and path. A request without a body decodes to the zero In.
func Handle[In, Out any](mux *http.ServeMux, pattern string, do func(context.Context, In) (Out, error)) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		var in In
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil && !errors.Is(err, io.EOF) {
			answer(w, nil, fault.New(fault.Invalid, "the request is not the JSON that %s takes: %s", pattern, err))
			return
		}
		out, err := do(r.Context(), in)
		answer(w, out, err)
	})
}

// wireFault is a fault on the wire.
type wireFault struct {
	Kind   fault.Kind `json:"kind"`
	Code   string     `json:"code,omitempty"`
	Detail string     `json:"detail"`
}

func answer(w http.ResponseWriter, out any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		f := fault.Of(err)
		detail := f.Detail
		if f.Kind == fault.Internal {
			detail = err.Error() // the operator of this machine reads the logs too
		}
		w.WriteHeader(http.StatusUnprocessableEntity)
		out = wireFault{Kind: f.Kind, Code: f.Code, Detail: detail}
	}
	// The peer that went away is the only way this fails.
	_ = json.NewEncoder(w).Encode(out)
}

// Client speaks to one socket.
type Client struct {
	socket string
	http   *http.Client
}

// Dial makes a client of the socket of that name. It does not connect.
func Dial(socket string) *Client {
	return &Client{socket: socket, http: &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, "unix", Short(socket))
			},
			DisableCompression: true,
		},
	}}
}

// Call sends in and decodes the answer to out, either of which may be nil.
func (c *Client) Call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://local"+path, body)
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if err != nil {
		return c.unreachable(err)
	}
	switch {
	case res.StatusCode == http.StatusUnprocessableEntity:
		var f wireFault
		if err := json.Unmarshal(b, &f); err != nil {
			return fault.New(fault.Unavailable, "%s gave an unreadable answer", c.socket).Because(err)
		}
		return fault.New(f.Kind, "%s", f.Detail).WithCode(f.Code)
	case res.StatusCode != http.StatusOK:
		return fault.New(fault.Unavailable, "%s answered %s to %s %s", c.socket, res.Status, method, path)
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fault.New(fault.Unavailable, "%s gave an unreadable answer", c.socket).Because(err)
	}
	return nil
}

func (c *Client) unreachable(err error) error {
	why := err.Error()
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		why = "no process listens there"
	case errors.Is(err, fs.ErrPermission):
		why = "this user may not open it"
	}
	return fault.New(fault.Unavailable, "%s cannot be reached: %s", c.socket, why).Because(err)
}

// Status is how a process says it is, to the operator.
type Status struct {
	Role    string    `json:"role"`
	Ready   bool      `json:"ready"`
	Started time.Time `json:"started"`
	Commit  string    `json:"commit"`
	// Health is where the process answers /readyz, as seen from this machine.
	Health string `json:"health"`
	// Checks are what the process looked at just now, each in words when it is not well.
	Checks []Check `json:"checks"`
	// Facts are figures and names that an operator may want.
	Facts map[string]string `json:"facts,omitempty"`
}

// Check is one look at something the process needs.
type Check struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Words string `json:"words,omitempty"`
}

// Looked makes a Check of an error.
func Looked(name string, err error) Check {
	if err != nil {
		return Check{Name: name, Words: err.Error()}
	}
	return Check{Name: name, OK: true}
}

// maxSocketName is what the system takes as the name of a socket.
const maxSocketName = 100

// Short returns a name by which a socket can be opened even when its own is too
// long for the system: relative to the working folder, if that is shorter.
func Short(socket string) string {
	if len(socket) <= maxSocketName {
		return socket
	}
	here, err := filepath.Abs(".")
	if err != nil {
		return socket
	}
	if rel, err := filepath.Rel(here, socket); err == nil && len(rel) < len(socket) {
		return rel
	}
	return socket
}

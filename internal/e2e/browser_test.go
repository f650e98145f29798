package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// newBrowser is a browser that shows every hop: it keeps cookies and follows
// nothing by itself.
func (in *installation) newBrowser(t testing.TB) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{
		Jar: jar, Timeout: 20 * time.Second, Transport: in.transport(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// transport reaches the names below localhost, as browsers do.
func (in *installation) transport() *http.Transport {
	t := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		var d net.Dialer
		if host, port, err := net.SplitHostPort(address); err == nil && strings.HasSuffix(host, "localhost") {
			address = net.JoinHostPort("127.0.0.1", port)
		}
		return d.DialContext(ctx, network, address)
	}}
	if in.roots != nil {
		t.TLSClientConfig = in.tlsConfig()
	}
	return t
}

// page is one answer.
type page struct {
	status int
	header http.Header
	body   string
	to     string // where a redirect goes
}

func fetch(t testing.TB, c *http.Client, method, address, contentType, body string, header ...string) *page {
	t.Helper()
	p, err := tryFetch(t.Context(), c, method, address, contentType, body, header...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func tryFetch(ctx context.Context, c *http.Client, method, address, contentType, body string, header ...string) (*page, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	p := &page{status: res.StatusCode, header: res.Header, body: string(b)}
	if u, err := res.Location(); err == nil {
		p.to = u.String()
	}
	return p, nil
}

func get(t testing.TB, c *http.Client, address string, header ...string) *page {
	t.Helper()
	return fetch(t, c, http.MethodGet, address, "", "", header...)
}

// waiting is a sign command that waits for a browser to come back.
type waiting struct {
	t    testing.TB
	cmd  *exec.Cmd
	args []string
	url  string // for the browser
	err  *bytes.Buffer
	out  bytes.Buffer
	read chan struct{} // closed when all it says was read
	most chan int64    // memory, when it has ended
}

// signInBrowser starts a sign command without a device at hand, and returns when
// it has said which address to open.
func (in *installation) signInBrowser(t testing.TB, args ...string) *waiting {
	t.Helper()
	args = append([]string{"sign"}, args...)
	c := exec.CommandContext(t.Context(), program(t, "countersign"), args...)
	c.Env, c.Dir = in.environ("COUNTERSIGN_DEVICE=", "COUNTERSIGN_PIN_FILE="), in.dir
	w := &waiting{t: t, cmd: c, args: args, err: &bytes.Buffer{}, read: make(chan struct{}), most: make(chan int64, 1)}
	c.Stdout = &w.out
	pipe, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { w.most <- watch(c.Process.Pid, w.read) }()
	found := make(chan string, 1)
	go func() {
		defer close(w.read)
		s := bufio.NewScanner(pipe)
		for s.Scan() {
			w.err.WriteString(s.Text() + "\n")
			if line := strings.TrimSpace(s.Text()); strings.HasPrefix(line, in.issuer+"/oauth2/authorize?") {
				found <- line
			}
		}
	}()
	select {
	case w.url = <-found:
	case <-w.read:
		t.Fatalf("%v", w.wait())
	}
	return w
}

// back brings the browser to where the approval ended, which is a door of the
// waiting command.
func (w *waiting) back(final string) *result {
	w.t.Helper()
	res, err := tryFetch(w.t.Context(), &http.Client{Timeout: 10 * time.Second}, http.MethodGet, final, "", "")
	if err != nil || res.status != http.StatusOK {
		w.t.Fatalf("the command does not take the browser back: %+v, %v", res, err)
	}
	return w.wait()
}

func (w *waiting) wait() *result {
	w.t.Helper()
	<-w.read
	_ = w.cmd.Wait() // how it ended stands in ProcessState
	s := w.cmd.ProcessState
	return &result{args: w.args, code: s.ExitCode(), out: w.out.String(), err: w.err.String(), used: used{s.UserTime() + s.SystemTime(), <-w.most}}
}

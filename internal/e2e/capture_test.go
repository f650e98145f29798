package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"hash/maphash"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// window is how many bytes of a document in a row count as a piece of it.
const window = 64

// What one B-LTA signature may send: all of it, and one request's body.
const (
	maxSent = 16 << 10
	maxBody = 4 << 10
)

// needles finds pieces of a document in what was captured: every offset of the
// traffic is indexed, as it went over the wire and as it reads when base64 and
// percent signs are undone.
type needles struct {
	seed  maphash.Seed
	index map[uint64][]byte // hash of a window → the window
}

func newNeedles(captured ...[]byte) *needles {
	n := &needles{seed: maphash.MakeSeed(), index: map[uint64][]byte{}}
	for _, b := range captured {
		n.add(b)
		plain := b
		if s, err := url.QueryUnescape(string(b)); err == nil {
			plain = []byte(s)
			n.add(plain)
		}
		for _, b := range [][]byte{b, plain} {
			for _, text := range base64Text.FindAll(b, -1) {
				n.addBase64(text)
			}
		}
	}
	return n
}

// base64Text is long enough to hold a window.
var base64Text = regexp.MustCompile(`[A-Za-z0-9+/_-]{88,}`)

// addBase64 reads the text from each place in a group of four, since nothing says
// where a value in it begins.
func (n *needles) addBase64(text []byte) {
	text = []byte(strings.NewReplacer("-", "+", "_", "/").Replace(string(text)))
	for from := range 4 {
		t := text[from:]
		t = t[:len(t)/4*4]
		if b, err := base64.StdEncoding.DecodeString(string(t)); err == nil {
			n.add(b)
		}
	}
}

func (n *needles) add(b []byte) {
	for i := 0; i+window <= len(b); i++ {
		n.index[maphash.Bytes(n.seed, b[i:i+window])] = b[i : i+window]
	}
}

// find reads a document and looks for each of its windows, at steps of step
// bytes. It returns how many it looked for and the offsets of those it found.
func (n *needles) find(t *testing.T, name string, step int) (looked int64, found []int64) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const chunk = 1 << 20
	buf := make([]byte, chunk+window)
	keep := 0
	for at := int64(0); ; {
		m, err := io.ReadFull(f, buf[keep:])
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		have := buf[:keep+m]
		i := 0
		for ; i+window <= len(have); i += step {
			looked++
			if w, ok := n.index[maphash.Bytes(n.seed, have[i:i+window])]; ok && bytes.Equal(w, have[i:i+window]) {
				found = append(found, at+int64(i))
			}
		}
		if err != nil {
			return looked, found
		}
		at += int64(i)
		keep = copy(buf, have[i:])
	}
}

// traffic is what a tape holds, counted.
type traffic struct {
	sent, came   int
	requests     int
	largest      int // body of a request
	largestRoute string
	raw          [][]byte
}

func (c *traffic) count(t *testing.T, conns []*connection) {
	t.Helper()
	for _, conn := range conns {
		sent, came := conn.bytes()
		c.sent, c.came = c.sent+len(sent), c.came+len(came)
		c.raw = append(c.raw, sent, came)
		r := bufio.NewReader(bytes.NewReader(sent))
		for {
			req, err := http.ReadRequest(r)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("not HTTP: %v in %q", err, sent)
			}
			body, err := io.ReadAll(req.Body)
			if err != nil {
				t.Fatal(err)
			}
			c.requests++
			if len(body) > c.largest {
				c.largest, c.largestRoute = len(body), req.URL.Path
			}
		}
	}
}

// recorded signs with a browser elsewhere, and returns what the command said and
// what the relying party and the trust service said to each other. The approval
// is another machine's and is not in it; what the gateway asks of the pki is.
func (in *installation) recorded(t *testing.T, file, out string) (*result, *traffic) {
	t.Helper()
	tapes := map[string]*tape{}
	for _, name := range []string{"gateway", "pki"} {
		tapes[name] = &tape{}
		in.fronts[name].record(tapes[name])
		defer in.fronts[name].record(nil)
	}
	w := in.signInBrowser(t, file, "-o", out)
	before := tapes["gateway"].all()
	approved := in.must(t, "authenticator", "approve", w.url)
	after := tapes["gateway"].all()
	r := w.back(strings.TrimSpace(approved.out))
	var c traffic
	signers := after[len(before):] // the device's connections
	c.count(t, slices.DeleteFunc(tapes["gateway"].all(), func(c *connection) bool { return slices.Contains(signers, c) }))
	gateway := c.sent
	c.count(t, tapes["pki"].all())
	t.Logf("%s: to the gateway %d bytes, to the pki %d, %d requests, the largest body %d (%s); back %d", file, gateway, c.sent-gateway, c.requests, c.largest, c.largestRoute, c.came)
	return r, &c
}

func TestNeedlesAreFound(t *testing.T) {
	doc := writePDF(t, t.TempDir()+"/doc.pdf", 3<<20, 1)
	b, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	piece := b[1<<20+17:][:2*window]
	for name, traffic := range map[string][]byte{
		"as it is":        append([]byte("POST / HTTP/1.1\r\n\r\nxyz"), piece...),
		"as base64":       []byte(`{"hash":"abc` + base64.StdEncoding.EncodeToString(piece) + `"}`),
		"as base64url":    []byte(`{"a` + base64.RawURLEncoding.EncodeToString(piece) + `"}`),
		"in a form":       []byte("a=1&b=" + url.QueryEscape(base64.StdEncoding.EncodeToString(piece))),
		"percent signs":   []byte("a=" + url.QueryEscape(string(piece))),
		"at the very end": b[len(b)-2*window:],
	} {
		for _, step := range []int{1, window} {
			if _, found := newNeedles(traffic).find(t, doc, step); len(found) == 0 {
				t.Errorf("%s, step %d: not found", name, step)
			}
		}
	}
	if looked, found := newNeedles([]byte(strings.Repeat("something else ", 99))).find(t, doc, 1); len(found) > 0 || looked != int64(len(b)-window+1) {
		t.Errorf("looked for %d of %d, found %v", looked, len(b)-window+1, found)
	}
}

func TestNoByteOfADocumentLeavesTheRelyingParty(t *testing.T) {
	t.Attr("feature", "B2")
	t.Attr("feature", "B4")
	in := install(t, options{fronts: true})
	sizes := []struct {
		name string
		size int64
		step int // of the windows that are looked for
	}{{"50 MB", 50 << 20, 1}, {"1 GB", 1 << 30, window}}
	if testing.Short() {
		t.Log("LEFT OUT: the 1 GB document (-short)")
		sizes = sizes[:1]
	}
	for _, s := range sizes {
		doc := writePDF(t, in.path("large.pdf"), s.size, uint64(s.size))
		out := in.path("large-signed.pdf")
		base := baseline(t, doc, out)
		r, c := in.recorded(t, doc, out)
		if r.code != 0 {
			t.Fatal(r)
		}
		in.verify(t, out)[0].passed(t, "B-LTA", 2)
		if c.sent == 0 || c.sent >= maxSent || c.largest >= maxBody {
			t.Errorf("%s: %d bytes were sent, at most %d may be; the largest body has %d bytes (%s), at most %d may", s.name, c.sent, maxSent, c.largest, c.largestRoute, maxBody)
		}
		looked, found := newNeedles(c.raw...).find(t, doc, s.step)
		if len(found) > 0 {
			t.Errorf("%s: pieces of the document are in the traffic: at %v", s.name, found[:min(len(found), 10)])
		}
		t.Logf("%s: %d bytes sent, %d came, largest body %d, %d windows looked for, %d found; %s", s.name, c.sent, c.came, c.largest, looked, len(found), r.used)
		r.used.bounded(t, s.name, base)
		for _, name := range []string{doc, out} {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	}
}

package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/signing"
)

// said is what the portal answered to the page, by operation, in the order of the
// answers.
type said map[string][]json.RawMessage

// answers reads the portal's tape.
func answers(t *testing.T, conns []*connection) said {
	t.Helper()
	out := said{}
	for _, conn := range conns {
		sent, came := conn.bytes()
		requests, responses := bufio.NewReader(bytes.NewReader(sent)), bufio.NewReader(bytes.NewReader(came))
		for {
			req, err := http.ReadRequest(requests)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(responses, req)
			if err != nil {
				break // the browser closed the connection
			}
			body, err := io.ReadAll(res.Body)
			if err != nil {
				break
			}
			if name, ok := strings.CutPrefix(req.URL.Path, "/direct/api/"); ok && !strings.Contains(name, "/") && res.StatusCode == http.StatusOK {
				out[name] = append(out[name], body)
			}
		}
	}
	return out
}

func (s said) read(t *testing.T, operation string, n int, into any) {
	t.Helper()
	if len(s[operation]) <= n {
		t.Fatalf("the portal answered %s %d times", operation, len(s[operation]))
	}
	if err := json.Unmarshal(s[operation][n], into); err != nil {
		t.Fatal(err)
	}
}

func TestNoByteOfADocumentLeavesBrowserOrCommandLine(t *testing.T) {
	t.Attr("feature", "B1")
	s := newDirectSite(t, options{fronts: true})
	b := s.tab()
	b.authenticator()
	s.passkey(b)
	doc := writePDF(t, s.path("Large.pdf"), 50<<20, 50)
	tapes := map[string]*tape{}
	for name, f := range s.fronts {
		tapes[name] = &tape{}
		f.record(tapes[name])
		defer f.record(nil)
	}
	b.goTo(s.portal + "/direct")
	s.shut(b)
	s.toApproval(b, doc)
	b.approves()
	b.click("#download")
	out := s.downloaded("Large-signed.pdf")
	s.verify(t, out)[0].passed(t, "B-LTA", 2)

	var raw [][]byte
	sent, largest, route := 0, 0, ""
	for name, tape := range tapes {
		var c traffic
		c.count(t, tape.all())
		raw = append(raw, c.raw...)
		sent += c.sent
		if c.largest > largest {
			largest, route = c.largest, name+" "+c.largestRoute
		}
	}
	if sent == 0 || sent > 256<<10 || largest > 32<<10 {
		t.Errorf("%d bytes were sent, the largest body has %d (%s)", sent, largest, route)
	}
	looked, found := newNeedles(raw...).find(t, doc, 1)
	if len(found) > 0 {
		t.Errorf("pieces of the document are in the traffic: at %v", found[:min(len(found), 10)])
	}
	t.Logf("%d bytes sent by browser and installation, largest body %d (%s), %d windows looked for, %d found", sent, largest, route, looked, len(found))
	sameBytes(t, doc, out, answers(t, tapes["portal"].all()))
	if s.othersAccept(out, "PAdES-BASELINE-LTA") {
		t.Attr("feature", "R10")
	}

	r, c := s.recorded(t, doc, s.path("by-command.pdf"))
	if r.code != 0 {
		t.Fatal(r)
	}
	if _, found := newNeedles(c.raw...).find(t, doc, 1); len(found) > 0 || c.sent == 0 {
		t.Errorf("by the command line, %d bytes were sent, with pieces of the document at %v", c.sent, found[:min(len(found), 10)])
	}
}

// othersAccept asks other people's validators, where ORACLES names them.
func (s *directSite) othersAccept(file, level string) bool {
	s.t.Helper()
	dir := os.Getenv("ORACLES")
	if dir == "" {
		s.t.Log("LEFT OUT: other people's validators, which ORACLES would name")
		return false
	}
	out, err := exec.CommandContext(s.t.Context(), filepath.Join(dir, "docs", "validate"), "--trust", s.path("ca.pem"), "--level", level, file).CombinedOutput()
	if err != nil {
		s.t.Errorf("other people's validators: %v\n%s", err, out)
		return false
	}
	s.t.Logf("other people's validators:\n%s", out)
	return true
}

// sameBytes assembles the document once more, as the relying party's process does,
// from what the browser had: the outcome must be what the browser made.
func sameBytes(t *testing.T, doc, out string, portal said) {
	t.Helper()
	f, err := os.Open(doc)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	signed, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	patch := signed[st.Size():]
	type credential struct {
		Name, Algorithm string
		Chain           [][]byte
	}
	var list struct{ Credentials []credential }
	portal.read(t, "credentials", 0, &list)
	var signatures struct{ Signatures [][]byte }
	portal.read(t, "sign", len(portal["sign"])-1, &signatures)
	index := slices.IndexFunc(list.Credentials, func(c credential) bool {
		return bytes.Contains(patch, []byte("/ByteRange")) && strings.Contains(strings.ToLower(string(patch)), hexOf(c.Chain[0]))
	})
	if index < 0 {
		t.Fatal("no certificate of the portal's credentials is in the document")
	}
	c := list.Credentials[index]
	alg := slices.IndexFunc(slices.Collect(allAlgorithms()), func(a signing.Algorithm) bool { return a.String() == c.Algorithm })
	p, err := pades.Prepare(f, st.Size(), pades.Options{
		Algorithm: signing.Algorithm(alg + 1), Time: claimed(t, patch), Signer: c.Chain[0], Chain: c.Chain[1:], Level: pades.LTA, Name: c.Name,
	})
	if err != nil {
		t.Fatal(err)
	}
	stamps := 0
	sources := pades.Sources{
		TimeStamp: func(context.Context, signing.Digest) ([]byte, error) {
			var a struct{ Token []byte }
			portal.read(t, "timestamp", stamps, &a)
			stamps++
			return a.Token, nil
		},
		Collect: func(context.Context, []*x509.Certificate, []*x509.Certificate) (pades.Evidence, error) {
			var e struct{ Certificates, CRLs, OCSPs [][]byte }
			portal.read(t, "evidence", 0, &e)
			return pades.Evidence{Certs: e.Certificates, CRLs: e.CRLs, OCSPs: e.OCSPs}, nil
		},
	}
	whole, err := p.Finish(t.Context(), f, signatures.Signatures[0], pades.LTA, sources, pades.AugmentOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(whole.Bytes, patch) {
		t.Errorf("the browser appended %d bytes, the relying party's process %d others", len(patch), len(whole.Bytes))
	}
	original, err := os.ReadFile(filepath.Clean(doc))
	if err != nil || !bytes.Equal(original, signed[:st.Size()]) {
		t.Errorf("the document itself was changed: %v", err)
	}
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var out strings.Builder
	for _, x := range b {
		out.WriteByte(digits[x>>4])
		out.WriteByte(digits[x&15])
	}
	return out.String()
}

func allAlgorithms() func(yield func(signing.Algorithm) bool) {
	return func(yield func(signing.Algorithm) bool) {
		for a := signing.ECDSAWithSHA256; a.Valid() && yield(a); a++ {
		}
	}
}

// claimed is the claimed time in a signature dictionary, with its offset.
func claimed(t *testing.T, patch []byte) time.Time {
	t.Helper()
	m := regexp.MustCompile(`/M ?\(D:(\d{14})(?:Z|([+-])(\d\d)'(\d\d)'?)`).FindSubmatch(patch)
	if m == nil {
		t.Fatal("the signature has no claimed time")
	}
	offset := 0
	if len(m[2]) > 0 {
		h, _ := strconv.Atoi(string(m[3])) // digits
		min, _ := strconv.Atoi(string(m[4]))
		offset = h*3600 + min*60
		if m[2][0] == '-' {
			offset = -offset
		}
	}
	at, err := time.ParseInLocation("20060102150405", string(m[1]), time.FixedZone("", offset))
	if err != nil {
		t.Fatal(err)
	}
	return at
}

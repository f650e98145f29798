package e2e_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/faultnet"
)

// always is a proxy that fails every connection in the same way.
func always(t testing.TB, target string, f faultnet.Fault) string {
	t.Helper()
	script := faultnet.NewScript()
	for range 1000 {
		script.Add(f)
	}
	p, err := faultnet.NewProxy(target, script)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p.Addr()
}

func (f *front) door() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.target
}

// nobody is an address where nobody listens.
func nobody(t testing.TB) string { return loopback(freePorts(t, 1)[0]) }

func TestServicesThatFailAreSaidSo(t *testing.T) {
	in := install(t, options{fronts: true})
	gateway, authority := in.fronts["gateway"], in.fronts["pki"]
	for _, c := range []struct {
		name string
		via  *front
		fail func(t *testing.T, door string) string // where the way leads
		says string
	}{
		{"shut", gateway, func(t *testing.T, _ string) string { return nobody(t) }, "broke off.*try again later|cannot be reached: check its address"},
		{"answering garbage", gateway, func(t *testing.T, door string) string { return always(t, door, faultnet.Fault{Kind: faultnet.Garbage}) }, "did not answer in HTTP.*check its address|cannot be reached: check its address"},
		{"breaking off its answers", gateway, func(t *testing.T, door string) string {
			return always(t, door, faultnet.Fault{Kind: faultnet.Truncate, Bytes: 60})
		}, "broke off.*try again later|cannot be reached: check its address"},
		{"hanging up", gateway, func(t *testing.T, door string) string {
			return always(t, door, faultnet.Fault{Kind: faultnet.DropBefore})
		}, "broke off.*try again later|cannot be reached: check its address"},
		{"answering with pages of somebody else", gateway, func(t *testing.T, _ string) string {
			return serve(t, func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "<html>Welcome to the hotel's network</html>")
			})
		}, "without JSON.*check its address"},
		{"out of order", gateway, func(t *testing.T, _ string) string {
			return serve(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "Bad Gateway", http.StatusBadGateway) })
		}, "502.*try again later"},
		{"certification authority down", authority, func(t *testing.T, _ string) string { return nobody(t) }, "try again later"},
		{"certification authority answering garbage", authority, func(t *testing.T, door string) string {
			return always(t, door, faultnet.Fault{Kind: faultnet.Garbage})
		}, "try again later"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.via.detour(t, c.fail(t, c.via.door()))
			in.refuses(t, 4, c.says)
		})
	}
	t.Run("down", func(t *testing.T) {
		in.refusesWith(t, []string{"COUNTERSIGN_CSC=http://" + nobody(t) + "/csc/v2"}, 4, "cannot be reached: check its address and whether it is up")
	})
	t.Run("slow", func(t *testing.T) {
		gateway.detour(t, always(t, gateway.door(), faultnet.Fault{Kind: faultnet.Delay, For: 700 * time.Millisecond}))
		dir, doc := in.desk(t)
		in.must(t, "sign", doc, "-o", filepath.Join(dir, "signed.pdf"))
	})
	t.Run("the wrong secret", func(t *testing.T) {
		in.refusesWith(t, []string{"COUNTERSIGN_CLIENT_SECRET=wrong"}, 4, "did not authenticate as registered")
	})
	t.Run("an unknown credential", func(t *testing.T) { in.refuses(t, 4, "credentialID|credential", "--credential", "none") })
	// What went wrong is over, and nothing of it is left.
	dir, doc := in.desk(t)
	in.must(t, "sign", doc, "-o", filepath.Join(dir, "signed.pdf"))
}

// TestAServiceThatNeverAnswersIsGivenUp takes as long as the client is patient.
func TestAServiceThatNeverAnswersIsGivenUp(t *testing.T) {
	t.Parallel()
	in := install(t, options{fronts: true})
	gateway := in.fronts["gateway"]
	gateway.detour(t, always(t, gateway.door(), faultnet.Fault{Kind: faultnet.Hang}))
	in.refuses(t, 4, "did not answer within .*try again later")
}

func TestAServiceWithTheWrongCertificateIsNotTrusted(t *testing.T) {
	in := install(t, options{fronts: true, https: true})
	dir, doc := in.desk(t)
	in.must(t, "sign", doc, "-o", filepath.Join(dir, "signed.pdf"))
	gateway := in.fronts["gateway"]
	gateway.detour(t, always(t, gateway.door(), faultnet.Fault{Kind: faultnet.WrongCert}))
	in.refuses(t, 4, "certificate that is not trusted; configure the CA")
}

func serve(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// lie stands before the gateway and changes its answers to one method.
func (in *installation) lie(t testing.TB, path string, change func(body []byte) []byte) {
	t.Helper()
	gateway := in.fronts["gateway"]
	to := &url.URL{Scheme: "http", Host: gateway.door()}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host
		},
		ModifyResponse: func(res *http.Response) error {
			if res.Request.URL.Path != path || res.StatusCode != http.StatusOK {
				return nil
			}
			b, err := io.ReadAll(res.Body)
			if err != nil {
				return err
			}
			b = change(b)
			res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
			res.Header.Set("Content-Length", strconv.Itoa(len(b)))
			return nil
		},
	}
	gateway.detour(t, serve(t, proxy.ServeHTTP))
}

func TestSignaturesThatAreWrongLeaveNoPDF(t *testing.T) {
	t.Attr("feature", "B6")
	in := install(t, options{fronts: true})
	p := in.party(t)
	// A real signature of the signer's key over another hash, which she approved.
	other, err := p.sign(t.Context(), hash())
	if err != nil {
		t.Fatal(err)
	}
	stranger := newECKey(t)
	change := func(do func(signature []byte) []byte) func([]byte) []byte {
		return func(body []byte) []byte {
			var answer csc.SignHashResponse
			decode(t, body, &answer)
			for i, s := range answer.Signatures {
				b, err := base64.StdEncoding.DecodeString(s)
				if err != nil {
					t.Error(err)
				}
				answer.Signatures[i] = base64.StdEncoding.EncodeToString(do(b))
			}
			b, err := json.Marshal(answer)
			if err != nil {
				t.Error(err)
			}
			return b
		}
	}
	for _, c := range []struct {
		name string
		do   func([]byte) []byte
		says string
	}{
		{"one bit is wrong", func(s []byte) []byte { s[len(s)-1] ^= 1; return s }, "does not verify.*nothing was written"},
		{"the signer's signature over another hash", func([]byte) []byte { return other[0] }, "does not verify.*nothing was written"},
		{"a stranger's signature", func([]byte) []byte { return sign(t, stranger, hash()) }, "does not verify.*nothing was written"},
		{"no signature", func([]byte) []byte { return nil }, "does not verify.*nothing was written"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in.lie(t, "/csc/v2/signatures/signHash", change(c.do))
			in.refuses(t, 4, c.says)
		})
	}
	t.Run("one too few", func(t *testing.T) {
		in.lie(t, "/csc/v2/signatures/signHash", func([]byte) []byte { return []byte(`{"signatures":[]}`) })
		in.refuses(t, 4, "0 signatures for 1 hash")
	})
	t.Run("a time-stamp over something else", func(t *testing.T) {
		in.lie(t, "/csc/v2/signatures/timestamp", func(body []byte) []byte {
			return bytes.Replace(body, []byte(`"timestamp":"MI`), []byte(`"timestamp":"MJ`), 1)
		})
		in.refuses(t, 4, "time-stamp")
	})
	t.Run("another certificate", func(t *testing.T) {
		bob := in.enrol(t, "bob", "Bob", "Other")
		list := in.partyOf(t, clientID, in.env["COUNTERSIGN_CLIENT_SECRET"], bob)
		in.lie(t, "/csc/v2/credentials/info", func(body []byte) []byte {
			return bytes.Replace(body, []byte(base64.StdEncoding.EncodeToString(p.cert.Raw)), []byte(base64.StdEncoding.EncodeToString(list.cert.Raw)), 1)
		})
		in.refuses(t, 4, "certificate|does not verify|refused")
	})
	dir, doc := in.desk(t)
	out := filepath.Join(dir, "signed.pdf")
	in.must(t, "sign", doc, "-o", out)
	in.verify(t, out)[0].passed(t, "B-LTA", 2)
}

func TestRevokedCertificateSignsNothing(t *testing.T) {
	in := install(t, options{})
	cert := in.party(t).cert
	dir, doc := in.desk(t)
	in.must(t, "sign", doc, "-o", filepath.Join(dir, "before.pdf"))
	list, err := in.sockets().PKIAdmin().Certificates(t.Context(), "", 500)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		if bytes.Equal(c.DER, cert.Raw) {
			if _, err := in.sockets().PKIAdmin().Revoke(t.Context(), c.Serial, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	in.refuses(t, 4, "revoked")
	if v := in.verify(t, filepath.Join(dir, "before.pdf")); len(v) != 1 {
		t.Error("what was signed before is no longer valid")
	}
}

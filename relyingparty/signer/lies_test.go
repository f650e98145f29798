package signer_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/relyingparty/signer"
	"github.com/countersign/countersign/signing"
)

// liar is a service that answers signHash in its own way.
type liar struct {
	csc.Service
	answer func(hashes [][]byte) [][]byte
}

func (l liar) SignHash(_ context.Context, _ csc.Caller, q *csc.SignHashRequest) (*csc.SignHashResponse, error) {
	var hashes [][]byte
	for _, h := range q.Hashes {
		b, err := base64.StdEncoding.DecodeString(h)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, b)
	}
	out := &csc.SignHashResponse{Signatures: []string{}}
	for _, s := range l.answer(hashes) {
		out.Signatures = append(out.Signatures, base64.StdEncoding.EncodeToString(s))
	}
	return out, nil
}

func mustSign(t testing.TB, key crypto.Signer, hash []byte) []byte {
	sig, err := key.Sign(rand.Reader, hash, crypto.SHA256)
	if err != nil {
		t.Error(err)
	}
	return sig
}

func TestCorruptedSignatureLeavesNoPDF(t *testing.T) {
	t.Attr("feature", "B6")
	for _, at := range []int{0, 5, 20, 60, -1} {
		b := newBench(t, signing.P256)
		b.service.Rewrite = func(method string, body []byte) []byte {
			if method != csc.MethodSignHash {
				return body
			}
			var a csc.SignHashResponse
			if err := json.Unmarshal(body, &a); err != nil {
				t.Error(err)
			}
			sig, err := base64.StdEncoding.DecodeString(a.Signatures[0])
			if err != nil {
				t.Error(err)
			}
			sig[(at+len(sig))%len(sig)] ^= 1
			a.Signatures[0] = base64.StdEncoding.EncodeToString(sig)
			body, err = json.Marshal(a)
			if err != nil {
				t.Error(err)
			}
			return body
		}
		_, err := b.sign(signer.Job{Files: []signer.File{b.file("doc.pdf", pdf("hello", 0))}})
		b.refused(err, signer.CodeSignatureWrong, 4)
		if !strings.Contains(err.Error(), "does not verify") || b.service.SAM.Made() != 1 {
			t.Errorf("error %v after %d signatures", err, b.service.SAM.Made())
		}
	}
}

func TestWrongSignaturesLeaveNoPDF(t *testing.T) {
	other := adestest.NewKey(t, signing.P256)
	lies := map[string]func(b *bench, hashes [][]byte) [][]byte{
		"another hash signed with the right key": func(b *bench, hashes [][]byte) [][]byte {
			var out [][]byte
			for range hashes {
				h := sha256.Sum256([]byte("I owe you a million"))
				out = append(out, mustSign(b, b.service.PKI.Signer.Key, h[:]))
			}
			return out
		},
		"right hash signed with another key": func(b *bench, hashes [][]byte) [][]byte {
			var out [][]byte
			for _, h := range hashes {
				out = append(out, mustSign(b, other, h))
			}
			return out
		},
		"signatures in another order": func(b *bench, hashes [][]byte) [][]byte {
			var out [][]byte
			for _, h := range slices.Backward(hashes) {
				out = append(out, mustSign(b, b.service.PKI.Signer.Key, h))
			}
			return out
		},
		"the same signature twice": func(b *bench, hashes [][]byte) [][]byte {
			s := mustSign(b, b.service.PKI.Signer.Key, hashes[0])
			return [][]byte{s, s}
		},
		"empty signatures": func(*bench, [][]byte) [][]byte { return [][]byte{{}, {}} },
	}
	for name, lie := range lies {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, signing.P256)
			b.service.Wrap = func(s csc.Service) csc.Service {
				return liar{s, func(hashes [][]byte) [][]byte { return lie(b, hashes) }}
			}
			_, err := b.sign(signer.Job{Files: []signer.File{b.file("a.pdf", pdf("a", 0)), b.file("b.pdf", pdf("b", 0))}})
			b.refused(err, signer.CodeSignatureWrong, 4)
		})
	}
}

func TestWrongNumberOfSignaturesLeavesNoPDF(t *testing.T) {
	for _, n := range []int{0, 1, 3} {
		b := newBench(t, signing.P256)
		b.service.Wrap = func(s csc.Service) csc.Service {
			return liar{s, func(hashes [][]byte) [][]byte {
				var out [][]byte
				for range n {
					out = append(out, mustSign(b, b.service.PKI.Signer.Key, hashes[0]))
				}
				return out
			}}
		}
		_, err := b.sign(signer.Job{Files: []signer.File{b.file("a.pdf", pdf("a", 0)), b.file("b.pdf", pdf("b", 0))}})
		b.refused(err, cscclient.CodeGarbage, 4)
	}
}

func TestSignatureAsRAndSIsTaken(t *testing.T) {
	b := newBench(t, signing.P256)
	key, ok := b.service.PKI.Signer.Key.(*ecdsa.PrivateKey)
	if !ok {
		t.Fatal("not an EC key")
	}
	b.service.Wrap = func(s csc.Service) csc.Service {
		return liar{s, func(hashes [][]byte) [][]byte {
			r, s, err := ecdsa.Sign(rand.Reader, key, hashes[0])
			if err != nil {
				t.Error(err)
			}
			return [][]byte{append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)}
		}}
	}
	if _, err := b.sign(signer.Job{Files: []signer.File{b.file("doc.pdf", pdf("hello", 0))}, Level: pades.B}); err != nil {
		t.Error(err)
	}
}

func TestAnotherCertificateLeavesNoPDF(t *testing.T) {
	b := newBench(t, signing.P256)
	other := b.service.PKI.NewSigner("Mallory", adestest.NewKey(t, signing.P256))
	b.service.Rewrite = func(method string, body []byte) []byte {
		if method != csc.MethodCredentialsList {
			return body
		}
		mine := base64.StdEncoding.EncodeToString(b.service.PKI.Signer.Cert.Raw)
		return []byte(strings.Replace(string(body), mine, base64.StdEncoding.EncodeToString(other.Cert.Raw), 1))
	}
	_, err := b.sign(signer.Job{Files: []signer.File{b.file("doc.pdf", pdf("hello", 0))}})
	b.refused(err, signer.CodeSignatureWrong, 4)
}

// endpoints are all that a signature at B-LTA needs.
var endpoints = []string{
	"/.well-known/oauth-authorization-server", "/csc/v2/info", "/csc/v2/credentials/list", "/oauth2/pushed_authorize", "/oauth2/token",
	"/csc/v2/signatures/signHash", "/csc/v2/signatures/timestamp",
}

func TestServiceThatAnswersNonsense(t *testing.T) {
	answers := map[string]struct {
		code   string
		answer http.HandlerFunc
	}{
		"HTML": {cscclient.CodeGarbage, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<h1>It works!</h1>")
		}},
		"HTML error": {cscclient.CodeGarbage, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, "<h1>Bad Request</h1>")
		}},
		"broken JSON": {cscclient.CodeGarbage, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if r.URL.Path == "/oauth2/pushed_authorize" {
				w.WriteHeader(http.StatusCreated)
			}
			_, _ = io.WriteString(w, `{"issuer": "`)
		}},
		"empty object": {cscclient.CodeGarbage, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if r.URL.Path == "/oauth2/pushed_authorize" {
				w.WriteHeader(http.StatusCreated)
			}
			_, _ = io.WriteString(w, `{}`)
		}},
		"wrong types": {cscclient.CodeGarbage, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"issuer":1,"methods":2,"credentialIDs":3,"credentialInfos":4,"request_uri":5,"access_token":6,"signatures":7,"timestamp":8}`)
		}},
		"huge": {cscclient.CodeGarbage, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `"`)
			for range 1 << 10 {
				if _, err := io.WriteString(w, strings.Repeat("x", 8<<10)); err != nil {
					return
				}
			}
		}},
		"redirect": {cscclient.CodeGarbage, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:9/elsewhere", http.StatusTemporaryRedirect)
		}},
		"truncated": {cscclient.CodeGarbage, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"signatures":["`)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}},
		"hangs up": {cscclient.CodeGarbage, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		"refusal": {cscclient.CodeRefused, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":"invalid_request","error_description":"not \u001b[31mtoday\u202e"}`)
		}},
		"server error": {cscclient.CodeRefused, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"error":"temporarily_unavailable"}`)
		}},
	}
	for _, path := range endpoints {
		for name, a := range answers {
			t.Run(path+"/"+name, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, signing.P256)
				b.service.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
					if r.URL.Path == path {
						a.answer(w, r)
					}
					return r.URL.Path == path
				}
				_, err := b.sign(signer.Job{Files: []signer.File{b.file("doc.pdf", pdf("hello", 0))}})
				want := a.code
				if path == "/csc/v2/credentials/list" && name == "empty object" {
					want = signer.CodeNoCredential
				}
				b.refused(err, want, 4)
				if strings.ContainsAny(err.Error(), "\x1b\u202e") {
					t.Errorf("control characters of the service reach the terminal: %q", err)
				}
			})
		}
	}
}

func TestSignHashIsNeverSentTwice(t *testing.T) {
	for _, status := range []int{http.StatusInternalServerError, http.StatusServiceUnavailable, http.StatusTooManyRequests, 0} {
		b := newBench(t, signing.P256)
		var n atomic.Int32
		b.service.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/csc/v2/"+csc.MethodSignHash {
				return false
			}
			n.Add(1)
			if status == 0 {
				panic(http.ErrAbortHandler)
			}
			w.WriteHeader(status)
			return true
		}
		_, err := b.sign(signer.Job{Files: []signer.File{b.file("doc.pdf", pdf("hello", 0))}})
		if err == nil || signer.ExitCode(err) != 4 || n.Load() != 1 {
			t.Errorf("status %d: signHash was sent %d times: %v", status, n.Load(), err)
		}
	}
}

func TestSlowServiceIsGivenUp(t *testing.T) {
	for _, path := range []string{"/csc/v2/info", "/csc/v2/signatures/signHash"} {
		b := newBench(t, signing.P256)
		b.config.Service = b.client(300 * time.Millisecond)
		b.service.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != path {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, "{")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return true
		}
		_, err := b.sign(signer.Job{Files: []signer.File{b.file("doc.pdf", pdf("hello", 0))}})
		b.refused(err, cscclient.CodeSlow, 4)
	}
}

func TestServiceThatIsNotThere(t *testing.T) {
	b := newBench(t, signing.P256)
	b.service.Base, b.service.Issuer = "http://nobody.localhost:9/csc/v2", "http://nobody.localhost:9"
	b.config.Service = b.client(0)
	_, err := b.sign(signer.Job{Files: []signer.File{b.file("doc.pdf", pdf("hello", 0))}})
	b.refused(err, cscclient.CodeUnreachable, 4)
}

func TestSignerWhoRefuses(t *testing.T) {
	b := newBench(t, signing.P256)
	b.service.Refuse = true
	_, err := b.sign(signer.Job{Files: []signer.File{b.file("doc.pdf", pdf("hello", 0))}})
	b.refused(err, cscclient.CodeApprovalRefused, 1)
	if b.service.SAM.Made() != 0 {
		t.Error("something was signed")
	}
}

func TestWayBackThatWasTamperedWith(t *testing.T) {
	tamper := map[string]func(string) string{
		"other state":      func(u string) string { return strings.Replace(u, "state=", "state=x", 1) },
		"other issuer":     func(u string) string { return strings.Replace(u, "iss=http", "iss=https", 1) },
		"no issuer":        func(u string) string { return strings.Replace(u, "iss=", "was=", 1) },
		"two codes":        func(u string) string { return u + "&code=second" },
		"other address":    func(u string) string { return strings.Replace(u, "rp.example", "evil.example", 1) },
		"fragment":         func(u string) string { return u + "#x" },
		"no code":          func(u string) string { return strings.Replace(u, "code=", "kode=", 1) },
		"not even an URL":  func(string) string { return "http://[::1" },
		"nothing whatever": func(string) string { return "" },
	}
	for name, f := range tamper {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, signing.P256)
			_, err := b.sign(signer.Job{
				Files: []signer.File{b.file("doc.pdf", pdf("hello", 0))},
				Approve: func(ctx context.Context, u string) (string, error) {
					final, err := b.service.Approve(ctx, u)
					return f(final), err
				},
			})
			b.refused(err, cscclient.CodeGarbage, 4)
			if b.service.SAM.Made() != 0 {
				t.Error("something was signed")
			}
		})
	}
}

func TestApproveThatFails(t *testing.T) {
	b := newBench(t, signing.P256)
	boom := errors.New("boom")
	_, err := b.sign(signer.Job{
		Files:   []signer.File{b.file("doc.pdf", pdf("hello", 0))},
		Approve: func(context.Context, string) (string, error) { return "", boom },
	})
	if !errors.Is(err, boom) || len(b.outputs()) > 0 {
		t.Errorf("error %v, outputs %q", err, b.outputs())
	}
}

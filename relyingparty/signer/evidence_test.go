package signer_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/relyingparty/signer"
	"github.com/countersign/countersign/signing"
)

func TestTimestampThatIsNotTheOneAsked(t *testing.T) {
	// answer makes the token for a request, as the liar does.
	lies := map[string]func(b *bench, q *cms.TimestampRequest) []byte{
		"other digest": func(b *bench, q *cms.TimestampRequest) []byte {
			q.Imprint = make([]byte, 32)
			return b.service.PKI.TokenFor(*q, time.Now())
		},
		"old nonce": func(b *bench, q *cms.TimestampRequest) []byte {
			q.Nonce.SetInt64(42)
			return b.service.PKI.TokenFor(*q, time.Now())
		},
		"no nonce": func(b *bench, q *cms.TimestampRequest) []byte {
			q.Nonce = nil
			return b.service.PKI.TokenFor(*q, time.Now())
		},
		"not a TSA": func(b *bench, q *cms.TimestampRequest) []byte {
			return b.service.PKI.TokenBy(b.service.PKI.Signer, *q, time.Now())
		},
		"garbage": func(*bench, *cms.TimestampRequest) []byte { return []byte("token") },
	}
	for name, lie := range lies {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, signing.P256)
			b.config.TSA = b.service.URL + "/tsa"
			b.service.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/tsa" {
					return false
				}
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				q, _, err := cms.ParseTimestampRequest(body)
				if err != nil {
					t.Error(err)
				}
				der, err := cms.EncodeTimestampResponse(lie(b, &q))
				if err != nil {
					t.Error(err)
				}
				_, _ = w.Write(der)
				return true
			}
			_, err := b.sign(signer.Job{Files: []signer.File{b.file("doc.pdf", pdf("hello", 0))}})
			b.refused(err, signer.CodeTimestampWrong, 4)
		})
	}
}

func TestTimestampsOfAStrangerAreNotDelivered(t *testing.T) {
	b := newBench(t, signing.P256)
	stranger := adestest.New(t, adestest.Config{BaseURL: b.service.URL})
	b.config.TSA = b.service.URL + "/tsa"
	b.service.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/tsa" {
			return false
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		q, _, err := cms.ParseTimestampRequest(body)
		if err != nil {
			t.Error(err)
		}
		der, err := cms.EncodeTimestampResponse(stranger.TokenFor(q, time.Now()))
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(der)
		return true
	}
	_, err := b.sign(signer.Job{Files: []signer.File{b.file("doc.pdf", pdf("hello", 0))}, Level: pades.T})
	b.refused(err, signer.CodeNotValid, 4)
}

func TestClockThatIsOff(t *testing.T) {
	b := newBench(t, signing.P256)
	b.config.TSA = b.service.URL + "/tsa"
	b.service.Skew = -20 * time.Minute
	_, err := b.sign(signer.Job{Files: []signer.File{b.file("doc.pdf", pdf("hello", 0))}})
	b.refused(err, signer.CodeClock, 5)

	b.config.Now = func() time.Time { return time.Now().Add(-48 * time.Hour) }
	_, err = b.sign(signer.Job{Files: []signer.File{b.file("doc.pdf", pdf("hello", 0))}})
	b.refused(err, signer.CodeClock, 5)
	if !strings.Contains(err.Error(), "set the clock") {
		t.Errorf("error %v", err)
	}
}

func TestRevokedCertificateIsNotUsed(t *testing.T) {
	b := newBench(t, signing.P256)
	b.service.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/ocsp" {
			return false
		}
		_, _ = w.Write(b.service.PKI.OCSPResponse(adestest.Answer{Cert: b.service.PKI.Signer.Cert, RevokedAt: time.Now().Add(-time.Hour)}))
		return true
	}
	_, err := b.sign(signer.Job{Files: []signer.File{b.file("doc.pdf", pdf("hello", 0))}})
	if err == nil || signer.ExitCode(err) != 4 || b.service.SAM.Made() != 0 {
		t.Errorf("%d signatures with a revoked certificate: %v", b.service.SAM.Made(), err)
	}
}

func TestEvidenceThatCannotBeHad(t *testing.T) {
	for _, path := range []string{"/ca.crl", "/root.crl"} {
		for name, answer := range map[string]func(http.ResponseWriter){
			"gone":    func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) },
			"garbage": func(w http.ResponseWriter) { _, _ = io.WriteString(w, "-----BEGIN") },
			"endless": func(w http.ResponseWriter) {
				for range 20 << 10 {
					if _, err := io.WriteString(w, strings.Repeat("x", 1<<10)); err != nil {
						return
					}
				}
			},
		} {
			t.Run(path+" "+name, func(t *testing.T) {
				b := newBench(t, signing.P256)
				b.service.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
					if r.URL.Path == path {
						answer(w)
					}
					return r.URL.Path == path
				}
				_, err := b.sign(signer.Job{Files: []signer.File{b.file("doc.pdf", pdf("hello", 0))}})
				b.refused(err, signer.CodeEvidence, 4)
			})
		}
	}
}

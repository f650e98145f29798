package pki_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/crypto/ocsp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/pki"
)

func request(t testing.TB, cert, issuer *x509.Certificate, h crypto.Hash) []byte {
	t.Helper()
	req, err := ocsp.CreateRequest(cert, issuer, &ocsp.RequestOptions{Hash: h})
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// withNonce adds a nonce extension to an OCSP request.
func withNonce(t testing.TB, req, nonce []byte) []byte {
	t.Helper()
	var outer, tbs cryptobyte.String
	s := cryptobyte.String(req)
	if !s.ReadASN1(&outer, cbasn1.SEQUENCE) || !outer.ReadASN1(&tbs, cbasn1.SEQUENCE) {
		t.Fatal("not a request")
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(tbs)
			b.AddASN1(cbasn1.Tag(2).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 2})
						b.AddASN1(cbasn1.OCTET_STRING, func(b *cryptobyte.Builder) { b.AddASN1OctetString(nonce) })
					})
				})
			})
		})
	})
	return b.BytesOrPanic()
}

func (f *fixture) post(body []byte) []byte {
	f.t.Helper()
	return f.do(http.MethodPost, "/ocsp", "application/ocsp-request", reader(body), http.StatusOK)
}

func TestOCSPAnswersByPOSTAndGETWithEitherHash(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		s := f.issue()
		for _, h := range []crypto.Hash{crypto.SHA1, crypto.SHA256} {
			req := request(t, s.cert, f.Issuer(), h)
			std := base64.StdEncoding.EncodeToString(req)
			for name, answer := range map[string][]byte{
				"POST":            f.post(req),
				"GET, escaped":    f.get("/ocsp/" + url.QueryEscape(std)),
				"GET, path style": f.get("/ocsp/" + url.PathEscape(std)),
				"GET, as it is":   f.get("/ocsp/" + std),
			} {
				r, err := ocsp.ParseResponseForCert(answer, s.cert, f.Issuer())
				if err != nil {
					t.Errorf("%v by %s: %v", h, name, err)
					continue
				}
				if r.Status != ocsp.Good || r.SerialNumber.Cmp(s.cert.SerialNumber) != 0 || r.Certificate == nil || !r.Certificate.Equal(f.OCSP()) {
					t.Errorf("%v by %s: status %d for %v", h, name, r.Status, r.SerialNumber)
				}
				if r.ThisUpdate.Before(s.cert.NotBefore) || r.ThisUpdate.After(f.clock.now()) || f.clock.now().Sub(r.ThisUpdate) > time.Second {
					t.Errorf("thisUpdate %v, now %v", r.ThisUpdate, f.clock.now())
				}
				if left := r.NextUpdate.Sub(r.ThisUpdate); left != 7*24*time.Hour {
					t.Errorf("nextUpdate after %v", left)
				}
			}
		}
	})
}

// Base64 of DER has "//" in it often enough; a mux that cleans paths would redirect.
func TestSlashesInTheGETPathDoNotMatter(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	s := f.issue()
	for range 200_000 {
		serial := new(big.Int).Add(s.cert.SerialNumber, big.NewInt(1))
		s.cert.SerialNumber = serial
		std := base64.StdEncoding.EncodeToString(request(t, s.cert, f.Issuer(), crypto.SHA1))
		if !strings.Contains(std, "//") {
			continue
		}
		r, err := ocsp.ParseResponse(f.get("/ocsp/"+std), f.Issuer())
		if err != nil || r.Status != ocsp.Unknown {
			t.Errorf("%s: %v", std, err)
		}
		return
	}
	t.Fatal("no request with // found")
}

func TestOCSPNextUpdateEndsWithTheCertificate(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t), func(c *pki.Config) { c.Validity = time.Hour })
	s := f.issue()
	if r := f.ocsp(s.cert, f.Issuer()); !r.NextUpdate.Equal(s.cert.NotAfter) {
		t.Errorf("nextUpdate %v, the certificate ends %v", r.NextUpdate, s.cert.NotAfter)
	}
	f.clock.add(2 * time.Hour)
	if r := f.ocsp(s.cert, f.Issuer()); !r.NextUpdate.IsZero() || r.Status != ocsp.Good {
		t.Errorf("after its end: status %d, nextUpdate %v, want good and none", r.Status, r.NextUpdate)
	}
}

func TestOCSPEchoesTheNonce(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	s := f.issue()
	req := request(t, s.cert, f.Issuer(), crypto.SHA1)
	one := f.post(withNonce(t, req, []byte("nonce number one")))
	two := f.post(withNonce(t, req, []byte("nonce number two")))
	for nonce, answer := range map[string][]byte{"nonce number one": one, "nonce number two": two} {
		if _, err := ocsp.ParseResponseForCert(answer, s.cert, f.Issuer()); err != nil {
			t.Error(err)
		}
		if !bytes.Contains(answer, []byte(nonce)) {
			t.Errorf("the answer does not contain %q", nonce)
		}
	}
	if bytes.Contains(f.post(req), []byte("nonce number")) {
		t.Error("a nonce in the answer to a request without one")
	}
	if _, err := ocsp.ParseResponse(f.post(withNonce(t, req, make([]byte, 200))), nil); err == nil {
		t.Error("a nonce of 200 bytes is echoed")
	}
}

func TestOCSPKnowsWhatItDoesNotKnow(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		s := f.issue()
		stranger := *s.cert
		stranger.SerialNumber = big.NewInt(4711)
		if r := f.ocsp(&stranger, f.Issuer()); r.Status != ocsp.Unknown {
			t.Errorf("status of a number that was never issued: %d, want unknown", r.Status)
		}
		for name, c := range map[string]struct {
			body []byte
			want ocsp.ResponseStatus
		}{
			"another issuer":       {request(t, s.cert, f.Root(), crypto.SHA1), ocsp.Unauthorized},
			"another hash":         {request(t, s.cert, f.Issuer(), crypto.SHA512), ocsp.Unauthorized},
			"nothing":              {nil, ocsp.Malformed},
			"no DER":               {[]byte("GET / HTTP/1.1"), ocsp.Malformed},
			"a byte more":          {append(request(t, s.cert, f.Issuer(), crypto.SHA1), 0), ocsp.Malformed},
			"a byte less":          {request(t, s.cert, f.Issuer(), crypto.SHA1)[:60], ocsp.Malformed},
			"no certificates":      {[]byte{0x30, 4, 0x30, 2, 0x30, 0}, ocsp.Malformed},
			"too many":             {many(t, request(t, s.cert, f.Issuer(), crypto.SHA1), 17), ocsp.Malformed},
			"an unknown extension": {critical(t, request(t, s.cert, f.Issuer(), crypto.SHA1)), ocsp.Malformed},
		} {
			_, err := ocsp.ParseResponse(f.post(c.body), nil)
			if want := (ocsp.ResponseError{Status: c.want}); err != want { //nolint:errorlint // it is returned as it is
				t.Errorf("%s: %v, want %v", name, err, want)
			}
		}
		if _, err := ocsp.ParseResponse(f.get("/ocsp/!!!"), nil); err == nil {
			t.Error("a path that is not base64 gets an answer")
		}
		f.do(http.MethodPost, "/ocsp", "application/ocsp-request", reader(make([]byte, 5000)), http.StatusRequestEntityTooLarge)
		f.do(http.MethodDelete, "/ocsp", "", nil, http.StatusMethodNotAllowed)
		f.do(http.MethodGet, "/ocsp", "", nil, http.StatusMethodNotAllowed)
	})
}

// many repeats the only certificate of a request.
func many(t *testing.T, req []byte, n int) []byte {
	t.Helper()
	var outer, tbs, list cryptobyte.String
	s := cryptobyte.String(req)
	if !s.ReadASN1(&outer, cbasn1.SEQUENCE) || !outer.ReadASN1(&tbs, cbasn1.SEQUENCE) || !tbs.ReadASN1(&list, cbasn1.SEQUENCE) {
		t.Fatal("not a request")
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(bytes.Repeat(list, n)) })
		})
	})
	return b.BytesOrPanic()
}

// critical makes the nonce extension a critical one of another kind.
func critical(t *testing.T, req []byte) []byte {
	t.Helper()
	var outer, tbs cryptobyte.String
	s := cryptobyte.String(req)
	if !s.ReadASN1(&outer, cbasn1.SEQUENCE) || !outer.ReadASN1(&tbs, cbasn1.SEQUENCE) {
		t.Fatal("not a request")
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(tbs)
			b.AddASN1(cbasn1.Tag(2).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 3, 4})
						b.AddASN1Boolean(true)
						b.AddASN1OctetString([]byte{5, 0})
					})
				})
			})
		})
	})
	return b.BytesOrPanic()
}

func TestOneRequestMayAskForSeveral(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	s := f.issue()
	answer := f.post(many(t, request(t, s.cert, f.Issuer(), crypto.SHA1), 3))
	serial, err := asn1.Marshal(s.cert.SerialNumber)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(answer, serial); n != 3 {
		t.Errorf("the serial number occurs %d times in the answer, want 3", n)
	}
}

func TestAnswersAreReusedUntilTheStatusChanges(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	s := f.issue()
	req := request(t, s.cert, f.Issuer(), crypto.SHA1)
	first := f.post(req)
	f.clock.add(4 * time.Minute)
	if !bytes.Equal(f.post(req), first) {
		t.Error("the answer was signed anew after four minutes")
	}
	f.clock.add(2 * time.Minute)
	if bytes.Equal(f.post(req), first) {
		t.Error("the answer is the old one after six minutes")
	}
	f.revoke(s.serial, "superseded")
	if r := f.ocsp(s.cert, f.Issuer()); r.Status != ocsp.Revoked {
		t.Errorf("status right after revocation: %d", r.Status)
	}
}

func TestAnswersAboutMadeUpNumbersAreNotKept(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	s := f.issue()
	stranger := *s.cert
	stranger.SerialNumber = big.NewInt(4711)
	good := request(t, s.cert, f.Issuer(), crypto.SHA1)
	for name, req := range map[string][]byte{"unknown": request(t, &stranger, f.Issuer(), crypto.SHA1), "a list": many(t, good, 2)} {
		first := f.post(req)
		f.clock.add(time.Second)
		if bytes.Equal(f.post(req), first) {
			t.Errorf("%s: the answer was kept", name)
		}
	}
}

func TestTheRevocationListIsFreshAndNumbered(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		list := func(p string) *x509.RevocationList {
			t.Helper()
			l, err := x509.ParseRevocationList(f.get(p))
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		before := list("/ca.crl")
		if !bytes.Equal(before.AuthorityKeyId, f.Issuer().SubjectKeyId) {
			t.Error("the list does not name the CA's key")
		}
		if again := list("/ca.crl"); !bytes.Equal(again.Raw, before.Raw) {
			t.Error("nothing changed, and there is a new list")
		}
		tick(f)
		s := f.issue()
		after := list("/ca.crl")
		if after.Number.Cmp(before.Number) <= 0 || after.ThisUpdate.Before(s.cert.NotBefore) {
			t.Errorf("after issuing: number %v, thisUpdate %v; before: %v", after.Number, after.ThisUpdate, before.Number)
		}
		if left := after.NextUpdate.Sub(after.ThisUpdate); left != 7*24*time.Hour {
			t.Errorf("nextUpdate after %v", left)
		}
		f.revoke(s.serial, "privilegeWithdrawn")
		revoked := list("/ca.crl")
		if revoked.Number.Cmp(after.Number) <= 0 || len(revoked.RevokedCertificateEntries) != 1 || revoked.RevokedCertificateEntries[0].ReasonCode != 9 {
			t.Errorf("after revocation: number %v, entries %v", revoked.Number, revoked.RevokedCertificateEntries)
		}
		f.clock.add(2 * time.Hour)
		if old := list("/ca.crl"); old.ThisUpdate.Before(f.clock.now().Add(-time.Minute)) {
			t.Errorf("a list of two hours ago: %v", old.ThisUpdate)
		}
		f.clock.add(400 * 24 * time.Hour) // the certificate has ended
		if old := list("/ca.crl"); len(old.RevokedCertificateEntries) != 1 {
			t.Error("a revoked certificate left the list when it ended")
		}
		root := list("/root.crl")
		if err := root.CheckSignatureFrom(f.Root()); err != nil || len(root.RevokedCertificateEntries) != 0 {
			t.Errorf("the root's list: %v, %d entries", err, len(root.RevokedCertificateEntries))
		}
		_, err := f.CRL(t.Context(), pki.RoleTSA)
		refused(t, err, fault.NotFound, "")
	})
}

func TestNumbersOfListsAreNeverUsedTwice(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		other, err := pki.New(t.Context(), f.cfg) // a second node on the same database
		if err != nil {
			t.Fatal(err)
		}
		var (
			mu   sync.Mutex
			seen = map[string][]byte{}
			wg   sync.WaitGroup
		)
		for i := range 6 {
			wg.Go(func() {
				for range 4 {
					_, err := f.Issue(t.Context(), f.sealed(f.apply(newKey(t).Public())))
					if err != nil {
						t.Error(err)
						return
					}
					a := f.Authority
					if i%2 == 1 {
						a = other
					}
					der, err := a.CRL(t.Context(), pki.RoleCA)
					if err != nil {
						t.Error(err)
						return
					}
					l, err := x509.ParseRevocationList(der)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					if old, ok := seen[l.Number.String()]; ok && !bytes.Equal(old, der) {
						t.Errorf("two lists have number %v", l.Number)
					}
					seen[l.Number.String()] = der
					mu.Unlock()
				}
			})
		}
		wg.Wait()
	})
}

func FuzzOCSPRequest(f *testing.F) {
	call := fuzzAuthority(f)
	_, ca := call(http.MethodGet, "/ca.crt", "", nil)
	issuer := parse(f, ca)
	req := request(f, issuer, issuer, crypto.SHA1)
	f.Add(req)
	f.Add(request(f, issuer, issuer, crypto.SHA256))
	f.Add(withNonce(f, req, []byte("nonce")))
	f.Add([]byte{0x30, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		code, answer := call(http.MethodPost, "/ocsp", "application/ocsp-request", body)
		if len(body) > 4096 {
			return
		}
		var r struct {
			Status asn1.Enumerated
			Body   asn1.RawValue `asn1:"explicit,tag:0,optional"`
		}
		rest, err := asn1.Unmarshal(answer, &r)
		if code != http.StatusOK || err != nil || len(rest) != 0 {
			t.Fatalf("status %d, %v: %x", code, err, answer)
		}
		if r.Status == 2 {
			t.Errorf("internal error for %x", body)
		}
		if r.Status == 0 {
			if _, err := ocsp.ParseResponse(answer, issuer); err != nil && !strings.Contains(err.Error(), "exactly one") &&
				!strings.Contains(fmt.Sprint(err), "multiple") {
				t.Errorf("%v: %x", err, answer)
			}
		}
	})
}

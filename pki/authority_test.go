package pki_test

import (
	"bytes"
	"crypto/x509"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/pki"
	"github.com/countersign/countersign/signing"
)

const (
	extSKI     = "2.5.29.14"
	extKU      = "2.5.29.15"
	extBC      = "2.5.29.19"
	extCRLDP   = "2.5.29.31"
	extAKI     = "2.5.29.35"
	extEKU     = "2.5.29.37"
	extAIA     = "1.3.6.1.5.5.7.1.1"
	extNoCheck = "1.3.6.1.5.5.7.48.1.5"
)

// The profiles that EU DSS, pyHanko, OpenSSL and poppler accept; "!" is critical.
func TestCertificatesHaveTheProfileThatValidatorsAccept(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	s := f.issue()
	for _, c := range []struct {
		name       string
		cert       *x509.Certificate
		issuer     *x509.Certificate
		usage      x509.KeyUsage
		extensions []string
	}{
		{"root", f.Root(), f.Root(), x509.KeyUsageCertSign | x509.KeyUsageCRLSign, []string{extBC + "!", extKU + "!", extSKI}},
		{"issuing CA", f.Issuer(), f.Root(), x509.KeyUsageCertSign | x509.KeyUsageCRLSign, []string{extBC + "!", extKU + "!", extSKI, extAKI, extCRLDP}},
		{"signer", s.cert, f.Issuer(), x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment, []string{extKU + "!", extSKI, extAKI, extCRLDP, extAIA}},
		{"OCSP responder", f.OCSP(), f.Issuer(), x509.KeyUsageDigitalSignature, []string{extKU + "!", extEKU, extNoCheck, extSKI, extAKI}},
		{"TSA", f.TSA(), f.Issuer(), x509.KeyUsageDigitalSignature, []string{extKU + "!", extEKU + "!", extSKI, extAKI, extCRLDP}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, e := range c.cert.Extensions {
				id := e.Id.String()
				if e.Critical {
					id += "!"
				}
				got = append(got, id)
			}
			slices.Sort(got)
			slices.Sort(c.extensions)
			if d := cmp.Diff(c.extensions, got); d != "" {
				t.Errorf("extensions (-want +got):\n%s", d)
			}
			if c.cert.KeyUsage != c.usage {
				t.Errorf("key usage %b, want %b", c.cert.KeyUsage, c.usage)
			}
			if err := c.cert.CheckSignatureFrom(c.issuer); err != nil {
				t.Error(err)
			}
			if c.cert != c.issuer && (!bytes.Equal(c.cert.AuthorityKeyId, c.issuer.SubjectKeyId) || !bytes.Equal(c.cert.RawIssuer, c.issuer.RawSubject)) {
				t.Error("issuer or its key is not named")
			}
			if c.cert.NotAfter.After(c.issuer.NotAfter) {
				t.Error("outlives its issuer")
			}
			if c.cert.SerialNumber.Sign() <= 0 || c.cert.SerialNumber.BitLen() < 64 || c.cert.SerialNumber.BitLen() > 159 {
				t.Errorf("serial number of %d bits", c.cert.SerialNumber.BitLen())
			}
		})
	}
	if ca := f.Issuer(); !ca.IsCA || ca.MaxPathLen != 0 || !ca.MaxPathLenZero {
		t.Errorf("issuing CA: CA %v, path length %d", ca.IsCA, ca.MaxPathLen)
	}
	if eku := f.TSA().ExtKeyUsage; len(eku) != 1 || eku[0] != x509.ExtKeyUsageTimeStamping {
		t.Errorf("TSA: extended key usage %v", eku)
	}
	if eku := f.OCSP().ExtKeyUsage; len(eku) != 1 || eku[0] != x509.ExtKeyUsageOCSPSigning {
		t.Errorf("OCSP responder: extended key usage %v", eku)
	}
}

func TestARestartFindsTheSameAuthority(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		again, err := pki.New(t.Context(), f.cfg)
		if err != nil {
			t.Fatal(err)
		}
		for name, pair := range map[string][2]*x509.Certificate{
			"root": {f.Root(), again.Root()}, "CA": {f.Issuer(), again.Issuer()}, "OCSP": {f.OCSP(), again.OCSP()}, "TSA": {f.TSA(), again.TSA()},
		} {
			if !pair[0].Equal(pair[1]) {
				t.Errorf("%s is another after a restart", name)
			}
		}
	})
}

func TestAnotherKeystoreIsRefused(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	cfg := f.cfg
	keys := openKeys(t, filepath.Join(t.TempDir(), "empty"))
	cfg.Keys = keys
	if _, err := pki.New(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "restore both") {
		t.Errorf("an empty keystore: %v", err)
	}
	if _, err := keys.NewService(t.Context(), "pki-root", signing.P256); err != nil {
		t.Fatal(err)
	}
	if _, err := pki.New(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "not the key") {
		t.Errorf("a keystore with another root key: %v", err)
	}
}

// A crash between key and certificate leaves a key without one.
func TestAnInterruptedFirstStartIsTakenUp(t *testing.T) {
	db := storetest.SQLite(t)
	keys := openKeys(t, filepath.Join(t.TempDir(), "keys"))
	if _, err := keys.NewService(t.Context(), "pki-root", signing.P256); err != nil {
		t.Fatal(err)
	}
	if _, err := pki.New(t.Context(), pki.Config{Keys: keys, DB: db, BaseURL: "http://127.0.0.1:1", Name: "Test"}); err != nil {
		t.Fatal(err)
	}
}

func TestTheResponderAndTheTSAAreRenewedInTime(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ocspBefore, tsaBefore := f.OCSP(), f.TSA()
		f.clock.add(320 * 24 * time.Hour)
		if err := f.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if f.OCSP().Equal(ocspBefore) || bytes.Equal(f.OCSP().RawSubjectPublicKeyInfo, ocspBefore.RawSubjectPublicKeyInfo) {
			t.Error("the responder has not got a new certificate with a new key")
		}
		if !f.TSA().Equal(tsaBefore) {
			t.Error("the TSA was renewed years before its end")
		}
		f.clock.add(4 * 365 * 24 * time.Hour)
		if err := f.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if f.TSA().Equal(tsaBefore) {
			t.Error("the TSA was not renewed")
		}
		s := f.issue()
		f.ocsp(s.cert, f.Issuer())
	})
}

func TestARevokedTSAIsReplacedAndARevokedCAIssuesNothing(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	ctx := t.Context()
	admin := serveAdmin(t, f)
	tsa := f.TSA()
	if _, err := admin.Revoke(ctx, tsa.SerialNumber.Text(16), pki.KeyCompromise); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(f.TSA().RawSubjectPublicKeyInfo, tsa.RawSubjectPublicKeyInfo) {
		t.Error("the revoked key is in use")
	}
	if r := f.ocsp(tsa, f.Issuer()); r.Status != 1 {
		t.Errorf("status of the revoked TSA: %d", r.Status)
	}
	if _, err := admin.Revoke(ctx, f.Root().SerialNumber.Text(16), pki.KeyCompromise); err == nil {
		t.Error("the root was revoked")
	}
	if _, err := admin.Revoke(ctx, f.Issuer().SerialNumber.Text(16), pki.CACompromise); err != nil {
		t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(f.get("/root.crl"))
	if err != nil {
		t.Fatal(err)
	}
	if len(list.RevokedCertificateEntries) != 1 || list.CheckSignatureFrom(f.Root()) != nil {
		t.Errorf("the root's list has %d entries", len(list.RevokedCertificateEntries))
	}
	_, err = f.client.Issue(ctx, f.sealed(f.apply(newKey(t).Public())))
	refused(t, err, fault.Unavailable, "ca_revoked")
}

func TestNothingOutlivesTheIssuingCA(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	f.clock.add(f.Issuer().NotAfter.Sub(f.clock.now()) - 30*24*time.Hour)
	s := f.issue()
	if !s.cert.NotAfter.Equal(f.Issuer().NotAfter) {
		t.Errorf("the certificate ends %v, the CA %v", s.cert.NotAfter, f.Issuer().NotAfter)
	}
	if !slices.ContainsFunc(f.Health(t.Context()).Findings, func(s string) bool { return strings.Contains(s, "new authority") }) {
		t.Error("health does not say that the CA comes to its end")
	}
	count := func() int {
		t.Helper()
		list, err := f.Certificates(t.Context(), "", 500)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	if err := f.Maintain(t.Context()); err != nil { // responder and TSA that end with the CA
		t.Fatal(err)
	}
	n := count()
	for range 3 {
		f.clock.add(time.Hour)
		if err := f.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if count() != n {
		t.Errorf("certificates that cannot last longer are renewed again and again: %d, then %d", n, count())
	}
	f.clock.add(29 * 24 * time.Hour)
	_, err := f.Issue(t.Context(), f.sealed(f.apply(newKey(t).Public())))
	refused(t, err, fault.Unavailable, "ca_expired")
}

func TestWrongConfigurationIsRefused(t *testing.T) {
	db := storetest.SQLite(t)
	keys := openKeys(t, filepath.Join(t.TempDir(), "keys"))
	for name, change := range map[string]func(*pki.Config){
		"no keystore":          func(c *pki.Config) { c.Keys = nil },
		"no database":          func(c *pki.Config) { c.DB = nil },
		"no base URL":          func(c *pki.Config) { c.BaseURL = "" },
		"base URL without URL": func(c *pki.Config) { c.BaseURL = "127.0.0.1:80" },
		"base URL with query":  func(c *pki.Config) { c.BaseURL = "http://127.0.0.1/?a=b" },
		"no name":              func(c *pki.Config) { c.Name = "" },
		"long name":            func(c *pki.Config) { c.Name = strings.Repeat("n", 53) },
		"Ed25519":              func(c *pki.Config) { c.KeyType = signing.KeyEd25519 },
		"RSA-2048":             func(c *pki.Config) { c.KeyType = "RSA-2048" },
		"country":              func(c *pki.Config) { c.Country = "Belgium" },
		"validity":             func(c *pki.Config) { c.Validity = 10 * 365 * 24 * time.Hour },
		"status life":          func(c *pki.Config) { c.StatusLife = time.Minute },
		"accuracy":             func(c *pki.Config) { c.Accuracy = 1500 * time.Millisecond },
		"policy":               func(c *pki.Config) { c.Policies = []string{"1.x"} },
		"TSA policy":           func(c *pki.Config) { c.TSAPolicy = "policy" },
		"QC without PDS":       func(c *pki.Config) { c.QC = &pki.QCStatements{Compliance: true} },
		"QC PDS by http": func(c *pki.Config) {
			c.QC = &pki.QCStatements{PDS: []pki.PDSLocation{{URL: "http://example.org", Language: "en"}}}
		},
		"SSCD alone": func(c *pki.Config) { c.QC = &pki.QCStatements{SSCD: true} },
	} {
		t.Run(name, func(t *testing.T) {
			c := pki.Config{Keys: keys, DB: db, BaseURL: "http://127.0.0.1:1", Name: "Test"}
			change(&c)
			if _, err := pki.New(t.Context(), c); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestOtherKeyTypesServeTheAuthority(t *testing.T) {
	for _, kt := range []signing.KeyType{signing.P384, signing.P521, signing.RSA3072} {
		t.Run(string(kt), func(t *testing.T) {
			f := newFixture(t, storetest.SQLite(t), func(c *pki.Config) { c.KeyType = kt })
			if got, err := signing.KeyTypeOf(f.Issuer().PublicKey); got != kt {
				t.Errorf("the CA has %s, %v", got, err)
			}
			s := f.issue()
			f.ocsp(s.cert, f.Issuer())
			f.stamp([]byte("text"))
			opensslVerifies(t, f, s)
		})
	}
}

func TestHealthSaysWhatIsMissing(t *testing.T) {
	db := storetest.SQLite(t)
	a, err := pki.New(t.Context(), pki.Config{
		Keys: openKeys(t, filepath.Join(t.TempDir(), "keys")), DB: db, BaseURL: "http://127.0.0.1:1", Name: "Test",
	})
	if err != nil {
		t.Fatal(err)
	}
	h := a.Health(t.Context())
	if !h.Ready || len(h.Findings) != 2 || !strings.Contains(strings.Join(h.Findings, " "), "role sam") {
		t.Errorf("health of an authority without parties: %+v", h)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.Ready(t.Context()); err == nil {
		t.Error("ready without a database")
	}
	if h := a.Health(t.Context()); h.Ready {
		t.Errorf("health without a database: %+v", h)
	}
}

func TestAChangedBaseURLIsFound(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	cfg := f.cfg
	cfg.BaseURL = "http://127.0.0.1:9999"
	a, err := pki.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if h := a.Health(t.Context()); !slices.ContainsFunc(h.Findings, func(s string) bool { return strings.Contains(s, "base URL") }) {
		t.Errorf("findings %q", h.Findings)
	}
}

// Two processes that start together on one PostgreSQL database and one module
// make one authority.
func TestTwoFirstStartsMakeOneAuthority(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		cfg := pki.Config{Keys: openKeys(t, filepath.Join(t.TempDir(), "keys")), DB: db, BaseURL: "http://127.0.0.1:1", Name: "Test"}
		type result struct {
			a   *pki.Authority
			err error
		}
		results := make(chan result)
		for range 2 {
			go func() {
				a, err := pki.New(t.Context(), cfg)
				results <- result{a, err}
			}()
		}
		one, two := <-results, <-results
		if one.err != nil || two.err != nil {
			t.Fatal(one.err, two.err)
		}
		if !one.a.Root().Equal(two.a.Root()) || !one.a.Issuer().Equal(two.a.Issuer()) || !one.a.TSA().Equal(two.a.TSA()) {
			t.Error("two authorities")
		}
	})
}

package pki_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ocsp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/pki"
	"github.com/countersign/countersign/signing"
)

// The whole way: the operator registers the keys over the admin handler, the
// registration authority applies for a user, and everybody can fetch the
// certificate's status at the addresses that stand in it.
func TestAUserGetsACertificateWhoseStatusCanBeFetched(t *testing.T) {
	t.Attr("feature", "A14")
	each(t, func(t *testing.T, f *fixture) {
		admin := serveAdmin(t, f)
		f.sam, f.ra = newKey(t), newKey(t)
		for role, key := range map[pki.PartyRole]crypto.Signer{pki.Module: f.sam, pki.RA: f.ra} {
			if _, err := admin.Register(t.Context(), pki.Registration{Role: role, Name: "test " + string(role), SPKI: spkiOf(t, key.Public())}); err != nil {
				t.Fatal(err)
			}
		}
		s := f.issue()
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(f.get("/anchors.pem")) {
			t.Fatal("no anchor")
		}
		if len(s.cert.IssuingCertificateURL) != 1 || len(s.cert.CRLDistributionPoints) != 1 || len(s.cert.OCSPServer) != 1 {
			t.Fatalf("addresses in the certificate: %v %v %v", s.cert.IssuingCertificateURL, s.cert.CRLDistributionPoints, s.cert.OCSPServer)
		}
		issuer := parse(t, f.get(path(t, f, s.cert.IssuingCertificateURL[0])))
		inter := x509.NewCertPool()
		inter.AddCert(issuer)
		if _, err := s.cert.Verify(x509.VerifyOptions{
			Roots: roots, Intermediates: inter, CurrentTime: f.clock.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
		}); err != nil {
			t.Error(err)
		}
		crl := func(url string, issuer *x509.Certificate) *x509.RevocationList {
			list, err := x509.ParseRevocationList(f.get(path(t, f, url)))
			if err != nil {
				t.Fatal(err)
			}
			if err := list.CheckSignatureFrom(issuer); err != nil {
				t.Error(err)
			}
			return list
		}
		if list := crl(s.cert.CRLDistributionPoints[0], issuer); len(list.RevokedCertificateEntries) != 0 || list.ThisUpdate.Before(s.cert.NotBefore) {
			t.Errorf("list has %d entries, thisUpdate %v, certificate from %v", len(list.RevokedCertificateEntries), list.ThisUpdate, s.cert.NotBefore)
		}
		crl(issuer.CRLDistributionPoints[0], parse(t, f.get("/root.crt")))
		if r := f.ocsp(s.cert, issuer); r.Status != ocsp.Good {
			t.Errorf("OCSP status %d, want good", r.Status)
		}

		f.revoke(s.serial, "keyCompromise")
		list := crl(s.cert.CRLDistributionPoints[0], issuer)
		if len(list.RevokedCertificateEntries) != 1 || list.RevokedCertificateEntries[0].SerialNumber.Cmp(s.cert.SerialNumber) != 0 ||
			list.RevokedCertificateEntries[0].ReasonCode != 1 {
			t.Errorf("entries after revocation: %+v", list.RevokedCertificateEntries)
		}
		if r := f.ocsp(s.cert, issuer); r.Status != ocsp.Revoked || r.RevocationReason != ocsp.KeyCompromise {
			t.Errorf("OCSP after revocation: status %d, reason %d", r.Status, r.RevocationReason)
		}
	})
}

// path takes the authority's own address off a URL from a certificate.
func path(t *testing.T, f *fixture, url string) string {
	t.Helper()
	p, ok := strings.CutPrefix(url, f.url)
	if !ok {
		t.Fatalf("%s is not under %s", url, f.url)
	}
	return p
}

func TestTheCertificateSaysWhatTheRecordsSay(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t), func(c *pki.Config) {
		c.Validity, c.Policies = 90*24*time.Hour, []string{"1.3.6.1.4.1.32473.2.1"}
	})
	key := newKey(t)
	app := f.apply(key.Public())
	app.proofing.Subject.Email, app.proofing.Subject.Organization = "ada@example.org", "Analytical Engines"
	app.proofing.Subject.CommonName = "Ada Lovelace (née Byron) 伯爵"
	out, err := f.Issue(t.Context(), f.sealed(app))
	if err != nil {
		t.Fatal(err)
	}
	c := parse(t, out.Chain[0])
	want := map[string]string{
		"2.5.4.6": "GB", "2.5.4.10": "Analytical Engines", "2.5.4.4": "Lovelace", "2.5.4.42": "Ada", "2.5.4.5": "PNOGB-18151210",
		"2.5.4.3": "Ada Lovelace (née Byron) 伯爵",
	}
	for _, n := range c.Subject.Names {
		if want[n.Type.String()] != n.Value {
			t.Errorf("subject has %v = %v, want %q", n.Type, n.Value, want[n.Type.String()])
		}
		delete(want, n.Type.String())
	}
	if len(want) != 0 {
		t.Errorf("subject lacks %v", want)
	}
	if !key.PublicKey.Equal(c.PublicKey) {
		t.Error("certificate has another key")
	}
	if got := c.NotAfter.Sub(f.clock.now()); got > 90*24*time.Hour || got < 90*24*time.Hour-2*time.Second {
		t.Errorf("valid for %v, want 90 days", got)
	}
	if len(c.EmailAddresses) != 1 || c.EmailAddresses[0] != "ada@example.org" {
		t.Errorf("subjectAltName %v", c.EmailAddresses)
	}
	if len(c.Policies) != 1 || c.Policies[0].String() != "1.3.6.1.4.1.32473.2.1" {
		t.Errorf("policies %v", c.Policies)
	}
	if len(out.Chain) != 3 || !bytes.Equal(out.Chain[1], f.Issuer().Raw) || !bytes.Equal(out.Chain[2], f.Root().Raw) {
		t.Error("the chain is not signer, issuing CA, root")
	}
	if again, err := f.client.Chain(t.Context(), hexHash(spkiOf(t, key.Public()))); err != nil || again.Serial != out.Serial || !bytes.Equal(again.Chain[0], out.Chain[0]) {
		t.Errorf("a lost answer cannot be fetched: %v", err)
	}
	for _, id := range []string{"2.5.29.37", "1.3.6.1.5.5.7.1.3", "1.3.6.1.5.5.7.48.1.5"} {
		if _, ok := find(c, id); ok {
			t.Errorf("certificate has extension %s", id)
		}
	}
	issued := f.events("pki.certificate.issued")
	last := issued[len(issued)-1]
	if last.Subject != out.Serial || !strings.Contains(string(last.Data), app.proofing.ID) {
		t.Errorf("logged: %s %s", last.Subject, last.Data)
	}
	if strings.Contains(string(last.Data), "Lovelace") {
		t.Errorf("the log, which forgets nothing, has a person's name: %s", last.Data)
	}
}

func TestALegalPersonGetsASealCertificate(t *testing.T) {
	t.Attr("feature", "I1")
	for name, qc := range map[string]*pki.QCStatements{
		"advanced":  nil,
		"qualified": {Compliance: true, PDS: []pki.PDSLocation{{URL: "https://example.org/pds.pdf", Language: "en"}}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, storetest.SQLite(t), func(c *pki.Config) { c.QC = qc })
			app := f.apply(newKey(t).Public())
			app.proofing.Subject = signing.Subject{CommonName: "Engines Seal", Organization: "Engines Ltd", SerialNumber: "VATGB-123456789", Country: "GB"}
			out, err := f.Issue(t.Context(), f.sealed(app))
			if err != nil {
				t.Fatal(err)
			}
			c := parse(t, out.Chain[0])
			got := map[string]any{}
			for _, n := range c.Subject.Names {
				got[n.Type.String()] = n.Value
			}
			want := map[string]any{"2.5.4.6": "GB", "2.5.4.10": "Engines Ltd", "2.5.4.97": "VATGB-123456789", "2.5.4.3": "Engines Seal"}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("subject (-want +got):\n%s", d)
			}
			if len(c.EmailAddresses) != 0 {
				t.Errorf("addresses %v", c.EmailAddresses)
			}
			statements, ok := find(c, "1.3.6.1.5.5.7.1.3")
			eseal, esign := unhex(t, "060704008e46010602"), unhex(t, "060704008e46010601")
			if ok != (qc != nil) || ok && (!bytes.Contains(statements, eseal) || bytes.Contains(statements, esign)) {
				t.Errorf("qcStatements %x", statements)
			}
		})
	}
}

// ETSI TS 119 312 V2.1.1 §8.4 ends RSA below 3,000 bits for new certificates
// with the year 2026; here it never began.
func TestNoCertificateIsIssuedOnAShortRSAKey(t *testing.T) {
	t.Attr("control", "B07")
	t.Attr("control", "B06")
	dates := []time.Time{time.Date(2026, 12, 30, 12, 0, 0, 0, time.UTC), time.Date(2027, 1, 2, 12, 0, 0, 0, time.UTC)}
	f := newFixtureAt(t, storetest.SQLite(t), dates[0])
	short, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	long, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	var certified [][]byte
	for _, at := range dates {
		f.clock.add(at.Sub(f.clock.now()))
		app := f.apply(long.Public())
		swap(t, &app, short.Public())
		app.key.KeyType = "RSA-2048"
		_, err := f.client.Issue(t.Context(), f.sealed(app))
		refused(t, err, fault.Invalid, "key_type")
		app.key.KeyType = signing.RSA3072 // a lie does not help
		app.proofing.ID += "2"
		_, err = f.client.Issue(t.Context(), f.sealed(app))
		refused(t, err, fault.Invalid, "key_type")
		out, err := f.client.Issue(t.Context(), f.sealed(f.apply(long.Public())))
		if certified == nil {
			if err != nil {
				t.Fatalf("RSA of 3072 bits: %v", err)
			}
			certified = out.Chain
			continue
		}
		refused(t, err, fault.Conflict, "key_certified") // no certificate anew for the same key
	}
	rows, err := f.Certificates(t.Context(), "", 500)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if k, ok := parse(t, row.DER).PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() < 3000 {
			t.Errorf("certificate %s on an RSA key of %d bits", row.Serial, k.N.BitLen())
		}
	}
}

// Each row changes one thing in an application that would be granted.
func TestNobodyGetsACertificateWithoutTwoRecordsThatAgree(t *testing.T) {
	t.Attr("control", "C16")
	f := newFixture(t, storetest.SQLite(t))
	stranger, removed := newKey(t), newKey(t)
	if err := f.Remove(t.Context(), f.register(pki.RA, removed).KeyID); err != nil {
		t.Fatal(err)
	}
	now := f.clock.now().UTC()
	smallRSA, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	type keys struct{ sam, ra crypto.Signer }
	for name, c := range map[string]struct {
		change func(*application, *keys)
		post   func(*pki.IssueRequest)
		kind   fault.Kind
		code   string
	}{
		"key record in another's name":           {func(a *application, _ *keys) { a.key.Module = "other" }, nil, fault.Forbidden, "other_module"},
		"proofing record in another's name":      {func(a *application, _ *keys) { a.proofing.Authority = "other" }, nil, fault.Forbidden, "other_authority"},
		"key record signed by another key":       {func(_ *application, k *keys) { k.sam = stranger }, nil, fault.Forbidden, "unknown_sam"},
		"key record signed by the RA":            {func(_ *application, k *keys) { k.sam = f.ra }, nil, fault.Forbidden, "unknown_sam"},
		"key record signed by the signer's key":  {func(a *application, k *keys) { k.sam = newKey(t); a.key.Module = "self" }, nil, fault.Forbidden, "unknown_sam"},
		"proofing signed by another key":         {func(_ *application, k *keys) { k.ra = stranger }, nil, fault.Forbidden, "unknown_ra"},
		"proofing signed by the module":          {func(_ *application, k *keys) { k.ra = f.sam }, nil, fault.Forbidden, "unknown_ra"},
		"proofing signed by a removed authority": {func(_ *application, k *keys) { k.ra = removed }, nil, fault.Forbidden, "unknown_ra"},
		"another key's signature under a registered key's name": {nil, func(r *pki.IssueRequest) {
			s := seal(t, signing.DomainKeyRecord, json.RawMessage(r.KeyRecord.Payload), stranger)
			r.KeyRecord.Signature = s.Signature
		}, fault.Forbidden, "bad_sam_signature"},
		"a proofing record in place of the key record": {nil, func(r *pki.IssueRequest) { r.KeyRecord = r.Proofing }, fault.Forbidden, "unknown_sam"},
		"a key record sealed for another domain": {nil, func(r *pki.IssueRequest) {
			r.KeyRecord = seal(t, "countersign-other-v1", json.RawMessage(r.KeyRecord.Payload), f.sam)
		}, fault.Forbidden, "bad_sam_signature"},
		"a payload changed after signing": {nil, func(r *pki.IssueRequest) {
			r.Proofing.Payload = bytes.Replace(r.Proofing.Payload, []byte("Lovelace"), []byte("Lovelacf"), 1)
		}, fault.Forbidden, "bad_ra_signature"},
		"no records": {nil, func(r *pki.IssueRequest) { *r = pki.IssueRequest{} }, fault.Forbidden, "unknown_sam"},
		"a self-made certificate request": {nil, func(r *pki.IssueRequest) {
			csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "Mallory"}}, stranger)
			if err != nil {
				t.Fatal(err)
			}
			r.KeyRecord.Payload = csr
		}, fault.Forbidden, "bad_sam_signature"},
		"a sealed payload that is no record": {nil, func(r *pki.IssueRequest) {
			r.KeyRecord = seal(t, signing.DomainKeyRecord, map[string]any{"v": 1, "signer": "ada"}, f.sam)
		}, fault.Invalid, "key_record"},
		"another version":            {func(a *application, _ *keys) { a.key.Version = 2 }, nil, fault.Invalid, "version"},
		"proofing for another key":   {func(a *application, _ *keys) { a.proofing.KeyHash = bytes.Repeat([]byte{1}, 32) }, nil, fault.Forbidden, "other_key"},
		"proofing for no key":        {func(a *application, _ *keys) { a.proofing.KeyHash = nil }, nil, fault.Forbidden, "other_key"},
		"another signer":             {func(a *application, _ *keys) { a.proofing.Signer = "bob" }, nil, fault.Forbidden, "other_signer"},
		"another credential":         {func(a *application, _ *keys) { a.proofing.Credential = "other" }, nil, fault.Forbidden, "other_credential"},
		"no signer":                  {func(a *application, _ *keys) { a.key.Signer, a.proofing.Signer = "", "" }, nil, fault.Invalid, "incomplete"},
		"no id":                      {func(a *application, _ *keys) { a.proofing.ID = "" }, nil, fault.Invalid, "incomplete"},
		"expired proofing":           {func(a *application, _ *keys) { a.proofing.Expires = now }, nil, fault.Expired, "proofing_expired"},
		"identity proved long ago":   {func(a *application, _ *keys) { a.proofing.Proved = now.Add(-31 * 24 * time.Hour) }, nil, fault.Expired, "proofing_expired"},
		"proofing from the future":   {func(a *application, _ *keys) { a.proofing.Proved = now.Add(2 * time.Minute) }, nil, fault.Invalid, "future"},
		"key from the future":        {func(a *application, _ *keys) { a.key.Made = now.Add(2 * time.Minute) }, nil, fault.Invalid, "future"},
		"an old key":                 {func(a *application, _ *keys) { a.key.Made = now.Add(-8 * 24 * time.Hour) }, nil, fault.Expired, "key_record_expired"},
		"another key type":           {func(a *application, _ *keys) { a.key.KeyType = signing.P384 }, nil, fault.Invalid, "key_type"},
		"RSA of 2048 bits":           {func(a *application, _ *keys) { swap(t, a, smallRSA.Public()) }, nil, fault.Invalid, "key_type"},
		"P-224":                      {func(a *application, _ *keys) { swap(t, a, p224.Public()) }, nil, fault.Invalid, "key_type"},
		"RSA with exponent 3":        {func(a *application, _ *keys) { swap(t, a, exponent3(t)) }, nil, fault.Invalid, "key_type"},
		"no key":                     {func(a *application, _ *keys) { a.swapSPKI([]byte("key")) }, nil, fault.Invalid, "key"},
		"a key with bytes after it":  {func(a *application, _ *keys) { a.swapSPKI(append(bytes.Clone(a.key.SPKI), 0)) }, nil, fault.Invalid, "key"},
		"no common name":             {func(a *application, _ *keys) { a.proofing.Subject.CommonName = "" }, nil, fault.Invalid, "subject"},
		"no serial number":           {func(a *application, _ *keys) { a.proofing.Subject.SerialNumber = "" }, nil, fault.Invalid, "subject"},
		"neither person nor company": {func(a *application, _ *keys) { a.proofing.Subject.GivenName, a.proofing.Subject.Surname = "", "" }, nil, fault.Invalid, "subject"},
		"no country":                 {func(a *application, _ *keys) { a.proofing.Subject.Country = "" }, nil, fault.Invalid, "subject"},
		"country in small letters":   {func(a *application, _ *keys) { a.proofing.Subject.Country = "gb" }, nil, fault.Invalid, "subject"},
		"a name too long":            {func(a *application, _ *keys) { a.proofing.Subject.CommonName = strings.Repeat("a", 65) }, nil, fault.Invalid, "subject"},
		"a name with control":        {func(a *application, _ *keys) { a.proofing.Subject.Surname = "Love\x00lace" }, nil, fault.Invalid, "subject"},
		"a name turned round":        {func(a *application, _ *keys) { a.proofing.Subject.CommonName = "\u202eecalevoL" }, nil, fault.Invalid, "subject"},
		"an invisible character":     {func(a *application, _ *keys) { a.proofing.Subject.CommonName = "Ada\u200b Lovelace" }, nil, fault.Invalid, "subject"},
		"spaces around a name":       {func(a *application, _ *keys) { a.proofing.Subject.CommonName = " Ada" }, nil, fault.Invalid, "subject"},
		"a wide serial number":       {func(a *application, _ *keys) { a.proofing.Subject.SerialNumber = "PNOGB_1" }, nil, fault.Invalid, "subject"},
		"an address that is none":    {func(a *application, _ *keys) { a.proofing.Subject.Email = "ada" }, nil, fault.Invalid, "subject"},
	} {
		t.Run(name, func(t *testing.T) {
			app, k := f.apply(newKey(t).Public()), keys{f.sam, f.ra}
			app.proofing.Credential = app.key.Credential
			if c.change != nil {
				c.change(&app, &k)
			}
			r := pki.IssueRequest{
				KeyRecord: seal(t, signing.DomainKeyRecord, app.key, k.sam), Proofing: seal(t, signing.DomainProofing, app.proofing, k.ra),
			}
			if c.post != nil {
				c.post(&r)
			}
			out, err := f.client.Issue(t.Context(), r)
			refused(t, err, c.kind, c.code)
			if len(out.Chain) != 0 {
				t.Errorf("and a certificate came all the same")
			}
		})
	}
	if h := f.Health(t.Context()); h.Issued != 0 {
		t.Errorf("%d certificates were stored", h.Issued)
	}
	if n := len(f.events("pki.certificate.refused")); n == 0 {
		t.Error("refusals to a registered authority are not logged")
	}
}

func swap(t *testing.T, a *application, pub crypto.PublicKey) {
	t.Helper()
	a.swapSPKI(spkiOf(t, pub))
	if kt, err := signing.KeyTypeOf(pub); err == nil {
		a.key.KeyType = kt
	}
}

func (a *application) swapSPKI(spki []byte) {
	a.key.SPKI = spki
	a.proofing.KeyHash = sha(spki)
}

func exponent3(t *testing.T) *rsa.PublicKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	return &rsa.PublicKey{N: k.N, E: 3}
}

func TestEveryKeyTypeThatMayBeCertifiedIs(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	big, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []crypto.Signer{newKey(t), p384, big, ed} {
		if _, err := f.Issue(t.Context(), f.sealed(f.apply(k.Public()))); err != nil {
			t.Errorf("%T: %v", k, err)
		}
	}
}

func TestAProofingRecordServesOnce(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		app := f.apply(newKey(t).Public())
		r := f.sealed(app)
		if _, err := f.client.Issue(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		_, err := f.client.Issue(t.Context(), r)
		refused(t, err, fault.Conflict, "proofing_used")
		// The same record, sealed once more for another key.
		other := f.apply(newKey(t).Public())
		other.proofing.ID = app.proofing.ID
		_, err = f.client.Issue(t.Context(), f.sealed(other))
		refused(t, err, fault.Conflict, "proofing_used")
	})
}

func TestAKeyHasOneCertificateForEver(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		key := newKey(t)
		first, err := f.Issue(t.Context(), f.sealed(f.apply(key.Public())))
		if err != nil {
			t.Fatal(err)
		}
		second := f.apply(key.Public())
		_, err = f.client.Issue(t.Context(), f.sealed(second))
		refused(t, err, fault.Conflict, "key_certified")
		f.revoke(first.Serial, "superseded")
		_, err = f.client.Issue(t.Context(), f.sealed(f.apply(key.Public())))
		refused(t, err, fault.Conflict, "key_certified")
		// What was refused must not have used up the proofing record.
		other := f.apply(newKey(t).Public())
		other.proofing.ID = second.proofing.ID
		if _, err := f.Issue(t.Context(), f.sealed(other)); err != nil {
			t.Errorf("a refusal used up the proofing record: %v", err)
		}
		// Nor is a key of the authority itself ever certified for a signer.
		_, err = f.Issue(t.Context(), f.sealed(f.apply(f.TSA().PublicKey)))
		refused(t, err, fault.Conflict, "key_certified")
	})
}

func TestOfManyAtOnceOneIsIssued(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		r := f.sealed(f.apply(newKey(t).Public()))
		const n = 12
		errs := make([]error, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { _, errs[i] = f.client.Issue(t.Context(), r) })
		}
		wg.Wait()
		granted := 0
		for _, err := range errs {
			if err == nil {
				granted++
				continue
			}
			refused(t, err, fault.Conflict, "proofing_used")
		}
		if h := f.Health(t.Context()); granted != 1 || h.Issued != 1 {
			t.Errorf("%d answers, %d certificates in the database, want 1", granted, h.Issued)
		}
	})
}

func FuzzIssue(f *testing.F) {
	fix := fuzzAuthority(f)
	f.Add([]byte(`{"keyRecord":{"payload":"e30=","signature":"","key":""},"proofing":{"payload":"","signature":"","key":""}}`))
	f.Add([]byte(`{"keyRecord":null}`))
	f.Add([]byte(`{}{}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, body []byte) {
		code, answer := fix(http.MethodPost, "/issue", "application/json", body)
		var failure pki.Failure
		if code == http.StatusOK || code >= 500 || json.Unmarshal(answer, &failure) != nil || failure.Detail == "" {
			t.Errorf("status %d: %s", code, answer)
		}
	})
}

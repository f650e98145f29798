package pki_test

import (
	"testing"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/pki"
)

func TestQCStatementsAreThereOnlyWhenConfigured(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t), func(c *pki.Config) {
		c.QC = &pki.QCStatements{
			Compliance: true, SSCD: true, RetentionYears: 15,
			PDS: []pki.PDSLocation{{URL: "https://example.org/pds.pdf", Language: "en"}},
		}
	})
	a := f.apply(newKey(t).Public())
	a.key.Keystore = "pkcs11"
	out, err := f.client.Issue(t.Context(), f.sealed(a))
	if err != nil {
		t.Fatal(err)
	}
	value, ok := find(parse(t, out.Chain[0]), "1.3.6.1.5.5.7.1.3")
	if !ok {
		t.Fatal("no qcStatements")
	}
	// SEQUENCE of: QcCompliance, QcSSCD, QcType esign, QcPDS, QcRetentionPeriod 15.
	want := "3065" + "3008" + "06060400" + "8e460101" + "3008" + "06060400" + "8e460104" +
		"3013" + "06060400" + "8e460106" + "3009" + "06070400" + "8e46010601" +
		"302d" + "06060400" + "8e460105" + "3023" + "3021" + "161b" + hexText("https://example.org/pds.pdf") + "1302" + hexText("en") +
		"300b" + "06060400" + "8e460103" + "02010f"
	if got := hexBytes(value); got != want {
		t.Errorf("qcStatements\n got %s\nwant %s", got, want)
	}
}

func TestStatementsThatTheRecordsDoNotBearOutAreNotMade(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t), func(c *pki.Config) {
		c.QC = &pki.QCStatements{Compliance: true, SSCD: true, PDS: []pki.PDSLocation{{URL: "https://example.org/pds.pdf", Language: "en"}}}
	})
	for name, c := range map[string]struct {
		change func(*application)
		code   string
	}{
		"a key in software":            {func(a *application) { a.key.Keystore = "soft" }, "not_in_device"},
		"a key nobody knows where":     {func(a *application) { a.key.Keystore = "" }, "not_in_device"},
		"a key under SCAL 1":           {func(a *application) { a.key.SCAL = 1 }, "not_in_device"},
		"an identity proved at low":    {func(a *application) { a.proofing.Assurance = "low" }, "assurance"},
		"an identity proved who knows": {func(a *application) { a.proofing.Assurance = "" }, "assurance"},
	} {
		a := f.apply(newKey(t).Public())
		a.key.Keystore = "pkcs11"
		c.change(&a)
		_, err := f.client.Issue(t.Context(), f.sealed(a))
		t.Log(name)
		refused(t, err, fault.Forbidden, c.code)
	}
}

package validate_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/ades/validate"
)

// TestNamesOfPersonsAreReadable signs with a certificate of a person, whose given
// name and surname crypto/x509/pkix would write as hex.
func TestNamesOfPersonsAreReadable(t *testing.T) {
	at := func(last int, value any) pkix.RelativeDistinguishedNameSET {
		return pkix.RelativeDistinguishedNameSET{{Type: asn1.ObjectIdentifier{2, 5, 4, last}, Value: value}}
	}
	for _, c := range []struct {
		name string
		seq  pkix.RDNSequence
		want string
	}{
		{"a person", pkix.RDNSequence{at(6, "NO"), at(4, "Løvelace"), at(42, "Ada"), at(5, "UN:NO-1"), at(3, "Ada Løvelace")}, "CN=Ada Løvelace,serialNumber=UN:NO-1,GN=Ada,SN=Løvelace,C=NO"},
		{"an organisation", pkix.RDNSequence{at(6, "BE"), at(10, "Sample, Ltd"), at(97, "VATBE-1"), at(3, "Seal")}, `CN=Seal,organizationIdentifier=VATBE-1,O=Sample\, Ltd,C=BE`},
		{"marks", pkix.RDNSequence{at(3, ` #a+b"c\d<e>f;g `), at(11, "#1")}, `OU=\#1,CN=\ #a\+b\"c\\d\<e\>f\;g\ `},
		{"several in one", pkix.RDNSequence{append(at(42, "Ada"), at(4, "Lovelace")...)}, "GN=Ada+SN=Lovelace"},
		{"an attribute that nobody knows", pkix.RDNSequence{at(3, "A"), at(99, "x")}, "2.5.4.99=#130178,CN=A"},
	} {
		t.Run(c.name, func(t *testing.T) {
			der, err := asn1.Marshal(c.seq)
			if err != nil {
				t.Fatal(err)
			}
			k := adestest.New(t, adestest.Config{Adjust: func(role string, template *x509.Certificate) {
				if role == "signer" {
					template.RawSubject = der
				}
			}})
			r, err := validate.CMS(k.Forge(adestest.Forgery{SigningTime: k.Now, Content: []byte("x"), Encapsulate: true}), nil, validate.Options{Anchors: k.Anchors()})
			if err != nil || len(r.Signatures) != 1 {
				t.Fatalf("%v, %+v", err, r)
			}
			if got := r.Signatures[0].Signer; got != c.want {
				t.Errorf("signer %s, want %s", got, c.want)
			}
			for _, want := range []string{"signed by      " + c.want + "\n", "issued by      CN=Sample Issuing CA,O=Sample,C=BE\n"} {
				if !strings.Contains(text(r), want) {
					t.Errorf("%q is not in\n%s", want, text(r))
				}
			}
		})
	}
}

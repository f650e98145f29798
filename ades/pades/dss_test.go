package pades_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/ades/pdf/pdftest"
)

func TestStoreIsMergedWhateverItsShape(t *testing.T) {
	s := newSigner(t)
	for name, c := range map[string]struct {
		catalog string
		objects map[int]string
		written []int
	}{
		"none":             {"", nil, []int{1}},
		"direct":           {"/DSS << /Certs [20 0 R] /Custom 1 >>", nil, []int{1}},
		"indirect":         {"/DSS 21 0 R", map[int]string{21: "<< /Certs [20 0 R] /Custom 1 >>"}, []int{21}},
		"indirect arrays":  {"/DSS 21 0 R", map[int]string{21: "<< /Certs 22 0 R /OCSPs 23 0 R /CRLs 24 0 R /Custom 1 >>", 22: "[20 0 R]", 23: "[]", 24: "[]"}, []int{22, 23, 24}},
		"VRI there":        {"/DSS 21 0 R", map[int]string{21: "<< /Certs [20 0 R] /VRI << /ABCD << /Cert [20 0 R] >> >> /Custom 1 >>"}, []int{21}},
		"VRI indirect":     {"/DSS 21 0 R", map[int]string{21: "<< /Certs [20 0 R] /VRI 22 0 R /Custom 1 >>", 22: "<< /ABCD 23 0 R >>", 23: "<< /Cert [20 0 R] >>"}, []int{21}},
		"everything apart": {"/DSS 21 0 R", map[int]string{21: "<< /Certs 22 0 R /VRI 23 0 R >>", 22: "[20 0 R]", 23: "<< >>"}, []int{21, 22}},
	} {
		t.Run(name, func(t *testing.T) {
			d := pdftest.One()
			d.Objects[1] = "<< /Type /Catalog /Pages 2 0 R " + c.catalog + " >>"
			maps.Copy(d.Objects, c.objects)
			d.Objects[20], d.Streams[20] = "<< /Filter /FlateDecode >>", pdftest.Deflate("known certificate")
			doc := d.Bytes()
			evidence := pades.Evidence{
				Certs: [][]byte{[]byte("known certificate"), []byte("new certificate"), []byte("new certificate")},
				CRLs:  [][]byte{[]byte("a CRL")}, OCSPs: [][]byte{[]byte("an answer")},
			}
			begin := pades.Begin(int64(len(doc)), s.alg.Hash())
			patch, err := begin.AddDSS(bytes.NewReader(doc), pades.AugmentOptions{}, evidence)
			if err != nil {
				t.Fatal(err)
			}
			after := whole(t, doc, patch)
			f := open(t, after, "")
			assertWritten(t, f, c.written)
			dss, err := f.DSS()
			if err != nil {
				t.Fatal(err)
			}
			assertStore(t, dss, bytes.Contains(doc, []byte("/Custom")))
			if _, ok := dss.VRI["ABCD"]; !ok && len(c.objects) > 0 && bytes.Contains(doc, []byte("/ABCD")) {
				t.Error("an entry of VRI was lost")
			}
			again, err := patch.AddDSS(bytes.NewReader(doc), pades.AugmentOptions{}, evidence)
			if err != nil || again != patch {
				t.Errorf("the same data again made another update: %v", err)
			}
		})
	}
}

func assertStore(t *testing.T, dss *pdf.DSS, custom bool) {
	t.Helper()
	sorted := func(b [][]byte) string {
		b = slices.Clone(b)
		slices.SortFunc(b, bytes.Compare)
		return fmt.Sprintf("%q", b)
	}
	for _, c := range []struct {
		got  [][]byte
		want string
	}{
		{dss.Certs, `["known certificate" "new certificate"]`}, {dss.CRLs, `["a CRL"]`}, {dss.OCSPs, `["an answer"]`},
	} {
		if got := sorted(c.got); got != c.want {
			t.Errorf("the store holds %s, want %s", got, c.want)
		}
	}
	if custom && dss.Dict.Get("Custom") != pdf.Integer(1) {
		t.Error("an entry of the store was lost")
	}
}

func TestRenewalAddsAFreshTimestampAndNothingTwice(t *testing.T) {
	s := newSigner(t)
	doc := pdftest.One().Bytes()
	signed, prepared := s.sign(t, doc, pades.LTA, s.options())
	r := bytes.NewReader(signed)
	begin := pades.Begin(int64(len(signed)), s.alg.Hash())
	certs, crls, ocsps := s.pki.Evidence()
	same, err := begin.AddDSS(r, pades.AugmentOptions{}, pades.Evidence{Certs: certs, CRLs: crls[:0], OCSPs: ocsps[:0], Field: prepared.Field})
	if err != nil {
		t.Fatal(err)
	}
	if same != begin {
		t.Error("certificates that are there were added again")
	}
	fresh, err := begin.AddDSS(r, pades.AugmentOptions{}, pades.Evidence{CRLs: crls, OCSPs: ocsps, Field: "Timestamp1"})
	if err != nil {
		t.Fatal(err)
	}
	patch, err := fresh.Archive(t.Context(), r, s.sources().TimeStamp, pades.AugmentOptions{})
	if err != nil {
		t.Fatal(err)
	}
	renewed := whole(t, signed, patch)
	assertAppended(t, signed, renewed, "")
	found := assertVerifies(t, renewed, "", 3)
	dss, err := open(t, renewed, "").DSS()
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range found[:2] {
		if _, ok := dss.VRI[string(pades.VRIKey(x.Contents))]; !ok {
			t.Errorf("no VRI entry for %s", x.Field.Name)
		}
	}
	_, err = fresh.AddDSS(r, pades.AugmentOptions{}, pades.Evidence{Certs: certs, Field: "Nobody"})
	wantRefusal(t, err, pades.CodeField)
}

func TestVRIKeyCountsThePadding(t *testing.T) {
	// SHA-1 of "abc" and of "abc\x00".
	if got := pades.VRIKey([]byte("abc")); got != "A9993E364706816ABA3E25717850C26C9CD0D89D" {
		t.Errorf("got %s", got)
	}
	if pades.VRIKey([]byte("abc")) == pades.VRIKey([]byte("abc\x00")) {
		t.Error("the padding does not count")
	}
}

func TestValidationDataOfOneSignatureIsMergedWhateverItsShape(t *testing.T) {
	s := newSigner(t)
	signed, prepared := s.sign(t, pdftest.One().Bytes(), pades.B, s.options())
	f := open(t, signed, "")
	key := string(pades.VRIKey(assertVerifies(t, signed, "", 1)[0].Contents))
	root, err := f.Catalog()
	if err != nil {
		t.Fatal(err)
	}
	form, _ := root.Get("AcroForm").(pdf.Ref)
	catalog := fmt.Sprintf("<< /Type /Catalog /Pages 2 0 R /AcroForm %d 0 R /DSS %%s >>", form.Num)
	for name, c := range map[string]struct {
		dss     string
		objects map[int]string
		written []int
	}{
		"no VRI":          {"<< >>", nil, []int{1}},
		"no entry":        {"<< /VRI << /X << >> >> >>", nil, []int{1}},
		"direct":          {"<< /VRI << /" + key + " << /Cert [40 0 R] /TU (D:2020) >> >> >>", nil, []int{1}},
		"indirect entry":  {"<< /VRI << /" + key + " 41 0 R >> >>", map[int]string{41: "<< /Cert [40 0 R] /TU (D:2020) >>"}, []int{1, 41}},
		"indirect arrays": {"<< /VRI << /" + key + " 41 0 R >> >>", map[int]string{41: "<< /Cert 42 0 R /CRL 43 0 R /TU (D:2020) >>", 42: "[40 0 R]", 43: "[]"}, []int{1, 42, 43}},
		"all indirect":    {"44 0 R", map[int]string{44: "<< /Certs 46 0 R /CRLs [] /VRI 45 0 R >>", 45: "<< /" + key + " 41 0 R >>", 41: "<< /Cert [40 0 R] /TU (D:2020) >>", 46: "[]"}, []int{41, 44, 46}},
	} {
		t.Run(name, func(t *testing.T) {
			objects := map[int]string{1: fmt.Sprintf(catalog, c.dss), 40: "<< /Length 3 >>\nstream\nold\nendstream"}
			maps.Copy(objects, c.objects)
			doc := pdftest.Append(signed, objects, "/Root 1 0 R", 50)
			r := bytes.NewReader(doc)
			patch, err := pades.Begin(int64(len(doc)), s.alg.Hash()).AddDSS(r, pades.AugmentOptions{}, pades.Evidence{
				Certs: [][]byte{[]byte("new"), []byte("old")}, CRLs: [][]byte{[]byte("list")}, Field: prepared.Field,
			})
			if err != nil {
				t.Fatal(err)
			}
			after := whole(t, doc, patch)
			f := open(t, after, "")
			assertWritten(t, f, c.written)
			dss, err := f.DSS()
			if err != nil {
				t.Fatal(err)
			}
			v := dss.VRI[key]
			slices.SortFunc(v.Certs, bytes.Compare)
			if got := fmt.Sprintf("%q %q", v.Certs, v.CRLs); got != `["new" "old"] ["list"]` {
				t.Errorf("the entry holds %s", got)
			}
			if bytes.Contains(doc, []byte("/TU")) != (v.TU != "") {
				t.Errorf("TU = %q", v.TU)
			}
			if len(dss.Certs) != 2 || len(dss.CRLs) != 1 {
				t.Errorf("the store holds %q and %q", dss.Certs, dss.CRLs)
			}
			assertVerifies(t, after, "", 1)
		})
	}
}

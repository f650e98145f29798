package pades_test

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/internal/fault"
)

// tagged makes variants of the accessible document.
func tagged(objects map[int]string) []byte {
	d := accessible()
	maps.Copy(d.Objects, objects)
	return d.Bytes()
}

func TestVisibleSignatureIsTagged(t *testing.T) {
	s := newSigner(t)
	for name, row := range map[string]struct {
		objects map[int]string
		parent  int   // object of the element above
		key     int64 // in the parent tree
	}{
		"one document element": {nil, 8, 1},
		"kids in an array": {map[int]string{
			7: "<< /Type /StructTreeRoot /K [8 0 R] /ParentTree << /Nums [0 [9 0 R]] >> >>",
		}, 8, 1},
		"kids in an array of their own": {map[int]string{
			8: "<< /Type /StructElem /S /Document /P 7 0 R /K 20 0 R >>", 20: "[9 0 R]",
		}, 8, 1},
		"one kid": {map[int]string{
			8: "<< /Type /StructElem /S /Document /P 7 0 R /K 9 0 R >>",
		}, 8, 1},
		"no document element": {map[int]string{
			7: "<< /Type /StructTreeRoot /K 9 0 R /ParentTree 21 0 R /ParentTreeNextKey 1 >>",
			9: "<< /Type /StructElem /S /P /P 7 0 R /Pg 3 0 R /K 0 >>", 21: "<< /Nums [0 [9 0 R]] >>",
		}, 7, 1},
		"parent tree with branches": {map[int]string{
			7:  "<< /Type /StructTreeRoot /K 8 0 R /ParentTree 21 0 R /ParentTreeNextKey 3 >>",
			21: "<< /Kids [22 0 R 23 0 R] >>", 22: "<< /Limits [0 0] /Nums [0 [9 0 R]] >>", 23: "<< /Limits [5 5] /Nums 24 0 R >>", 24: "[5 9 0 R]",
		}, 8, 6},
		"no parent tree": {map[int]string{
			3: "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 144] /Resources << >> /Contents 4 0 R >>",
			7: "<< /Type /StructTreeRoot /K 8 0 R >>",
		}, 8, 0},
	} {
		t.Run(name, func(t *testing.T) {
			doc, o := tagged(row.objects), s.options()
			o.Appearance = visible(1, 10, 10, 150, 50)
			signed, p := s.sign(t, doc, pades.LTA, o)
			if len(p.Warnings) > 0 {
				t.Errorf("warnings %q", p.Warnings)
			}
			assertAppended(t, doc, signed, "")
			f := open(t, signed, "")
			field := assertVerifies(t, signed, "", 2)[0].Field
			if key, _, err := f.Int(field.Dict.Get("StructParent")); err != nil || key != row.key {
				t.Errorf("StructParent is %d, %v, want %d", key, err, row.key)
			}
			if tu, err := f.Text(field.Dict.Get("TU")); err != nil || tu != "Signed by Ada Lovelace" {
				t.Errorf("TU is %q, %v", tu, err)
			}
			assertElement(t, f, field.Ref, pdf.Ref{Num: row.parent}, row.key)
			_, page, err := f.FirstPage()
			if err != nil || page.Get("Tabs") != pdf.Name("S") {
				t.Errorf("Tabs is %v, %v", page.Get("Tabs"), err)
			}
		})
	}
}

// assertElement checks that the last kid of parent stands for the widget, and is
// under that key in the parent tree.
func assertElement(t *testing.T, f *pdf.File, widget, parent pdf.Ref, key int64) {
	t.Helper()
	above, err := f.Dict(parent)
	if err != nil {
		t.Fatal(err)
	}
	kids, err := f.Array(above.Get("K"))
	if err != nil || len(kids) == 0 {
		t.Fatalf("kids %v, %v", kids, err)
	}
	element, err := f.Dict(kids[len(kids)-1])
	if err != nil {
		t.Fatal(err)
	}
	object, err := f.Dict(element.Get("K"))
	if err != nil {
		t.Fatal(err)
	}
	if element.Get("S") != pdf.Name("Form") || element.Get("P") != pdf.Object(parent) || object.Get("Obj") != pdf.Object(widget) {
		t.Errorf("the element is %v", element)
	}
	catalog, err := f.Catalog()
	if err != nil {
		t.Fatal(err)
	}
	root, err := f.Dict(catalog.Get("StructTreeRoot"))
	if err != nil {
		t.Fatal(err)
	}
	if next, _, err := f.Int(root.Get("ParentTreeNextKey")); err != nil || next != key+1 {
		t.Errorf("the next key is %d, %v", next, err)
	}
	node, err := f.Dict(root.Get("ParentTree"))
	for err == nil && node.Has("Kids") {
		var list pdf.Array
		if list, err = f.Array(node.Get("Kids")); err == nil {
			node, err = f.Dict(list[len(list)-1])
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	nums, err := f.Array(node.Get("Nums"))
	if err != nil || len(nums) < 2 || nums[len(nums)-2] != pdf.Object(pdf.Integer(key)) || nums[len(nums)-1] != kids[len(kids)-1] {
		t.Errorf("the parent tree ends with %v, %v", nums, err)
	}
	if limits, err := f.Array(node.Get("Limits")); err != nil || limits != nil && limits[1] != pdf.Object(pdf.Integer(key)) {
		t.Errorf("limits %v, %v", limits, err)
	}
}

func TestTagsThatAreNotInOrderAreLeftAlone(t *testing.T) {
	s := newSigner(t)
	for name, root := range map[string]string{
		"direct kid in the tree": "<< /Type /StructTreeRoot /K 8 0 R /ParentTree << /Kids [<< /Nums [] >>] >> >>",
		"odd numbers":            "<< /Type /StructTreeRoot /K 8 0 R /ParentTree << /Nums [0] >> >>",
		"no number":              "<< /Type /StructTreeRoot /K 8 0 R /ParentTree << /Nums [(a) 9 0 R] >> >>",
		"circular tree":          "<< /Type /StructTreeRoot /K 8 0 R /ParentTree 21 0 R >>",
		"no dictionary":          "[]",
	} {
		t.Run(name, func(t *testing.T) {
			doc, o := tagged(map[int]string{7: root, 21: "<< /Kids [21 0 R] >>"}), s.options()
			o.Appearance = visible(1, 10, 10, 150, 50)
			signed, p := s.sign(t, doc, pades.B, o)
			if len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "tags are not in order") {
				t.Errorf("warnings %q", p.Warnings)
			}
			if bytes.Contains(signed[len(doc):], []byte("StructElem")) {
				t.Error("tags were changed")
			}
		})
	}
}

func TestTagsThatWereSignedStayAsTheyAre(t *testing.T) {
	s := newSigner(t)
	for _, claim := range []string{"<pdfuaid:part>1</pdfuaid:part>", `pdfuaid:part="2"`, ""} {
		d := accessible()
		d.Streams[6] = strings.Replace(d.Streams[6], "<pdfuaid:part>1</pdfuaid:part>", fmt.Sprintf("<!-- %s -->", claim), 1)
		once, _ := s.sign(t, d.Bytes(), pades.B, s.options())
		o := s.options()
		o.Appearance = visible(1, 10, 10, 150, 50)
		p, err := pades.Prepare(bytes.NewReader(once), int64(len(once)), o)
		if claim != "" {
			if fault.Of(err).Code != pades.CodeAppearance {
				t.Errorf("%s: %v", claim, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "signed already") || bytes.Contains(p.Bytes, []byte("StructElem")) {
			t.Errorf("warnings %q", p.Warnings)
		}
	}
}

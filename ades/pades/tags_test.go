package pades_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/ades/pdf/pdftest"
)

// accessible is a document that keeps PDF/UA-1: tagged, with title and language.
func accessible() *pdftest.Doc {
	d := pdftest.One()
	d.Objects = map[int]string{
		1: "<< /Type /Catalog /Pages 2 0 R /Lang @(en) /MarkInfo << /Marked true >> /ViewerPreferences << /DisplayDocTitle true >>" +
			" /Metadata 6 0 R /StructTreeRoot 7 0 R >>",
		2: "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		3: "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 144] /Resources << >> /Contents 4 0 R /StructParents 0 /Tabs /S >>",
		4: "<< >>",
		5: "<< /Title @(Accessible) >>",
		6: "<< /Type /Metadata /Subtype /XML >>",
		7: "<< /Type /StructTreeRoot /K 8 0 R /ParentTree << /Nums [0 [9 0 R]] >> /ParentTreeNextKey 1 >>",
		8: "<< /Type /StructElem /S /Document /P 7 0 R /K [9 0 R] >>",
		9: "<< /Type /StructElem /S /P /P 8 0 R /Pg 3 0 R /K 0 >>",
	}
	d.Streams = map[int]string{
		4: "/P << /MCID 0 >> BDC 10 10 20 20 re f EMC",
		6: `<?xpacket begin="` + "\ufeff" + `" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">` +
			`<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:pdfuaid="http://www.aiim.org/pdfua/ns/id/">` +
			`<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Accessible</rdf:li></rdf:Alt></dc:title><pdfuaid:part>1</pdfuaid:part></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>`,
	}
	return d
}

func TestTaggedDocumentsGetTheirWidgetOutsideThePage(t *testing.T) {
	s := newSigner(t)
	for box, want := range map[string]string{
		"/MediaBox [0 0 300 144]":                            "[0 0 0 0]",
		"/MediaBox [-10 -20.5 300 144]":                      "[-10 -20.5 -10 -20.5]",
		"/MediaBox [-10 -20 300 144] /CropBox [0 0 100 100]": "[0 0 0 0]",
		"/MediaBox [-10 -20 300 144] /CropBox [-5 -5 10 10]": "[-5 -5 -5 -5]",
		"/MediaBox [300 144 -10 -20]":                        "[300 144 300 144]",
		"/MediaBox [10 20 300 144]":                          "[0 0 0 0]",
		"/MediaBox (no box)":                                 "[0 0 0 0]",
		"/MediaBox [(a) 0 1 1]":                              "[0 0 0 0]",
	} {
		d := accessible()
		d.Objects[3] = strings.Replace(d.Objects[3], "/MediaBox [0 0 300 144]", box, 1)
		signed, _ := s.sign(t, d.Bytes(), pades.B, s.options())
		x := assertVerifies(t, signed, "", 1)[0].Field
		if got := fmt.Sprint(x.Dict.Get("Rect")); got != want {
			t.Errorf("%s: Rect is %s, want %s", box, got, want)
		}
	}
}

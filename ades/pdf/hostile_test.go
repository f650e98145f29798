package pdf_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/ades/pdf/pdftest"
)

// TestHostileFilesEndSoon reads files that are small and made to be slow.
func TestHostileFilesEndSoon(t *testing.T) {
	numbers := strings.Repeat("1 ", 390_000)
	many := func(format string, n int) string {
		var w strings.Builder
		for i := range n {
			fmt.Fprintf(&w, format, 1000+i)
		}
		return w.String()
	}
	unit := timeOf(t, "<< /Type /Catalog /Pages 2 0 R /X ["+numbers+"] >>")
	for name, d := range map[string]func(*pdftest.Doc){
		// Thousands of fields are one long object in one object stream.
		"fields that are one object": func(d *pdftest.Doc) {
			d.Form = pdftest.Stream
			var index strings.Builder
			d.Elsewhere = map[int][2]int{}
			for i := range 5000 {
				fmt.Fprintf(&index, "%d 0 ", 1000+i)
				d.Elsewhere[1000+i] = [2]int{9, i}
				d.Objects[1000+i] = "null"
			}
			d.Objects[9] = fmt.Sprintf("<< /Type /ObjStm /N 5000 /First %d /Filter /FlateDecode >>", index.Len())
			d.Streams[9] = pdftest.Deflate(index.String() + "<< /X [" + numbers + "] >>")
			d.Objects[1] = "<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [" + many("%d 0 R ", 5000) + "] >> >>"
		},
		"names of names": func(d *pdftest.Doc) {
			d.Objects[1] = "<< /Type /Catalog /Pages 2 0 R " + strings.Repeat("/A <<", 90) + strings.Repeat(">>", 90) + many("/K%d 1 ", 190_000) + ">>"
		},
		"a string of parentheses": func(d *pdftest.Doc) {
			d.Objects[1] = "<< /Type /Catalog /Pages 2 0 R /S (" + strings.Repeat("(", 1<<20) + strings.Repeat(")", 1<<20) + ") >>"
		},
		"bombs in the store": func(d *pdftest.Doc) {
			d.Objects[9], d.Streams[9] = "<< /Filter /FlateDecode >>", pdftest.Deflate(strings.Repeat("\x00", 31<<20))
			d.Objects[1] = "<< /Type /Catalog /Pages 2 0 R /DSS << /Certs [" + strings.Repeat("9 0 R ", 1000) + "] >> >>"
		},
		"pages without end": func(d *pdftest.Doc) {
			d.Objects[2] = "<< /Type /Pages /Count 1000000 /Kids [" + many("%d 0 R ", 20_000) + "] >>"
		},
		"a chain of references": func(d *pdftest.Doc) {
			d.Objects[1] = "<< /Type /Catalog /Pages 2 0 R /AcroForm 1000 0 R >>"
			for i := range 1000 {
				d.Objects[1000+i] = fmt.Sprintf("%d 0 R", 1001+i)
			}
		},
		"a length that is its own stream": func(d *pdftest.Doc) {
			d.Objects[1] = "<< /Type /Catalog /Pages 2 0 R /DSS << /Certs [9 0 R] >> >>"
			d.Objects[9], d.Streams[9] = "<< /Length 9 0 R /X", "x"
		},
	} {
		t.Run(name, func(t *testing.T) {
			doc := pdftest.One()
			d(doc)
			data := doc.Bytes()
			start := time.Now()
			f, err := pdf.Open(bytes.NewReader(data), int64(len(data)), pdf.Options{})
			if !refused(t, err) {
				_, _, err = f.FirstPage()
				refused(t, err)
				_, err = f.Signatures()
				refused(t, err)
				_, err = f.DSS()
				refused(t, err)
			}
			took := time.Since(start)
			t.Logf("%d bytes took %v: %v", len(data), took, err)
			// The budget is 26 of these objects: under a second on a machine that
			// does nothing else.
			if limit := 60*unit + time.Second; took > limit {
				t.Errorf("it took %v, more than %v", took, limit)
			}
		})
	}
}

// timeOf is how long this machine takes now for a document with that catalogue.
func timeOf(t *testing.T, catalog string) time.Duration {
	t.Helper()
	d := pdftest.One()
	d.Objects[1] = catalog
	data := d.Bytes()
	start := time.Now()
	mustOpen(t, data)
	return time.Since(start)
}

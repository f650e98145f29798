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
	many := func(format string, n int) string {
		var w strings.Builder
		for i := range n {
			fmt.Fprintf(&w, format, 1000+i)
		}
		return w.String()
	}
	unit := timeOf(t)
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
		// Each of 100,000 objects has a part of the cross-reference for itself.
		"a part for each object": func(d *pdftest.Doc) {
			const n = 100_000
			d.Form, d.Objects[n] = pdftest.Stream, "null"
			d.Trailer = "/Index [" + inParts(n+2, false) + "]"
			d.Objects[2] = "<< /Type /Pages /Count 1000000 /Kids [" + many("%d 0 R ", n-2000) + "] >>"
		},
		"parts in no order": func(d *pdftest.Doc) {
			d.Form, d.Objects[100_000] = pdftest.Stream, "null"
			d.Trailer = "/Index [" + inParts(100_002, true) + "]"
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

// numbers is the text of about as many values as one object may hold.
var numbers = strings.Repeat("1 ", 390_000)

// timeOf is how long this machine takes now for a document with an object of
// that length.
func timeOf(t *testing.T) time.Duration {
	t.Helper()
	d := pdftest.One()
	d.Objects[1] = "<< /Type /Catalog /Pages 2 0 R /X [" + numbers + "] >>"
	data := d.Bytes()
	start := time.Now()
	mustOpen(t, data)
	return time.Since(start)
}

// inParts is an /Index that names n objects one by one.
func inParts(n int, backwards bool) string {
	var w strings.Builder
	for i := range n {
		if backwards {
			i = n - 1 - i
		}
		fmt.Fprintf(&w, "%d 1 ", i)
	}
	return w.String()
}

// TestThousandsOfRevisionsEndSoon makes every look-up of a missing object pass
// through thousands of sections.
func TestThousandsOfRevisionsEndSoon(t *testing.T) {
	d := pdftest.One()
	var fields strings.Builder
	for i := range 150_000 {
		fmt.Fprintf(&fields, "%d 0 R ", 1000+i)
	}
	d.Objects[1] = "<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [" + fields.String() + "] >> >>"
	data := d.Bytes()
	var at int
	_, _ = fmt.Sscan(string(data[bytes.LastIndex(data, []byte("startxref"))+len("startxref"):]), &at)
	for range 4000 {
		next := len(data)
		data = fmt.Appendf(data, "xref\n0 0\ntrailer\n<< /Size 200000 /Root 1 0 R /Prev %d >>\nstartxref\n%d\n%%%%EOF\n", at, next)
		at = next
	}
	unit := timeOf(t)
	start := time.Now()
	f := mustOpen(t, data)
	_, err := f.Signatures()
	refused(t, err)
	if took := time.Since(start); took > 60*unit+time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestDictionariesOfManyKeysAreComparedSoon compares in both orders of the keys.
func TestDictionariesOfManyKeysAreComparedSoon(t *testing.T) {
	const n = 150_000
	var up, down []pdf.Entry
	for i := range n {
		up = append(up, pdf.Entry{Key: pdf.Name(fmt.Sprint("K", i)), Value: pdf.Integer(i)})
		down = append(down, pdf.Entry{Key: pdf.Name(fmt.Sprint("K", n-1-i)), Value: pdf.Integer(n - 1 - i)})
	}
	a, b := pdf.NewDict(up...), pdf.NewDict(down...)
	start := time.Now()
	if !pdf.Equal(a, b) {
		t.Error("equal dictionaries differ")
	}
	if took := time.Since(start); took > 10*time.Second { // all pairs would take twice as long on an idle core
		t.Errorf("it took %v", took)
	}
}

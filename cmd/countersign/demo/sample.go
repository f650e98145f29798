package demo

import (
	"bytes"
	"fmt"
)

// sampleLines is the page of the sample document.
var sampleLines = []string{
	"Service agreement",
	"",
	"This page was made by the demonstration so that there is something to sign.",
	"Its text has no legal meaning.",
	"",
	"1. The document stays on the machine where it lies.",
	"2. Only the digest of its bytes travels to the signing service.",
	"3. The key signs what the signer's own device approved, and nothing else.",
}

// samplePDF returns a one-page PDF 1.7 document.
func samplePDF() []byte {
	var page bytes.Buffer
	page.WriteString("BT /F1 20 Tf 72 760 Td 24 TL\n")
	for i, l := range sampleLines {
		if i == 1 {
			page.WriteString("/F1 11 Tf 18 TL\n")
		}
		fmt.Fprintf(&page, "(%s) Tj T*\n", l)
	}
	page.WriteString("ET\n")

	objects := []string{
		"<< /Type /Catalog /Pages 2 0 R >>",
		"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
		fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", page.Len(), page.String()),
		"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
	}
	var b bytes.Buffer
	b.WriteString("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	offsets := make([]int, len(objects))
	for i, o := range objects {
		offsets[i] = b.Len()
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	xref := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, o := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, xref)
	return b.Bytes()
}

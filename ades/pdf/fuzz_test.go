package pdf_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/ades/pdf/pdftest"
	"github.com/countersign/countersign/internal/fault"
)

// fuzzLimits keep one input from taking long.
var fuzzLimits = pdf.Limits{Work: 8 << 20, StreamBytes: 1 << 20, ObjectBytes: 1 << 20, Nodes: 2000}

// refused fails unless err is nil or a typed refusal: whatever the bytes are,
// the fault is the file's.
func refused(tb testing.TB, err error) bool {
	tb.Helper()
	if err == nil {
		return false
	}
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || e.Kind != fault.Invalid || e.Code == "" || e.Detail == "" {
		tb.Fatalf("not a typed refusal: %v", err)
	}
	return true
}

// explore calls everything that reads, and appends an update that must then be
// read back.
func explore(tb testing.TB, data []byte) {
	tb.Helper()
	f, err := pdf.Open(bytes.NewReader(data), int64(len(data)), pdf.Options{Limits: fuzzLimits})
	if refused(tb, err) {
		return
	}
	_, _, err = f.FirstPage()
	refused(tb, err)
	_, err = f.Fields()
	refused(tb, err)
	signatures, err := f.Signatures()
	refused(tb, err)
	for i := range signatures {
		if r, err := f.Signed(&signatures[i]); !refused(tb, err) {
			if _, err := io.Copy(io.Discard, r); err != nil {
				tb.Fatal(err)
			}
		}
	}
	_, err = f.DSS()
	refused(tb, err)
	_, _, err = f.Certification()
	refused(tb, err)
	_, err = f.UsageRights()
	refused(tb, err)
	exploreRevisions(tb, f)
	exploreUpdate(tb, f, data)
}

func exploreRevisions(tb testing.TB, f *pdf.File) {
	tb.Helper()
	revisions, err := f.Revisions()
	if refused(tb, err) {
		return
	}
	for i := 1; i < len(revisions) && i < 6; i++ {
		changes, err := f.Changes(revisions[i-1], revisions[i])
		if refused(tb, err) {
			continue
		}
		old, err := f.At(revisions[i-1])
		if refused(tb, err) {
			continue
		}
		for _, c := range changes[:min(len(changes), 50)] {
			if c.Old == nil || c.New == nil {
				continue
			}
			a, err := old.Load(*c.Old)
			if refused(tb, err) {
				continue
			}
			b, err := f.Load(*c.New)
			if refused(tb, err) {
				continue
			}
			_, err = pdf.Same(old, a, f, b)
			refused(tb, err)
		}
	}
}

func exploreUpdate(tb testing.TB, f *pdf.File, data []byte) {
	tb.Helper()
	u := f.Update()
	_, err := u.EditDict(f.Root())
	if refused(tb, err) {
		return
	}
	ref := u.Add(pdf.EncodeText("new"))
	patch, err := u.Bytes()
	if refused(tb, err) {
		return
	}
	g, err := pdf.Open(pdf.Concat(bytes.NewReader(data), int64(len(data)), patch), int64(len(data)+len(patch)), pdf.Options{})
	if err != nil {
		if e, ok := errors.AsType[*fault.Error](err); ok && e.Code == pdf.CodeLimit {
			return
		}
		tb.Fatalf("the updated file does not open: %v", err)
	}
	if s, err := g.Text(ref); err != nil || s != "new" {
		tb.Fatalf("the new object reads %q, %v", s, err)
	}
}

func FuzzOpen(f *testing.F) {
	for _, d := range forms() {
		f.Add(d.Bytes())
	}
	for _, e := range encryptions() {
		d := packed(pdftest.Stream)
		d.Encrypt = e
		f.Add(d.Bytes())
	}
	d := pdftest.One()
	d.Objects[1] = "<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [6 0 R] >> /DSS << /Certs [4 0 R] /VRI << /A << /Cert [4 0 R] >> >> >> /Perms << /DocMDP 7 0 R >> >>"
	d.Objects[6] = "<< /FT /Sig /T (S) /V 7 0 R /Lock << /Action /All >> >>"
	d.Objects[7] = "<< /Type /Sig /ByteRange [0 100 200 300] /Contents <00ff> /M (D:20200101) /Reference [<< /TransformMethod /DocMDP /TransformParams << /P 2 >> >>] >>"
	f.Add(d.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) { explore(t, data) })
}

func FuzzLexer(f *testing.F) {
	for _, s := range []string{
		"<< /A 1 /B [1 0 R (x\\)\\053) <4a4> true null -1.5 +3 .5] >>", "/#41#zz", "(\\\r\nx(y))", "<<>>", "%c\n1", "[[[[", "1 0 R", "99999999999999999999",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		// The object is read as the catalogue's /X, and written and read again.
		d := pdftest.One()
		d.Objects[1] = "<< /Type /Catalog /Pages 2 0 R /X " + s + "\n>>"
		data := d.Bytes()
		g, err := pdf.Open(bytes.NewReader(data), int64(len(data)), pdf.Options{Limits: fuzzLimits})
		if refused(t, err) {
			return
		}
		c, err := g.Catalog()
		if refused(t, err) {
			return
		}
		u := g.Update()
		u.Set(g.Root(), c)
		patch, err := u.Bytes()
		if refused(t, err) {
			return
		}
		again := mustOpen(t, append(bytes.Clone(data), patch...))
		c2, err := again.Catalog()
		if err != nil {
			t.Fatal(err)
		}
		if !pdf.Equal(c, c2) {
			t.Fatalf("%q was written as\n%s", s, patch)
		}
	})
}

func FuzzXref(f *testing.F) {
	f.Add("0 6\n0000000000 65535 f \n0000000015 00000 n \n", "/Size 6 /Root 1 0 R", false)
	f.Add("0 1\n0000000000 65535 f\n1 1\n0000000015 00000 n\n", "/Size 2 /Root 1 0 R /Prev 15", false)
	f.Add("\x00\x00\x00\x01\x00\x0f\x00", "/Size 2 /W [1 2 1] /Root 1 0 R /Index [0 2]", true)
	f.Fuzz(func(t *testing.T, rows, trailer string, stream bool) {
		var w strings.Builder
		w.WriteString("%PDF-1.7\n      1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n")
		if stream {
			w.WriteString("2 0 obj << /Type /XRef /Length ")
			w.WriteString(pdfInt(len(rows)))
			w.WriteString(trailer + " >> stream\n" + rows + "\nendstream endobj\nstartxref\n63\n%%EOF")
		} else {
			w.WriteString("xref\n" + rows + "trailer <<" + trailer + ">>\nstartxref\n63\n%%EOF")
		}
		explore(t, []byte(w.String()))
	})
}

func pdfInt(n int) string { return string(appendInt(nil, n)) + " " }

func appendInt(b []byte, n int) []byte {
	if n >= 10 {
		b = appendInt(b, n/10)
	}
	return append(b, byte('0'+n%10))
}

func FuzzObjectStream(f *testing.F) {
	f.Add("1 0 2 34 ", "<< /Type /Catalog /Pages 2 0 R >> << /Kids [3 0 R] >>", 2, 9)
	f.Add("1 0", "<<>>", 1, 3)
	f.Fuzz(func(t *testing.T, index, content string, n, first int) {
		d := pdftest.One()
		d.Form, d.Plain = pdftest.Stream, true
		d.Objects[9] = "<< /Type /ObjStm /N " + signed(n) + " /First " + signed(first) + " >>"
		d.Streams[9] = index + content
		// Objects 1 and 2 are said to be in it.
		d.Elsewhere = map[int][2]int{1: {9, 0}, 2: {9, 1}, 3: {9, 2}, 4: {4, 0}, 5: {9, 65535}}
		explore(t, d.Bytes())
	})
}

func signed(n int) string {
	if n < 0 {
		return "-1"
	}
	return pdfInt(n)
}

func FuzzFilters(f *testing.F) {
	f.Add("FlateDecode", pdftest.Deflate("hello"), 1, 1, 8, 1)
	f.Add("FlateDecode", pdftest.Deflate("\x02\x01\x02\x03\x04\x01"), 12, 4, 8, 1)
	f.Add("LZWDecode", "\x80\x0b\x60\x50\x22\x0c\x0c\x85\x01", 1, 1, 8, 1)
	f.Add("ASCIIHexDecode", "48656c6c6f>", 1, 1, 8, 1)
	f.Add("ASCII85Decode", "87cURD]i,\"Ebo80~>", 1, 1, 8, 1)
	f.Add("RunLengthDecode", "\x02abc\xfdx\x80", 1, 1, 8, 1)
	f.Add("Crypt", "x", 2, 3, 1, 3)
	f.Fuzz(func(t *testing.T, name, data string, predictor, columns, bits, colors int) {
		g := mustOpen(t, pdftest.One().Bytes())
		stm := &pdf.Stream{Data: []byte(data), Dict: pdf.NewDict(
			pdf.Entry{Key: "Filter", Value: pdf.Array{pdf.Name(name)}},
			pdf.Entry{Key: "DecodeParms", Value: pdf.NewDict(
				pdf.Entry{Key: "Predictor", Value: pdf.Integer(predictor)},
				pdf.Entry{Key: "Columns", Value: pdf.Integer(columns)},
				pdf.Entry{Key: "BitsPerComponent", Value: pdf.Integer(bits)},
				pdf.Entry{Key: "Colors", Value: pdf.Integer(colors)},
			)},
		)}
		_, err := g.Decode(stm)
		refused(t, err)
	})
}

func FuzzDecrypt(f *testing.F) {
	f.Add("0123456789abcdef0123456789abcdef", "0123456789abcdef", 4, "AESV2")
	f.Add("", "x", 5, "AESV3")
	f.Add("abc", "", 2, "V2")
	f.Fuzz(func(t *testing.T, str, stream string, version int, filter string) {
		e := &pdftest.Encryption{Version: 4, Revision: 4, Streams: "AESV2", Strings: "AESV2"}
		switch {
		case version == 5:
			e = &pdftest.Encryption{Version: 5, Revision: 6, Streams: "AESV3", Strings: "AESV3"}
		case version < 4:
			e = &pdftest.Encryption{Version: 2, Revision: 3, Bits: 128}
		}
		d := pdftest.One()
		d.Encrypt = e
		// Object 7 is not encrypted by the maker: its bytes are what comes in.
		d.Raw = map[int]bool{7: true}
		d.Objects[7] = "<< /S " + hexOf(str) + " /Filter /Crypt /DecodeParms << /Name /" + nameOf(filter) + " >> >>"
		d.Streams[7] = stream
		g, err := open(d.Bytes(), "")
		if refused(t, err) {
			return
		}
		obj, err := g.Load(pdf.Ref{Num: 7})
		if refused(t, err) {
			return
		}
		if stm, ok := obj.(*pdf.Stream); ok {
			_, err = g.Decode(stm)
			refused(t, err)
		}
	})
}

func hexOf(s string) string {
	const digits = "0123456789abcdef"
	out := "<"
	for i := range len(s) {
		out += string(digits[s[i]>>4]) + string(digits[s[i]&15])
	}
	return out + ">"
}

func nameOf(s string) string {
	out := ""
	for i := range len(s) {
		out += "#" + strings.Trim(hexOf(s[i:i+1]), "<>")
	}
	return out
}

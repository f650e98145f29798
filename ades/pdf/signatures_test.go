package pdf_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/ades/pdf/pdftest"
)

// signedDoc is a document with one signature field; ranges and contents stand
// in the dictionary as given. %d in ranges are the exact ones.
func signedDoc(ranges, contents string) []byte {
	d := pdftest.One()
	d.Objects[1] = "<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [6 0 R] /SigFlags 3 >> >>"
	d.Objects[6] = "<< /FT /Sig /T (Sig) /V 7 0 R /Subtype /Widget /Rect [0 0 0 0] /P 3 0 R >>"
	d.Objects[7] = "<< /Type /Sig /Filter /Adobe.PPKLite /SubFilter /ETSI.CAdES.detached /M (D:20260102030405+01'30') /Name (N)" +
		" /ByteRange " + strings.Repeat(" ", 60) + " /Contents " + contents + " >>"
	data := d.Bytes()
	from := bytes.Index(data, []byte("/Contents <")) + len("/Contents ")
	to := from + bytes.IndexByte(data[from:], '>') + 1
	if strings.Contains(ranges, "%") {
		ranges = fmt.Sprintf(ranges, from, to, len(data)-to)
	}
	copy(data[bytes.Index(data, []byte("/ByteRange "))+len("/ByteRange "):], ranges)
	return data
}

func listOne(t *testing.T, data []byte) (*pdf.File, pdf.Signature) {
	t.Helper()
	f := mustOpen(t, data)
	list, err := f.Signatures()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 {
		t.Fatalf("%d signatures", len(list))
	}
	return f, list[0]
}

func TestExactSignatureIsListedWithAllItSays(t *testing.T) {
	data := signedDoc("[0 %d %d %d]", "<30030201ff0000>")
	f, s := listOne(t, data)
	if !s.Exact() || !s.CoversFile || s.Revision != 1 {
		t.Errorf("problems %v, covers the file: %v, revision %d", s.Problems, s.CoversFile, s.Revision)
	}
	if got := string(data[s.HoleStart:s.HoleEnd]); got != "<30030201ff0000>" {
		t.Errorf("the string is %q", got)
	}
	want := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 5400))
	if !s.Time.Equal(want) || s.Name != "N" || s.Field.Name != "Sig" || s.Type != "Sig" || s.SubFilter != "ETSI.CAdES.detached" || s.HasCert {
		t.Errorf("read: %+v", s)
	}
	if !bytes.Equal(s.Contents, []byte("\x30\x03\x02\x01\xff\x00\x00")) {
		t.Errorf("contents = %x", s.Contents)
	}
	r, err := f.Signed(&s)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, append(bytes.Clone(data[:s.HoleStart]), data[s.HoleEnd:]...)) {
		t.Errorf("%d bytes are signed, %v", len(got), err)
	}
}

func TestWrongByteRangesAreTold(t *testing.T) {
	good := signedDoc("[0 %d %d %d]", "<30030201ff>")
	from := bytes.Index(good, []byte("/Contents <")) + len("/Contents ")
	to, end := from+12, len(good)
	r := func(a, b, c, d int) string { return fmt.Sprintf("[%d %d %d %d]", a, b, c, d) }
	for name, c := range map[string]struct {
		ranges, contents string
		want             []pdf.Problem
	}{
		"missing":             {"null", "<30030201ff>", []pdf.Problem{pdf.ProblemNoByteRange}},
		"two numbers":         {"[0 1]", "<30030201ff>", []pdf.Problem{pdf.ProblemNoByteRange}},
		"six numbers":         {"[0 1 2 3 4 5]", "<30030201ff>", []pdf.Problem{pdf.ProblemNoByteRange}},
		"no numbers":          {"[0 1 /A 3]", "<30030201ff>", []pdf.Problem{pdf.ProblemNoByteRange}},
		"start":               {r(10, from-10, to, end-to), "<30030201ff>", []pdf.Problem{pdf.ProblemStart}},
		"gap begins early":    {r(0, from-5, to, end-to), "<30030201ff>", []pdf.Problem{pdf.ProblemGap}},
		"gap ends late":       {r(0, from, to+5, end-to-5), "<30030201ff>", []pdf.Problem{pdf.ProblemGap}},
		"only the digits":     {r(0, from+1, to-1, end-to+1), "<30030201ff>", []pdf.Problem{pdf.ProblemGap}},
		"overlap":             {r(0, from, from-10, end-from), "<30030201ff>", []pdf.Problem{pdf.ProblemOverlap}},
		"reaches outside":     {r(0, from, to, end), "<30030201ff>", []pdf.Problem{pdf.ProblemOverlap}},
		"overflow":            {"[0 9223372036854775807 9223372036854775807 9]", "<30030201ff>", []pdf.Problem{pdf.ProblemOverlap}},
		"negative":            {"[0 -5 10 20]", "<30030201ff>", []pdf.Problem{pdf.ProblemOverlap}},
		"ends inside":         {r(0, from, to, end-to-20), "<30030201ff>", []pdf.Problem{pdf.ProblemEnd}},
		"zero contents":       {"[0 %d %d %d]", "<0000000000>", []pdf.Problem{pdf.ProblemZeroContents}},
		"empty contents":      {"[0 %d %d %d]", "<>", []pdf.Problem{pdf.ProblemZeroContents}},
		"without end of line": {r(0, from, to, end-to-1), "<30030201ff>", nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, s := listOne(t, signedDoc(c.ranges, c.contents))
			if diff := cmp.Diff(c.want, s.Problems); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSignatureThatOthersFollowKeepsItsRevision(t *testing.T) {
	data := signedDoc("[0 %d %d %d]", "<30030201ff>")
	later := pdftest.Append(data, map[int]string{4: "<< /Changed true >>", 20: "(new)"}, "/Root 1 0 R", 21)
	later = pdftest.Append(later, map[int]string{20: "(newer)"}, "/Root 1 0 R", 21)
	f, s := listOne(t, later)
	if !s.Exact() || s.CoversFile || s.Revision != 1 {
		t.Errorf("problems %v, covers the file: %v, revision %d", s.Problems, s.CoversFile, s.Revision)
	}
	revisions, err := f.Revisions()
	if err != nil {
		t.Fatal(err)
	}
	if len(revisions) != 3 || revisions[0].End != int64(len(data)) || revisions[1].Start != revisions[0].End || revisions[2].End != int64(len(later)) {
		t.Fatalf("revisions = %+v", revisions)
	}
	changes, err := f.Changes(revisions[0], revisions[2])
	if err != nil {
		t.Fatal(err)
	}
	want := []pdf.Change{{Num: 4, Old: &pdf.Ref{Num: 4}, New: &pdf.Ref{Num: 4}}, {Num: 20, New: &pdf.Ref{Num: 20}}}
	if diff := cmp.Diff(want, changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	for i, text := range []string{"", "new", "newer"} {
		old, err := f.At(revisions[i])
		if err != nil {
			t.Fatal(err)
		}
		if got, err := old.Text(pdf.Ref{Num: 20}); err != nil || got != text {
			t.Errorf("at revision %d object 20 is %q, %v", i+1, got, err)
		}
	}
	if _, err := f.Changes(revisions[2], revisions[0]); err == nil {
		t.Error("changes were listed backwards")
	}
}

func TestRewrittenObjectsAreToldFromChangedOnes(t *testing.T) {
	data := pdftest.One().Bytes()
	later := pdftest.Append(data, map[int]string{
		2: "<< /Count 1 /Kids [3 0 R] /MediaBox [0 0 300 144] /Type /Pages >>",
		3: "<< /Type /Page /Parent 2 0 R /Resources << /X 1 >> /Contents 4 0 R >>",
	}, "/Root 1 0 R", 6)
	f := mustOpen(t, later)
	revisions, err := f.Revisions()
	if err != nil {
		t.Fatal(err)
	}
	old, err := f.At(revisions[0])
	if err != nil {
		t.Fatal(err)
	}
	for num, want := range map[int]bool{2: true, 3: false, 4: true} {
		a, err := old.Load(pdf.Ref{Num: num})
		if err != nil {
			t.Fatal(err)
		}
		b, err := f.Load(pdf.Ref{Num: num})
		if err != nil {
			t.Fatal(err)
		}
		if same, err := pdf.Same(old, a, f, b); err != nil || same != want {
			t.Errorf("object %d is the same: %v, %v; want %v", num, same, err, want)
		}
	}
}

func TestFieldsInheritTypeFlagsValueAndName(t *testing.T) {
	d := pdftest.One()
	d.Objects[1] = "<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [6 0 R << /T (direct) >> 99 0 R] >> >>"
	d.Objects[6] = "<< /T (a) /FT /Sig /Ff 1 /Kids [7 0 R 8 0 R] >>"
	d.Objects[7] = "<< /T (b) /Kids [9 0 R 10 0 R] /Lock << /Action /Include /Fields [(x) (y.z)] /P 2 >> >>"
	d.Objects[8] = "<< /T <feff00fc> /FT /Tx /Ff 3 /V (v) >>"
	d.Objects[9] = "<< /Subtype /Widget /Rect [0 0 1 1] >>"
	d.Objects[10] = "<< /Subtype /Widget /Rect [0 0 2 2] >>"
	f := mustOpen(t, d.Bytes())
	fields, err := f.Fields()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range fields {
		got = append(got, fmt.Sprintf("%s %s %d %v %v", x.Name, x.Type, x.Flags, x.Value, x.Widgets))
	}
	want := []string{"a.b Sig 1 <nil> [{9 0} {10 0}]", "a.ü Tx 3 v []"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	lock, err := f.Lock(&fields[0])
	if err != nil || lock == nil || lock.P != 2 || !lock.Locks("y.z") || !lock.Locks("y.z.deep") || lock.Locks("y") || !lock.Locks("x") || lock.Locks("xx") {
		t.Errorf("lock = %+v, %v", lock, err)
	}
}

func TestCircularFormsAreRefused(t *testing.T) {
	for _, kids := range []string{"[6 0 R]", "[7 0 R 7 0 R]"} {
		d := pdftest.One()
		d.Objects[1] = "<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [6 0 R] >> >>"
		d.Objects[6] = "<< /T (a) /Kids " + kids + " >>"
		d.Objects[7] = "<< /Rect [0 0 0 0] >>"
		_, err := mustOpen(t, d.Bytes()).Fields()
		wantCode(t, err, pdf.CodeDamaged)
	}
}

func TestDatesAreReadInEverySpelling(t *testing.T) {
	utc := func(y, mo, d, h, mi, s int) time.Time { return time.Date(y, time.Month(mo), d, h, mi, s, 0, time.UTC) }
	for s, want := range map[string]time.Time{
		"D:2026":                  utc(2026, 1, 1, 0, 0, 0),
		"D:202602":                utc(2026, 2, 1, 0, 0, 0),
		"D:20260203":              utc(2026, 2, 3, 0, 0, 0),
		"D:20260203040506":        utc(2026, 2, 3, 4, 5, 6),
		"D:20260203040506Z":       utc(2026, 2, 3, 4, 5, 6),
		"D:20260203040506Z00'00'": utc(2026, 2, 3, 4, 5, 6),
		"D:20260203040506+01'00'": utc(2026, 2, 3, 3, 5, 6),
		"D:20260203040506+01'30":  utc(2026, 2, 3, 2, 35, 6),
		"D:20260203040506-05'00'": utc(2026, 2, 3, 9, 5, 6),
		"D:20260203040506+01":     utc(2026, 2, 3, 3, 5, 6),
	} {
		if got, ok := pdf.ParseDate(s); !ok || !got.Equal(want) {
			t.Errorf("%s is %v, %v; want %v", s, got, ok, want)
		}
	}
	for _, s := range []string{"", "2026", "D:", "D:20", "D:20261301", "D:20260230", "D:20260203040506+25'00'", "D:20260203040506?", "D:20260203040506+0x'00'"} {
		if got, ok := pdf.ParseDate(s); ok {
			t.Errorf("%q is %v", s, got)
		}
	}
	now := time.Date(2026, 2, 3, 4, 5, 6, 0, time.FixedZone("", -3600))
	if got, ok := pdf.ParseDate(pdf.FormatDate(now)); !ok || !got.Equal(now) {
		t.Errorf("%s is read as %v", pdf.FormatDate(now), got)
	}
}

func TestTextStringsAreReadAndWrittenInTheirEncodings(t *testing.T) {
	for in, want := range map[pdf.String]string{
		"plain":                         "plain",
		"\xfe\xff\x00A\xd8\x3d\xde\x00": "A😀",
		"\xff\xfeA\x00":                 "A",
		"\xef\xbb\xbf\xc3\xbc":          "ü",
		"\xfc\x80\xa0":                  "ü•€",
		"\xfe\xff\x00":                  "",
	} {
		if got := pdf.DecodeText(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
	for _, s := range []string{"", "ASCII (only)\n", "Grüße", "王小明", "😀", "\x00\x01"} {
		if got := pdf.DecodeText(pdf.EncodeText(s)); got != s {
			t.Errorf("%q comes back as %q", s, got)
		}
	}
}

func TestFiltersUndoWhatWritersDo(t *testing.T) {
	f := mustOpen(t, pdftest.One().Bytes())
	parms := func(e ...pdf.Entry) pdf.Object { return pdf.NewDict(e...) }
	for name, c := range map[string]struct {
		filter pdf.Object
		parms  pdf.Object
		in     string
		want   string
	}{
		"none":               {nil, nil, "abc", "abc"},
		"flate":              {pdf.Name("FlateDecode"), nil, pdftest.Deflate("abc"), "abc"},
		"flate of nothing":   {pdf.Name("FlateDecode"), nil, "", ""},
		"flate, no checksum": {pdf.Name("FlateDecode"), nil, strings.TrimSuffix(pdftest.Deflate("abc"), pdftest.Deflate("abc")[len(pdftest.Deflate("abc"))-4:]), "abc"},
		"hex":                {pdf.Name("ASCIIHexDecode"), nil, "61 6 2\n63>junk", "abc"},
		"hex, odd":           {pdf.Name("ASCIIHexDecode"), nil, "617>", "ap"},
		"base 85":            {pdf.Name("ASCII85Decode"), nil, "<~87cUR\nD]i,\"Ebo80~>", "Hello World!"},
		"base 85 zeros":      {pdf.Name("ASCII85Decode"), nil, "z!!~>", "\x00\x00\x00\x00\x00"},
		"run length":         {pdf.Name("RunLengthDecode"), nil, "\x02abc\xfdx\x80zz", "abcxxxx"},
		"LZW":                {pdf.Name("LZWDecode"), nil, "\x80\x0b\x60\x50\x22\x0c\x0c\x85\x01", "-----A---B"},
		"two filters":        {pdf.Array{pdf.Name("ASCIIHexDecode"), pdf.Name("FlateDecode")}, nil, fmt.Sprintf("%x>", pdftest.Deflate("abc")), "abc"},
		"TIFF predictor": {
			pdf.Name("FlateDecode"), parms(pdf.Entry{Key: "Predictor", Value: pdf.Integer(2)}, pdf.Entry{Key: "Columns", Value: pdf.Integer(3)}),
			pdftest.Deflate("\x01\x01\x01\x05\x00\x01"), "\x01\x02\x03\x05\x05\x06",
		},
		"PNG predictors": {
			pdf.Name("FlateDecode"), parms(pdf.Entry{Key: "Predictor", Value: pdf.Integer(15)}, pdf.Entry{Key: "Columns", Value: pdf.Integer(3)}),
			pdftest.Deflate("\x00\x01\x02\x03\x01\x01\x01\x01\x02\x01\x01\x01\x03\x01\x01\x01\x04\x01\x01\x01"),
			"\x01\x02\x03\x01\x02\x03\x02\x03\x04\x02\x03\x04\x03\x04\x05",
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := pdf.NewDict()
			if c.filter != nil {
				d.Set("Filter", c.filter)
			}
			if c.parms != nil {
				d.Set("DecodeParms", c.parms)
			}
			got, err := f.Decode(&pdf.Stream{Dict: d, Data: []byte(c.in)})
			if err != nil || string(got) != c.want {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
	for _, name := range []pdf.Name{"DCTDecode", "JPXDecode", "X"} {
		_, err := f.Decode(&pdf.Stream{Dict: pdf.NewDict(pdf.Entry{Key: "Filter", Value: name}), Data: []byte("x")})
		wantCode(t, err, pdf.CodeDamaged)
	}
}

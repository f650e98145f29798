package pdf_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/ades/pdf/pdftest"
)

// update appends one changed and one new object and returns the whole file.
func update(tb testing.TB, data []byte, password string) (whole []byte, fresh pdf.Ref) {
	tb.Helper()
	f, err := open(data, password)
	if err != nil {
		tb.Fatal(err)
	}
	u := f.Update()
	catalog, err := u.EditDict(f.Root())
	if err != nil {
		tb.Fatal(err)
	}
	fresh = u.Add(&pdf.Stream{Dict: pdf.NewDict(pdf.Entry{Key: "Note", Value: pdf.String("in a stream")}), Data: []byte("new data")})
	catalog.Set("New", pdf.Array{fresh, pdf.EncodeText("Grüße"), pdf.String("(\\)"), pdf.Real("1.50"), nil, true, pdf.Name("a b#")})
	patch, err := u.Bytes()
	if err != nil {
		tb.Fatal(err)
	}
	again, err := u.Bytes()
	if err != nil || !bytes.HasPrefix(again, patch[:20]) {
		tb.Fatalf("Bytes twice: %v", err)
	}
	return append(bytes.Clone(data), patch...), fresh
}

func assertUpdated(tb testing.TB, whole []byte, fresh pdf.Ref, password string) *pdf.File {
	tb.Helper()
	f, err := open(whole, password)
	if err != nil {
		tb.Fatalf("open the updated file: %v", err)
	}
	catalog, err := f.Catalog()
	if err != nil {
		tb.Fatal(err)
	}
	want := pdf.Array{fresh, pdf.EncodeText("Grüße"), pdf.String("(\\)"), pdf.Real("1.50"), nil, true, pdf.Name("a b#")}
	if got := catalog.Get("New"); !pdf.Equal(got, want) {
		tb.Errorf("catalogue has %v, want %v", got, want)
	}
	obj, err := f.Load(fresh)
	if err != nil {
		tb.Fatal(err)
	}
	stm, ok := obj.(*pdf.Stream)
	if !ok {
		tb.Fatalf("new object is %T", obj)
	}
	if got, err := f.Decode(stm); err != nil || string(got) != "new data" {
		tb.Errorf("new stream = %q, %v", got, err)
	}
	if got := stm.Dict.Get("Note"); got != pdf.String("in a stream") {
		tb.Errorf("string in the new stream = %v", got)
	}
	if _, _, err := f.FirstPage(); err != nil {
		tb.Errorf("page: %v", err)
	}
	return f
}

func TestUpdateKeepsTheOriginalAndItsForm(t *testing.T) {
	for name, d := range forms() {
		if name == "generations" {
			continue // see TestUpdateKeepsGenerationNumbers
		}
		t.Run(name, func(t *testing.T) {
			data := d.Bytes()
			whole, fresh := update(t, data, "")
			assertUpdated(t, whole, fresh, "")
			again, fresh := update(t, whole, "")
			f := assertUpdated(t, again, fresh, "")
			if !bytes.HasPrefix(again, data) {
				t.Fatal("the original is no prefix")
			}
			assertTrailers(t, data, f)
			junk := int64(len(d.Junk))
			if d.CountJunk {
				junk = 0
			}
			assertSection(t, again[len(whole):], int64(len(whole)), junk, d.Form == pdftest.Stream)
		})
	}
}

// assertTrailers compares the trailer with the original's.
func assertTrailers(t *testing.T, data []byte, f *pdf.File) {
	t.Helper()
	before, after := mustOpen(t, data).Trailer(), f.Trailer()
	for _, key := range []pdf.Name{"Root", "Info", "Encrypt"} {
		if !pdf.Equal(before.Get(key), after.Get(key)) {
			t.Errorf("/%s was %v and is %v", key, before.Get(key), after.Get(key))
		}
	}
	oldID, _ := before.Get("ID").(pdf.Array)
	newID, _ := after.Get("ID").(pdf.Array)
	if len(newID) != 2 || (len(oldID) == 2 && (newID[0] != oldID[0] || newID[1] == oldID[1])) {
		t.Errorf("ID was %v and is %v", oldID, newID)
	}
	oldSize, _ := before.Get("Size").(pdf.Integer)
	newSize, _ := after.Get("Size").(pdf.Integer)
	if newSize <= oldSize {
		t.Errorf("Size was %d and is %d", oldSize, newSize)
	}
	for _, key := range []pdf.Name{"XRefStm", "DecodeParms", "Filter"} {
		if after.Has(key) {
			t.Errorf("/%s was carried over", key)
		}
	}
}

// assertSection reads the new section without the package: every entry points
// at its object, and a stream lists itself.
func assertSection(t *testing.T, patch []byte, start, junk int64, stream bool) {
	t.Helper()
	m := regexp.MustCompile(`(?s)startxref\n(\d+)\n%%EOF\n$`).FindSubmatch(patch)
	if m == nil {
		t.Fatalf("the update ends with %q", patch[max(0, len(patch)-40):])
	}
	at, _ := strconv.ParseInt(string(m[1]), 10, 64)
	section := patch[at+junk-start:]
	offsets := map[int]int64{}
	if stream {
		readStreamRows(t, section, offsets)
	} else {
		readTableRows(t, section, offsets)
	}
	if len(offsets) < 2 {
		t.Fatalf("the section lists %v", offsets)
	}
	for n, off := range offsets {
		if want := fmt.Sprintf("%d 0 obj\n", n); !bytes.HasPrefix(patch[off+junk-start:], []byte(want)) {
			t.Errorf("object %d is not at %d", n, off)
		}
	}
	if found := len(regexp.MustCompile(`(?m)^\d+ \d+ obj$`).FindAll(patch, -1)); found != len(offsets) {
		t.Errorf("%d objects were written and %d listed", found, len(offsets))
	}
}

func readTableRows(t *testing.T, section []byte, offsets map[int]int64) {
	t.Helper()
	lines := strings.SplitAfter(string(section), "\n")
	if lines[0] != "xref\n" {
		t.Fatalf("the section begins with %q", lines[0])
	}
	for i := 1; !strings.HasPrefix(lines[i], "trailer"); {
		var first, count int
		if _, err := fmt.Sscanf(lines[i], "%d %d\n", &first, &count); err != nil {
			t.Fatalf("subsection %q", lines[i])
		}
		for k := range count {
			line := lines[i+1+k]
			if !regexp.MustCompile(`^\d{10} \d{5} n \n$`).MatchString(line) {
				t.Fatalf("entry %q", line)
			}
			offsets[first+k], _ = strconv.ParseInt(line[:10], 10, 64)
		}
		i += 1 + count
	}
}

func readStreamRows(t *testing.T, section []byte, offsets map[int]int64) {
	t.Helper()
	field := func(key string) []int {
		m := regexp.MustCompile(`/` + key + ` \[([\d\s]+)\]`).FindSubmatch(section)
		var out []int
		for s := range strings.FieldsSeq(string(m[1])) {
			n, _ := strconv.Atoi(s)
			out = append(out, n)
		}
		return out
	}
	w, index := field("W"), field("Index")
	_, data, _ := bytes.Cut(section, []byte("stream\n"))
	for i := 0; i < len(index); i += 2 {
		for k := range index[i+1] {
			off := int64(0)
			for _, c := range data[1 : 1+w[1]] {
				off = off<<8 | int64(c)
			}
			if data[0] != 1 {
				t.Errorf("entry of kind %d", data[0])
			}
			offsets[index[i]+k] = off
			data = data[w[0]+w[1]+w[2]:]
		}
	}
	var self int
	_, _ = fmt.Sscanf(string(section), "%d 0 obj", &self)
	if _, ok := offsets[self]; !ok {
		t.Errorf("the stream %d does not list itself", self)
	}
}

func TestUpdateKeepsGenerationNumbers(t *testing.T) {
	d := pdftest.One()
	d.Generations = map[int]int{1: 7}
	data := bytes.Replace(d.Bytes(), []byte("/Root 1 0 R"), []byte("/Root 1 7 R"), 1)
	whole, fresh := update(t, data, "")
	f := assertUpdated(t, whole, fresh, "")
	if f.Root() != (pdf.Ref{Num: 1, Gen: 7}) || !bytes.Contains(whole[len(data):], []byte("\n1 7 obj\n")) && !bytes.HasPrefix(whole[len(data):], []byte("1 7 obj\n")) {
		t.Errorf("the catalogue was not written as 1 7 obj")
	}
}

func TestNewNumbersAreAboveAllUsedOnesEvenIfSizeLies(t *testing.T) {
	data := bytes.Replace(pdftest.One().Bytes(), []byte("/Size 6"), []byte("/Size 2"), 1)
	if ref := mustOpen(t, data).Update().New(); ref.Num != 6 {
		t.Errorf("new object is %v, want 6 0", ref)
	}
	data = bytes.Replace(pdftest.One().Bytes(), []byte("/Size 6 "), []byte("/Size 60"), 1)
	if ref := mustOpen(t, data).Update().New(); ref.Num != 60 {
		t.Errorf("new object is %v, want 60 0", ref)
	}
}

func TestEncryptedFilesAreUpdatedWithTheirCipher(t *testing.T) {
	for name, e := range encryptions() {
		for _, d := range []*pdftest.Doc{pdftest.One(), packed(pdftest.Stream), packed(pdftest.Hybrid)} {
			t.Run(fmt.Sprintf("%s/form %d", name, d.Form), func(t *testing.T) {
				e := *e
				e.User, e.Owner, e.Permissions = "u", "o", -4
				d.Encrypt = &e
				data := d.Bytes()
				whole, fresh := update(t, data, "u")
				assertUpdated(t, whole, fresh, "u")
				assertUpdated(t, whole, fresh, "o")
				clear := e.Strings == "Identity"
				if bytes.Contains(whole[len(data):], []byte("in a stream")) != clear {
					t.Errorf("the string is clear: %v, want %v", !clear, clear)
				}
				if bytes.Contains(whole[len(data):], []byte("new data")) != (e.Streams == "Identity") {
					t.Error("the stream is clear where it should not be, or the other way round")
				}
				twice, _ := update(t, data, "u")
				if !bytes.Equal(whole, twice) {
					t.Error("the same update twice has other bytes")
				}
			})
		}
	}
}

// long is a document that claims to be very long: zeros, then a small tail.
type long struct {
	head, tail []byte
	size       int64
}

func (l long) ReadAt(p []byte, off int64) (int, error) {
	if off >= l.size {
		return 0, io.EOF
	}
	n := copy(p, make([]byte, min(int64(len(p)), l.size-off)))
	if off < int64(len(l.head)) {
		copy(p, l.head[off:])
	}
	if start := l.size - int64(len(l.tail)); off+int64(n) > start {
		if off >= start {
			copy(p[:n], l.tail[off-start:])
		} else {
			copy(p[start-off:n], l.tail)
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func TestFilesBeyondFourGigabytesAreExtended(t *testing.T) {
	for _, c := range []struct {
		name string
		form pdftest.Form
		size int64
		code string
	}{
		{"table of 5 GB", pdftest.Table, 5_000_000_000, ""},
		{"stream of 5 GB", pdftest.Stream, 5_000_000_000, ""},
		{"table of 9.9 GB", pdftest.Table, 9_999_999_000, pdf.CodeTooLong},
		{"table of 20 GB", pdftest.Table, 20_000_000_000, pdf.CodeTooLong},
		{"stream of 2 TB", pdftest.Stream, 2_000_000_000_000, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := pdftest.One()
			d.Form = c.form
			head := d.Bytes()
			tail := head[bytes.LastIndex(head, []byte("startxref")):]
			doc := long{head, tail, c.size}
			f, err := pdf.Open(doc, doc.size, pdf.Options{})
			if err != nil {
				t.Fatal(err)
			}
			u := f.Update()
			if _, err := u.EditDict(f.Root()); err != nil {
				t.Fatal(err)
			}
			ref := u.Add(pdf.String(strings.Repeat("x", 2000)))
			patch, err := u.Bytes()
			if c.code != "" {
				wantCode(t, err, c.code)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			g, err := pdf.Open(pdf.Concat(doc, doc.size, patch), doc.size+int64(len(patch)), pdf.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if obj, err := g.Load(ref); err != nil || obj == nil {
				t.Errorf("new object = %v, %v", obj, err)
			}
		})
	}
}

func TestConcatReadsAsOne(t *testing.T) {
	a, b := []byte("first part, "), []byte("second part")
	r := pdf.Concat(bytes.NewReader(a), int64(len(a)), b)
	all := append(bytes.Clone(a), b...)
	if err := iotest.TestReader(io.NewSectionReader(r, 0, int64(len(all))), all); err != nil {
		t.Error(err)
	}
	if _, err := r.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("a negative offset was read")
	}
}

func TestReservedTextIsWrittenAsItIsAndFound(t *testing.T) {
	d := packed(pdftest.Stream)
	d.Encrypt = &pdftest.Encryption{Version: 4, Revision: 4, Streams: "AESV2", Strings: "AESV2"}
	data := d.Bytes()
	f := mustOpen(t, data)
	u := f.Update()
	hole := &pdf.Reserved{Text: []byte("<00000000>")}
	ref := u.Add(pdf.NewDict(
		pdf.Entry{Key: "Type", Value: pdf.Name("Sig")},
		pdf.Entry{Key: "Contents", Value: hole},
		pdf.Entry{Key: "Name", Value: pdf.String("secret")},
	))
	patch, err := u.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	whole := append(bytes.Clone(data), patch...)
	if got := whole[hole.Offset : hole.Offset+int64(len(hole.Text))]; string(got) != "<00000000>" {
		t.Errorf("at the offset stands %q", got)
	}
	sig, err := mustOpen(t, whole).Dict(ref)
	if err != nil {
		t.Fatal(err)
	}
	if got := sig.Get("Contents"); got != pdf.String("\x00\x00\x00\x00") {
		t.Errorf("Contents reads %q", got)
	}
	if got := sig.Get("Name"); got != pdf.String("secret") || bytes.Contains(patch, []byte("secret")) {
		t.Errorf("Name reads %q", got)
	}
}

func TestQpdfAcceptsEveryUpdatedForm(t *testing.T) {
	if _, err := exec.LookPath("qpdf"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("qpdf is not installed")
		}
		t.Skip("SKIPPED: install qpdf to check the structure with it")
	}
	dir := t.TempDir()
	check := func(name string, data []byte, args ...string) {
		t.Helper()
		path := filepath.Join(dir, strings.NewReplacer("/", "_", " ", "_").Replace(name)+".pdf")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), "qpdf", append(args, "--check", path)...).CombinedOutput()
		if err != nil || bytes.Contains(out, []byte("WARNING")) {
			t.Errorf("qpdf on %s: %v\n%s", name, err, out)
		}
	}
	for name, d := range forms() {
		if strings.Contains(name, "junk") || name == "generations" || name == "table with CR" || name == "no identifier" {
			continue // qpdf warns of the original already
		}
		whole, _ := update(t, d.Bytes(), "")
		check(name, whole)
	}
	for name, e := range encryptions() {
		e := *e
		e.User, e.Owner, e.Permissions = "u", "o", -4
		d := packed(pdftest.Stream)
		d.Encrypt = &e
		whole, _ := update(t, d.Bytes(), "u")
		check(name, whole, "--password=u")
	}
}

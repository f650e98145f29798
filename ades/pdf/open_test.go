package pdf_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/ades/pdf/pdftest"
	"github.com/countersign/countersign/internal/fault"
)

func open(data []byte, password string) (*pdf.File, error) {
	return pdf.Open(bytes.NewReader(data), int64(len(data)), pdf.Options{
		Password: func() ([]byte, error) { return []byte(password), nil },
	})
}

func mustOpen(tb testing.TB, data []byte) *pdf.File {
	tb.Helper()
	f, err := open(data, "")
	if err != nil {
		tb.Fatalf("open: %v\n%s", err, clip(data))
	}
	return f
}

func clip(b []byte) []byte { return b[:min(len(b), 2000)] }

// wantCode checks that err is a refusal with that code.
func wantCode(tb testing.TB, err error, code string) {
	tb.Helper()
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || e.Kind != fault.Invalid || e.Code != code {
		tb.Fatalf("got %v, want a refusal with code %s", err, code)
	}
}

// packed is One with catalogue, page tree and page in an object stream.
func packed(form pdftest.Form) *pdftest.Doc {
	d := pdftest.One()
	d.Form, d.Packed = form, []int{1, 2, 3, 5}
	return d
}

// forms are files of every form that hold the same document.
func forms() map[string]*pdftest.Doc {
	out := map[string]*pdftest.Doc{"table": pdftest.One()}
	add := func(name string, d *pdftest.Doc, change func(*pdftest.Doc)) {
		change(d)
		out[name] = d
	}
	add("table with CRLF", pdftest.One(), func(d *pdftest.Doc) { d.EOL = "\r\n" })
	add("table with CR", pdftest.One(), func(d *pdftest.Doc) { d.EOL = "\r" })
	add("stream", pdftest.One(), func(d *pdftest.Doc) { d.Form = pdftest.Stream })
	add("plain stream", pdftest.One(), func(d *pdftest.Doc) { d.Form, d.Plain = pdftest.Stream, true })
	add("object stream", packed(pdftest.Stream), func(*pdftest.Doc) {})
	add("plain object stream", packed(pdftest.Stream), func(d *pdftest.Doc) { d.Plain = true })
	add("hybrid", packed(pdftest.Hybrid), func(*pdftest.Doc) {})
	add("junk before the header", pdftest.One(), func(d *pdftest.Doc) { d.Junk = "HTTP/1.1 200 OK\r\n\r\n" })
	add("junk before a stream file", packed(pdftest.Stream), func(d *pdftest.Doc) { d.Junk = strings.Repeat("x", 700) })
	add("junk that is counted", pdftest.One(), func(d *pdftest.Doc) { d.Junk, d.CountJunk = "mail header\n\n", true })
	add("counted junk before a stream file", packed(pdftest.Stream), func(d *pdftest.Doc) { d.Junk, d.CountJunk = "mail header\n\n", true })
	add("junk at the end", pdftest.One(), func(d *pdftest.Doc) { d.Tail = strings.Repeat("\x00", 5000) + "the end" })
	add("no final end of line", pdftest.One(), func(d *pdftest.Doc) { d.Tail = "%" })
	add("no identifier", pdftest.One(), func(d *pdftest.Doc) { d.NoID = true })
	add("generations", pdftest.One(), func(d *pdftest.Doc) {
		d.Generations = map[int]int{1: 3, 3: 65535}
		d.Objects[2] = "<< /Type /Pages /Kids [3 65535 R] /Count 1 >>"
		d.Trailer = "/Root 1 3 R"
		d.Root = 1
	})
	add("hash in names", pdftest.One(), func(d *pdftest.Doc) {
		d.Objects[1] = "<</#54ype/Cat#61log/Pages 2 0 R/A#20B(x)>>"
	})
	return out
}

func TestEveryFormOpensAndIsTheSameDocument(t *testing.T) {
	for name, d := range forms() {
		t.Run(name, func(t *testing.T) {
			data := d.Bytes()
			if name == "generations" { // the last /Root counts
				data = bytes.Replace(data, []byte("/Root 1 0 R"), []byte("           "), 1)
			}
			f := mustOpen(t, data)
			ref, page, err := f.FirstPage()
			if err != nil {
				t.Fatal(err)
			}
			if ref.Num != 3 || page.Get("Type") != pdf.Name("Page") {
				t.Errorf("first page is %v %v", ref, page.Entries())
			}
			info, err := f.Dict(f.Trailer().Get("Info"))
			if err != nil {
				t.Fatal(err)
			}
			if title, err := f.Text(info.Get("Title")); err != nil || title != "A title (with) brackets" {
				t.Errorf("title = %q, %v", title, err)
			}
			content, err := f.Load(pdf.Ref{Num: 4})
			if err != nil {
				t.Fatal(err)
			}
			stm, ok := content.(*pdf.Stream)
			if !ok {
				t.Fatalf("page content is %T", content)
			}
			if got, err := f.Decode(stm); err != nil || string(got) != "BT ET" {
				t.Errorf("page content = %q, %v", got, err)
			}
		})
	}
}

func TestLinearisedOrderIsOneRevision(t *testing.T) {
	// The first page's section comes first in the file and is the newest.
	var w bytes.Buffer
	off := map[int]int{}
	obj := func(n int, body string) {
		off[n] = w.Len()
		fmt.Fprintf(&w, "%d 0 obj\n%s\nendobj\n", n, body)
	}
	w.WriteString("%PDF-1.4\n")
	obj(4, "<< /Linearized 1 /L 0000 /H [0 0] /O 3 /E 0 /N 1 /T 0 >>")
	first := w.Len()
	section := "xref\n3 2\n%010d 00000 n \n%010d 00000 n \ntrailer\n<< /Size 5 /Root 1 0 R /Prev %10d >>\nstartxref\n0\n%%%%EOF\n"
	fmt.Fprintf(&w, section, 0, 0, 0)
	obj(3, "<< /Type /Page /Parent 2 0 R >>")
	obj(1, "<< /Type /Catalog /Pages 2 0 R >>")
	obj(2, "<< /Type /Pages /Kids [3 0 R] /Count 1 >>")
	main := w.Len()
	fmt.Fprintf(&w, "xref\n0 3\n0000000000 65535 f \n%010d 00000 n \n%010d 00000 n \ntrailer\n<< /Size 3 >>\nstartxref\n%d\n%%%%EOF\n", off[1], off[2], first)
	data := w.Bytes()
	copy(data[first:], fmt.Sprintf(section, off[3], off[4], main))

	f := mustOpen(t, data)
	if _, _, err := f.FirstPage(); err != nil {
		t.Fatal(err)
	}
	revisions, err := f.Revisions()
	if err != nil {
		t.Fatal(err)
	}
	if len(revisions) != 1 || revisions[0].End != int64(len(data)) {
		t.Errorf("revisions = %+v, want one that ends at %d", revisions, len(data))
	}
	u := f.Update()
	u.Add(pdf.Integer(7))
	patch, err := u.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	f = mustOpen(t, append(data, patch...))
	if revisions, err = f.Revisions(); err != nil || len(revisions) != 2 {
		t.Errorf("after an update: revisions = %+v, %v", revisions, err)
	}
}

func encryptions() map[string]*pdftest.Encryption {
	return map[string]*pdftest.Encryption{
		"RC4 40":                {Version: 1, Revision: 2},
		"RC4 40 revision 3":     {Version: 2, Revision: 3, Bits: 40},
		"RC4 56":                {Version: 2, Revision: 3, Bits: 56},
		"RC4 128":               {Version: 2, Revision: 3, Bits: 128},
		"V4 RC4":                {Version: 4, Revision: 4, Streams: "V2", Strings: "V2"},
		"AES 128":               {Version: 4, Revision: 4, Streams: "AESV2", Strings: "AESV2"},
		"V4 clear metadata":     {Version: 4, Revision: 4, Streams: "AESV2", Strings: "AESV2", ClearMetadata: true},
		"V4 clear strings":      {Version: 4, Revision: 4, Streams: "AESV2", Strings: "Identity"},
		"V4 clear streams":      {Version: 4, Revision: 4, Streams: "Identity", Strings: "V2"},
		"AES 256 R5":            {Version: 5, Revision: 5, Streams: "AESV3", Strings: "AESV3"},
		"AES 256 R6":            {Version: 5, Revision: 6, Streams: "AESV3", Strings: "AESV3"},
		"AES 256 clear strings": {Version: 5, Revision: 6, Streams: "AESV3", Strings: "Identity"},
		"V4 two ciphers":        {Version: 4, Revision: 4, Streams: "V2", Strings: "AESV2"},
	}
}

func TestEncryptedFilesOpenWithEitherPasswordAndKeepTheirText(t *testing.T) {
	passwords := []struct {
		name, user, owner, give string
		isOwner                 bool
	}{
		{"empty user password", "", "own", "", false},
		{"user password", "usér", "own", "usér", false},
		{"owner password", "user", "öwn", "öwn", true},
	}
	for name, e := range encryptions() {
		for _, p := range passwords {
			for _, d := range []*pdftest.Doc{pdftest.One(), packed(pdftest.Stream)} {
				t.Run(fmt.Sprintf("%s/%s/%d packed", name, p.name, len(d.Packed)), func(t *testing.T) {
					e := *e
					e.Permissions = -4
					e.User, e.Owner = p.user, p.owner
					if e.Version < 5 { // these passwords are not UTF-8 in old files
						e.User, e.Owner = latin(e.User), latin(e.Owner)
					}
					d.Encrypt = &e
					d.Objects[6] = "<< /Type /Metadata /Subtype /XML >>"
					d.Streams[6] = "<x:xmpmeta/>"
					f, err := open(d.Bytes(), p.give)
					if err != nil {
						t.Fatal(err)
					}
					assertText(t, f)
					if got := f.Permissions(); !got.Encrypted || got.Owner != p.isOwner {
						t.Errorf("permissions = %+v", got)
					}
				})
			}
		}
	}
}

func latin(s string) string {
	var b []byte
	for _, r := range s {
		b = append(b, byte(r))
	}
	return string(b)
}

func assertText(t *testing.T, f *pdf.File) {
	t.Helper()
	info, err := f.Dict(pdf.Ref{Num: 5})
	if err != nil {
		t.Fatal(err)
	}
	if title, err := f.Text(info.Get("Title")); err != nil || title != "A title (with) brackets" {
		t.Errorf("title = %q, %v", title, err)
	}
	for n, want := range map[int]string{4: "BT ET", 6: "<x:xmpmeta/>"} {
		obj, err := f.Load(pdf.Ref{Num: n})
		if err != nil {
			t.Fatal(err)
		}
		stm, ok := obj.(*pdf.Stream)
		if !ok {
			t.Fatalf("object %d is %T", n, obj)
		}
		if got, err := f.Decode(stm); err != nil || string(got) != want {
			t.Errorf("stream %d = %q, %v", n, got, err)
		}
	}
}

func TestEncryptionThatDoesNotOpenIsRefused(t *testing.T) {
	one := func(e pdftest.Encryption) []byte {
		d := pdftest.One()
		d.Encrypt = &e
		return d.Bytes()
	}
	aes := pdftest.Encryption{Version: 5, Revision: 6, Streams: "AESV3", Strings: "AESV3", User: "u", Owner: "o"}
	garbled := aes
	garbled.Garble, garbled.User = true, ""
	replace := func(old, new string) []byte {
		return bytes.Replace(one(aes), []byte(old), []byte(new), 1)
	}
	for name, c := range map[string]struct {
		data []byte
		code string
	}{
		"wrong password":        {one(aes), pdf.CodePassword},
		"permissions changed":   {one(garbled), pdf.CodeDamaged},
		"public key":            {replace("/Filter /Standard", "/Filter /Adobe.PubSec"), pdf.CodeEncryption},
		"unknown handler":       {replace("/Filter /Standard", "/Filter /Whatever"), pdf.CodeEncryption},
		"unknown version":       {replace("/V 5", "/V 6"), pdf.CodeEncryption},
		"unknown cipher":        {replace("/CFM /AESV3", "/CFM /AESV4"), pdf.CodeEncryption},
		"plug-in cipher":        {replace("/CFM /AESV3", "/CFM /None "), pdf.CodeEncryption},
		"missing filter":        {replace("/StmF /StdCF", "/StmF /Nowhere "), pdf.CodeDamaged},
		"short verifier":        {replace("/O <", "/O <aa> /XX <"), pdf.CodeDamaged},
		"encryption dictionary": {bytes.Replace(one(aes), []byte("/Encrypt 6"), []byte("/Encrypt 9"), 1), pdf.CodeDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := open(c.data, "no")
			wantCode(t, err, c.code)
		})
	}
}

func TestFailingPasswordPromptIsPassedOn(t *testing.T) {
	d := pdftest.One()
	d.Encrypt = &pdftest.Encryption{Version: 2, Revision: 3, Bits: 128, User: "u", Owner: "o"}
	data := d.Bytes()
	_, err := pdf.Open(bytes.NewReader(data), int64(len(data)), pdf.Options{Password: func() ([]byte, error) { return nil, io.ErrClosedPipe }})
	if !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
	_, err = pdf.Open(bytes.NewReader(data), int64(len(data)), pdf.Options{})
	wantCode(t, err, pdf.CodePassword)
}

func TestPermissionsAreReadAsTheRevisionMeansThem(t *testing.T) {
	for _, c := range []struct {
		revision  int
		p         int32
		sign, add bool
	}{
		{2, -1 &^ 32, false, false},
		{2, -1, true, true},
		{2, -1 &^ 8, true, false},
		{3, -1 &^ 32, true, false},
		{3, -1 &^ (32 | 256), false, false},
		{3, -1 &^ 8, true, false},
		{3, 0, false, false},
	} {
		d := pdftest.One()
		d.Encrypt = &pdftest.Encryption{Version: c.revision - 1, Revision: c.revision, Bits: 40, Permissions: c.p, Owner: "o"}
		got := mustOpen(t, d.Bytes()).Permissions()
		if got.SignField != c.sign || got.AddField != c.add {
			t.Errorf("revision %d, P %d: %+v", c.revision, c.p, got)
		}
	}
}

func TestDamageIsRefusedWithAReason(t *testing.T) {
	table := string(pdftest.One().Bytes())
	strm := func(change func(*pdftest.Doc)) string {
		d := packed(pdftest.Stream)
		d.Plain = true
		change(d)
		return string(d.Bytes())
	}
	plain := strm(func(*pdftest.Doc) {})
	replace := func(s, old, new string) string {
		if !strings.Contains(s, old) {
			t.Fatalf("%q is not in the file", old)
		}
		return strings.Replace(s, old, new, 1)
	}
	self := table[strings.LastIndex(table, "startxref\n")+10:]
	self = self[:strings.Index(self, "\n")]
	for name, c := range map[string]struct{ data, code string }{
		"not a PDF":              {"hello", pdf.CodeNotPDF},
		"empty":                  {"", pdf.CodeNotPDF},
		"header only":            {"%PDF-1.7\n", pdf.CodeDamaged},
		"no startxref":           {replace(table, "startxref", "startxrxf"), pdf.CodeDamaged},
		"startxref far off":      {replace(table, "startxref\n", "startxref\n1"), pdf.CodeDamaged},
		"startxref of a page":    {replace(table, "startxref\n"+self, "startxref\n15 "), pdf.CodeDamaged},
		"no root":                {replace(table, "/Root 1 0 R", "/Roof 1 0 R"), pdf.CodeDamaged},
		"root is missing":        {replace(table, "/Root 1 0 R", "/Root 9 0 R"), pdf.CodeDamaged},
		"root of other gen":      {replace(table, "/Root 1 0 R", "/Root 1 1 R"), pdf.CodeDamaged},
		"prev points nowhere":    {replace(table, "/Root 1", "/Prev 99999999 /Root 1"), pdf.CodeDamaged},
		"prev points at itself":  {replace(table, "/Root 1", "/Prev "+self+" /Root 1"), pdf.CodeDamaged},
		"prev is no number":      {replace(table, "/Root 1", "/Prev (x) /Root 1"), pdf.CodeDamaged},
		"xrefstm points nowhere": {replace(table, "/Root 1", "/XRefStm 12 /Root 1"), pdf.CodeDamaged},
		"entry malformed":        {replace(table, "00000 n \n", "0000x n \n"), pdf.CodeDamaged},
		"wrong offset":           {replace(table, "0000000015 00000 n", "0000000016 00000 n"), pdf.CodeDamaged},
		"subsection huge":        {replace(table, "xref\n0 6", "xref\n0 99999999"), pdf.CodeLimit},
		"subsection overflows":   {replace(table, "xref\n0 6", "xref\n0 99999999999999999999"), pdf.CodeDamaged},
		"trailer no dictionary":  {replace(table, "trailer\n<<", "trailer\n[]"), pdf.CodeDamaged},
		"widths huge":            {replace(plain, "/W [1 4 2]", "/W [1 4 999]"), pdf.CodeDamaged},
		"widths zero":            {replace(plain, "/W [1 4 2]", "/W [0 0 0]"), pdf.CodeDamaged},
		"widths short":           {replace(plain, "/W [1 4 2]", "/W [1 4 ] "), pdf.CodeDamaged},
		"index huge":             {replace(plain, "/Index [0 8]", "/Index [99999999 8]"), pdf.CodeLimit},
		"index negative":         {replace(plain, "/Index [0 8]", "/Index [-1 8]"), pdf.CodeDamaged},
		"stream length wrong":    {replace(plain, "/Length 56", "/Length 50"), pdf.CodeDamaged},
		"object stream index":    {replace(plain, "/N 4", "/N 0"), pdf.CodeDamaged},
		"object stream first":    {replace(plain, "/First ", "/First 9999 /X "), pdf.CodeDamaged},
		"deep nesting":           {replace(table, "/Type /Catalog", "/X "+strings.Repeat("[", 5000)), pdf.CodeDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := open([]byte(c.data), "")
			wantCode(t, err, c.code)
		})
	}
}

func TestBrokenPageTreesAreRefused(t *testing.T) {
	for name, objects := range map[string]map[int]string{
		"circular":      {2: "<< /Type /Pages /Kids [3 0 R 2 0 R] /Count 9 >>"},
		"shared page":   {2: "<< /Type /Pages /Kids [3 0 R 3 0 R] /Count 9 >>"},
		"circle below":  {2: "<< /Type /Pages /Kids [6 0 R] /Count 1 >>", 6: "<< /Kids [6 0 R] /Count 1 >>"},
		"no page":       {2: "<< /Type /Pages /Kids [] /Count 0 >>"},
		"direct page":   {2: "<< /Type /Pages /Kids [<< /Type /Page >>] /Count 1 >>"},
		"no page tree":  {1: "<< /Type /Catalog >>"},
		"missing pages": {2: "<< /Type /Pages /Kids [77 0 R] /Count 1 >>"},
	} {
		t.Run(name, func(t *testing.T) {
			d := pdftest.One()
			maps.Copy(d.Objects, objects)
			_, _, err := mustOpen(t, d.Bytes()).FirstPage()
			wantCode(t, err, pdf.CodeDamaged)
		})
	}
}

func TestBudgetsEndTheReading(t *testing.T) {
	bomb := pdftest.One()
	bomb.Streams[4] = strings.Repeat("\x00", 1<<16)
	for name, c := range map[string]struct {
		doc    func(*pdftest.Doc)
		limits pdf.Limits
	}{
		"depth":    {func(d *pdftest.Doc) { d.Objects[1] = "<< /Pages 2 0 R /X [[[[[[]]]]]] >>" }, pdf.Limits{Depth: 4}},
		"values":   {func(d *pdftest.Doc) { d.Objects[1] = "<< /Pages 2 0 R /X [" + strings.Repeat("1 ", 500) + "] >>" }, pdf.Limits{Values: 100}},
		"length":   {func(d *pdftest.Doc) { d.Objects[1] = "<< /Pages 2 0 R /X (" + strings.Repeat("x", 9000) + ") >>" }, pdf.Limits{ObjectBytes: 4096}},
		"objects":  {func(*pdftest.Doc) {}, pdf.Limits{Objects: 3}},
		"sections": {func(d *pdftest.Doc) { d.Trailer = "/Prev 20" }, pdf.Limits{Sections: 1}},
		"work":     {func(*pdftest.Doc) {}, pdf.Limits{Work: 100}},
	} {
		t.Run(name, func(t *testing.T) {
			d := pdftest.One()
			c.doc(d)
			data := d.Bytes()
			_, err := pdf.Open(bytes.NewReader(data), int64(len(data)), pdf.Options{Limits: c.limits})
			wantCode(t, err, pdf.CodeLimit)
		})
	}
}

func TestInflateBombIsRefusedQuickly(t *testing.T) {
	d := pdftest.One()
	zeros := pdftest.Deflate(strings.Repeat("\x00", 64<<20))
	d.Objects[4], d.Streams[4] = "<< /Filter /FlateDecode >>", zeros
	d.Objects[6], d.Streams[6] = "<< /Filter [/FlateDecode /FlateDecode] >>", pdftest.Deflate(pdftest.Deflate(strings.Repeat("\x00", 300<<20)))
	f := mustOpen(t, d.Bytes())
	for n := range 2 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		obj, err := f.Load(pdf.Ref{Num: 4 + 2*n})
		if err != nil {
			t.Fatal(err)
		}
		stm, _ := obj.(*pdf.Stream)
		_, err = f.Decode(stm)
		wantCode(t, err, pdf.CodeLimit)
		if d := time.Since(start); d > 20*time.Second { // a hang; the machine may have other work
			t.Errorf("bomb %d took %v", n, d)
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 290<<20 { // of 300 and more; other tests run beside it
			t.Errorf("bomb %d took %d MB", n, used>>20)
		}
	}
}

// failing fails every read behind an offset.
type failing struct {
	r  io.ReaderAt
	at int64
}

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.at {
		return 0, io.ErrClosedPipe
	}
	return f.r.ReadAt(p, off)
}

func TestReadErrorsArePassedOn(t *testing.T) {
	data := pdftest.One().Bytes()
	for at := range len(data) {
		_, err := pdf.Open(failing{bytes.NewReader(data), int64(at)}, int64(len(data)), pdf.Options{})
		if !errors.Is(err, io.ErrClosedPipe) {
			t.Fatalf("reads fail behind %d: got %v", at, err)
		}
	}
}

func TestRealFilesOpenOrAreRefusedWithoutDelay(t *testing.T) {
	dir := os.Getenv("CORPUS")
	if dir == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("CORPUS is not set: the real PDFs are not tested")
		}
		t.Skip("SKIPPED: set CORPUS to a folder of PDFs to test real files")
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.pdf"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no PDFs in %s: %v", dir, err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			explore(t, data)
			for i := range 20 { // and cut off
				explore(t, data[:len(data)*i/20])
			}
			if d := time.Since(start); d > 20*time.Second {
				t.Errorf("21 readings took %v", d)
			}
		})
	}
}

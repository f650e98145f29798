// Package pdftest makes PDF files in every form that tests need: classic
// tables, cross-reference streams, hybrids, object streams, linearised-like
// order, all encryptions of the standard handler, and damage. It shares no code
// with the package it helps to test.
package pdftest

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Form is a form of cross-reference section.
type Form int

// The forms.
const (
	Table Form = iota
	Stream
	// Hybrid is a table that hides the packed objects in a stream named by XRefStm.
	Hybrid
)

// Doc describes a file. Bodies are PDF syntax; a string written @(text) is
// encrypted if the file is.
type Doc struct {
	// Objects are the bodies by number.
	Objects map[int]string
	// Streams are the data of objects that are streams, encoded as their body says.
	Streams map[int]string
	// Packed are the numbers of objects that go into an object stream; they need
	// Form Stream or Hybrid.
	Packed []int
	// Generations are generation numbers other than 0.
	Generations map[int]int
	Form        Form
	// Root is the catalogue, Info the information dictionary, 0 for none.
	Root, Info int
	// Trailer is more text for the trailer.
	Trailer string
	// NoID leaves the file identifier out.
	NoID bool
	// Junk stands before the header. Offsets count from the header, or with
	// CountJunk from the first byte.
	Junk      string
	CountJunk bool
	// Tail stands behind %%EOF.
	Tail string
	// Version is the header's; "1.7" if empty.
	Version string
	// EOL is the end of line of the file's structure; "\n" if empty.
	EOL string
	// Plain leaves cross-reference and object streams uncompressed; otherwise
	// they are Flate, the former with a PNG predictor.
	Plain bool
	// Encrypt encrypts the file; the objects of Raw stay as they are.
	Encrypt *Encryption
	Raw     map[int]bool
	// Elsewhere overrides cross-reference stream entries: object stream, index.
	Elsewhere map[int][2]int
}

// ID is the first half of the file identifier.
const ID = "0123456789abcdef"

// One is the simplest document: a catalogue, a page tree, a page.
func One() *Doc {
	return &Doc{
		Objects: map[int]string{
			1: "<< /Type /Catalog /Pages 2 0 R >>",
			2: "<< /Type /Pages /Kids [3 0 R] /Count 1 /MediaBox [0 0 300 144] >>",
			3: "<< /Type /Page /Parent 2 0 R /Resources << >> /Contents 4 0 R >>",
			4: "<< >>",
			5: "<< /Title @(A title \\(with\\) brackets) >>",
		},
		Streams: map[int]string{4: "BT ET"},
		Root:    1, Info: 5,
	}
}

type file struct {
	bytes.Buffer

	d       *Doc
	offsets map[int]int
	packed  map[int][2]int // object stream, index
	c       *cipherState
}

// Bytes makes the file.
func (d *Doc) Bytes() []byte {
	w := &file{d: d, offsets: map[int]int{}, packed: map[int][2]int{}}
	if d.Encrypt != nil {
		w.c = d.Encrypt.start()
	}
	version := d.Version
	if version == "" {
		version = "1.7"
	}
	if d.CountJunk {
		fmt.Fprint(w, d.Junk)
	}
	fmt.Fprintf(w, "%%PDF-%s%s%%\xe2\xe3\xcf\xd3%s", version, w.eol(), w.eol())
	for _, n := range slices.Sorted(maps.Keys(d.Objects)) {
		if !slices.Contains(d.Packed, n) {
			w.object(n, d.Objects[n], d.Streams[n], !d.Raw[n])
		}
	}
	if len(d.Packed) > 0 {
		w.pack()
	}
	encrypt := ""
	if w.c != nil {
		n := w.free()
		w.object(n, w.c.dict(), "", false)
		encrypt = fmt.Sprintf(" /Encrypt %d 0 R", n)
	}
	w.finish(encrypt)
	if d.CountJunk {
		return w.Bytes()
	}
	return append([]byte(d.Junk), w.Bytes()...)
}

func (w *file) eol() string {
	if w.d.EOL == "" {
		return "\n"
	}
	return w.d.EOL
}

// free is an unused object number.
func (w *file) free() int {
	n := 0
	for k := range w.d.Objects {
		n = max(n, k)
	}
	for k := range w.offsets {
		n = max(n, k)
	}
	return n + 1
}

var marked = regexp.MustCompile(`(?s)@\(((?:[^()\\]|\\.)*)\)`)

// text replaces @(…) by a string, encrypted for object n if the file is.
func (w *file) text(n int, body string, encrypt bool) string {
	return marked.ReplaceAllStringFunc(body, func(s string) string {
		if w.c == nil || !encrypt {
			return s[1:]
		}
		plain := regexp.MustCompile(`\\(.)`).ReplaceAllString(s[2:len(s)-1], "$1")
		return fmt.Sprintf("<%x>", w.c.encrypt(w.c.strings, n, w.d.Generations[n], []byte(plain)))
	})
}

func (w *file) object(n int, body, stream string, encrypt bool) {
	w.offsets[n] = w.Len()
	fmt.Fprintf(w, "%d %d obj%s%s%s", n, w.d.Generations[n], w.eol(), w.text(n, body, encrypt), w.eol())
	if _, ok := w.d.Streams[n]; ok || stream != "" {
		data := []byte(stream)
		if w.c != nil && encrypt && !w.clear(body) {
			data = w.c.encrypt(w.c.streams, n, w.d.Generations[n], data)
		}
		// The length goes into the dictionary that was just written.
		b := bytes.TrimRight(w.Bytes(), "\r\n ")
		w.Truncate(len(b) - len(">>"))
		fmt.Fprintf(w, " /Length %d >>%sstream\r\n%s%sendstream%s", len(data), w.eol(), data, w.eol(), w.eol())
	}
	fmt.Fprintf(w, "endobj%s", w.eol())
}

// clear reports whether the stream of an object is never encrypted.
func (w *file) clear(body string) bool {
	return strings.Contains(body, "/XRef") || (strings.Contains(body, "/Metadata") && w.d.Encrypt.ClearMetadata)
}

// pack puts the packed objects into one object stream.
func (w *file) pack() {
	n := w.free()
	var index, content strings.Builder
	for i, num := range w.d.Packed {
		fmt.Fprintf(&index, "%d %d ", num, content.Len())
		content.WriteString(w.text(num, w.d.Objects[num], false) + " ")
		w.packed[num] = [2]int{n, i}
	}
	data := index.String() + content.String()
	filter := ""
	if !w.d.Plain {
		data, filter = deflate(data), " /Filter /FlateDecode"
	}
	w.object(n, fmt.Sprintf("<< /Type /ObjStm /N %d /First %d%s >>", len(w.d.Packed), index.Len(), filter), data, true)
}

func deflate(s string) string {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = z.Write([]byte(s)) // never fails
	_ = z.Close()
	return b.String()
}

func (w *file) finish(encrypt string) {
	trailer := fmt.Sprintf("/Root %d 0 R%s %s", w.d.Root, encrypt, w.d.Trailer)
	if w.d.Info != 0 {
		trailer += fmt.Sprintf(" /Info %d 0 R", w.d.Info)
	}
	if !w.d.NoID {
		trailer += fmt.Sprintf(" /ID [<%x> <%x>]", ID, ID)
	}
	var at int
	switch w.d.Form {
	case Stream:
		at = w.xrefStream(trailer, nil)
	case Hybrid:
		hidden := w.xrefStream("", w.d.Packed)
		at = w.table(trailer+fmt.Sprintf(" /XRefStm %d", hidden), true)
	case Table:
		at = w.table(trailer, false)
	}
	fmt.Fprintf(w, "startxref%s%d%s%%%%EOF%s%s", w.eol(), at, w.eol(), w.eol(), w.d.Tail)
}

// table writes a classic table; hidden objects are free in it.
func (w *file) table(trailer string, hidden bool) int {
	at, size := w.Len(), w.free()
	eol := " \n"
	if w.d.EOL == "\r\n" {
		eol = "\r\n"
	}
	fmt.Fprintf(w, "xref%s0 %d%s0000000000 65535 f%s", w.eol(), size, w.eol(), eol)
	for n := 1; n < size; n++ {
		off, ok := w.offsets[n]
		if !ok {
			if _, packed := w.packed[n]; packed && !hidden {
				panic("pdftest: packed objects need a stream")
			}
			fmt.Fprintf(w, "0000000000 65535 f%s", eol)
			continue
		}
		fmt.Fprintf(w, "%010d %05d n%s", off, w.d.Generations[n], eol)
	}
	fmt.Fprintf(w, "trailer%s<< /Size %d %s >>%s", w.eol(), size, trailer, w.eol())
	return at
}

// xrefStream writes a cross-reference stream of all objects, or of only these.
func (w *file) xrefStream(trailer string, only []int) int {
	n := w.free()
	at := w.Len()
	w.offsets[n] = at
	var rows [][]byte
	index := fmt.Sprintf("0 %d", n+1)
	numbers := make([]int, n+1)
	for i := range numbers {
		numbers[i] = i
	}
	if only != nil {
		numbers, index = only, ""
		for _, k := range only {
			index += fmt.Sprintf("%d 1 ", k)
		}
	}
	for _, k := range numbers {
		row := make([]byte, 7)
		if p, ok := w.d.Elsewhere[k]; ok {
			row[0] = 2
			put(row, p[0], p[1])
		} else if off, ok := w.offsets[k]; ok {
			row[0] = 1
			put(row, off, w.d.Generations[k])
		} else if p, ok := w.packed[k]; ok {
			row[0] = 2
			put(row, p[0], p[1])
		}
		rows = append(rows, row)
	}
	data, filter := string(slices.Concat(rows...)), ""
	if !w.d.Plain {
		data = deflate(pngUp(rows))
		filter = "/Filter /FlateDecode /DecodeParms << /Predictor 12 /Columns 7 >>"
	}
	body := fmt.Sprintf("<< /Type /XRef /W [1 4 2] /Index [%s] /Size %d %s %s >>", index, n+1, filter, trailer)
	w.object(n, body, data, false)
	return at
}

// put writes the second and third field of an entry.
func put(row []byte, a, b int) {
	binary.BigEndian.PutUint32(row[1:], uint32(a)) //nolint:gosec // tests are small
	binary.BigEndian.PutUint16(row[5:], uint16(b)) //nolint:gosec // tests are small
}

// pngUp applies the PNG filter Up to every row.
func pngUp(rows [][]byte) string {
	var out []byte
	prior := make([]byte, 7)
	for _, r := range rows {
		out = append(out, 2)
		for i := range r {
			out = append(out, r[i]-prior[i])
		}
		prior = r
	}
	return string(out)
}

// Append adds an incremental update with a classic table.
func Append(doc []byte, objects map[int]string, trailer string, size int) []byte {
	prev := bytes.LastIndex(doc, []byte("startxref"))
	var at int
	_, _ = fmt.Sscan(string(doc[prev+len("startxref"):]), &at) // made by Bytes
	w := bytes.NewBuffer(bytes.Clone(doc))
	offsets := map[int]int{}
	for _, n := range slices.Sorted(maps.Keys(objects)) {
		offsets[n] = w.Len()
		fmt.Fprintf(w, "%d 0 obj\n%s\nendobj\n", n, objects[n])
	}
	start := w.Len()
	fmt.Fprint(w, "xref\n")
	for _, n := range slices.Sorted(maps.Keys(objects)) {
		fmt.Fprintf(w, "%d 1\n%010d 00000 n \n", n, offsets[n])
	}
	fmt.Fprintf(w, "trailer\n<< /Size %d /Prev %d %s >>\nstartxref\n%d\n%%%%EOF\n", size, at, trailer, start)
	return w.Bytes()
}

// Deflate compresses as FlateDecode expects it.
func Deflate(s string) string { return deflate(s) }

package pades_test

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/ades/pdf"
)

func open(tb testing.TB, data []byte, password string) *pdf.File {
	tb.Helper()
	f, err := pdf.Open(bytes.NewReader(data), int64(len(data)), pdf.Options{
		Password: func() ([]byte, error) { return []byte(password), nil },
	})
	if err != nil {
		tb.Fatalf("open: %v", err)
	}
	return f
}

var dictionary = regexp.MustCompile(`/ByteRange \[0 (\d+) (\d+) (\d+)\] *\n/Contents (<[0-9a-f]+>)\n`)

// assertAppended checks everything about the shape of a signed file that
// validators do not see: after is before with revisions appended, each with one
// signature or DSS, in the form of the section before, changing only what it must.
func assertAppended(t *testing.T, before, after []byte, password string) {
	t.Helper()
	if !bytes.HasPrefix(after, before) {
		t.Fatal("the original is no exact prefix")
	}
	assertRanges(t, before, after)
	f := open(t, after, password)
	revisions, err := f.Revisions()
	if err != nil {
		t.Fatal(err)
	}
	old, err := open(t, before, password).Revisions()
	if err != nil {
		t.Fatal(err)
	}
	if revisions[len(revisions)-1].End != int64(len(after)) {
		t.Errorf("the last revision ends at %d of %d", revisions[len(revisions)-1].End, len(after))
	}
	for i := len(old); i < len(revisions); i++ {
		assertRevision(t, f, revisions[i-1], revisions[i])
	}
}

// assertRanges reads ByteRange and Contents without the package.
func assertRanges(t *testing.T, before, after []byte) {
	t.Helper()
	found := dictionary.FindAllSubmatchIndex(after[len(before):], -1)
	if len(found) == 0 {
		t.Fatal("nothing was signed")
	}
	for _, m := range found {
		number := func(i int) int64 {
			n, err := strconv.ParseInt(string(after[len(before)+m[2*i]:len(before)+m[2*i+1]]), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		from, to := int64(len(before)+m[8]), int64(len(before)+m[9])
		if number(1) != from || number(2) != to {
			t.Errorf("ByteRange leaves out %d to %d, the string is %d to %d", number(1), number(2), from, to)
		}
		end := number(2) + number(3)
		if end > int64(len(after)) || !bytes.HasSuffix(after[:end], []byte("%%EOF\n")) {
			t.Errorf("ByteRange ends at %d, which is no end of a revision", end)
		}
		if end != int64(len(after)) && !regexp.MustCompile(`^\d+ \d+ obj\n`).Match(after[end:]) {
			t.Errorf("behind ByteRange stands %q", after[end:min(end+20, int64(len(after)))])
		}
	}
}

// keysThatMayChange are those of catalogue, form and page.
var keysThatMayChange = []pdf.Name{
	"AcroForm", "DSS", "Perms", "Fields", "SigFlags", "Annots", "Certs", "CRLs", "OCSPs", "VRI", "V", "AP", "F", "StructTreeRoot", "Tabs",
	"K", "ParentTree", "ParentTreeNextKey", "Nums", "Limits", // tags of a visible signature
}

// assertRevision checks one revision against the one before.
func assertRevision(t *testing.T, f *pdf.File, from, to pdf.Revision) {
	t.Helper()
	wantForm := from.Form
	if wantForm == pdf.Hybrid {
		wantForm = pdf.Table // nothing new is hidden
	}
	if to.Form != wantForm {
		t.Errorf("revision %d has form %d after form %d", to.Number, to.Form, from.Form)
	}
	assertTrailer(t, from.Trailer, to.Trailer)
	old, err := f.At(from)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := f.At(to)
	if err != nil {
		t.Fatal(err)
	}
	changes, err := f.Changes(from, to)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		if c.Old == nil {
			continue
		}
		if c.New == nil {
			t.Errorf("object %d was freed", c.Num)
			continue
		}
		a, err := old.Load(*c.Old)
		if err != nil {
			t.Fatal(err)
		}
		b, err := fresh.Load(*c.New)
		if err != nil {
			t.Fatal(err)
		}
		assertChange(t, c.Num, a, b)
	}
}

func assertTrailer(t *testing.T, from, to *pdf.Dict) {
	t.Helper()
	for _, e := range from.Entries() {
		switch e.Key {
		case "Size", "Prev", "XRefStm", "Type", "W", "Index", "Length", "Filter", "DecodeParms":
		case "ID":
			a, _ := e.Value.(pdf.Array)
			b, _ := to.Get("ID").(pdf.Array)
			if len(a) != 2 || len(b) != 2 || a[0] != b[0] || a[1] == b[1] {
				t.Errorf("ID was %x and is %x", a, b)
			}
		default:
			if !pdf.Equal(e.Value, to.Get(e.Key)) {
				t.Errorf("trailer /%s was %v and is %v", e.Key, e.Value, to.Get(e.Key))
			}
		}
	}
	a, _ := from.Get("Size").(pdf.Integer)
	b, _ := to.Get("Size").(pdf.Integer)
	if b <= a {
		t.Errorf("Size was %d and is %d", a, b)
	}
}

// assertChange checks that an object that was there changed as little as it may.
func assertChange(t *testing.T, num int, a, b pdf.Object) {
	t.Helper()
	if pdf.Equal(a, b) {
		t.Errorf("object %d was written again without a change", num)
		return
	}
	switch a := a.(type) {
	case pdf.Array: // annotations, fields, DSS lists: only longer
		b, ok := b.(pdf.Array)
		if !ok || len(b) <= len(a) || !pdf.Equal(a, b[:len(a)]) {
			t.Errorf("array %d was %v and is %v", num, a, b)
		}
	case *pdf.Dict:
		b, ok := b.(*pdf.Dict)
		if !ok {
			t.Errorf("object %d is no dictionary any more", num)
			return
		}
		assertKeys(t, num, a, b)
	default:
		t.Errorf("object %d (%T) was changed", num, a)
	}
}

func assertKeys(t *testing.T, num int, a, b *pdf.Dict) {
	t.Helper()
	for _, e := range a.Entries() {
		was, is := e.Value, b.Get(e.Key)
		if pdf.Equal(was, is) {
			continue
		}
		if !slices.Contains(keysThatMayChange, e.Key) {
			t.Errorf("object %d: /%s was %v and is %v", num, e.Key, was, is)
		}
		if inner, ok := was.(*pdf.Dict); ok { // a direct form or store
			if is, ok := is.(*pdf.Dict); ok {
				assertKeys(t, num, inner, is)
			}
		}
	}
	for _, e := range b.Entries() {
		if !a.Has(e.Key) && !slices.Contains(keysThatMayChange, e.Key) && !isHex(e.Key) {
			t.Errorf("object %d: /%s is new", num, e.Key)
		}
	}
}

func isHex(n pdf.Name) bool { _, err := hex.DecodeString(string(n)); return err == nil }

// assertVerifies checks the cryptography of every signature in the file, and
// returns them.
func assertVerifies(t *testing.T, data []byte, password string, want int) []pdf.Signature {
	t.Helper()
	f := open(t, data, password)
	signatures, err := f.Signatures()
	if err != nil {
		t.Fatal(err)
	}
	if len(signatures) != want {
		t.Fatalf("the file has %d signatures, want %d", len(signatures), want)
	}
	for i := range signatures {
		s := &signatures[i]
		if !s.Exact() || s.Revision == 0 {
			t.Errorf("%s: revision %d, %v", s.Field.Name, s.Revision, s.Problems)
		}
		if err := verify(f, s); err != nil {
			t.Errorf("%s: %v", s.Field.Name, err)
		}
	}
	if !signatures[want-1].CoversFile && len(mustDSS(t, f)) == 0 {
		t.Error("the last signature does not cover the file")
	}
	return signatures
}

func mustDSS(t *testing.T, f *pdf.File) [][]byte {
	t.Helper()
	d, err := f.DSS()
	if err != nil {
		t.Fatal(err)
	}
	if d == nil {
		return nil
	}
	return d.Certs
}

func verify(f *pdf.File, s *pdf.Signature) error {
	r, err := f.Signed(s)
	if err != nil {
		return err
	}
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if s.Type == "DocTimeStamp" {
		if s.SubFilter != "ETSI.RFC3161" {
			return fmt.Errorf("SubFilter is %s", s.SubFilter)
		}
		token, err := cms.ParseTimestampToken(s.Contents)
		if err != nil {
			return err
		}
		if _, err := token.Verify(nil); err != nil {
			return err
		}
		return token.VerifyImprint(content)
	}
	if s.SubFilter != "ETSI.CAdES.detached" || s.Filter != "Adobe.PPKLite" || s.HasCert || s.Time.IsZero() {
		return fmt.Errorf("SubFilter %s, Filter %s, Cert %v, M %q", s.SubFilter, s.Filter, s.HasCert, s.M)
	}
	return verifyCMS(s, content)
}

func verifyCMS(s *pdf.Signature, content []byte) error {
	sd, err := cms.ParseSignedData(s.Contents)
	if err != nil {
		return err
	}
	if len(sd.Signers) != 1 || len(sd.Findings)+len(sd.Signers[0].Findings) > 0 {
		return fmt.Errorf("findings: %v, signers %d", sd.Findings, len(sd.Signers))
	}
	info := sd.Signers[0]
	digest := digestOf(info.Digest, content)
	if err := info.VerifyContent(digest); err != nil {
		return err
	}
	if !bytes.Equal(info.Signed.DER, info.Signed.Received) {
		return fmt.Errorf("signed attributes are not in DER order")
	}
	for _, der := range info.Timestamps {
		token, err := cms.ParseTimestampToken(der)
		if err != nil {
			return err
		}
		if err := token.VerifyImprint(info.Signature); err != nil {
			return err
		}
	}
	return info.Verify(info.Certificate(sd.Certificates), digest)
}

func digestOf(h crypto.Hash, data []byte) []byte {
	d := h.New()
	d.Write(data)
	return d.Sum(nil)
}

// verifyLenient verifies a signature of another producer: digest and value.
func verifyLenient(f *pdf.File, s *pdf.Signature) error {
	r, err := f.Signed(s)
	if err != nil {
		return err
	}
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if s.Type == "DocTimeStamp" {
		token, err := cms.ParseTimestampToken(s.Contents)
		if err != nil {
			return err
		}
		return token.VerifyImprint(content)
	}
	sd, err := cms.ParseSignedData(s.Contents)
	if err != nil {
		return err
	}
	if len(sd.Signers) != 1 || !sd.Signers[0].Digest.Available() {
		return fmt.Errorf("%d signers", len(sd.Signers))
	}
	info := sd.Signers[0]
	cert := info.Certificate(sd.Certificates)
	if cert == nil {
		return fmt.Errorf("no certificate")
	}
	digest := digestOf(info.Digest, content)
	if err := info.VerifyContent(digest); err != nil {
		return err
	}
	return info.Verify(cert, digest)
}

package sam_test

import (
	"bytes"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samtest"
)

// TestNoSecretLiesInTheDatabase reads every byte of the database's files after a
// whole life of a signature: no PIN, no activation code, no token of a URL, no
// private key in the clear.
func TestNoSecretLiesInTheDatabase(t *testing.T) {
	t.Attr("control", "B11")
	t.Attr("control", "D18")
	dsn := storetest.SQLiteDSN(t)
	r := samtest.New(t, storetest.Open(t, dsn), samtest.Config{})
	p := r.Enrolled(samapi.DeviceKey)
	e, code := r.Ticket(p)
	_, req := r.NewDevice(e.ID, samapi.DeviceKey, code)
	if _, err := r.Enrol(t.Context(), e.ID, req); err != nil {
		t.Fatal(err)
	}
	r.Certify(p, samtest.Wish{})
	q := r.Approved(p, samtest.Hash("x"))
	back, err := r.Return(t.Context(), q.SID, q.View)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(back)
	if err != nil {
		t.Fatal(err)
	}
	handle := u.Query().Get("handle")
	if _, err := r.Outcome(t.Context(), q.SID, handle); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Sign(t.Context(), r.SignRequest(p, q, samtest.Hash("x"))); err != nil {
		t.Fatal(err)
	}
	secrets := map[string][]byte{
		"the PIN":                       []byte(samtest.PIN),
		"the activation code":           []byte(code),
		"the activation code in a word": []byte(strings.ReplaceAll(code, "-", "")),
		"the view token":                []byte(q.View),
		"the handle":                    []byte(handle),
		"an EC private key (RFC 5915)":  {0x02, 0x01, 0x01, 0x04, 0x20},
		"a PEM private key":             []byte("PRIVATE KEY"),
		"a PKCS#8 private key, RSA":     {0x02, 0x01, 0x00, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01},
	}
	read := 0
	dir := filepath.Dir(strings.TrimPrefix(dsn, "sqlite:"))
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		read += len(data)
		for name, secret := range secrets {
			if bytes.Contains(data, secret) {
				t.Errorf("%s has %s", filepath.Base(path), name)
			}
		}
		if strings.HasSuffix(path, "-wal") && !bytes.Contains(data, []byte(q.SID)) {
			t.Error("the search does not find what is there")
		}
		return nil
	})
	if err != nil || read < 10000 {
		t.Errorf("%d bytes read, %v", read, err)
	}
}

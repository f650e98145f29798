package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/ades/pdf/pdftest"
	"github.com/countersign/countersign/signing"
)

func TestFilesThatCannotBeSignedAreSaidSo(t *testing.T) {
	in := install(t, options{})
	for _, c := range []struct {
		name string
		file []byte
		code int
		says string
	}{
		{"not a PDF", []byte("Dear Sir or Madam,\n" + strings.Repeat("this is a letter.\n", 100)), 3, "not a PDF.*name a PDF file"},
		{"0 bytes", []byte{}, 3, "not a PDF.*name a PDF file"},
		{"truncated", truncated(t), 3, "damaged.*get an intact copy"},
		{"encrypted without password", encrypted(), 3, "password.*--password-file"},
		{"certified against changes", certified(t), 3, "certified.*ask its author"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := in.path(strings.ReplaceAll(c.name, " ", "-"))
			in.mkdir(filepath.Base(dir))
			doc := filepath.Join(dir, "in.pdf")
			if err := os.WriteFile(doc, c.file, 0o600); err != nil {
				t.Fatal(err)
			}
			untouched(t, dir, func() *result { return in.run(t, "sign", doc, "-o", filepath.Join(dir, "out.pdf")) }).ends(t, c.code, c.says)
		})
	}
	if n := count(in.events(t), "sad.created"); n != 0 {
		t.Errorf("the signer was asked %d times for files that cannot be signed", n)
	}
	// The same encrypted file is signed when its password is there.
	in.write("encrypted.pdf", encrypted())
	in.must(t, "sign", in.path("encrypted.pdf"), "-o", in.path("encrypted-signed.pdf"), "--password-file", in.write("password", []byte("secret\n")))
}

func TestPlacesThatCannotBeUsedAreSaidSo(t *testing.T) {
	in := install(t, options{})
	dir, doc := in.desk(t)
	mkdir := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	sub := mkdir("folder.pdf", 0o700)
	out := filepath.Join(dir, "out.pdf")
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"the input is a directory", []string{sub, "-o", out}, 3, "not a regular file"},
		{"the input is not there", []string{filepath.Join(dir, "none.pdf"), "-o", out}, 3, "does not exist"},
		{"the output is the input", []string{doc, "-o", doc}, 3, "input file.*another output"},
		{"the output is a directory", []string{doc, "-o", sub}, 3, "not a file"},
		{"the output's folder is not there", []string{doc, "-o", filepath.Join(dir, "none", "out.pdf")}, 5, "folder does not exist"},
		{"no output", []string{doc}, 2, "-o FILE"},
		{"two files and one output", []string{doc, sub, "-o", out}, 2, "--out-dir"},
		{"an unknown level", []string{doc, "-o", out, "--level", "B-X"}, 2, "level"},
	} {
		t.Run(c.name, func(t *testing.T) {
			untouched(t, dir, func() *result { return in.run(t, append([]string{"sign"}, c.args...)...) }).ends(t, c.code, c.says)
		})
	}
	locked := mkdir("locked", 0o500)
	secret := writePDF(t, filepath.Join(dir, "secret.pdf"), 100, 1)
	chmod(t, secret, 0)
	readable := in.path("readable.pdf")
	writePDF(t, readable, 100, 2)
	chmod(t, readable, 0o644)
	chmod(t, dir, 0o711)
	for _, c := range []struct{ name, from, to, says string }{
		{"no permission to read", secret, "/nonexistent/out.pdf", "may not be read"},
		{"no permission to write", readable, filepath.Join(locked, "out.pdf"), "may not be written"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in.runAsNobody(t, "sign", c.from, "-o", c.to).ends(t, 5, c.says)
			if left, err := os.ReadDir(locked); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
	t.Run("disk full", func(t *testing.T) { in.diskIsFull(t) })
}

func chmod(t testing.TB, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// runAsNobody runs a command as a user without rights: as root another one, else
// this one.
func (in *installation) runAsNobody(t testing.TB, args ...string) *result {
	t.Helper()
	c := exec.CommandContext(t.Context(), program(t, "countersign"), args...)
	c.Env, c.Dir = in.environ(), "/"
	if os.Getuid() == 0 {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		for _, path := range []string{in.dir, filepath.Dir(c.Path)} {
			chmod(t, path, 0o711)
		}
		chmod(t, in.path("ca.pem"), 0o644)
	}
	return finish(t, c, args)
}

// diskIsFull signs onto a file system of a few blocks, mounted where only this one
// command sees it.
func (in *installation) diskIsFull(t *testing.T) {
	doc := writePDF(t, in.path("big.pdf"), 200<<10, 3)
	small := in.path("small")
	in.mkdir("small")
	for size, what := range map[string]string{"64k": "not even the document fits", "216k": "the document fits, the signature does not"} {
		const script = `mount --make-rprivate / && mount -t tmpfs -o size="$1" none "$2" || exit 99
			"$3" sign "$4" -o "$2/out.pdf"; rc=$?; ls -A "$2"; exit $rc`
		args := []string{"-c", script, "sh", size, small, program(t, "countersign"), doc}
		c := exec.CommandContext(t.Context(), "/bin/sh", args...)
		c.Env, c.Dir = in.environ(), in.dir
		c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
		if uid := os.Getuid(); uid != 0 {
			c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
			c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
			c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
		}
		var out, errs bytes.Buffer
		c.Stdout, c.Stderr = &out, &errs
		err := c.Run()
		if c.ProcessState == nil || c.ProcessState.ExitCode() == 99 {
			t.Skipf("NOT TESTED: a file system cannot be mounted here: %v %s", err, errs.String())
		}
		r := &result{args: []string{"sign", "onto a full disk"}, code: c.ProcessState.ExitCode(), out: out.String(), err: errs.String()}
		r.ends(t, 5, "no space is left.*make room")
		if out.String() != "" {
			t.Errorf("%s: left behind: %s", what, out.String())
		}
	}
}

// truncated is a PDF that lost its second half.
func truncated(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(writePDF(t, filepath.Join(t.TempDir(), "whole.pdf"), 4000, 5))
	if err != nil {
		t.Fatal(err)
	}
	return b[:len(b)/2]
}

func encrypted() []byte {
	d := pdftest.One()
	d.Encrypt = &pdftest.Encryption{Version: 5, Revision: 6, Streams: "AESV3", Strings: "AESV3", User: "secret", Owner: "owner", Permissions: -4}
	return d.Bytes()
}

// certified is a PDF whose author certified it against every change.
func certified(t testing.TB) []byte {
	t.Helper()
	doc := pdftest.One().Bytes()
	key := newECKey(t)
	self := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Author"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	p, err := pades.Prepare(bytes.NewReader(doc), int64(len(doc)), pades.Options{
		Algorithm: signing.ECDSAWithSHA256, Time: time.Now(), Signer: issue(t, self, self, key, key), Level: pades.B, Certify: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.DTBSR) != sha256.Size {
		t.Fatalf("%d bytes to sign", len(p.DTBSR))
	}
	patch, err := p.Finish(t.Context(), bytes.NewReader(doc), sign(t, key, p.DTBSR), pades.B, pades.Sources{}, pades.AugmentOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := patch.WriteTo(&out, bytes.NewReader(doc)); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

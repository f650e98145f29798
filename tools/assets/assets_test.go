package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/google/go-cmp/cmp"
)

func write(t *testing.T, name string, body []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, body, 0o600); err != nil {
		t.Fatal(err)
	}
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	got := files{}
	if err := got.read(dir, ""); err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range got {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func TestDistHoldsWhatWasBuiltAndNothingElse(t *testing.T) {
	dist := filepath.Join(t.TempDir(), "dist")
	write(t, filepath.Join(dist, "old.js"), []byte("x"))
	write(t, filepath.Join(dist, "old.js.br"), []byte("x"))
	script := bytes.Repeat([]byte("console.log(1);\n"), 1000)
	noise := make([]byte, 4096)
	_, _ = rand.Read(noise) // never fails
	want := files{"page.js": script, "small.js": []byte("1"), "pdfjs/data.bin": noise}
	c := compressor{cache: t.TempDir()}
	if err := c.put(dist, want); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{".gitignore", "page.js", "page.js.br", "page.js.gz", "pdfjs/data.bin", "small.js"}, list(t, dist)); d != "" {
		t.Error(d)
	}
	small, err := os.ReadFile(filepath.Join(dist, "page.js.br"))
	if err != nil {
		t.Fatal(err)
	}
	var plain bytes.Buffer
	if _, err := plain.ReadFrom(brotli.NewReader(bytes.NewReader(small))); err != nil || !bytes.Equal(plain.Bytes(), script) {
		t.Errorf("brotli gives %d bytes of %d, %v", plain.Len(), len(script), err)
	}
	before, err := os.Stat(filepath.Join(dist, "page.js"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.put(dist, want); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(filepath.Join(dist, "page.js")); err != nil || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("what had not changed was written again: %v", err)
	}
}

func TestIslandsAreFound(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"a/web/page.ts", "a/web/_part.ts", "a/web/run.worker.ts", "a/web/types.d.ts", "a/b/web/other.ts", "a/web/deep/none.ts", ".cache/web/x.ts", "c/testdata/web/y.ts", "d/web/readme.md"} {
		write(t, filepath.Join(root, name), []byte("export {}"))
	}
	got, err := (&builder{root: root}).islands()
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, f := range got {
		said = append(said, f.dist+": "+strings.Join(f.entries, " "))
	}
	slices.Sort(said)
	if d := cmp.Diff([]string{"a/b/dist: a/b/web/other.ts", "a/dist: a/web/page.ts a/web/run.worker.ts"}, said); d != "" {
		t.Error(d)
	}
}

func TestArchiveStaysInItsFolder(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, body := range map[string]string{"package/lib/a.js": "a", "package/../../escaped": "x", "package/link": ""} {
		h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(body)), Typeflag: tar.TypeReg}
		if strings.HasSuffix(name, "link") {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, "/etc/passwd", 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	outside := t.TempDir()
	dir := filepath.Join(outside, "in", "deep")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	err := untar(dir, b.Bytes())
	for _, name := range list(t, outside) {
		if name != "in/deep/lib/a.js" && !strings.HasPrefix(name, "in/deep/") {
			t.Errorf("%s was written (%v)", name, err)
		}
	}
}

func TestProgramForDigestsComputesThem(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("node is not installed (Debian: apt install nodejs)")
		}
		t.Skip("LEFT OUT: node, which would run the program, is not installed")
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "sha2.wasm"), sha2Program())
	// The script pads the messages and prints the two functions' states after them.
	write(t, filepath.Join(dir, "run.mjs"), []byte(`
import fs from "fs";
const { instance } = await WebAssembly.instantiate(fs.readFileSync(process.argv[2] + "/sha2.wasm"));
const { memory, sha256, sha512 } = instance.exports;
const view = new DataView(memory.buffer), all = new Uint8Array(memory.buffer);
const message = fs.readFileSync(process.argv[2] + "/message");
for (const [block, word, f, start] of [
  [64, 4, sha256, [0x6a09e667n, 0xbb67ae85n, 0x3c6ef372n, 0xa54ff53an, 0x510e527fn, 0x9b05688cn, 0x1f83d9abn, 0x5be0cd19n]],
  [128, 8, sha512, [0x6a09e667f3bcc908n, 0xbb67ae8584caa73bn, 0x3c6ef372fe94f82bn, 0xa54ff53a5f1d36f1n, 0x510e527fade682d1n, 0x9b05688c2b3e6c1fn, 0x1f83d9abfb41bd6bn, 0x5be0cd19137e2179n]],
]) {
  const padded = new Uint8Array(Math.ceil((message.length + 1 + 2 * word) / block) * block);
  padded.set(message); padded[message.length] = 0x80;
  new DataView(padded.buffer).setBigUint64(padded.length - 8, BigInt(message.length) * 8n);
  start.forEach((n, i) => word === 4 ? view.setUint32(4 * i, Number(n), true) : view.setBigUint64(8 * i, n, true));
  all.set(padded, 65536);
  f(padded.length / block);
  let hex = "";
  for (let i = 0; i < 8; i++) hex += (word === 4 ? view.getUint32(4 * i, true) : view.getBigUint64(8 * i, true)).toString(16).padStart(2 * word, "0");
  console.log(hex);
}`))
	for _, n := range []int{0, 1, 55, 56, 63, 64, 65, 111, 112, 127, 128, 129, 100_003} {
		message := make([]byte, n)
		_, _ = rand.Read(message) // never fails
		write(t, filepath.Join(dir, "message"), message)
		out, err := exec.CommandContext(t.Context(), node, filepath.Join(dir, "run.mjs"), dir).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		short, long := sha256.Sum256(message), sha512.Sum512(message)
		if want := hex.EncodeToString(short[:]) + "\n" + hex.EncodeToString(long[:]) + "\n"; string(out) != want {
			t.Errorf("%d bytes:\n%swant\n%s", n, out, want)
		}
	}
}

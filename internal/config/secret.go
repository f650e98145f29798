package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
)

// Path is the path of a file or folder. One that is relative in a configuration
// file begins at the folder of that file.
type Path string

// maxSecret bounds a secret; what is larger is another file by mistake.
const maxSecret = 64 << 10

// Secret is the content of a file that only the program's user may read. It does
// not show when it is printed, logged or encoded.
type Secret struct{ value []byte }

// NewSecret makes a secret of bytes, in tests for example.
func NewSecret(value []byte) Secret { return Secret{value: bytes.Clone(value)} }

// Bytes returns a copy of the secret; nil when there is none.
func (s Secret) Bytes() []byte { return bytes.Clone(s.value) }

// Given says whether there is a secret.
func (s Secret) Given() bool { return len(s.value) > 0 }

// Hidden forms.
const hidden = "[secret]"

// Format implements fmt.Formatter for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// String implements fmt.Stringer.
func (s Secret) String() string {
	if !s.Given() {
		return ""
	}
	return hidden
}

// MarshalText implements encoding.TextMarshaler.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// readSecret reads a file without the line end that editors add.
func readSecret(path string) (s Secret, err error) {
	f, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return Secret{}, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return Secret{}, err
	}
	if !info.Mode().IsRegular() {
		return Secret{}, fmt.Errorf("%s is no regular file", path)
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return Secret{}, fmt.Errorf("%s has mode %04o: everybody on this computer may use the secret; run chmod o= on it", path, mode)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return Secret{}, err
	}
	b = bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
	switch {
	case len(b) == 0:
		return Secret{}, fmt.Errorf("%s is empty", path)
	case len(b) > maxSecret:
		return Secret{}, fmt.Errorf("%s is larger than %d bytes", path, maxSecret)
	}
	return Secret{value: b}, nil
}

func within(dir, path string) string {
	if dir == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

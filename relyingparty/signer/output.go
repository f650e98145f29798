package signer

import (
	"context"
	"crypto"
	"encoding"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/internal/fault"
)

// file is one file under way. The output grows in a file of its own beside the
// target until it is whole.
type file struct {
	File
	in        *os.File
	size      int64
	mode      os.FileMode
	password  func() ([]byte, error) // nil until somebody asks
	prepared  *pades.Prepared
	signature []byte // verified
	patch     *pades.Patch
	temp      *os.File // holds the original, later the patch too; nil until there
	result    FileResult
}

// label is how people know the file.
func (f *file) label() string {
	if f.Label != "" {
		return f.Label
	}
	return filepath.Base(f.In)
}

// openFiles opens the inputs and looks at the targets, before anybody is bothered.
func (r *run) openFiles(context.Context) error {
	for _, f := range r.job.Files {
		in, info, err := openRegular(f.In)
		if err != nil {
			return err
		}
		r.files = append(r.files, &file{File: f, in: in, size: info.Size(), mode: info.Mode().Perm()})
	}
	return r.checkTargets()
}

// openRegular opens an input and never waits for it, as opening a pipe would.
func openRegular(path string) (*os.File, os.FileInfo, error) {
	notRegular := fault.New(fault.Invalid, "%s is not a regular file", path).WithCode(CodeInput)
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, unreadable(path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, nil, notRegular
	}
	in, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) //nolint:gosec // what the caller wants signed
	if err != nil {
		return nil, nil, unreadable(path, err)
	}
	if info, err = in.Stat(); err != nil {
		return nil, nil, errors.Join(unreadable(path, err), in.Close())
	}
	if !info.Mode().IsRegular() {
		return nil, nil, errors.Join(notRegular, in.Close())
	}
	return in, info, nil
}

// checkTargets refuses outputs that would hit an input, each other, or something
// that is no file.
func (r *run) checkTargets() error {
	seen := map[string]bool{}
	for _, f := range r.files {
		path, err := filepath.Abs(f.Out)
		if err != nil || f.Out == "" {
			return fault.New(fault.Invalid, "name an output file for %s", f.In).WithCode(CodeOutput).Because(err)
		}
		if seen[path] {
			return fault.New(fault.Invalid, "two files would be written to %s", f.Out).WithCode(CodeOutput)
		}
		seen[path] = true
		info, err := os.Stat(f.Out)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return unwritable(f.Out, err)
		}
		if !info.Mode().IsRegular() {
			return fault.New(fault.Invalid, "%s is there already and is not a file", f.Out).WithCode(CodeOutput)
		}
		for _, other := range r.files {
			if in, err := other.in.Stat(); err == nil && os.SameFile(in, info) {
				return fault.New(fault.Invalid, "%s is an input file, which is never changed; name another output", f.Out).WithCode(CodeOutputIsInput)
			}
		}
	}
	return nil
}

// copyOriginal puts the original beside the target. This comes before the
// approval: a full disk or a missing permission should not cost a signature.
func (f *file) copyOriginal() error {
	temp, err := os.CreateTemp(filepath.Dir(f.Out), "."+filepath.Base(f.Out)+".*.part")
	if err != nil {
		return unwritable(f.Out, err)
	}
	f.temp = temp
	// *os.File to *os.File: the kernel copies, or shares the blocks where the
	// file system can.
	n, err := io.Copy(temp, io.LimitReader(f.in, f.size))
	if err != nil {
		if e, ok := errors.AsType[*os.PathError](err); ok && e.Op == "read" {
			return unreadable(f.In, err)
		}
		return unwritable(f.Out, err)
	}
	if n != f.size {
		return fault.New(fault.Invalid, "%s became shorter while it was read", f.In).WithCode(CodeInput)
	}
	return nil
}

// digest is the digest of a ByteRange of the temporary file. The original in it
// was hashed when the signature was prepared, from this same file, which nobody
// else writes: the hash goes on from there, so that a large file is read once.
func (f *file) digest(h crypto.Hash, byteRange []int64) ([]byte, error) {
	if len(f.patch.State) == 0 || f.patch.Hash != h.String() || len(byteRange) != 4 || byteRange[0] != 0 || byteRange[1] < f.size {
		return nil, nil // an earlier signature: its range ends inside the original
	}
	d := h.New()
	resumable, ok := d.(encoding.BinaryUnmarshaler)
	if !ok {
		return nil, nil
	}
	if err := resumable.UnmarshalBinary(f.patch.State); err != nil {
		return nil, fmt.Errorf("resume the hash of %s: %w", f.In, err)
	}
	for _, r := range [][2]int64{{f.size, byteRange[1] - f.size}, {byteRange[2], byteRange[3]}} {
		if n, err := io.Copy(d, io.NewSectionReader(f.temp, r[0], r[1])); err != nil || n != r[1] {
			return nil, fmt.Errorf("read the signed bytes: %d of %d: %w", n, r[1], errors.Join(err, io.ErrUnexpectedEOF))
		}
	}
	return d.Sum(nil), nil
}

// appendPatch makes the temporary file whole.
func (f *file) appendPatch() error {
	if _, err := f.temp.WriteAt(f.patch.Bytes, f.size); err != nil {
		return unwritable(f.Out, err)
	}
	if err := f.temp.Chmod(f.mode&0o666 | 0o600); err != nil {
		return unwritable(f.Out, err)
	}
	if err := f.temp.Sync(); err != nil {
		return unwritable(f.Out, err)
	}
	return nil
}

// deliver puts every finished file in its place. Until here none is visible.
func (r *run) deliver(context.Context) error {
	for _, f := range r.files {
		if err := f.temp.Close(); err != nil {
			return unwritable(f.Out, err)
		}
		if err := os.Rename(f.temp.Name(), f.Out); err != nil {
			return unwritable(f.Out, err)
		}
		f.temp = nil
		if err := syncFolder(filepath.Dir(f.Out)); err != nil {
			return unwritable(f.Out, err)
		}
	}
	return nil
}

func syncFolder(path string) error {
	d, err := os.Open(path) //nolint:gosec // where the caller wants the output
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// discard closes the inputs and removes what was not delivered.
func (r *run) discard() {
	for _, f := range r.files {
		_ = f.in.Close() // it was only read
		if f.temp != nil {
			_ = f.temp.Close() // it goes away
			_ = os.Remove(f.temp.Name())
		}
	}
}

//go:build unix

package main

import (
	"os"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// echo turns the terminal's echo on or off, and returns what puts it back as it
// was. With forget, what was typed before and not yet read is thrown away: it was
// no answer to a question that had not been asked.
func echo(f *os.File, on, forget bool) (restore func(), err error) {
	fd := int(f.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	t, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return nil, err
	}
	t.Lflag &^= unix.ECHO
	if on {
		t.Lflag |= unix.ECHO
	}
	request := uint(setTermios)
	if forget {
		request = setTermiosFlush
	}
	if err := unix.IoctlSetTermios(fd, request, t); err != nil {
		return nil, err
	}
	// A terminal that is gone needs nothing put back.
	return func() { _ = term.Restore(fd, before) }, nil
}

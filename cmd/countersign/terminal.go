package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// terminal is where a command reads and writes. Results go to out, everything
// said to people to err.
type terminal struct {
	in       io.Reader
	out, err io.Writer
}

// interactive reports whether a person sits there.
func (t terminal) interactive() bool {
	in, ok := t.in.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return false
	}
	e, ok := t.err.(*os.File)
	return ok && term.IsTerminal(int(e.Fd()))
}

func (t terminal) say(format string, args ...any) { fmt.Fprintf(t.err, format+"\n", args...) }

// errNoTerminal says that a question had nobody to answer it.
var errNoTerminal = errors.New("there is no terminal to ask on")

// ask puts a question and reads a line.
func (t terminal) ask(ctx context.Context, question string) (string, error) {
	if !t.interactive() {
		return "", errNoTerminal
	}
	fmt.Fprint(t.err, question)
	return answer(ctx, func() (string, error) {
		line, err := bufio.NewReader(t.in).ReadString('\n')
		return strings.TrimSpace(line), err
	})
}

// askSecret is ask without showing what is typed.
func (t terminal) askSecret(ctx context.Context, question string) ([]byte, error) {
	f, ok := t.in.(*os.File)
	if !ok || !t.interactive() {
		return nil, errNoTerminal
	}
	fd := int(f.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	fmt.Fprint(t.err, question)
	s, err := answer(ctx, func() (string, error) {
		b, err := term.ReadPassword(fd)
		return string(b), err
	})
	fmt.Fprintln(t.err)
	if err != nil {
		// An interrupted question must not leave the terminal silent.
		if restore := term.Restore(fd, before); restore != nil {
			err = errors.Join(err, restore)
		}
		return nil, err
	}
	return []byte(s), nil
}

// answer waits for the person or the end of ctx.
func answer(ctx context.Context, read func() (string, error)) (string, error) {
	type line struct {
		s   string
		err error
	}
	c := make(chan line, 1)
	go func() { s, err := read(); c <- line{s, err} }()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case l := <-c:
		return l.s, l.err
	}
}

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

	"github.com/countersign/countersign/signing"
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

// fingerprint says a digest in words, three and three, and in full below: the same
// in every place where one is compared.
func (t terminal) fingerprint(indent string, digest []byte) {
	w := signing.Words(digest)
	t.say("%s%-9s %-9s %s", indent, w[0], w[1], w[2])
	t.say("%s%-9s %-9s %s", indent, w[3], w[4], w[5])
	t.say("%sin full: %s", indent, groups(digest))
}

// groups writes a digest so that it can be compared by eye.
func groups(b []byte) string {
	var g []string
	for i := 0; i < len(b); i += 4 {
		g = append(g, fmt.Sprintf("%x", b[i:min(i+4, len(b))]))
	}
	return strings.Join(g, " ")
}

// errNoTerminal says that a question had nobody to answer it.
var errNoTerminal = errors.New("there is no terminal to ask on")

// hush turns echo off until loud is called: a PIN that is typed before its question
// must not stand on the screen. Without a terminal it does nothing.
func (t terminal) hush() (loud func(), err error) {
	f, ok := t.in.(*os.File)
	if !ok || !t.interactive() {
		return func() {}, nil
	}
	return echo(f, false, false)
}

// ask puts a question and reads a line, which shows. What was typed before the
// question is no answer to it.
func (t terminal) ask(ctx context.Context, question string) (string, error) {
	line, err := t.question(ctx, question, true)
	return strings.TrimSpace(line), err
}

// askSecret is ask without showing what is typed. It may have been typed before.
func (t terminal) askSecret(ctx context.Context, question string) ([]byte, error) {
	line, err := t.question(ctx, question, false)
	if err != nil {
		return nil, err
	}
	fmt.Fprintln(t.err) // the one that was typed did not show
	return []byte(line), nil
}

// question leaves the echo as it found it, also when it is interrupted.
func (t terminal) question(ctx context.Context, text string, shown bool) (string, error) {
	f, ok := t.in.(*os.File)
	if !ok || !t.interactive() {
		return "", errNoTerminal
	}
	restore, err := echo(f, shown, shown)
	if err != nil {
		return "", err
	}
	defer restore()
	fmt.Fprint(t.err, text)
	return answer(ctx, func() (string, error) {
		line, err := bufio.NewReader(f).ReadString('\n')
		return strings.TrimRight(line, "\r\n"), err
	})
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

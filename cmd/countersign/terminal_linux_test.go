package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// user sits at the other end of a terminal.
type user struct {
	t      *testing.T
	screen *os.File
	seen   strings.Builder
}

// sit opens a pseudo-terminal.
func sit(t *testing.T) (*user, terminal) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	return &user{t: t, screen: screen}, terminal{in: tty, out: tty, err: tty}
}

// types presses keys and waits until the terminal has taken them.
func (p *user) types(term terminal, keys string) {
	p.t.Helper()
	if _, err := p.screen.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
	tty, ok := term.in.(*os.File)
	if !ok {
		p.t.Fatal("no terminal")
	}
	for range 1000 {
		n, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCINQ)
		if err != nil {
			p.t.Fatal(err)
		}
		if n >= len(keys) {
			return
		}
		time.Sleep(time.Millisecond)
	}
	p.t.Fatalf("the terminal did not take %q", keys)
}

// sees reads the screen until the text stands there.
func (p *user) sees(text string) {
	p.t.Helper()
	buf := make([]byte, 1024)
	for !strings.Contains(p.seen.String(), text) {
		n, err := p.screen.Read(buf)
		if err != nil {
			p.t.Fatalf("%q does not come, the screen shows %q: %v", text, p.seen.String(), err)
		}
		p.seen.Write(buf[:n])
	}
}

func TestAPINTypedAheadIsNeitherShownNorTaken(t *testing.T) {
	p, term := sit(t)
	loud, err := term.hush()
	if err != nil {
		t.Fatal(err)
	}
	p.types(term, "246810\n")
	type answers struct {
		number string
		pin    []byte
		err    error
	}
	done := make(chan answers, 1)
	go func() {
		var a answers
		var err error
		a.number, err = term.ask(t.Context(), "Number: ")
		a.err = errors.Join(a.err, err)
		a.pin, err = term.askSecret(t.Context(), "PIN: ")
		a.err = errors.Join(a.err, err)
		done <- a
	}()
	p.sees("Number: ")
	if _, err := p.screen.WriteString("42\n"); err != nil {
		t.Fatal(err)
	}
	p.sees("PIN: ")
	if _, err := p.screen.WriteString("135790\n"); err != nil {
		t.Fatal(err)
	}
	a := <-done
	if a.err != nil || a.number != "42" || string(a.pin) != "135790" {
		t.Errorf("number %q, PIN %q, %v", a.number, a.pin, a.err)
	}
	loud()
	term.say("the end")
	p.sees("the end")
	screen := p.seen.String()
	if strings.Contains(screen, "246810") || strings.Contains(screen, "135790") || !strings.Contains(screen, "42") {
		t.Errorf("the screen shows %q", screen)
	}
	p.types(term, "shown again\n")
	p.sees("shown again")
}

func TestAnInterruptedQuestionLeavesTheTerminalAsItWas(t *testing.T) {
	p, term := sit(t)
	loud, err := term.hush()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := term.askSecret(ctx, "PIN: ")
		done <- err
	}()
	p.sees("PIN: ")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	loud()
	if _, err := p.screen.WriteString("visible\n"); err != nil {
		t.Fatal(err)
	}
	p.sees("visible")
}

package main

import (
	"context"
	"errors"
	"io/fs"
	"os/exec"

	"github.com/countersign/countersign/internal/fault"
)

// The exit codes, the same for every command.
const (
	exitDone    = 0
	exitNo      = 1 // the answer is no: a signature not passed, an approval refused
	exitUsage   = 2
	exitInput   = 3 // not a PDF, damaged, encrypted, certified
	exitService = 4 // the service cannot be reached or answered wrongly
	exitLocal   = 5 // disk, permission, a port that is taken
)

// exitError is a failure that knows its exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// withCode gives err an exit code, unless it is nil or has one.
func withCode(code int, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*exitError](err); ok {
		return err
	}
	return &exitError{code: code, err: err}
}

// errSilent ends a command whose answer was printed already.
var errSilent = errors.New("")

// exitCode says with which code err ends the process.
func exitCode(err error) int {
	if err == nil {
		return exitDone
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return kindCode(f.Kind)
	}
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return exitLocal
	}
	if _, ok := errors.AsType[*exec.Error](err); ok {
		return exitLocal
	}
	if errors.Is(err, context.Canceled) {
		return exitNo
	}
	return exitLocal
}

// kindCode maps what a service or a document reader says.
func kindCode(k fault.Kind) int {
	switch k {
	case fault.Invalid, fault.TooLarge:
		return exitInput
	case fault.Forbidden, fault.Expired, fault.Conflict:
		return exitNo
	case fault.NotFound, fault.Unauthenticated, fault.TooMany, fault.Unavailable:
		return exitService
	case fault.Internal:
		return exitLocal
	}
	return exitLocal
}

// sentence is what a person reads of err: the safe detail of a fault and, for
// local trouble, the whole text.
func sentence(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Kind != fault.Internal {
		return f.Detail
	}
	return err.Error()
}

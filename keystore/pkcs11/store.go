//go:build cgo

package pkcs11

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/miekg/pkcs11"

	"github.com/countersign/countersign/keystore"
)

// Store is a token in use. All methods may be called at once.
type Store struct {
	cfg   Config
	lib   *library
	brief chan struct{} // slots for calls that hold a session briefly
	inUse chan struct{} // slots for signers' keys in use

	// Under lib.gate.
	closed  bool
	refused error // the token refused the PIN
	life    *life // nil while the module is not there

	// changing is held while residents are made or destroyed.
	changing sync.Mutex

	mu       sync.Mutex
	services map[string]*serviceKey
}

var _ keystore.Store = (*Store)(nil)

// Open logs in to a token and makes the resident keys that it has not: the first
// KEK and the MAC key.
func Open(ctx context.Context, c Config) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.PIN = bytes.TrimSuffix(bytes.TrimSuffix(c.PIN, []byte("\n")), []byte("\r"))
	c, err := c.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open PKCS#11 keystore: %w", err)
	}
	lib, err := load(c.Module)
	if err != nil {
		return nil, fmt.Errorf("open PKCS#11 keystore: %w", err)
	}
	s := &Store{
		cfg: c, lib: lib, brief: make(chan struct{}, briefSessions), inUse: make(chan struct{}, c.Sessions-serviceSessions-briefSessions),
		services: map[string]*serviceKey{},
	}
	if err := lib.add(s); err != nil {
		return nil, fmt.Errorf("open PKCS#11 keystore %s: %w", c.Module, unavailable(err))
	}
	return s, nil
}

// Close ends the use of the token, and with the last store that of the library.
// It waits for calls under way; a module that hangs is left alone after Timeout.
func (s *Store) Close() error {
	_, err := within(context.Background(), s.cfg.Timeout, func(context.Context) (struct{}, error) {
		s.lib.remove(s)
		return struct{}{}, nil
	})
	return err
}

// Restart finalises the library and initialises it again, as is needed after a
// module was replaced or its configuration changed. What is asked meanwhile
// waits; keys in use are unwrapped again when they are used next.
func (s *Store) Restart(ctx context.Context) error {
	_, err := within(ctx, s.cfg.Timeout, func(context.Context) (struct{}, error) {
		s.lib.gate.RLock()
		epoch, closed := s.lib.epoch, s.closed
		s.lib.gate.RUnlock()
		if closed {
			return struct{}{}, keystore.ErrClosed
		}
		return struct{}{}, unavailable(s.lib.recover(s, epoch))
	})
	return err
}

// within runs a call that cannot be interrupted, and stops waiting for it when the
// context ends or time is up.
func within[T any](ctx context.Context, limit time.Duration, do func(context.Context) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	done := make(chan result, 1)
	go func() {
		v, err := do(limited)
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-limited.Done():
	}
	if err := ctx.Err(); err != nil {
		return none, err
	}
	return none, fmt.Errorf("%w: no answer within %s", keystore.ErrUnavailable, limit)
}

// repeat says when a call may be made a second time after a recovery.
type repeat int

const (
	ifUndone repeat = iota // only when the module did nothing
	always                 // it may be made twice
)

// brief makes a call with a session of its own, given back afterwards.
func brief[T any](ctx context.Context, s *Store, limit time.Duration, r repeat, do func(l *life, h pkcs11.SessionHandle) (T, error)) (T, error) {
	return within(ctx, limit, func(ctx context.Context) (T, error) {
		var none T
		select {
		case s.brief <- struct{}{}:
			defer func() { <-s.brief }()
		case <-ctx.Done():
			return none, ctx.Err()
		}
		return attempt(ctx, s, r, func(l *life) (T, error) {
			h, err := s.session(l)
			if err != nil {
				return none, err
			}
			v, err := do(l, h)
			if err != nil && (lost(err) || errors.Is(err, errStuck)) {
				_ = s.discard(l, h) // most likely it is lost already
			} else {
				s.release(l, h)
			}
			return v, err
		})
	})
}

// attempt makes a call while the library stands still, recovers when something was
// lost, and makes it once again if it may.
func attempt[T any](ctx context.Context, s *Store, r repeat, do func(*life) (T, error)) (T, error) {
	for again := false; ; again = true {
		v, epoch, err := s.once(ctx, func(l *life) (any, error) { return do(l) })
		if err == nil {
			out, _ := v.(T)
			return out, nil
		}
		var none T
		if !lost(err) {
			return none, err
		}
		if rerr := s.recover(ctx, epoch, err); rerr != nil {
			return none, notRecovered(err, rerr)
		}
		if again || (r == ifUndone && !nothingDone(err)) {
			return none, unavailable(err)
		}
	}
}

func (s *Store) once(ctx context.Context, do func(*life) (any, error)) (v any, epoch uint64, err error) {
	s.lib.gate.RLock()
	defer s.lib.gate.RUnlock()
	epoch = s.lib.epoch
	switch {
	case ctx.Err() != nil: // whoever asked has gone
		return nil, epoch, ctx.Err()
	case s.closed:
		return nil, epoch, keystore.ErrClosed
	case s.refused != nil:
		return nil, epoch, fmt.Errorf("%w: %w", keystore.ErrUnavailable, s.refused)
	case s.life == nil:
		return nil, epoch, errDown
	}
	v, err = do(s.life)
	return v, epoch, err
}

func (s *Store) recover(ctx context.Context, epoch uint64, cause error) error {
	begun := s.cfg.Now()
	err := s.lib.recover(s, epoch)
	switch {
	case err == nil:
		s.cfg.Log.WarnContext(ctx, "the PKCS#11 module was lost and is back", "token", s.cfg.Token, "cause", cause.Error(), "took", s.cfg.Now().Sub(begun).String())
	case !errors.Is(cause, errDown): // said once, not with every call meanwhile
		s.cfg.Log.ErrorContext(ctx, "the PKCS#11 module is lost", "token", s.cfg.Token, "cause", cause.Error(), "error", err.Error())
	}
	return err
}

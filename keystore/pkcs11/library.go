//go:build cgo

package pkcs11

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/miekg/pkcs11"
)

// library is a loaded PKCS#11 library. Its state belongs to the whole process, so
// every store of the process that uses it shares one.
type library struct {
	path string
	// calls goes to the same library as crypto11, which initialises and finalises.
	// Some libraries give every caller an instance of its own, as the client of
	// p11-kit does: then calls is initialised beside it.
	calls *pkcs11.Ctx

	// gate is held for reading during every call to the library, and for writing
	// while it is started or stopped: C_Finalize under a call is undefined.
	gate sync.RWMutex

	// Under gate.
	stores map[*Store]struct{}
	epoch  uint64 // counts starts: handles of another epoch are void
	failed time.Time
	reason error // why the recovery at that time failed
	beside bool  // calls is an instance of its own, and initialised
	used   bool  // it was once: a new one is to look anew where the other side is
}

// libraries are those of this process: as with C_Initialize, there is one of each.
var libraries = struct { //nolint:gochecknoglobals // PKCS#11 §5.4: the library's state is the process's
	sync.Mutex

	loaded map[string]*library
}{loaded: map[string]*library{}}

// load finds or loads the library. It is never unloaded: vendors' libraries do
// not all survive that.
func load(path string) (*library, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("PKCS#11 library: %w", err)
	}
	libraries.Lock()
	defer libraries.Unlock()
	if l := libraries.loaded[real]; l != nil {
		return l, nil
	}
	calls := pkcs11.New(real)
	if calls == nil {
		return nil, fmt.Errorf("%s is no PKCS#11 library that this process can load", path)
	}
	l := &library{path: real, calls: calls, stores: map[*Store]struct{}{}}
	libraries.loaded[real] = l
	return l, nil
}

// add starts a store on the library. A token that was made after the library was
// initialised may be unknown to it: then it is initialised again.
func (l *library) add(s *Store) error {
	l.gate.Lock()
	defer l.gate.Unlock()
	first := len(l.stores) == 0
	l.stores[s] = struct{}{}
	if first {
		l.epoch++
	}
	err := s.start(true)
	if errors.Is(err, errNoToken) && !first {
		l.stop()
		others := l.start(s)
		err = errors.Join(s.start(true), others)
	}
	if err != nil {
		s.end()
		delete(l.stores, s)
		if first {
			l.finalise()
		}
	}
	return err
}

func (l *library) remove(s *Store) {
	l.gate.Lock()
	defer l.gate.Unlock()
	s.end()
	s.closed = true
	delete(l.stores, s)
	if len(l.stores) == 0 {
		l.finalise()
	}
}

// initialise makes calls usable after crypto11 initialised the library.
func (l *library) initialise() error {
	if l.beside {
		return nil
	}
	if l.used {
		next := pkcs11.New(l.path)
		if next == nil {
			return fmt.Errorf("%s cannot be loaded again", l.path)
		}
		l.calls.Destroy()
		l.calls, l.used = next, false
	}
	err := l.calls.Initialize()
	switch {
	case err == nil:
		l.beside = true
	case !answered(err, pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED):
		return fmt.Errorf("initialise: %w", err)
	}
	return nil
}

// finalise ends calls if it is an instance of its own.
func (l *library) finalise() {
	if !l.beside {
		return
	}
	_ = l.calls.Finalize() // it is to go, and may have gone
	l.beside = false
	l.used = true
}

// recover brings the module back after something was lost in an epoch. When
// another call has done so already, there is nothing to do.
func (l *library) recover(s *Store, epoch uint64) error {
	l.gate.Lock()
	defer l.gate.Unlock()
	if l.epoch != epoch && s.life != nil {
		return nil
	}
	if s.closed {
		return nil // the next attempt says so
	}
	if s.refused != nil {
		return fmt.Errorf("%w: %w", errDown, s.refused)
	}
	if since := s.cfg.Now().Sub(l.failed); since >= 0 && since < s.cfg.Pause {
		return fmt.Errorf("%w: %w", errDown, l.reason)
	}
	l.stop()
	if err := l.start(nil); err != nil {
		l.failed, l.reason = s.cfg.Now(), err
		return fmt.Errorf("%w: %w", errDown, err)
	}
	return nil
}

// stop ends every store's life; the last of them finalises the library.
func (l *library) stop() {
	for s := range l.stores {
		s.end()
	}
	l.finalise()
}

// start begins a new life of every store but one.
func (l *library) start(but *Store) error {
	l.epoch++
	var errs []error
	for s := range l.stores {
		if s == but {
			continue
		}
		if err := s.start(false); err != nil {
			s.end()
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

//go:build cgo

package pkcs11

import (
	"crypto"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/ThalesGroup/crypto11"
	"github.com/miekg/pkcs11"

	"github.com/countersign/countersign/keystore"
)

var errNoToken = errors.New("no token of that label")

// life is what a store has between C_Initialize and C_Finalize. Nothing of it is
// used in another epoch.
type life struct {
	epoch  uint64
	slot   uint
	module *crypto11.Context // holds the login
	mac    pkcs11.ObjectHandle
	// bounded says that the module takes CKA_ALLOWED_MECHANISMS.
	bounded bool

	// mu guards everything below.
	mu      sync.Mutex
	open    map[pkcs11.SessionHandle]struct{}
	free    []pkcs11.SessionHandle
	keks    map[int]kek
	current int
	signers map[string]crypto.Signer
}

// start initialises the library if nobody has, logs in, and finds the resident
// keys. Only the first start makes those that are missing: a token that comes
// back empty is not the one that went. gate is held for writing.
func (s *Store) start(first bool) error {
	if s.refused != nil {
		return s.refused
	}
	module, err := crypto11.Configure(&crypto11.Config{
		Path: s.lib.path, TokenLabel: s.cfg.Token, Pin: string(s.cfg.PIN), MaxSessions: serviceSessions, PoolWaitTimeout: s.cfg.Timeout,
	})
	switch {
	case answered(err, wrongPIN...):
		s.refused = fmt.Errorf("the token %q refuses the PIN, which is not tried again: %w", s.cfg.Token, err)
		return s.refused
	case err != nil && !fromModule(err): // crypto11 found the module well and the token not
		return fmt.Errorf("token %q: %w: %w", s.cfg.Token, errNoToken, err)
	case err != nil:
		return fmt.Errorf("token %q: %w", s.cfg.Token, err)
	}
	s.life = &life{
		epoch: s.lib.epoch, module: module, open: map[pkcs11.SessionHandle]struct{}{}, keks: map[int]kek{}, signers: map[string]crypto.Signer{},
	}
	if err := s.lib.initialise(); err != nil {
		return err
	}
	if s.life.slot, err = s.findSlot(); err != nil {
		return err
	}
	// This session is for nothing else: the login lasts as long as there is one.
	h, err := s.session(s.life)
	if err != nil {
		return fmt.Errorf("token %q: %w", s.cfg.Token, err)
	}
	err = s.lib.calls.Login(h, pkcs11.CKU_USER, string(s.cfg.PIN))
	if err != nil && !answered(err, pkcs11.CKR_USER_ALREADY_LOGGED_IN) {
		return fmt.Errorf("token %q: log in: %w", s.cfg.Token, err)
	}
	if err := s.findBounds(s.life, h); err != nil {
		return err
	}
	return s.findResidents(s.life, h, first)
}

// findSlot returns the slot of the one token of that label.
func (s *Store) findSlot() (uint, error) {
	slots, err := s.lib.calls.GetSlotList(true)
	if err != nil {
		return 0, fmt.Errorf("list slots: %w", err)
	}
	var found []uint
	for _, slot := range slots {
		if t, err := s.lib.calls.GetTokenInfo(slot); err == nil && t.Label == s.cfg.Token {
			found = append(found, slot)
		}
	}
	switch len(found) {
	case 0:
		return 0, fmt.Errorf("token %q: %w", s.cfg.Token, errNoToken)
	case 1:
		return found[0], nil
	}
	return 0, fmt.Errorf("%d tokens have the label %q: give the one that is meant a label of its own", len(found), s.cfg.Token)
}

// end closes the sessions and the login. What they held is gone with them. gate is
// held for writing.
func (s *Store) end() {
	l := s.life
	if l == nil {
		return
	}
	s.life = nil
	for h := range maps.Keys(l.open) {
		_ = s.lib.calls.CloseSession(h) // it may be lost already
	}
	_ = l.module.Close() // nothing to be done about it
}

// session takes a session that nobody uses.
func (s *Store) session(l *life) (pkcs11.SessionHandle, error) {
	l.mu.Lock()
	if n := len(l.free); n > 0 {
		h := l.free[n-1]
		l.free = l.free[:n-1]
		l.mu.Unlock()
		return h, nil
	}
	l.mu.Unlock()
	h, err := s.lib.calls.OpenSession(l.slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return 0, fmt.Errorf("open session: %w", err)
	}
	l.mu.Lock()
	l.open[h] = struct{}{}
	l.mu.Unlock()
	return h, nil
}

// release gives a session back in which nothing is under way.
func (s *Store) release(l *life, h pkcs11.SessionHandle) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free = append(l.free, h)
}

// discard closes a session, and destroys the session objects made in it.
func (s *Store) discard(l *life, h pkcs11.SessionHandle) error {
	l.mu.Lock()
	delete(l.open, h)
	l.mu.Unlock()
	return s.lib.calls.CloseSession(h)
}

// alive says whether the module computes with the resident MAC key in this session.
func (s *Store) alive(l *life, h pkcs11.SessionHandle) error {
	_, err := s.hmac(l, h, []byte("alive"))
	return err
}

// newest is the current generation.
func (l *life) newest() kek {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.keks[l.current]
}

// kekOf finds a generation.
func (l *life) kekOf(generation int) (kek, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k, ok := l.keks[generation]
	if !ok {
		return kek{}, fmt.Errorf("KEK generation %d: %w", generation, keystore.ErrNoKey)
	}
	return k, nil
}

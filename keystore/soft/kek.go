package soft

import (
	"context"
	"fmt"

	"github.com/countersign/countersign/keystore"
)

// RotateKEK makes a new KEK generation current and returns its number. It is on
// disk when RotateKEK returns. Keys under older generations stay usable.
func (s *Store) RotateKEK(ctx context.Context) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, keystore.ErrClosed
	}
	next := s.contents.clone()
	next.Current++ // never a number that was used: destroyed generations stay below
	next.KEKs[next.Current] = randomBytes(32)
	if err := s.save(next); err != nil {
		return 0, err
	}
	s.contents = next
	if err := s.use(next.Current); err != nil {
		return 0, err
	}
	return next.Current, nil
}

// DestroyKEK destroys a generation that is not current: every key still wrapped
// under it is gone for good, as far as the medium forgets. Backups of the
// directory are not this function's to destroy.
func (s *Store) DestroyKEK(ctx context.Context, generation int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return keystore.ErrClosed
	}
	if generation == s.contents.Current {
		return fmt.Errorf("KEK generation %d is current: rotate first, then rewrap the keys that shall live", generation)
	}
	if s.contents.KEKs[generation] == nil {
		return fmt.Errorf("KEK generation %d: %w", generation, keystore.ErrNoKey)
	}
	next := s.contents.clone()
	delete(next.KEKs, generation)
	if err := s.save(next); err != nil {
		return err
	}
	clear(s.contents.KEKs[generation])
	s.contents = next
	delete(s.keks, generation)
	return nil
}

package pki

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/countersign/countersign/internal/store"
)

// numberPool hands out serial numbers of time-stamps. It reserves them in the
// database in blocks, so that none is used twice, whatever crashes; the numbers
// left over in a block are lost. It refuses when the clock went back.
type numberPool struct {
	mu     sync.Mutex
	prefix *big.Int
	value  int64
	left   int
	latest time.Time
}

const (
	numberBlock = 128
	// backStep is how far the clock may be set back by its discipline.
	backStep = time.Second
)

func (p *numberPool) next(ctx context.Context, db *store.DB, now time.Time) (*big.Int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left == 0 {
		if err := p.reserve(ctx, db, now); err != nil {
			return nil, fmt.Errorf("reserve serial numbers: %w", err)
		}
	}
	if p.latest.Sub(now) > backStep {
		return nil, refuse(timeNotAvailable, "the clock went back")
	}
	if now.After(p.latest) {
		p.latest = now
	}
	n := new(big.Int).Lsh(p.prefix, 63)
	n.Add(n, big.NewInt(p.value))
	p.value++
	p.left--
	return n, nil
}

func (p *numberPool) reserve(ctx context.Context, db *store.DB, now time.Time) error {
	var fresh [8]byte
	_, _ = rand.Read(fresh[:])
	fresh[0] = fresh[0]&0x7F | 0x40
	var (
		first  int64
		prefix string
		latest time.Time
	)
	err := db.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		var err error
		first, prefix, latest, err = takeNumbers(ctx, tx, "tsa", hex.EncodeToString(fresh[:]), numberBlock, now)
		return err
	})
	if err != nil {
		return err
	}
	n, ok := new(big.Int).SetString(prefix, 16)
	if !ok {
		return fmt.Errorf("prefix %q in the database", prefix)
	}
	p.prefix, p.value, p.left = n, first, numberBlock
	if latest.After(p.latest) {
		p.latest = latest
	}
	return nil
}

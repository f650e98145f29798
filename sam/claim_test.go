package sam_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samtest"
)

func TestFirstBrowserHoldsTheRequest(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{Limits: noLimits})
		p := r.Person(samtest.Wish{Mechanism: samapi.WebAuthn})
		q := r.Request(p, samtest.Hash("x"))
		if err := r.Mine(t.Context(), q.SID, ""); err != nil {
			t.Errorf("before any browser came: %v", err)
		}
		if _, _, err := r.Claim(t.Context(), q.SID, "x", ""); code(err) != samapi.CodeSADInvalid {
			t.Errorf("without the view token: %v", err)
		}
		var (
			all    sync.WaitGroup
			first  atomic.Int32
			secret atomic.Value
		)
		for range 20 {
			all.Go(func() {
				fresh, mine, err := r.Claim(t.Context(), q.SID, q.View, "")
				if err != nil {
					t.Error(err)
				}
				if mine {
					first.Add(1)
					secret.Store(fresh)
				}
			})
		}
		all.Wait()
		if first.Load() != 1 {
			t.Fatalf("%d browsers hold it", first.Load())
		}
		held, _ := secret.Load().(string)
		if fresh, mine, err := r.Claim(t.Context(), q.SID, q.View, held); err != nil || !mine || fresh != "" {
			t.Errorf("the same browser again: %q, %t, %v", fresh, mine, err)
		}
		yes := p.Yes(q)
		yes.Number, yes.View, yes.Claim = "", q.View, "another"
		if _, err := r.Approve(t.Context(), q.SID, yes); code(err) != samapi.CodeOtherBrowser {
			t.Errorf("another browser approves without the number: %v", err)
		}
		yes.Claim = held
		if _, err := r.Approve(t.Context(), q.SID, yes); err != nil {
			t.Errorf("its own: %v", err)
		}
	})
}

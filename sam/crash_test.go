package sam_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samtest"
)

// TestTroubleInTheKeystoreBurnsAndNeverSignsTwice fails the keystore at each step.
func TestTroubleInTheKeystoreBurnsAndNeverSignsTwice(t *testing.T) {
	for _, op := range []string{"open", "sign", "signed", "close"} {
		t.Run(op, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				faults := &samtest.Faults{}
				r := samtest.New(t, db, samtest.Config{Wrap: faults.Around})
				p := r.Person(samtest.Wish{})
				h, other := samtest.Hash("x"), samtest.Hash("y")
				q := r.Approved(p, h, other)
				faults.Set(func(now string) error {
					if now == op {
						return samtest.ErrInjected
					}
					return nil
				})
				got, err := r.Sign(t.Context(), r.SignRequest(p, q, h))
				if !errors.Is(err, fault.Unavailable) || len(got.Signatures) != 0 {
					t.Fatalf("with a broken keystore: %v, %d signatures", err, len(got.Signatures))
				}
				faults.Set(nil)
				_, err = r.Sign(t.Context(), r.SignRequest(p, q, h))
				refused(t, err, samapi.CodeHashNotAuthorized)
				_, err = r.Result(t.Context(), q.SID, samtest.Client)
				if !errors.Is(err, fault.NotFound) {
					t.Errorf("result: %v", err)
				}
				if _, err := r.Sign(t.Context(), r.SignRequest(p, q, other)); err != nil {
					t.Errorf("the other hash: %v", err)
				}
				want := []string{"sad.created", "sad.approved", "sad.consumed", "signature.burned", "sad.consumed", "signature.created"}
				if got := r.Events(q.SID); !slices.Equal(got, want) {
					t.Errorf("events %v, want %v", got, want)
				}
				s, err := r.Status(t.Context())
				if err != nil || s.Burned != 1 || s.Batches["spent"] != 0 {
					t.Errorf("status %+v, %v", s, err)
				}
			})
		})
	}
}

// TestWrongSignatureOfTheModuleNeverLeaves swaps the handle: the keystore signs
// with another key.
func TestWrongSignatureOfTheModuleNeverLeaves(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{})
	p, other := r.Person(samtest.Wish{}), r.Person(samtest.Wish{})
	h := samtest.Hash("x")
	wrong := r.Approved(p, h)
	keys := &samtest.Swapped{Store: r.Config.Keys}
	r.Config.Keys = keys
	r.Restart()
	if _, err := r.Sign(t.Context(), r.SignRequest(other, r.Approved(other, h), h)); err != nil {
		t.Fatal(err) // now keys hands out this one again
	}
	keys.Stuck.Store(true)
	got, err := r.Sign(t.Context(), r.SignRequest(p, wrong, h))
	if !errors.Is(err, fault.Unavailable) || len(got.Signatures) > 0 {
		t.Errorf("signature of another key: %v, %d signatures", err, len(got.Signatures))
	}
	if !slices.Contains(r.Events(wrong.SID), "signature.burned") {
		t.Error("no event signature.burned")
	}
}

// TestCrashBetweenSpendingAndSigningIsReported kills the module after the first
// transaction: the hash is burned at the next start, never signed.
func TestCrashBetweenSpendingAndSigningIsReported(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		faults := &samtest.Faults{}
		r := samtest.New(t, db, samtest.Config{Wrap: faults.Around})
		p := r.Person(samtest.Wish{})
		h := samtest.Hash("x")
		q := r.Approved(p, h)
		crash(t, r, faults, "open", p, q)
		if db.Engine() == store.PostgreSQL { // another process could still be at work
			if got := r.Events(q.SID); slices.Contains(got, "signature.burned") {
				t.Errorf("burned at once: %v", got)
			}
			r.Clock.Add(2 * time.Minute)
			r.Restart()
		}
		want := []string{"sad.created", "sad.approved", "sad.consumed", "signature.burned"}
		if got := r.Events(q.SID); !slices.Equal(got, want) {
			t.Errorf("events %v, want %v", got, want)
		}
		_, err := r.Sign(t.Context(), r.SignRequest(p, q, h))
		refused(t, err, samapi.CodeHashNotAuthorized)
	})
}

// crash stops a Sign for ever at a step of the keystore and opens the module anew.
func crash(t *testing.T, r *samtest.Rig, faults *samtest.Faults, op string, p *samtest.Person, q *samtest.Pending) {
	t.Helper()
	reached, free := make(chan struct{}), make(chan struct{})
	var once atomic.Bool
	faults.Set(func(now string) error {
		if now == op && once.CompareAndSwap(false, true) {
			close(reached)
			<-free
			return samtest.ErrInjected
		}
		return nil
	})
	dead := r.Module
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = dead.Sign(context.WithoutCancel(t.Context()), r.SignRequest(p, q, q.Hashes...))
	}()
	<-reached
	t.Cleanup(func() { close(free); <-done })
	r.Restart()
}

// TestSlowModuleDoesNotSignAfterItsHashesWereGivenUp: a process that hangs in the
// keystore comes back after another one has burned its batch.
func TestSlowModuleDoesNotSignAfterItsHashesWereGivenUp(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		faults := &samtest.Faults{}
		r := samtest.New(t, db, samtest.Config{Wrap: faults.Around})
		p := r.Person(samtest.Wish{})
		h := samtest.Hash("x")
		q := r.Approved(p, h)
		reached, free := make(chan struct{}), make(chan struct{})
		faults.Set(func(op string) error {
			if op == "signed" {
				close(reached)
				<-free
			}
			return nil
		})
		type result struct {
			got samapi.SignResult
			err error
		}
		done := make(chan result)
		go func() {
			got, err := r.Sign(t.Context(), r.SignRequest(p, q, h))
			done <- result{got, err}
		}()
		<-reached
		r.Clock.Add(2 * time.Minute)
		if err := r.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		close(free)
		end := <-done
		if end.err == nil || len(end.got.Signatures) > 0 {
			t.Errorf("signed after the batch was burned: %v", end)
		}
		want := []string{"sad.created", "sad.approved", "sad.consumed", "signature.burned"}
		if got := r.Events(q.SID); !slices.Equal(got, want) {
			t.Errorf("events %v, want %v", got, want)
		}
	})
}

// onRecord runs a function at a log record.
type onRecord struct {
	slog.Handler

	message string
	do      func()
}

func (h onRecord) Enabled(context.Context, slog.Level) bool { return true }

func (h onRecord) Handle(_ context.Context, r slog.Record) error {
	if r.Message == h.message {
		h.do()
	}
	return nil
}

// TestBatchThatIsSignedMeanwhileIsNotBurned: a slow process signs at the very
// moment when another one is about to give its batch up.
func TestBatchThatIsSignedMeanwhileIsNotBurned(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		faults := &samtest.Faults{}
		reached, free := make(chan struct{}), make(chan struct{})
		type result struct {
			got samapi.SignResult
			err error
		}
		done, ended := make(chan result, 1), result{}
		log := slog.New(onRecord{slog.DiscardHandler, "hashes were spent and never signed", func() {
			close(free)
			ended = <-done
		}})
		r := samtest.New(t, db, samtest.Config{Wrap: faults.Around, Log: log})
		p := r.Person(samtest.Wish{})
		h := samtest.Hash("x")
		q := r.Approved(p, h)
		faults.Set(func(op string) error {
			if op == "signed" {
				close(reached)
				<-free
			}
			return nil
		})
		go func() {
			got, err := r.Sign(t.Context(), r.SignRequest(p, q, h))
			done <- result{got, err}
		}()
		<-reached
		r.Clock.Add(2 * time.Minute)
		if err := r.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if ended.err != nil || len(ended.got.Signatures) != 1 {
			t.Fatalf("the slow process: %v", ended)
		}
		want := []string{"sad.created", "sad.approved", "sad.consumed", "signature.created"}
		if got := r.Events(q.SID); !slices.Equal(got, want) {
			t.Errorf("events %v, want %v", got, want)
		}
		kept, err := r.Result(t.Context(), q.SID, samtest.Client)
		if err != nil || !slices.EqualFunc(kept.Signatures, ended.got.Signatures, slices.Equal) {
			t.Errorf("result: %v, %v", kept, err)
		}
		s, err := r.Status(t.Context())
		if err != nil || s.Burned != 0 || s.Batches["signed"] != 1 {
			t.Errorf("status %+v, %v", s, err)
		}
	})
}

// TestNoSignatureWithoutItsRecord lets each write of Sign fail.
func TestNoSignatureWithoutItsRecord(t *testing.T) {
	t.Run("first transaction", func(t *testing.T) {
		faults := &samtest.Faults{}
		r := samtest.New(t, storetest.SQLite(t), samtest.Config{Wrap: faults.Around})
		p := r.Person(samtest.Wish{})
		q := r.Approved(p, samtest.Hash("x"))
		r.Exec(`CREATE TRIGGER full_disk BEFORE INSERT ON audit_outbox BEGIN SELECT RAISE(ABORT, 'disk full'); END`)
		_, err := r.Sign(t.Context(), r.SignRequest(p, q, samtest.Hash("x")))
		if err == nil || faults.Used("open") != 0 {
			t.Errorf("without a log: %v, key opened %d times", err, faults.Used("open"))
		}
		r.Exec(`DROP TRIGGER full_disk`)
		if _, err := r.Sign(t.Context(), r.SignRequest(p, q, samtest.Hash("x"))); err != nil {
			t.Errorf("nothing was spent, yet: %v", err)
		}
	})
	t.Run("second transaction", func(t *testing.T) {
		r := samtest.New(t, storetest.SQLite(t), samtest.Config{})
		p := r.Person(samtest.Wish{})
		q := r.Approved(p, samtest.Hash("x"))
		r.Exec(`CREATE TRIGGER full_disk BEFORE INSERT ON audit_outbox WHEN NEW.type = 'signature.created' BEGIN SELECT RAISE(ABORT, 'disk full'); END`)
		got, err := r.Sign(t.Context(), r.SignRequest(p, q, samtest.Hash("x")))
		if err == nil || len(got.Signatures) > 0 {
			t.Errorf("without a record: %v, %d signatures", err, len(got.Signatures))
		}
		r.Exec(`DROP TRIGGER full_disk`)
		if _, err := r.Result(t.Context(), q.SID, samtest.Client); !errors.Is(err, fault.NotFound) {
			t.Errorf("result: %v", err)
		}
		r.Restart()
		if got := r.Events(q.SID); got[len(got)-1] != "signature.burned" {
			t.Errorf("events %v", got)
		}
		_, err = r.Sign(t.Context(), r.SignRequest(p, q, samtest.Hash("x")))
		refused(t, err, samapi.CodeHashNotAuthorized)
	})
}

func TestLostAnswerIsFetchedAgain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{})
		p := r.Person(samtest.Wish{})
		a, b := samtest.Hash("a"), samtest.Hash("b")
		q := r.Approved(p, a, b)
		gone, cancel := context.WithCancel(t.Context())
		first, err := r.Sign(gone, r.SignRequest(p, q, b))
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		second, err := r.Sign(t.Context(), r.SignRequest(p, q, a))
		if err != nil {
			t.Fatal(err)
		}
		r.Restart()
		got, err := r.Result(t.Context(), q.SID, samtest.Client)
		if err != nil {
			t.Fatal(err)
		}
		for i, h := range got.Hashes {
			want := first.Signatures[0]
			if string(h) == string(a) {
				want = second.Signatures[0]
			}
			if string(got.Signatures[i]) != string(want) {
				t.Errorf("signature %d is another than that of Sign", i)
			}
		}
		if len(got.Hashes) != 2 || len(got.Algorithms) != 2 {
			t.Errorf("%d hashes, %d algorithms", len(got.Hashes), len(got.Algorithms))
		}
		if _, err := r.Result(t.Context(), q.SID, "mallory"); !errors.Is(err, fault.NotFound) {
			t.Errorf("another client: %v", err)
		}
		if err := r.Acknowledge(t.Context(), q.SID, "mallory", got.Signatures); err != nil {
			t.Error(err)
		}
		if _, err := r.Result(t.Context(), q.SID, samtest.Client); err != nil {
			t.Errorf("after another client acknowledged: %v", err)
		}
		if err := r.Acknowledge(t.Context(), q.SID, samtest.Client, got.Signatures); err != nil {
			t.Error(err)
		}
		if _, err := r.Result(t.Context(), q.SID, samtest.Client); !errors.Is(err, fault.NotFound) {
			t.Errorf("after the acknowledgement: %v", err)
		}
		if err := r.Acknowledge(t.Context(), q.SID, samtest.Client, got.Signatures); err != nil {
			t.Errorf("acknowledged again: %v", err)
		}
	})
}

// TestOnlySignaturesThatArrivedAreForgotten acknowledges piece by piece, while
// others are made under the same approval.
func TestOnlySignaturesThatArrivedAreForgotten(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{})
		p := r.Person(samtest.Wish{})
		a, b, c := samtest.Hash("a"), samtest.Hash("b"), samtest.Hash("c")
		q := r.Approved(p, a, b, c, c)
		sign := func(hashes ...[]byte) [][]byte {
			t.Helper()
			got, err := r.Sign(t.Context(), r.SignRequest(p, q, hashes...))
			if err != nil {
				t.Fatal(err)
			}
			return got.Signatures
		}
		left := func(want ...[]byte) {
			t.Helper()
			r.Restart()
			got, err := r.Result(t.Context(), q.SID, samtest.Client)
			if err != nil && !errors.Is(err, fault.NotFound) {
				t.Fatal(err)
			}
			slices.SortFunc(got.Signatures, bytes.Compare)
			slices.SortFunc(want, bytes.Compare)
			if !slices.EqualFunc(got.Signatures, want, slices.Equal) || len(got.Hashes) != len(want) || len(got.Algorithms) != len(want) {
				t.Errorf("%d signatures are left, want %d, or they are others", len(got.Signatures), len(want))
			}
		}
		acknowledge := func(signatures ...[]byte) {
			t.Helper()
			if err := r.Acknowledge(t.Context(), q.SID, samtest.Client, signatures); err != nil {
				t.Error(err)
			}
		}
		both := sign(a, b)
		one := sign(c)
		again := sign(c) // after the caller read the result, before it acknowledged
		acknowledge(append(one, both[1])...)
		left(both[0], again[0])
		acknowledge()
		acknowledge(one...)
		acknowledge([]byte("none of these"), nil)
		left(both[0], again[0])
		acknowledge(both...)
		left(again[0])
		acknowledge(again...)
		left()
		want := []string{
			"sad.created", "sad.approved", "sad.consumed", "signature.created", "sad.consumed", "signature.created", "sad.consumed",
			"signature.created", "signature.delivered", "signature.delivered", "signature.delivered",
		}
		if got := r.Events(q.SID); !slices.Equal(got, want) {
			t.Errorf("events %v, want %v", got, want)
		}
		s, err := r.Status(t.Context())
		if err != nil || s.Batches["delivered"] != 3 || s.Batches["signed"] != 0 {
			t.Errorf("status %+v, %v", s, err)
		}
	})
}

func TestSignaturesAreForgottenAfterADay(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{})
	p := r.Person(samtest.Wish{})
	q := r.Approved(p, samtest.Hash("x"))
	if _, err := r.Sign(t.Context(), r.SignRequest(p, q, samtest.Hash("x"))); err != nil {
		t.Fatal(err)
	}
	r.Clock.Add(24*time.Hour - time.Second)
	if _, err := r.Result(t.Context(), q.SID, samtest.Client); err != nil {
		t.Errorf("within a day: %v", err)
	}
	r.Clock.Add(time.Second)
	if _, err := r.Result(t.Context(), q.SID, samtest.Client); !errors.Is(err, fault.NotFound) {
		t.Errorf("after a day: %v", err)
	}
	if err := r.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := r.DB.QueryRow(t.Context(), `SELECT COUNT(*) FROM sam_batch WHERE signatures <> ''`).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d signatures are still there, %v", n, err)
	}
}

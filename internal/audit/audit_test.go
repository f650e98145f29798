package audit_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
)

var start = time.Date(2031, 5, 6, 7, 8, 9, 123456000, time.UTC)

func key(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func open(t testing.TB, db *store.DB) *audit.Log {
	t.Helper()
	l, err := audit.New(t.Context(), audit.Config{DB: db, Origin: "test.example/sam", Signer: key(1), Now: func() time.Time { return start }})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func add(t testing.TB, l *audit.Log, events ...audit.Event) {
	t.Helper()
	err := l.DB.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		for _, e := range events {
			if err := l.Append(ctx, tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// fill adds n events, every tenth of activation "sid-7", and signs the log.
func fill(t testing.TB, l *audit.Log, n int) audit.Checkpoint {
	t.Helper()
	events := make([]audit.Event, n)
	for i := range events {
		events[i] = audit.Event{
			Type: "test.happened", Subject: fmt.Sprintf("subject-%d", i), Actor: "tester",
			Data: map[string]any{"z": i, "a": "<ü>", "m": []int{1, 2}},
		}
		if i%10 == 7 {
			events[i].SID = "sid-7"
		}
	}
	add(t, l, events...)
	if err := l.Sequence(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, err := l.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEventIsInTheLogExactlyWhenItsTransactionCommits(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		l := open(t, db)
		no := errors.New("no")
		err := db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(l.Append(ctx, tx, audit.Event{Type: "undone", Actor: "a"}), no)
		})
		if !errors.Is(err, no) {
			t.Fatal(err)
		}
		add(t, l, audit.Event{Type: "done", Actor: "a", Subject: "s", SID: "x", Outcome: audit.Failure, Data: struct {
			Z int    `json:"z"`
			A string `json:"a"`
		}{1, "<&>"}})
		if err := l.Sequence(t.Context()); err != nil {
			t.Fatal(err)
		}
		records, err := l.Records(t.Context(), audit.Filter{})
		if err != nil || len(records) != 1 {
			t.Fatalf("%d records, %v", len(records), err)
		}
		r := records[0]
		want := audit.Record{
			At: start, ID: r.ID, Type: "done", Subject: "s", Actor: "a", SID: "x", Outcome: "failure",
			Data: json.RawMessage(`{"a":"<&>","z":1}`),
			Leaf: []byte(`{"actor":"a","at":"2031-05-06T07:08:09.123456Z","data":{"a":"<&>","z":1},"id":"` + r.ID +
				`","outcome":"failure","sid":"x","subject":"s","type":"done"}`),
		}
		if d := cmp.Diff(want, r); d != "" {
			t.Errorf("record (-want +got):\n%s", d)
		}
	})
}

func TestIncompleteEventsAreRefused(t *testing.T) {
	t.Attr("control", "E04")
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		l := open(t, db)
		for _, e := range []audit.Event{
			{Actor: "a"},
			{Type: "t"},
			{Type: "t", Actor: "a", Data: make(chan int)},
			{Type: "t", Actor: "a", Data: strings.Repeat("x", 300_000)},
			{Type: "t", Actor: "a", Subject: "a\x00b"},
		} {
			err := db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error { return l.Append(ctx, tx, e) })
			if err == nil {
				t.Errorf("event of type %q by %q was taken", e.Type, e.Actor)
			}
		}
		add(t, l, audit.Event{Type: "t", Actor: "a"})
		if err := l.Sequence(t.Context()); err != nil {
			t.Fatal(err)
		}
		records, err := l.Records(t.Context(), audit.Filter{})
		if err != nil || len(records) != 1 {
			t.Fatalf("%d records, %v", len(records), err)
		}
		if r := records[0]; r.At.IsZero() || r.Type == "" || r.Actor == "" || r.Outcome == "" {
			t.Errorf("record without time, type, identity or outcome: %+v", r)
		}
	})
}

func TestWholeLogVerifies(t *testing.T) {
	t.Attr("control", "E08")
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		l := open(t, db)
		var kept [][]byte
		// Sizes around the tile borders 256 and 2·256, and several batches.
		for _, n := range []int{1, 1, 253, 1, 1, 255, 1, 700, 1500} {
			kept = append(kept, fill(t, l, n).Note)
		}
		rep, err := open(t, db).Verify(t.Context(), kept...)
		if err != nil || rep.Size != 2713 || rep.Checkpoints != 18 || !rep.Last.Equal(start) {
			t.Errorf("report %+v, %v", rep, err)
		}
		for _, text := range kept {
			c, err := audit.OpenCheckpoint(text, l.VerifierKey())
			if err != nil {
				t.Fatal(err)
			}
			proof, now, err := l.Consistency(t.Context(), c.Size)
			if err != nil {
				t.Fatal(err)
			}
			if err := audit.CheckConsistency(c, now, proof); err != nil {
				t.Errorf("size %d: %v", c.Size, err)
			}
		}
	})
}

func TestSearchFindsByTimeTypeAndPerson(t *testing.T) {
	t.Attr("control", "E05")
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		l := open(t, db)
		now := start
		l.Now = func() time.Time { return now }
		for i := range 20 {
			now = start.Add(time.Duration(i) * time.Minute)
			add(t, l, audit.Event{Type: fmt.Sprintf("t%d", i%2), Actor: fmt.Sprintf("a%d", i%3), Subject: "s", SID: fmt.Sprint(i % 4), Outcome: fmt.Sprint("o", i%5)})
		}
		if err := l.Sequence(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			f    audit.Filter
			want []int64
		}{
			{audit.Filter{From: start.Add(17 * time.Minute)}, []int64{17, 18, 19}},
			{audit.Filter{To: start.Add(2 * time.Minute)}, []int64{0, 1}},
			{audit.Filter{Type: "t1", Limit: 3}, []int64{1, 3, 5}},
			{audit.Filter{Type: "t1", Actor: "a2", SID: "1"}, []int64{5, 17}},
			{audit.Filter{Outcome: "o4", After: 5, Before: 19}, []int64{9, 14}},
			{audit.Filter{Subject: "none"}, nil},
		} {
			records, err := l.Records(t.Context(), c.f)
			var got []int64
			for _, r := range records {
				got = append(got, r.Pos)
			}
			if d := cmp.Diff(c.want, got); d != "" || err != nil {
				t.Errorf("%+v: %v (-want +got):\n%s", c.f, err, d)
			}
		}
	})
}

func TestRunSequencesSignsAndBeats(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var trouble bytes.Buffer
		l, err := audit.New(t.Context(), audit.Config{
			DB: db, Origin: "test.example/sam", Signer: key(1), Log: slog.New(slog.NewTextHandler(&trouble, nil)),
			SequenceEvery: 5 * time.Millisecond, CheckpointEvery: 10 * time.Millisecond, HeartbeatEvery: 40 * time.Millisecond,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for j := range 25 {
					add(t, l, audit.Event{Type: "work", Actor: fmt.Sprint(i), Subject: fmt.Sprint(j)})
				}
			})
		}
		wg.Wait()
		deadline := time.Now().Add(20 * time.Second)
		for {
			beats, err := l.Records(t.Context(), audit.Filter{Type: "audit.heartbeat"})
			if err != nil {
				t.Fatal(err)
			}
			s, err := l.State(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(beats) >= 2 && s.Signed >= 100 && !s.SignedAt.IsZero() && !s.LastRecord.IsZero() {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d heartbeats, state %+v", len(beats), s)
			}
			time.Sleep(5 * time.Millisecond)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		s, err := l.State(t.Context())
		if err != nil || s.Waiting != 0 || s.Signed != s.Size {
			t.Errorf("after the end: %+v, %v", s, err)
		}
		for _, kind := range []string{"audit.started", "audit.stopped"} {
			if r, err := l.Records(t.Context(), audit.Filter{Type: kind}); err != nil || len(r) != 1 {
				t.Errorf("%d events %s, %v", len(r), kind, err)
			}
		}
		// The order of one writer is the order of the log.
		for i := range 4 {
			records, err := l.Records(t.Context(), audit.Filter{Type: "work", Actor: fmt.Sprint(i)})
			if err != nil || len(records) != 25 {
				t.Fatalf("writer %d: %d records, %v", i, len(records), err)
			}
			for j, r := range records {
				if r.Subject != fmt.Sprint(j) {
					t.Fatalf("writer %d: record %d is %s", i, j, r.Subject)
				}
			}
		}
		if _, err := l.Verify(t.Context()); err != nil {
			t.Error(err)
		}
		if trouble.Len() > 0 {
			t.Errorf("logged: %s", trouble.String())
		}
	})
}

func TestSeveralProcessesSequenceOneLog(t *testing.T) {
	dsn := storetest.PostgresDSN(t)
	var logs []*audit.Log
	for range 3 {
		logs = append(logs, open(t, storetest.Open(t, dsn)))
	}
	var wg sync.WaitGroup
	for _, l := range logs {
		wg.Go(func() {
			for range 20 {
				add(t, l, audit.Event{Type: "t", Actor: "a"})
				if err := l.Sequence(t.Context()); err != nil {
					t.Errorf("sequence: %v", err)
				}
				if _, err := l.Checkpoint(t.Context()); err != nil {
					t.Errorf("checkpoint: %v", err)
				}
			}
		})
	}
	wg.Wait()
	rep, err := logs[0].Verify(t.Context())
	if err != nil || rep.Size != 60 {
		t.Errorf("%+v, %v", rep, err)
	}
}

func TestLogIsRefusedWithoutAProperKey(t *testing.T) {
	db := storetest.SQLite(t)
	for _, c := range []audit.Config{
		{DB: db, Origin: "o"},
		{Origin: "o", Signer: key(1)},
		{DB: db, Signer: key(1)},
		{DB: db, Origin: "with space", Signer: key(1)},
		{DB: db, Origin: "o", Signer: ecKey(t)},
	} {
		if _, err := audit.New(t.Context(), c); err == nil {
			t.Errorf("taken: %+v", c)
		}
	}
}

func TestBundleOfNothingIsRefused(t *testing.T) {
	l := open(t, storetest.SQLite(t))
	fill(t, l, 3)
	if _, err := l.Bundle(t.Context(), "nobody"); !errors.Is(err, fault.NotFound) {
		t.Errorf("unknown activation: %v", err)
	}
	if _, err := l.Bundle(t.Context(), ""); !errors.Is(err, fault.Invalid) {
		t.Errorf("no activation: %v", err)
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, e := range []struct {
		name string
		open func(testing.TB) *store.DB
	}{{"sqlite", storetest.SQLite}, {"postgres", storetest.Postgres}} {
		b.Run(e.name, func(b *testing.B) {
			l := open(b, e.open(b))
			data := map[string]any{"digest": strings.Repeat("x", 64), "credential": "c", "n": 1}
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					add(b, l, audit.Event{Type: "signature.created", Actor: "signer", Subject: "c", SID: "x", Data: data})
				}
			})
			b.StopTimer()
			begin := time.Now()
			if err := l.Sequence(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(time.Since(begin).Nanoseconds())/float64(b.N), "sequence-ns/op")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
		})
	}
}

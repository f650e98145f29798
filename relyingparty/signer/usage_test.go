//go:build unix

package signer_test

import (
	"slices"
	"syscall"
	"testing"
	"time"
)

// rounds is how often each side of a comparison is measured at least: enough for
// a median on a machine that does other work too.
const rounds = 7

// own is the CPU time of this process so far.
func own(b *testing.B) time.Duration {
	b.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// cost is what one run took of this process's CPU, and by the clock on the wall.
type cost struct{ cpu, wall time.Duration }

func measure(b *testing.B, f func()) cost {
	b.Helper()
	before, start := own(b), time.Now()
	f()
	return cost{own(b) - before, time.Since(start)}
}

// median is the median of each, by itself.
func median(costs []cost) cost {
	var cpu, wall []time.Duration
	for _, c := range costs {
		cpu, wall = append(cpu, c.cpu), append(wall, c.wall)
	}
	slices.Sort(cpu)
	slices.Sort(wall)
	return cost{cpu[len(cpu)/2], wall[len(wall)/2]}
}

// beside measures f beside its baseline, by turns, and reports the medians: CPU
// time, which is held against the goal, and wall time for the reader.
func beside(b *testing.B, goal float64, baseline, f func()) {
	b.Helper()
	var base, took []cost
	for b.Loop() {
		b.StopTimer()
		base = append(base, measure(b, baseline))
		b.StartTimer()
		took = append(took, measure(b, f))
	}
	b.StopTimer()
	for len(took) < rounds {
		base, took = append(base, measure(b, baseline)), append(took, measure(b, f))
	}
	x, y := median(base), median(took)
	b.ReportMetric(float64(x.cpu.Nanoseconds()), "baseline-cpu-ns/op")
	b.ReportMetric(float64(y.cpu.Nanoseconds()), "cpu-ns/op")
	b.ReportMetric(float64(x.wall.Nanoseconds()), "baseline-wall-ns/op")
	b.ReportMetric(float64(y.wall.Nanoseconds()), "wall-ns/op")
	b.ReportMetric(goal, "goal-ratio")
}

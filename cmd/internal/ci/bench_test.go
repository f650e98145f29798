package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestABenchmarkLineIsAComparisonOnlyWithBaselineAndGoal(t *testing.T) {
	tests := []struct {
		line string
		want *Comparison
	}{
		{"BenchmarkLTA/100MB-2  3  12 ns/op  150 baseline-cpu-ns/op  180 cpu-ns/op  1.3 goal-ratio", &Comparison{Name: "ades/pades.LTA/100MB", Value: 180, Unit: "cpu-ns/op", Baseline: 150, Ratio: 1.2, Goal: 1.3, Held: true}},
		{"BenchmarkSlow-2  3  12 ns/op  100 baseline-cpu-ns/op  200 cpu-ns/op  1.3 goal-ratio", &Comparison{Name: "ades/pades.Slow", Value: 200, Unit: "cpu-ns/op", Baseline: 100, Ratio: 2, Goal: 1.3}},
		{"BenchmarkRate-2  3  12 ns/op  100 baseline-sig/s  200 sig/s  1.5 goal-ratio-min", &Comparison{Name: "ades/pades.Rate", Value: 200, Unit: "sig/s", Baseline: 100, Ratio: 2, Goal: 1.5, Held: true}},
		{"BenchmarkPlain-2  3  12 ns/op", nil},
		{"BenchmarkNoGoal-2  3  12 ns/op  3 baseline-x  4 x", &Comparison{Name: "ades/pades.NoGoal", Value: 4, Unit: "x", Baseline: 3, Ratio: 4.0 / 3, Held: true}},
		{"BenchmarkPatch100MB-2  3  12 ns/op  100 baseline-ms  140 best-ms  1.4 ratio", &Comparison{Name: "ades/pades.Patch100MB", Value: 140, Unit: "best-ms", Baseline: 100, Ratio: 1.4, Goal: 1.3}},
		{"BenchmarkX-2  3  12 ns/op  1000 baseline/cpu-s  900 signatures/cpu-s  0.9 ratio", &Comparison{Name: "ades/pades.X", Value: 900, Unit: "signatures/cpu-s", Baseline: 1000, Ratio: 0.9, Held: true}},
		{"PASS", nil},
	}
	for _, tt := range tests {
		got, ok := comparison("ades/pades", tt.line)
		if ok != (tt.want != nil) {
			t.Errorf("%s: comparison %v", tt.line, ok)
			continue
		}
		if ok {
			if d := cmp.Diff(*tt.want, got); d != "" {
				t.Error(d)
			}
		}
	}
}

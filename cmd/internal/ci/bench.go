package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// Comparison is one line of bench.json: a figure beside its baseline of the
// same run.
type Comparison struct {
	Name     string  `json:"name"`
	Value    float64 `json:"value"`
	Unit     string  `json:"unit"`
	Baseline float64 `json:"baseline"`
	Ratio    float64 `json:"ratio"`
	Goal     float64 `json:"goal"`
	Held     bool    `json:"held"`
}

// bench runs the benchmarks of the packages and keeps those that compare
// themselves with a baseline of the same run. A benchmark does so by reporting a
// metric U and "baseline-U", by custom "cpu-ns/op" from getrusage, and its goal as
// "goal-ratio" (the most U/baseline may be) or "goal-ratio-min" (the least); the
// goals of some stand in goals. A missed goal is an answer, not a failure.
func bench(ctx context.Context, out string, pkgs []string, w, errw io.Writer) error {
	args := append([]string{"test", "-run", "^$", "-bench", ".", "-p", "1", "-timeout", "30m"}, pkgs...)
	c := exec.CommandContext(ctx, "go", args...)
	c.Stderr = errw
	pipe, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	list := []Comparison{}
	pkg := ""
	s := bufio.NewScanner(pipe)
	for s.Scan() {
		fmt.Fprintln(w, s.Text())
		if p, ok := strings.CutPrefix(s.Text(), "pkg: "); ok {
			pkg = short(p)
		}
		if cmp, ok := comparison(pkg, s.Text()); ok {
			list = append(list, cmp)
		}
	}
	if err := s.Err(); err != nil {
		return err
	}
	if err := c.Wait(); err != nil {
		return fmt.Errorf("benchmarks: %w", err)
	}
	if err := writeJSON(out, list); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, c := range list {
		word := "held"
		if !c.Held {
			word = "MISSED"
		}
		goal := fmt.Sprintf("goal %.2f", c.Goal)
		if c.Goal == 0 { // nothing was promised, so nothing is held
			word, goal = "-", "no goal"
		}
		fmt.Fprintf(w, "%-6s  %-48s %10.4g %s, baseline %.4g, ratio %.2f, %s\n", word, c.Name, c.Value, c.Unit, c.Baseline, c.Ratio, goal)
	}
	return nil
}

var procs = regexp.MustCompile(`-\d+$`)

// comparison reads one result line of go test -bench.
func comparison(pkg, line string) (Comparison, bool) {
	f := strings.Fields(line)
	if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
		return Comparison{}, false
	}
	metrics := map[string]float64{}
	var units []string
	for i := 2; i+1 < len(f); i += 2 {
		v, err := strconv.ParseFloat(f[i], 64)
		if err != nil {
			return Comparison{}, false
		}
		metrics[f[i+1]] = v
		units = append(units, f[i+1])
	}
	unit, base, ok := against(units, metrics)
	if !ok {
		return Comparison{}, false
	}
	name := strings.TrimPrefix(procs.ReplaceAllString(f[0], ""), "Benchmark")
	c := Comparison{Name: strings.TrimPrefix(pkg+"."+name, "."), Value: metrics[unit], Unit: unit, Baseline: base}
	c.Ratio = c.Value / c.Baseline
	c.judge(metrics)
	return c, true
}

package main

import (
	"regexp"
	"strings"
)

// goal is what a benchmark is held against that does not say so itself.
type goal struct {
	name  *regexp.Regexp
	least bool // the ratio must be at least as much, else at most
	ratio float64
}

var goals = []goal{
	{regexp.MustCompile(`^ades/pades\.Patch100MB$`), false, 1.3},
	{regexp.MustCompile(`^ades/pades\.BLTAFileToFile100MB$`), false, 1.3},
	{regexp.MustCompile(`^relyingparty/signer\.BLTA100MB$`), false, 1.3},
	{regexp.MustCompile(`^sam\.Sign/.*hashes=20/`), true, 0.8},
}

// ratioUnits are metrics that are ratios already, with a baseline of 1.
var ratioUnits = []string{"times-hash-and-copy"}

// against finds the metric that has a baseline beside it: "baseline-ms" is that
// of "ms" or "best-ms", "baseline/cpu-s" that of "signatures/cpu-s".
func against(units []string, metrics map[string]float64) (unit string, baseline float64, ok bool) {
	for _, b := range units {
		end, isBase := strings.CutPrefix(b, "baseline")
		if !isBase || metrics[b] == 0 {
			continue
		}
		for _, u := range units {
			if u != b && (u == end[1:] || strings.HasSuffix(u, end)) {
				return u, metrics[b], true
			}
		}
	}
	for _, u := range ratioUnits {
		if _, ok := metrics[u]; ok {
			return u, 1, true
		}
	}
	return "", 0, false
}

// judge holds the comparison against its goal. Without one it stands there with
// goal 0, and holds nothing up.
func (c *Comparison) judge(metrics map[string]float64) {
	if least, ok := metrics["goal-ratio-min"]; ok {
		c.Goal, c.Held = least, c.Ratio >= least
		return
	}
	if most, ok := metrics["goal-ratio"]; ok {
		c.Goal, c.Held = most, c.Ratio <= most
		return
	}
	c.Held = true
	for _, g := range goals {
		if g.name.MatchString(c.Name) {
			c.Goal, c.Held = g.ratio, c.Ratio <= g.ratio
			if g.least {
				c.Held = c.Ratio >= g.ratio
			}
		}
	}
}

package pades

import "github.com/countersign/countersign/internal/fault"

// Level is a baseline level of EN 319 142-1. The zero value is B-LTA.
type Level int

// The levels.
const (
	LTA Level = iota
	LT
	T
	B
)

// ParseLevel reads "B-B", "B-T", "B-LT" or "B-LTA"; "" is B-LTA.
func ParseLevel(s string) (Level, error) {
	switch s {
	case "B-B":
		return B, nil
	case "B-T":
		return T, nil
	case "B-LT":
		return LT, nil
	case "B-LTA", "":
		return LTA, nil
	}
	return 0, fault.New(fault.Invalid, "level %q is not B-B, B-T, B-LT or B-LTA", s)
}

// String names the level as ParseLevel reads it.
func (l Level) String() string {
	switch l {
	case B:
		return "B-B"
	case T:
		return "B-T"
	case LT:
		return "B-LT"
	case LTA:
	}
	return "B-LTA"
}

// atLeast reports whether l includes m.
func (l Level) atLeast(m Level) bool { return l <= m }

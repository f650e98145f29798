package daemon

import (
	"os"
	"runtime/debug"
)

// gcPercent trades memory for time: the live heap of a role is a few megabytes, so
// by Go's default it would be collected many times a second under load. Five times a
// little is still little.
const gcPercent = 400

// SpareGC sets how often the process collects garbage, unless its environment says
// (GOGC).
func SpareGC() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

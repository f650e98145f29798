// Package buildinfo says which build of the program runs.
package buildinfo

import (
	"runtime"
	"runtime/debug"
	"strings"
)

// commit is set by the linker; builds by go install have it from the module or
// the checkout instead.
var commit string

// Info is the build.
type Info struct {
	Program string `json:"program"`
	Version string `json:"version"` // of the module; "(devel)" in a checkout
	// Commit is empty when the build does not know it; "+changed" stands behind it
	// when the source was not exactly that.
	Commit string `json:"commit"`
	Go     string `json:"go"`
	System string `json:"system"` // GOOS/GOARCH
	Cgo    bool   `json:"cgo"`
}

// Read returns the build of this program.
func Read(program string) Info {
	i := Info{Program: program, Version: "(devel)", Commit: commit, Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
	b, ok := debug.ReadBuildInfo()
	if !ok {
		return i
	}
	if v := b.Main.Version; v != "" {
		i.Version = v
	}
	i.take(b.Settings)
	return i
}

// changed is what follows a commit that the source differed from.
const changed = "+changed"

func (i *Info) take(settings []debug.BuildSetting) {
	differs := false
	for _, s := range settings {
		switch s.Key {
		case "vcs.revision":
			if i.Commit == "" {
				i.Commit = s.Value
			}
		case "vcs.modified":
			differs = s.Value == "true"
		case "CGO_ENABLED":
			i.Cgo = s.Value == "1"
		}
	}
	if differs && i.Commit != "" && !strings.HasSuffix(i.Commit, changed) {
		i.Commit += changed
	}
}

// String is the build in one line.
func (i Info) String() string {
	c, differs := strings.CutSuffix(i.Commit, changed)
	c = c[:min(12, len(c))]
	if differs {
		c += changed
	}
	if c == "" {
		c = "unknown commit"
	}
	return i.Program + " " + i.Version + " (" + c + "), " + i.Go + " " + i.System
}

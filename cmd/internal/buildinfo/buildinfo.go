// Package buildinfo says which build of the program runs.
package buildinfo

import (
	"runtime"
	"runtime/debug"
)

// commit is set by the linker; builds by go install have it from the module or
// the checkout instead.
var commit string

// Info is the build.
type Info struct {
	Program string `json:"program"`
	Version string `json:"version"` // of the module; "(devel)" in a checkout
	Commit  string `json:"commit"`  // empty when the build does not know it
	Go      string `json:"go"`
	System  string `json:"system"` // GOOS/GOARCH
	Cgo     bool   `json:"cgo"`
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
	for _, s := range b.Settings {
		switch s.Key {
		case "vcs.revision":
			if i.Commit == "" {
				i.Commit = s.Value
			}
		case "CGO_ENABLED":
			i.Cgo = s.Value == "1"
		}
	}
	return i
}

// String is the build in one line.
func (i Info) String() string {
	c := i.Commit
	if len(c) > 12 {
		c = c[:12]
	}
	if c == "" {
		c = "unknown commit"
	}
	return i.Program + " " + i.Version + " (" + c + "), " + i.Go + " " + i.System
}

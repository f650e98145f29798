package buildinfo

import (
	"runtime/debug"
	"strings"
	"testing"
)

const sha = "0123456789abcdef0123456789abcdef01234567"

// A record of tests belongs to a commit: a program of a source that differs from it
// must not pass for that commit.
func TestAChangedSourceIsNotItsCommit(t *testing.T) {
	for name, c := range map[string]struct {
		linked, modified, want string
	}{
		"as it was":            {"", "false", sha},
		"changed":              {"", "true", sha + changed},
		"linked":               {sha, "false", sha},
		"linked and changed":   {sha, "true", sha + changed},
		"said to be so before": {sha + changed, "true", sha + changed},
	} {
		i := Info{Program: "countersign", Commit: c.linked}
		i.take([]debug.BuildSetting{{Key: "vcs.modified", Value: c.modified}, {Key: "vcs.revision", Value: sha}})
		if i.Commit != c.want {
			t.Errorf("%s: %s", name, i.Commit)
		}
		if s := i.String(); !strings.Contains(s, "("+sha[:12]+strings.TrimPrefix(c.want, sha)+")") {
			t.Errorf("%s: %s", name, s)
		}
	}
	i := Info{}
	if i.take([]debug.BuildSetting{{Key: "vcs.modified", Value: "true"}}); i.Commit != "" {
		t.Errorf("a commit that nobody knows: %s", i.Commit)
	}
}

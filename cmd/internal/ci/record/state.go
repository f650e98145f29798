package record

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// State names the source in dir: the commit, and "+" with a digest of the
// difference when the tree is not exactly that commit. Ignored files do not count.
func State(ctx context.Context, dir string) (string, error) {
	head, err := git(ctx, dir, "rev-parse", "--verify", "-q", "HEAD")
	commit := strings.TrimSpace(string(head))
	if err != nil {
		if _, err := git(ctx, dir, "rev-parse", "--git-dir"); err != nil {
			return "", fmt.Errorf("%s is not a git checkout: records belong to a commit", dir)
		}
		commit = "uncommitted"
	}
	status, err := git(ctx, dir, "status", "--porcelain", "-z", "--untracked-files=all")
	if err != nil {
		return "", err
	}
	if len(status) == 0 {
		return commit, nil
	}
	h := sha256.New()
	h.Write(status)
	for entry := range strings.SplitSeq(string(status), "\x00") {
		if len(entry) < 4 {
			continue
		}
		if err := hashFile(h, filepath.Join(dir, entry[3:])); err != nil {
			return "", err
		}
	}
	return commit + "+" + hex.EncodeToString(h.Sum(nil))[:12], nil
}

// hashFile adds a file that may be gone to the digest.
func hashFile(h io.Writer, name string) error {
	f, err := os.Open(name)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || st.IsDir() {
		return err
	}
	_, err = io.Copy(h, f)
	return err
}

func git(ctx context.Context, dir string, args ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, "git", args...)
	c.Dir = dir
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("git %s: %w", args[0], err)
	}
	return out, nil
}

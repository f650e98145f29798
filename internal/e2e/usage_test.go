package e2e_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// used is what a process took.
type used struct {
	cpu    time.Duration
	memory int64 // the most that was resident, in bytes
}

func (u used) String() string {
	return fmt.Sprintf("CPU %.2f s, peak memory %d MB", u.cpu.Seconds(), u.memory>>20)
}

// highWater watches the most memory that a process has had resident. The kernel's
// answer when it ends cannot be used: it begins with the memory of the process
// that started it.
func highWater(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0 // it has ended
	}
	_, rest, ok := strings.Cut(string(b), "VmHWM:")
	if !ok {
		return 0
	}
	kb, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, err := strconv.ParseInt(kb, 10, 64)
	if err != nil {
		return 0
	}
	return n << 10
}

// watch looks at a process every other millisecond until it has ended.
func watch(pid int, ended <-chan struct{}) (most int64) {
	for {
		most = max(most, highWater(pid))
		select {
		case <-ended:
			return most
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// own is the CPU time of this process so far.
func own(t testing.TB) time.Duration {
	t.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		t.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// baseline is the CPU time for what cannot be avoided: hashing a document once
// and copying it once.
func baseline(t testing.TB, from, to string) time.Duration {
	t.Helper()
	before := own(t)
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if _, err := io.CopyBuffer(onlyWriter{sha256.New()}, onlyReader{in}, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	took := own(t) - before
	if err := os.Remove(to); err != nil {
		t.Fatal(err)
	}
	return took
}

type (
	onlyReader struct{ io.Reader }
	onlyWriter struct{ io.Writer }
)

// What signing may take: memory that does not depend on the document, and the
// time of hashing and copying it, plus a constant.
const (
	maxMemory   = 64 << 20
	maxTimes    = 2
	maxConstant = 500 * time.Millisecond
)

// bounded checks that the document's size costs time once and memory never.
func (u used) bounded(t *testing.T, what string, base time.Duration) {
	t.Helper()
	t.Logf("%s: hashing and copying alone take %.2f s of CPU, signing %.2f s", what, base.Seconds(), u.cpu.Seconds())
	if self, err := os.Readlink("/proc/self"); err != nil || self != strconv.Itoa(os.Getpid()) {
		if os.Getenv("CI") == "true" {
			t.Fatal("/proc shows other processes than ours: the memory was not measured")
		}
		t.Skip("SKIPPED: /proc shows other processes than ours: the memory was not measured")
	}
	if u.memory == 0 || u.memory > maxMemory {
		t.Errorf("%s: %d MB of memory, at most %d may be", what, u.memory>>20, maxMemory>>20)
	}
	if most := maxTimes*base + maxConstant; u.cpu > most {
		t.Errorf("%s: %.2f s of CPU, more than %d times hashing and copying plus %s", what, u.cpu.Seconds(), maxTimes, maxConstant)
	}
}

package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// staUnsync says that the kernel's clock is not synchronised (adjtimex(2)). The
// kernel sets it by itself when the most that it may be off has grown to 16 s.
const staUnsync = 0x0040

// kernelClock says whether the kernel's clock is kept by a time service, and how
// far off it is at most.
func kernelClock() (synchronised bool, maxError time.Duration, err error) {
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		return false, 0, fmt.Errorf("ask the kernel for its clock: %w", err)
	}
	return t.Status&staUnsync == 0, time.Duration(t.Maxerror) * time.Microsecond, nil
}

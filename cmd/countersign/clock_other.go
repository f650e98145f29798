//go:build !linux

package main

import (
	"errors"
	"time"
)

// kernelClock cannot be asked here.
func kernelClock() (synchronised bool, maxError time.Duration, err error) {
	return false, 0, errors.New("only Linux says whether its clock is synchronised")
}

// Package faultnet breaks networks for tests: an HTTP transport and a TCP proxy
// that delay, cut, garble and impersonate on command.
package faultnet

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// Kind is a way to fail.
type Kind int

// The ways to fail.
const (
	None       Kind = iota // nothing is wrong
	Delay                  // it takes Fault.For longer
	DropBefore             // the connection breaks before the request has an effect
	DropAfter              // the request has its effect, and the answer is lost
	Truncate               // the connection breaks after Fault.Bytes bytes of the answer
	Garbage                // the answer is Fault.Bytes bytes of rubbish (0 is 512)
	Hang                   // there is no answer until the client gives up
	Twice                  // the request arrives twice; the second answer is lost (transport only)
	Status                 // an HTTP error of status Fault.Bytes instead of an effect (transport only)
	WrongCert              // somebody with a certificate for another name answers (proxy only)
)

// String names the kind in test output.
func (k Kind) String() string {
	names := []string{"none", "delay", "drop before", "drop after", "truncate", "garbage", "hang", "twice", "status", "wrong certificate"}
	if k < 0 || int(k) >= len(names) {
		return fmt.Sprintf("Kind(%d)", int(k))
	}
	return names[k]
}

// Fault is what happens to one request or connection.
type Fault struct {
	Kind  Kind
	For   time.Duration
	Bytes int
}

// ErrDropped is the error of a transport whose connection breaks.
var ErrDropped = errors.New("faultnet: connection dropped")

// Script gives one fault after the other, then None for ever. It may be used by
// several goroutines.
type Script struct {
	mu     sync.Mutex
	faults []Fault
	used   int
}

// NewScript makes a script of kinds of failure.
func NewScript(kinds ...Kind) *Script {
	s := &Script{}
	for _, k := range kinds {
		s.faults = append(s.faults, Fault{Kind: k})
	}
	return s
}

// Add appends a fault.
func (s *Script) Add(f Fault) *Script {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, f)
	return s
}

// Used says how many requests or connections there were.
func (s *Script) Used() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

func (s *Script) next() Fault {
	if s == nil {
		return Fault{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used++
	if len(s.faults) == 0 {
		return Fault{}
	}
	f := s.faults[0]
	s.faults = s.faults[1:]
	return f
}

// rubbish looks like nothing that a protocol has, and is the same every time.
func rubbish(n int) []byte {
	if n <= 0 {
		n = 512
	}
	b := make([]byte, n)
	x := uint32(2463534242)
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x&0x7f) | 0x80
	}
	return b
}

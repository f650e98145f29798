package demo

import (
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
)

func TestPortsAreChosenOnceAndATakenOneIsNamed(t *testing.T) {
	dir := t.TempDir()
	first, err := loadPorts(t.Context(), dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, e := range first.all() {
		if *e.Port == 0 || seen[*e.Port] {
			t.Errorf("%s has port %d in %+v", e.Name, *e.Port, first)
		}
		seen[*e.Port] = true
	}
	again, err := loadPorts(t.Context(), dir, 0)
	if err != nil || again != first {
		t.Fatalf("second start: %+v, %v; want %+v", again, err, first)
	}
	var c net.ListenConfig
	l, err := c.Listen(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(first.Approval)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = loadPorts(t.Context(), dir, 0)
	if !errors.Is(err, ErrPortTaken) || !strings.Contains(err.Error(), strconv.Itoa(first.Approval)) {
		t.Errorf("got %v, want ErrPortTaken naming %d", err, first.Approval)
	}
}

func TestTheGatewaysPortCanBeGiven(t *testing.T) {
	free, err := loadPorts(t.Context(), t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	p, err := loadPorts(t.Context(), t.TempDir(), free.PKI)
	if err != nil {
		t.Fatal(err)
	}
	if p.Gateway != free.PKI {
		t.Errorf("gateway has port %d, want %d", p.Gateway, free.PKI)
	}
}

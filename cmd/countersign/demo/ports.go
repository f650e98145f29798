package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// Ports are the loopback ports of the four origins. Certificates name them, so
// they are chosen once.
type Ports struct {
	Portal   int `json:"portal"`
	Gateway  int `json:"gateway"`
	Approval int `json:"approval"`
	PKI      int `json:"pki"`
}

// ErrPortTaken says that a port of the installation is used by another program.
var ErrPortTaken = errors.New("port is taken")

// all returns the ports with what they serve.
func (p *Ports) all() []struct {
	Name string
	Port *int
} {
	return []struct {
		Name string
		Port *int
	}{{"portal", &p.Portal}, {"gateway", &p.Gateway}, {"approval", &p.Approval}, {"pki", &p.PKI}}
}

// loadPorts returns the ports kept in dir, or chooses free ones and keeps them.
// fixed is a port the gateway must have, or 0. A kept port that is taken gives
// ErrPortTaken with its number.
func loadPorts(ctx context.Context, dir string, fixed int) (Ports, error) {
	name := filepath.Join(dir, "ports.json")
	var p Ports
	b, err := os.ReadFile(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		p.Gateway = fixed
		if err := p.choose(ctx); err != nil {
			return p, err
		}
		return p, writeJSON(name, p)
	case err != nil:
		return p, err
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return p, fmt.Errorf("%s: %w", name, err)
	}
	for _, e := range p.all() {
		if *e.Port < 1 || *e.Port > 65535 {
			return p, fmt.Errorf("%s: no port for %s; remove the folder to start anew", name, e.Name)
		}
	}
	return p, p.check(ctx)
}

// choose finds a free port for each origin that has none. The listeners are all
// open at once, so that the ports differ.
func (p *Ports) choose(ctx context.Context) error {
	for _, e := range p.all() {
		l, err := listen(ctx, *e.Port)
		if err != nil {
			return taken(e.Name, *e.Port, err)
		}
		defer l.Close()
		a, ok := l.Addr().(*net.TCPAddr)
		if !ok {
			return fmt.Errorf("no port in %v", l.Addr())
		}
		*e.Port = a.Port
	}
	return nil
}

// check says whether every port is free now.
func (p *Ports) check(ctx context.Context) error {
	for _, e := range p.all() {
		l, err := listen(ctx, *e.Port)
		if err != nil {
			return taken(e.Name, *e.Port, err)
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}

func listen(ctx context.Context, port int) (net.Listener, error) {
	var c net.ListenConfig
	return c.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
}

func taken(name string, port int, err error) error {
	return fmt.Errorf("port %d of the %s %w: end the program that uses it, or remove the demo's folder to start anew with other ports (%w)", port, name, ErrPortTaken, err)
}

func writeJSON(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(name, append(b, '\n'))
}

// writeFile replaces a file as a whole; only this user reads it.
func writeFile(name string, data []byte) error {
	tmp := name + ".part"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, name)
}

package faultnet

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"sync"
	"time"
)

// Proxy passes TCP connections on to another address and fails by its script, one
// entry a connection.
type Proxy struct {
	Script *Script

	target   string
	listener net.Listener
	cert     tls.Certificate
	ctx      context.Context //nolint:containedctx // the proxy lives as long as it
	cancel   context.CancelFunc

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]bool
	wg     sync.WaitGroup
}

// NewProxy starts a proxy on a free port of 127.0.0.1. Close ends it.
func NewProxy(target string, s *Script) (*Proxy, error) {
	cert, err := wrongCert()
	if err != nil {
		return nil, fmt.Errorf("start fault proxy: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		cancel()
		return nil, fmt.Errorf("start fault proxy: %w", err)
	}
	p := &Proxy{Script: s, target: target, listener: l, cert: cert, ctx: ctx, cancel: cancel, conns: map[net.Conn]bool{}}
	p.wg.Go(p.accept)
	return p, nil
}

// Addr is the address to connect to, host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close breaks all connections and waits for their end.
func (p *Proxy) Close() error {
	p.cancel()
	err := p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		f := p.Script.next()
		if !p.keep(c) {
			return
		}
		p.wg.Go(func() {
			defer p.drop(c)
			p.serve(c, f)
		})
	}
}

// keep remembers a connection so that Close can break it.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) drop(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *Proxy) serve(client net.Conn, f Fault) {
	switch f.Kind {
	case DropBefore:
		readSome(client)
		reset(client)
		return
	case Hang:
		<-p.hangup(client)
		return
	case Garbage:
		readSome(client)
		_, _ = client.Write(rubbish(f.Bytes))
		return
	case WrongCert:
		s := tls.Server(client, &tls.Config{Certificates: []tls.Certificate{p.cert}, MinVersion: tls.VersionTLS12})
		if s.HandshakeContext(p.ctx) == nil {
			_, _ = io.Copy(io.Discard, s) // a client that accepts it talks to nobody
		}
		return
	case Delay:
		if wait(p.ctx, f.For) != nil {
			return
		}
	case None, DropAfter, Truncate, Twice, Status:
	}
	p.pass(client, f)
}

// pass connects both sides.
func (p *Proxy) pass(client net.Conn, f Fault) {
	var d net.Dialer
	server, err := d.DialContext(p.ctx, "tcp", p.target)
	if err != nil {
		reset(client)
		return
	}
	if !p.keep(server) {
		return
	}
	defer p.drop(server)
	var up sync.WaitGroup
	up.Go(func() {
		_, _ = io.Copy(server, client)
		if t, ok := server.(*net.TCPConn); ok {
			_ = t.CloseWrite()
		}
	})
	switch f.Kind { //nolint:exhaustive // the others pass
	case DropAfter:
		readSome(server) // the answer has begun: the effect is there
		reset(client)
	case Truncate:
		_, _ = io.CopyN(client, server, int64(f.Bytes))
	default:
		_, _ = io.Copy(client, server)
	}
	_ = client.Close()
	_ = server.Close()
	up.Wait()
}

// hangup tells when the client has gone or the proxy ends.
func (p *Proxy) hangup(c net.Conn) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, c)
		close(done)
	}()
	return done
}

func readSome(c net.Conn) {
	b := make([]byte, 4096)
	_, _ = c.Read(b)
}

// reset closes so that the other side sees an error and not the end of the data.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

// wrongCert makes a certificate that nobody should accept.
func wrongCert() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "somebody else"}, DNSNames: []string{"somebody-else.invalid"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, errors.Join(errors.New("make certificate"), err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

package web

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"slices"
	"syscall"
	"time"
)

// Peer is the process at the other end of a Unix socket, as the kernel says.
type Peer struct {
	UID, GID uint32
	PID      int32
}

// SocketConfig says who may connect to a Unix socket.
type SocketConfig struct {
	Path string
	// Mode is the mode of the socket file; zero is 0600. A group of clients gets
	// 0660 and its users in UIDs.
	Mode fs.FileMode
	// UIDs are the users whose processes may connect; empty is only the user of
	// this process, and root, who can become it anyway. The kernel is asked, whatever
	// the mode of the file.
	UIDs []uint32
	Log  *slog.Logger
}

// ListenUnix listens on a Unix socket and drops connections of all other users. A
// socket file that a dead process left is replaced; a live one is an error.
func ListenUnix(ctx context.Context, c SocketConfig) (net.Listener, error) {
	if c.Mode == 0 {
		c.Mode = 0o600
	}
	if len(c.UIDs) == 0 {
		c.UIDs = []uint32{uint32(os.Getuid()), 0} //nolint:gosec // not negative where there are Unix sockets
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	l, err := listen(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", c.Path, err)
	}
	return &socket{Listener: l, config: c}, nil
}

// listen replaces a stale socket by a new one. Two processes that start at the same
// time take turns, or the second could remove what the first has just begun to serve.
func listen(ctx context.Context, c SocketConfig) (net.Listener, error) {
	turn, err := takeTurn(ctx, c.Path)
	if err != nil {
		return nil, err
	}
	defer turn.Close() // and with it the lock
	if err := removeStale(ctx, c.Path); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", c.Path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(c.Path, c.Mode); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("there is a file that is no socket: move it away")
	}
	d := net.Dialer{Timeout: 2 * time.Second}
	conn, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		return errors.Join(errors.New("another process serves it: stop that one first"), conn.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

// socket is a listener that asks the kernel who connects.
type socket struct {
	net.Listener
	config SocketConfig
}

// Accept implements net.Listener.
func (s *socket) Accept() (net.Conn, error) {
	for {
		conn, err := s.Listener.Accept()
		if err != nil {
			return nil, err
		}
		p, err := peer(conn)
		if err == nil && slices.Contains(s.config.UIDs, p.UID) {
			return &peerConn{Conn: conn, peer: p}, nil
		}
		s.config.Log.Warn("connection to the socket refused", "path", s.config.Path, "uid", p.UID, "pid", p.PID, "error", err)
		_ = conn.Close()
	}
}

// peerConn remembers who connected.
type peerConn struct {
	net.Conn
	peer Peer
}

type peerKey struct{}

func withPeer(ctx context.Context, c net.Conn) context.Context {
	if p, ok := c.(*peerConn); ok {
		return context.WithValue(ctx, peerKey{}, p.peer)
	}
	return ctx
}

// PeerOf returns who sent a request over a socket of [ListenUnix]; ok is false for
// requests that came another way.
func PeerOf(ctx context.Context) (p Peer, ok bool) {
	p, ok = ctx.Value(peerKey{}).(Peer)
	return p, ok
}

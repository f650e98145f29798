//go:build !linux

package web

import (
	"errors"
	"net"
)

// peer refuses: without the kernel's word nobody may connect.
func peer(net.Conn) (Peer, error) {
	return Peer{}, errors.New("peer credentials of Unix sockets are known only on Linux")
}

// Package loopback says which hosts are this machine: where http is as good as https,
// because nothing leaves the machine, and where names need no resolver.
package loopback

import (
	"context"
	"net"
	"net/netip"
	"strings"
)

// Is reports whether a host, without its port, is this machine: a loopback address,
// localhost, or a name below it.
func Is(host string) bool {
	if Name(host) {
		return true
	}
	if inner, ok := strings.CutPrefix(host, "["); ok && strings.HasSuffix(inner, "]") {
		host = strings.TrimSuffix(inner, "]")
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// Name reports whether a host is localhost or a name below it (RFC 6761 §6.3).
func Name(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// Dial connects as d does, and names below localhost to this machine, as browsers do;
// resolvers do not know them.
func Dial(ctx context.Context, d *net.Dialer, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if !Name(host) {
		return d.DialContext(ctx, network, address)
	}
	conn, err := d.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	if err == nil {
		return conn, nil
	}
	if six, err6 := d.DialContext(ctx, network, net.JoinHostPort("::1", port)); err6 == nil {
		return six, nil
	}
	return nil, err
}

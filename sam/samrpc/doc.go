// Package samrpc carries the signature activation module's operations over Unix
// sockets: JSON over HTTP/1.1. The gateway's socket has what a gateway needs, and
// orders of a registration authority, which the module verifies itself. What only
// administrators may do is on a socket of its own. Who may connect is decided by
// the sockets (web.ListenUnix), not here.
package samrpc

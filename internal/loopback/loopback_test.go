package loopback_test

import (
	"net"
	"testing"

	"github.com/countersign/countersign/internal/loopback"
)

func TestThisMachine(t *testing.T) {
	for host, want := range map[string]struct{ is, name bool }{
		"localhost": {true, true}, "LOCALHOST": {true, true}, "localhost.": {true, true}, "sign.localhost": {true, true}, "a.b.localhost": {true, true},
		"127.0.0.1": {true, false}, "127.1.2.3": {true, false}, "::1": {true, false}, "[::1]": {true, false}, "::ffff:127.0.0.1": {true, false},
		"": {}, "localhost.example": {}, "xlocalhost": {}, "localhost..": {}, "127.0.0.1.example": {}, "128.0.0.1": {}, "0.0.0.0": {}, "::": {},
		"127.1": {}, "2130706433": {}, "0x7f000001": {}, "10.0.0.1": {}, "::2": {}, "[::1": {}, "example.org": {}, "127.0.0.1:80": {},
	} {
		if is, name := loopback.Is(host), loopback.Name(host); is != want.is || name != want.name {
			t.Errorf("%q: this machine %v, its name %v; want %v, %v", host, is, name, want.is, want.name)
		}
	}
}

func TestNamesBelowLocalhostNeedNoResolver(t *testing.T) {
	for _, where := range []string{"127.0.0.1:0", "[::1]:0"} {
		var c net.ListenConfig
		l, err := c.Listen(t.Context(), "tcp", where)
		if err != nil {
			t.Logf("not tried: %v", err) // a machine without IPv6
			continue
		}
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range []string{"nobody-knows-this.localhost", "localhost"} {
			conn, err := loopback.Dial(t.Context(), &net.Dialer{}, "tcp", net.JoinHostPort(host, port))
			if err != nil {
				t.Errorf("%s at %s: %v", host, where, err)
				continue
			}
			_ = conn.Close()
		}
		_ = l.Close()
		if _, err := loopback.Dial(t.Context(), &net.Dialer{}, "tcp", net.JoinHostPort("x.localhost", port)); err == nil {
			t.Errorf("connected to %s, where nobody listens", where)
		}
	}
}

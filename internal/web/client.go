package web

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// clientAddr finds who sent a request: the last address of X-Forwarded-For that is
// not a trusted proxy's, as long as the chain of proxies up to it is trusted. What
// a client writes into that header itself stands before it and is not looked at.
// It also says whether the direct peer is a trusted proxy.
func clientAddr(r *http.Request, proxies []netip.Prefix) (client netip.Addr, trusted bool) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}, false
	}
	client = clean(peer.Addr())
	if !contains(proxies, client) {
		return client, false
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		addr, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		client = clean(addr)
		if !contains(proxies, client) {
			break
		}
	}
	return client, true
}

func clean(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

func contains(list []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// ClientKey is a key for limits per client: its address, of IPv6 the network
// (/64) that one subscriber has.
func ClientKey(r *http.Request) string {
	a := ClientAddr(r.Context())
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return addrText(a)
}

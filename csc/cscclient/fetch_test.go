package cscclient

import (
	"net/netip"
	"testing"
)

func TestAddressesThatLeadInwardAreRefused(t *testing.T) {
	f := NewFetcher(FetcherConfig{})
	for _, inward := range []string{
		"127.0.0.1", "10.1.2.3", "169.254.169.254", "100.64.0.1", "0.1.2.3", "192.0.0.8", "198.18.0.1", "240.0.0.1", "255.255.255.255", "224.0.0.1",
		"::", "::1", "::7f00:1", "fe80::1", "fec0::1", "fd00::1", "ff02::1",
		"64:ff9b::a00:1", "64:ff9b:1::a00:1", "2002:7f00:1::", "2001::1",
	} {
		if f.allow("host.example", netip.MustParseAddr(inward)) == nil {
			t.Errorf("%s is taken for a public address", inward)
		}
	}
	for _, public := range []string{"9.9.9.9", "192.0.1.1", "2620:fe::fe", "2001:db8:1::1"} {
		if err := f.allow("host.example", netip.MustParseAddr(public)); err != nil {
			t.Error(err)
		}
	}
}

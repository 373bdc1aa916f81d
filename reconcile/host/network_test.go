package host

import (
	"net/netip"
	"testing"
)

func TestOverlap(t *testing.T) {
	for _, test := range []struct {
		have, want string
		overlap    bool
	}{
		{"127.0.0.1:80", "127.0.0.1:80", true},
		{"127.0.0.1:80", "127.0.0.1:81", false},
		{"127.0.0.1:80", "127.0.0.2:80", false},
		{"0.0.0.0:80", "127.0.0.1:80", true},
		{"127.0.0.1:80", "0.0.0.0:80", true},
		{"0.0.0.0:80", "0.0.0.0:81", false},
		{"[::1]:80", "[::]:80", true},
		{"[::]:80", "[::1]:80", true},
		{"[::1]:80", "[::2]:80", false},
		{"[::1]:80", "127.0.0.1:80", false},
		{"[::1]:80", "0.0.0.0:80", false},
		{"0.0.0.0:80", "[::]:80", false}, // HAProxy's IPv6 wildcard is IPv6 only
		{"127.0.0.1:80", "[::]:80", false},
		{"[::]:80", "0.0.0.0:80", true}, // another program's can be dual-stack
		{"[::]:80", "127.0.0.1:80", true},
	} {
		if got := (Socket{Addr: netip.MustParseAddrPort(test.have)}).Overlaps(netip.MustParseAddrPort(test.want)); got != test.overlap {
			t.Errorf("have %s, want %s: %t", test.have, test.want, got)
		}
	}
}

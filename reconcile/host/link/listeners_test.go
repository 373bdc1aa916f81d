package link

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"testing"
)

// TestListeners: listening sockets of both families are listed, connections are not.
func TestListeners(t *testing.T) {
	var want []netip.AddrPort
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", "[::]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil && len(want) == 0 {
			t.Fatal(err)
		}
		if err != nil {
			skipFor(t, "there is no IPv6 here")
		}
		defer l.Close()
		want = append(want, l.Addr().(*net.TCPAddr).AddrPort())
	}
	client, err := net.Dial("tcp", want[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	have, err := Listeners()
	if err != nil {
		t.Fatal(err)
	}
	all := slices.Collect(maps.Values(have))
	for _, w := range want {
		if !slices.Contains(all, w) {
			t.Errorf("%v is missing: %v", w, all)
		}
	}
	if own := client.LocalAddr().(*net.TCPAddr).AddrPort(); slices.Contains(all, own) {
		t.Errorf("%v is that of a connection", own)
	}
}

package link

import (
	"context"
	"net/netip"
	"testing"
	"time"
)

func TestRemoveAddress(t *testing.T) {
	a, _ := cable(t)
	a.ip("address add 198.51.100.100/32 dev eth", "address add 2001:db8::100/128 dev eth nodad")
	held := func() (n int) {
		a.do(func() error {
			l, err := lookAt("eth")
			n = len(l.prefixes)
			return err
		})
		return n
	}
	remove := func(iface, prefix string) {
		t.Helper()
		a.do(func() error { return RemoveAddress(iface, netip.MustParsePrefix(prefix)) })
	}
	before := held()
	remove("eth", "198.51.100.100/24") // another prefix length is another address
	remove("eth", "2001:db8::100/64")
	remove("lo", "198.51.100.100/32")
	remove("nosuch0", "198.51.100.100/32")
	if n := held(); n != before {
		t.Errorf("%d of %d addresses are left", n, before)
	}
	for range 2 {
		remove("eth", "198.51.100.100/32")
		remove("eth", "2001:db8::100/128")
	}
	if n := held(); n != before-2 {
		t.Errorf("%d of %d addresses are left", n, before)
	}
}

func TestWatchAddresses(t *testing.T) {
	a := newSpace(t)
	ctx, cancel := context.WithCancel(t.Context())
	told, ended := make(chan bool, 100), make(chan bool)
	go func() {
		defer close(ended)
		a.do(func() error { return WatchAddresses(ctx, func() { told <- true }) })
	}()
	quiet := func() {
		t.Helper()
		select {
		case <-told:
			t.Error("told without a change")
		case <-time.After(50 * time.Millisecond):
		}
	}
	heard := func(what string) {
		t.Helper()
		select {
		case <-told:
		case <-time.After(5 * time.Second):
			t.Fatalf("%s was not told", what)
		}
		for len(told) > 0 {
			<-told
		}
	}
	heard("the beginning")
	quiet()
	for _, change := range []string{"address add 198.51.100.100/32 dev lo", "address del 198.51.100.100/32 dev lo",
		"address add 2001:db8::100/128 dev lo", "link set lo down"} {
		a.ip(change)
		heard(change)
	}
	cancel()
	<-ended
}

// TestWatchAddressesCoalesces: changes while changed runs lead to one more call.
func TestWatchAddressesCoalesces(t *testing.T) {
	a := newSpace(t)
	ctx, cancel := context.WithCancel(t.Context())
	told, goOn, ended := make(chan bool), make(chan bool), make(chan bool)
	go func() {
		defer close(ended)
		a.do(func() error { return WatchAddresses(ctx, func() { told <- true; <-goOn }) })
	}()
	<-told
	for range 20 {
		a.ip("address add 198.51.100.100/32 dev lo", "address del 198.51.100.100/32 dev lo")
	}
	goOn <- true
	<-told
	goOn <- true
	select {
	case <-told:
		t.Error("told more than once")
	case <-time.After(50 * time.Millisecond):
	}
	cancel()
	<-ended
}

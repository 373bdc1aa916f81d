package link

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"
)

func addrs(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

// TestNeighbours: the kernel of another host answers for the addresses that it holds.
func TestNeighbours(t *testing.T) {
	a, b := cable(t)
	b.ip("address add 198.51.100.100/32 dev eth", "address add 2001:db8::100/128 dev eth nodad")
	a.ip("address add 198.51.100.101/32 dev eth") // our own
	const patience = 2 * time.Second
	ask := func(wait time.Duration, asked ...string) map[string]string {
		t.Helper()
		found := map[string]string{}
		a.do(func() error {
			macs, err := Neighbours(t.Context(), "eth", addrs(asked...), nil, wait)
			for addr, mac := range macs {
				found[addr.String()] = mac.String()
			}
			return err
		})
		return found
	}
	held := []string{"198.51.100.2", "198.51.100.100", "2001:db8::2", "2001:db8::100", "fe80::2"}
	want := map[string]string{}
	for _, addr := range held {
		want[addr] = macB
	}
	// a kernel receives no solicitations for a new address until it has joined its group
	for deadline := time.Now().Add(5 * time.Second); !maps.Equal(ask(20*time.Millisecond, held...), want); {
		if time.Now().After(deadline) {
			t.Fatal("not all answer")
		}
	}
	began := time.Now()
	if got := ask(patience, held...); !maps.Equal(got, want) || time.Since(began) > patience/2 {
		t.Errorf("%v after %s", got, time.Since(began))
	}
	// without an address of our own in that subnet, the request is a probe
	a.ip("address flush dev eth")
	began = time.Now()
	if got := ask(patience, held[:4]...); len(got) != 4 || time.Since(began) > patience/2 {
		t.Errorf("%v after %s, asked without an address", got, time.Since(began))
	}
	a.ip("address add 198.51.100.1/24 dev eth", "address add 198.51.100.101/32 dev eth")
	if got := ask(20*time.Millisecond, "198.51.100.101", "198.51.100.99", "2001:db8::99", "198.51.100.2"); len(got) != 1 || got["198.51.100.2"] != macB {
		t.Errorf("%v", got)
	}
	// another interface of ours on the same link answers too, but is no neighbour
	a.ip("link add near type veth peer name far", "link set near up", "link set far up")
	a.do(func() error {
		got, err := Neighbours(t.Context(), "near", addrs("198.51.100.101"), nil, 50*time.Millisecond)
		if len(got) != 0 {
			t.Errorf("we are our own neighbour: %v", got)
		}
		return err
	})
	if got := ask(0); len(got) != 0 {
		t.Errorf("%v answer for nothing", got)
	}
}

// TestAnyNeighbour: the first answer is enough, even if other addresses are never answered.
func TestAnyNeighbour(t *testing.T) {
	a, _ := cable(t)
	ask := func(wait time.Duration, asked ...string) (answered bool) {
		t.Helper()
		a.do(func() (err error) {
			answered, err = AnyNeighbour(t.Context(), "eth", addrs(asked...), wait)
			return err
		})
		return answered
	}
	for _, one := range []string{"198.51.100.2", "2001:db8::2"} {
		for deadline := time.Now().Add(5 * time.Second); !ask(20*time.Millisecond, one); { // until it answers for its new addresses
			if time.Now().After(deadline) {
				t.Fatalf("%s does not answer", one)
			}
		}
		if began := time.Now(); !ask(time.Minute, "198.51.100.99", one, "2001:db8::99") || time.Since(began) > time.Second {
			t.Errorf("%s: %s", one, time.Since(began))
		}
	}
	if ask(20*time.Millisecond, "198.51.100.99", "2001:db8::99") || ask(time.Minute) {
		t.Error("nobody answers")
	}
}

// TestClosesBeside: neither a search nor an announcement waits for the closing of its sockets, for which the kernel waits
// until no CPU uses them (synchronize_rcu). Virtual IPs of a dead keepalived stay on two hosts until a search has ended,
// and an agent that announces reacts to nothing meanwhile.
func TestClosesBeside(t *testing.T) {
	a, _ := cable(t)
	median := func(do func() (time.Duration, error)) time.Duration {
		var took [15]time.Duration
		for i := range took {
			a.do(func() (err error) { took[i], err = do(); return err })
		}
		slices.Sort(took[:])
		return took[len(took)/2]
	}
	peer := addrs("198.51.100.2")
	closing := median(func() (time.Duration, error) {
		l, err := lookAt("eth")
		if err != nil {
			return 0, err
		}
		arp, _, err := openClaims(l, peer, nil)
		if err != nil {
			return 0, err
		}
		began := time.Now()
		err = arp.file.Close()
		return time.Since(began), err
	})
	if closing < 3*time.Millisecond {
		return // this kernel closes a socket at once
	}
	files := openFiles(t)
	for what, do := range map[string]func() error{
		"an answer": func() error {
			_, err := Neighbours(t.Context(), "eth", peer, nil, time.Second)
			return err
		},
		"an announcement": func() error { return Announce("eth", addrs("198.51.100.1", "198.51.100.2")) },
	} {
		if took := median(func() (time.Duration, error) {
			began := time.Now()
			err := do()
			return time.Since(began), err
		}); took > closing/2 {
			t.Errorf("%s takes %s, the closing of a socket %s", what, took, closing)
		}
	}
	wantClosed(t, files)
}

func TestNeighboursEnds(t *testing.T) {
	a, _ := cable(t)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	a.do(func() error {
		if _, err := Neighbours(ctx, "eth", addrs("198.51.100.99", "2001:db8::99"), nil, time.Hour); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		if _, err := AnyNeighbour(ctx, "eth", addrs("198.51.100.99"), time.Hour); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		_, err := Neighbours(t.Context(), "lo", addrs("127.0.0.1"), nil, 0)
		wantError(t, err, "cannot ask for neighbours on lo: lo is not an Ethernet")
		_, err = Neighbours(t.Context(), "nosuch0", addrs("127.0.0.1"), nil, 0)
		wantError(t, err, "cannot ask for neighbours on nosuch0: there is no interface nosuch0")
		return nil
	})
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %q", err, want)
	}
}

package link

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
)

// WatchHolders calls found, one call at a time, whenever another machine says that one of these addresses is its own: in
// an ARP packet whose sender the address is, or in a neighbour advertisement. The MAC is the one that it names, which
// may be a virtual router's; alone is that it was said to us alone, as an answer or as AnnounceTo says it. It wakes for
// nothing else.
func WatchHolders(ctx context.Context, iface string, addrs []netip.Addr, found func(addr netip.Addr, mac net.HardwareAddr, alone bool)) error {
	if err := watchHolders(ctx, iface, addrs, found); err != nil {
		return fmt.Errorf("cannot watch for other holders on %s: %w", iface, err)
	}
	return nil
}

func watchHolders(ctx context.Context, iface string, addrs []netip.Addr, found func(addr netip.Addr, mac net.HardwareAddr, alone bool)) error {
	l, err := lookAt(iface)
	if err != nil {
		return err
	}
	v4, v6 := byFamily(addrs)
	arp, ndp, err := openClaims(l, v4, v6)
	if err != nil {
		return err
	}
	var one sync.Mutex
	tell := func(parse func([]byte) (claim, bool)) func([]byte) bool {
		return func(frame []byte) bool {
			if c, ok := parse(frame); ok && l.foreign(c.mac) {
				one.Lock()
				defer one.Unlock()
				found(c.addr, c.mac, c.alone)
			}
			return false
		}
	}
	return gather(ctx, source{arp, tell(parseARP)}, source{ndp, tell(parseNDP)})
}

// source is a socket, nil for none, and what is to be done with its frames.
type source struct {
	socket *socket
	handle func(frame []byte) (enough bool)
}

// gather receives from all sources and closes them. It ends with ctx, without an error, or with the first that fails.
func gather(ctx context.Context, sources ...source) error {
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	errs := make(chan error, len(sources))
	for _, s := range sources {
		if s.socket == nil {
			continue
		}
		all.Go(func() {
			defer s.socket.file.Close()
			defer endWith(within, s.socket.file)()
			if err := receive(s.socket.file, s.handle); err != nil {
				errs <- err
				cancel()
			}
		})
	}
	<-within.Done()
	all.Wait()
	close(errs)
	return <-errs
}

package link

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
)

// WatchHolders calls found, one call at a time, whenever another machine claims one of these addresses: as the sender in an
// ARP packet, or in a neighbour advertisement. mac is the claimed MAC, which can be that of a virtual router. alone means
// that the claim was sent to this host alone: as an answer, or by AnnounceTo. Other packets do not wake WatchHolders.
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

// source is a socket, or nil for none, and the handler of its frames.
type source struct {
	socket *socket
	handle func(frame []byte) (enough bool)
}

// gather receives from all sources and closes them. It returns nil when ctx ends, or the error of the first source that
// fails.
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

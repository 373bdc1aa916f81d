package wire

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Neighbours asks who holds these addresses, by ARP and neighbour solicitations on an interface, and returns the MACs of
// those that answer, this machine left out. It asks twice, and ends when all have answered, or after wait.
func Neighbours(ctx context.Context, iface string, addrs []netip.Addr, wait time.Duration) (map[netip.Addr]net.HardwareAddr, error) {
	found, err := neighbours(ctx, iface, addrs, wait)
	if err != nil {
		return nil, fmt.Errorf("cannot ask for neighbours on %s: %w", iface, err)
	}
	return found, nil
}

func neighbours(ctx context.Context, iface string, addrs []netip.Addr, wait time.Duration) (map[netip.Addr]net.HardwareAddr, error) {
	found := map[netip.Addr]net.HardwareAddr{}
	v4, v6 := byFamily(addrs)
	if len(v4)+len(v6) == 0 {
		return found, nil
	}
	l, err := lookAt(iface)
	if err != nil {
		return nil, err
	}
	arp, ndp, err := openClaims(l, v4, v6)
	if err != nil {
		return nil, err
	}
	var both sync.WaitGroup
	var mutex sync.Mutex
	var errs [2]error
	ask := func(s *socket, asked []netip.Addr, parse func([]byte) (claim, bool), err *error) {
		if s == nil {
			return
		}
		both.Go(func() {
			defer s.file.Close()
			*err = s.ask(ctx, l, asked, wait, parse, func(c claim) {
				mutex.Lock()
				defer mutex.Unlock()
				found[c.addr] = c.mac
			})
		})
	}
	ask(arp, v4, parseARP, &errs[0])
	ask(ndp, v6, parseNDP, &errs[1])
	both.Wait()
	for _, err := range append(errs[:], ctx.Err()) {
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// ask asks for addresses of one family, and once more for those that did not answer in a half of the time.
func (s *socket) ask(ctx context.Context, l link, asked []netip.Addr, wait time.Duration, parse func([]byte) (claim, bool), found func(claim)) error {
	missing := slices.Clone(asked)
	began := time.Now()
	for _, until := range []time.Time{began.Add(wait / 2), began.Add(wait)} {
		if err := s.file.SetReadDeadline(until); err != nil {
			return err
		}
		stop := endWith(ctx, s.file)
		for _, addr := range missing {
			if err := s.send(whoHas(l.mac, l.sender(addr, asked), addr)); err != nil {
				stop()
				return err
			}
		}
		err := receive(s.file, func(frame []byte) bool {
			if c, ok := parse(frame); ok && l.foreign(c.mac) && slices.Contains(missing, c.addr) {
				found(c)
				missing = slices.DeleteFunc(missing, func(addr netip.Addr) bool { return addr == c.addr })
			}
			return len(missing) == 0
		})
		stop()
		if err != nil || len(missing) == 0 || ctx.Err() != nil {
			return err
		}
	}
	return nil
}

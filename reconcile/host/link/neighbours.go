package link

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Neighbours asks which hosts hold these addresses, by ARP and neighbour solicitations on an interface. It returns the MACs
// of the hosts that answer, except this machine and the MACs in without. It asks twice, and returns when all addresses are
// answered, or after wait.
func Neighbours(ctx context.Context, iface string, addrs []netip.Addr, without []net.HardwareAddr, wait time.Duration) (map[netip.Addr]net.HardwareAddr, error) {
	found := map[netip.Addr]net.HardwareAddr{}
	if err := askNeighbours(ctx, iface, addrs, without, wait, func(c claim) { found[c.addr] = c.mac }); err != nil {
		return nil, err
	}
	return found, nil
}

// AnyNeighbour says whether another machine holds one of these addresses. It returns at the first answer, or after wait.
func AnyNeighbour(ctx context.Context, iface string, addrs []netip.Addr, wait time.Duration) (answered bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err = askNeighbours(ctx, iface, addrs, nil, wait, func(claim) { answered = true; cancel() }); answered {
		err = nil
	}
	return answered, err
}

// askNeighbours asks, and calls found, one call at a time, for the first answer for each address.
func askNeighbours(ctx context.Context, iface string, addrs []netip.Addr, without []net.HardwareAddr, wait time.Duration, found func(claim)) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot ask for neighbours on %s: %w", iface, err)
		}
	}()
	v4, v6 := byFamily(addrs)
	if len(v4)+len(v6) == 0 {
		return nil
	}
	l, err := lookAt(iface)
	if err != nil {
		return err
	}
	l.own = append(l.own, without...) // ignore their answers like our own
	arp, ndp, err := openClaims(l, v4, v6)
	if err != nil {
		return err
	}
	var both sync.WaitGroup
	var mutex sync.Mutex
	var errs [2]error
	ask := func(s *socket, asked []netip.Addr, parse func([]byte) (claim, bool), err *error) {
		if s == nil {
			return
		}
		both.Go(func() {
			*err = s.ask(ctx, l, asked, wait, parse, func(c claim) {
				mutex.Lock()
				defer mutex.Unlock()
				found(c)
			})
			go s.file.Close() // takes the kernel some milliseconds, so the result does not wait for it
		})
	}
	ask(arp, v4, parseARP, &errs[0])
	ask(ndp, v6, parseNDP, &errs[1])
	both.Wait()
	return cmp.Or(errs[0], errs[1], ctx.Err())
}

// ask asks for addresses of one family, and after half the time again for those without an answer.
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

package debian

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/link"
)

var _ host.Diagnosis = (*Host)(nil)

// Links returns the network interfaces of this host.
func (h *Host) Links(context.Context) ([]host.Link, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, wrap("list the interfaces", err)
	}
	var all []host.Link
	for _, i := range interfaces {
		all = append(all, host.Link{
			Name: i.Name, Index: i.Index, MAC: i.HardwareAddr.String(), Loopback: i.Flags&net.FlagLoopback != 0,
			Up: i.Flags&net.FlagUp != 0, Carrier: i.Flags&net.FlagRunning != 0,
		})
	}
	return all, nil
}

// UnitFiles returns the files that define a unit.
func (h *Host) UnitFiles(ctx context.Context, name string) (host.UnitFiles, error) {
	p, err := h.systemd.Properties(ctx, name)
	if err != nil {
		return host.UnitFiles{}, err
	}
	descriptors, _ := p["LimitNOFILE"].Value().(uint64)
	return host.UnitFiles{Fragment: p.Text("FragmentPath"), DropIns: p.Texts("DropInPaths"), Descriptors: descriptors}, nil
}

// Glob returns the paths that match a pattern.
func (h *Host) Glob(_ context.Context, pattern string) ([]string, error) {
	found, err := filepath.Glob(pattern)
	if err != nil {
		return nil, wrap("list "+pattern, err)
	}
	return found, nil
}

// Memory returns the memory of this host in bytes.
func (h *Host) Memory(context.Context) (uint64, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0, wrap("read the size of the memory", os.NewSyscallError("sysinfo", err))
	}
	return uint64(info.Totalram) * uint64(info.Unit), nil
}

// routerKey identifies a router.
type routerKey struct {
	id   link.Identity
	from netip.Addr
}

// Routers listens for VRRP routers of both families, before and behind the firewall.
func (h *Host) Routers(ctx context.Context, iface string, listen time.Duration) ([]host.Router, error) {
	within, cancel := context.WithTimeout(ctx, listen)
	defer cancel()
	var (
		all      sync.WaitGroup
		mutex    sync.Mutex
		heard    = map[routerKey]host.Router{}
		admitted = map[routerKey]bool{}
		errs     []error
	)
	run := func(hear func(context.Context, string, api.Family, func(link.Router)) error, family api.Family, note func(routerKey, link.Router)) {
		all.Go(func() {
			err := hear(within, iface, family, func(r link.Router) {
				mutex.Lock()
				defer mutex.Unlock()
				note(routerKey{r.Identity, r.From}, r)
			})
			if err != nil {
				mutex.Lock()
				defer mutex.Unlock()
				errs = append(errs, err)
				cancel()
			}
		})
	}
	for _, family := range api.Families {
		if _, err := os.Stat(filepath.Join(h.proc, "net/if_inet6")); err != nil && family == api.IPv6 {
			continue
		}
		run(link.HearRouters, family, func(k routerKey, r link.Router) {
			heard[k] = host.Router{
				Family: family, Version: r.Version, RouterID: r.RouterID, From: r.From, MAC: r.MAC.String(), Priority: int(r.Priority),
				Addresses: r.Addresses, Interval: r.Interval, Unicast: r.Unicast,
			}
		})
		run(link.HearAdmittedRouters, family, func(k routerKey, _ link.Router) { admitted[k] = true })
	}
	all.Wait()
	var routers []host.Router
	for k, r := range heard {
		r.Admitted = admitted[k]
		routers = append(routers, r)
	}
	name := func(i int) string { return fmt.Sprint(routers[i].RouterID, routers[i].From, routers[i].Version) }
	sort.Slice(routers, func(i, j int) bool { return name(i) < name(j) }) // slices.SortFunc would add 16 kB of code
	return routers, refined(errors.Join(errs...))
}

package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
)

// sysctls checks the kernel settings that affect packets for the virtual IPs (kernel documentation, ip-sysctl).
func sysctls(ctx context.Context, e *exam) (found []Finding, note string, err error) {
	if e.lookErr != nil {
		return nil, "", e.lookErr
	}
	name := e.iface()
	all, err := e.sysctl(ctx, "net.ipv4.conf.all.rp_filter")
	if err != nil {
		return nil, "", err
	}
	own, err := e.sysctl(ctx, "net.ipv4.conf."+name+".rp_filter")
	if err != nil {
		return nil, "", err
	}
	others := e.otherInterfaces()
	if strict := max(all, own) == 1; strict && len(others) > 0 {
		found = append(found, warningf("rp_filter drops clients whose return route is another interface", fmt.Sprintf(
			"sysctl -w net.ipv4.conf.%[1]s.rp_filter=2, and the line net.ipv4.conf.%[1]s.rp_filter=2 in /etc/sysctl.d/90-rlb.conf",
			strings.ReplaceAll(name, ".", "/")), // as in sysctl.d(5): eth0.100 is eth0/100
			"the strict reverse path filter is on for %s (all: %d, %s: %d), and %s has addresses too: packets of a client are dropped if its return route uses that interface", name, all, name, own, strings.Join(others, ", ")))
	}
	binds, err := e.rawBinds(ctx)
	found = append(found, binds...)
	if v := e.boundVIP(); v != "" {
		bind, err := e.sysctl(ctx, "net.ipv4.ip_nonlocal_bind")
		if err == nil && bind == 0 {
			note = "the services on " + v + " bind with transparent, so that net.ipv4.ip_nonlocal_bind is not needed"
		}
	}
	return found, note, err
}

// rawBinds finds raw bind lines with which HAProxy starts only on a host that holds a virtual IP (HAProxy configuration
// manual §5.1, transparent). If planned moves forward packets, the standby has a local route for the virtual IP, and HAProxy
// starts there too.
func (e *exam) rawBinds(ctx context.Context) (found []Finding, err error) {
	for i, service := range e.spec.Services {
		for j, line := range service.ExtraFrontend {
			v := e.needsVIP(line)
			if routes := e.look.Desired.Model.Handover; !v.IsValid() || routes != nil && e.look.Observed.HandoverRefused == "" && slices.Contains(routes.Routes, v) {
				continue
			}
			key := "net.ipv4.ip_nonlocal_bind"
			if v.Is6() {
				key = "net.ipv6.ip_nonlocal_bind"
			}
			allowed, err := e.sysctl(ctx, key)
			if err != nil {
				return found, err
			}
			if allowed == 0 {
				found = append(found, errorf("HAProxy does not start without "+v.String(), fmt.Sprintf(
					"add transparent to the line; or sysctl -w %[1]s=1, and the line %[1]s=1 in /etc/sysctl.d/90-rlb.conf", key),
					"services[%d].extraFrontend[%d] (%s) cannot bind on a host that does not hold the virtual IP, such as the standby: %s is 0", i, j, line, key))
			}
		}
	}
	return found, nil
}

// needsVIP returns the virtual IP that the host must hold for a raw bind line, or no address.
func (e *exam) needsVIP(line string) netip.Addr {
	words := strings.Fields(line)
	if len(words) < 2 || words[0] != "bind" || slices.Contains(words, "transparent") {
		return netip.Addr{}
	}
	for _, at := range strings.Split(words[1], ",") {
		at = at[strings.Index(at, "@")+1:] // removes a prefix such as "ipv4@"
		addr, _ := netip.ParseAddr(strings.Trim(at[:max(strings.LastIndex(at, ":"), 0)], "[]"))
		if slices.ContainsFunc(e.spec.VirtualIPs, func(v api.VirtualIP) bool { return v.Addr() == addr }) {
			return addr
		}
	}
	return netip.Addr{}
}

// handover checks that nft and the kernel support vrrp.handover: forward.
func handover(_ context.Context, e *exam) (found []Finding, note string, err error) {
	if why := e.look.Observed.HandoverRefused; why != "" {
		found = append(found, warningf("planned moves end connections", "install nft 1.0 and a kernel with nft_socket and nft_dup, or vrrp.handover: none in the spec",
			"moves of the virtual IPs are as with vrrp.handover: none: %s", why))
	}
	return found, "", e.lookErr
}

// sysctl reads a number. A key that does not exist is 0. The interface name in a key may contain dots.
func (e *exam) sysctl(ctx context.Context, key string) (int, error) {
	path := "/proc/sys/" + strings.ReplaceAll(key, ".", "/")
	if before, after, ok := strings.Cut(key, ".conf."); ok && strings.HasSuffix(after, ".rp_filter") {
		path = "/proc/sys/" + strings.ReplaceAll(before, ".", "/") + "/conf/" + strings.TrimSuffix(after, ".rp_filter") + "/rp_filter"
	}
	f, err := e.host.File(ctx, path)
	if err != nil || !f.Exists {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(f.Data)))
}

// otherInterfaces returns the interfaces that are up and have an IPv4 address, without the one of the virtual IPs.
func (e *exam) otherInterfaces() (names []string) {
	for _, i := range e.network {
		link := e.link(i.Name)
		if link == nil || link.Loopback || !link.Up || i.Name == e.iface() {
			continue
		}
		for _, p := range i.Prefixes {
			if p.Addr().Is4() && !slices.Contains(names, i.Name) {
				names = append(names, i.Name)
			}
		}
	}
	return names
}

// boundVIP returns a virtual IP to which a service binds, or "".
func (e *exam) boundVIP() string {
	for _, s := range e.spec.Services {
		for _, b := range s.Bind {
			if slices.ContainsFunc(e.spec.VirtualIPs, func(v api.VirtualIP) bool { return v.Addr().String() == b }) {
				return b
			}
		}
	}
	return ""
}

// limits checks that the host allows as many connections as the spec allows.
func limits(ctx context.Context, e *exam) (found []Finding, note string, err error) {
	facts := api.HostFacts{}
	if facts.Memory, err = e.host.Memory(ctx); err != nil {
		return nil, "", err
	}
	unit, err := e.host.UnitFiles(ctx, host.HAProxyUnit)
	if err == nil && unit.Fragment != "" {
		facts.Descriptors = unit.Descriptors
	}
	for _, w := range e.Doc.Warnings(facts) {
		if w.Path != "proxy.maxConnections" {
			continue
		}
		title, fix := "not enough memory for maxConnections", "a smaller proxy.maxConnections in the spec, or more memory"
		if strings.Contains(w.Message, "descriptors") {
			title, fix = "not enough descriptors for maxConnections", "systemctl edit haproxy: [Service] LimitNOFILE=1048576, then systemctl restart haproxy; or a smaller proxy.maxConnections in the spec"
		}
		found = append(found, warningf(title, fix, "%s", w.Message))
	}
	return found, "", err
}

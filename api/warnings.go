package api

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"rlb.dev/rlb-agent/api/yamlfile"
)

// HostFacts describes the host for some warnings. A zero field is unknown, and its warnings are left out.
type HostFacts struct {
	// Interface of the virtual IPs.
	Interface string
	// Subnets of the interfaces of the host, by name.
	Subnets map[string][]netip.Prefix
	// Memory of the host, in bytes.
	Memory uint64
	// Descriptors is how many files HAProxy may have open: the hard limit of its unit (systemd.exec(5), LimitNOFILE).
	Descriptors uint64
}

// Warnings returns what is legal but unwise, in the order of the file. Like problems, it holds at most MaxProblems.
func (d *Document) Warnings(host HostFacts) yamlfile.Problems {
	w := &warnings{doc: d, spec: &d.Spec, host: host, found: yamlfile.NewReport(d.File)}
	w.outsideSubnets()
	w.hastyInterval()
	if w.spec.Profile == Classic && w.spec.VRRP.Handover == HandoverForward {
		w.warn("vrrp.handover", "forward has no effect with profile classic: planned moves need the profile standard to lose no connection")
	}
	for i := range w.spec.Services {
		w.service(&w.spec.Services[i], yamlfile.Index("services", i))
	}
	w.clientTimeout("proxy.timeouts.client", w.spec.Proxy.Timeouts.Client, slices.ContainsFunc(w.spec.Services, func(s Service) bool {
		return s.Timeouts.Client == nil && s.isApiserver()
	}))
	w.capacity()
	w.twice()
	w.openStats()
	w.sources("firewall.allowFrom", w.spec.Firewall.AllowFrom)
	w.versions("haproxy", w.spec.Packages.HAProxy.Version, false)
	w.versions("keepalived", w.spec.Packages.Keepalived.Version, true)
	found := w.found.Sorted(d.text)
	for i := range found {
		found[i].Warning = true
	}
	return found
}

type warnings struct {
	doc   *Document
	spec  *LoadBalancerSpec
	host  HostFacts
	found *yamlfile.Report
}

func (w *warnings) warn(path, format string, args ...any) {
	where, path := w.doc.locate(path)
	w.found.AddAlways(where, path, format, args...)
}

// outsideSubnets warns of virtual IPs in no subnet of the interface, because no neighbour would send ARP or ND for them
// there. A virtual IP with the prefix length of a single address is intended so.
func (w *warnings) outsideSubnets() {
	for i, vip := range w.spec.VirtualIPs {
		addr, name := vip.Addr(), cmp.Or(vip.Interface, w.host.Interface)
		subnets := w.host.Subnets[name]
		single := strings.HasSuffix(vip.Address, "/"+strconv.Itoa(addr.BitLen()))
		if len(subnets) == 0 || single || holds(subnets, addr) || addr.IsLinkLocalUnicast() {
			continue
		}
		better := ""
		for _, other := range slices.Sorted(maps.Keys(w.host.Subnets)) {
			if holds(w.host.Subnets[other], addr) {
				better = "; interface " + other + " has one that holds it"
				break
			}
		}
		w.warn(yamlfile.Index("virtualIPs", i), "%s is in no subnet of %s (%s)%s", addr, name, listed(subnets), better)
	}
}

// shortestInterval is the shortest advertisement interval at which takeovers without cause were measured and are rare.
const shortestInterval = 20 * time.Millisecond

// hastyInterval warns of an interval at which a host that is late for a moment loses the virtual IPs.
func (w *warnings) hastyInterval() {
	if i := w.spec.VRRP.AdvertisementInterval; i.D() < shortestInterval {
		w.warn("vrrp.advertisementInterval", "%s is shorter than %s, the shortest that is supported: a standby takes over from a host that is late by %s",
			i, Duration(shortestInterval), 2*(*i))
	}
}

func holds(subnets []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(subnets, func(p netip.Prefix) bool { return p.Contains(addr) })
}

func listed(subnets []netip.Prefix) string {
	var all []string
	for _, subnet := range subnets {
		all = append(all, subnet.Masked().String())
	}
	return strings.Join(all, ", ")
}

func (w *warnings) service(s *Service, path string) {
	w.clientTimeout(yamlfile.Join(path, "timeouts.client"), s.Timeouts.Client, s.isApiserver())
	w.slowRise(&s.HealthCheck, yamlfile.Join(path, "healthCheck"))
	w.withoutCheck(&s.HealthCheck, yamlfile.Join(path, "healthCheck"))
	w.hastyCut(&s.HealthCheck, yamlfile.Join(path, "healthCheck.cutAfter"))
	w.sources(yamlfile.Join(path, "allowFrom"), s.AllowFrom)
	w.servers(s, yamlfile.Join(path, "servers"))
	if *w.spec.Firewall.Manage {
		w.rawWords(yamlfile.Join(path, "extraFrontend"), s.ExtraFrontend, "bind", "the firewall does not open the port of a raw bind line; a service does")
	}
	const unseen = "servers in raw lines are not seen by status, drain and metrics; those in servers are"
	for _, word := range rawServers {
		w.rawWords(yamlfile.Join(path, "extraBackend"), s.ExtraBackend, word, unseen)
	}
}

// isApiserver reports whether the servers of the service are kube-apiservers.
func (s *Service) isApiserver() bool {
	return s.HealthCheck.asksReadyz() || !slices.ContainsFunc(s.Servers, func(v Server) bool { return !slices.Contains(apiserverPorts, *v.Port) })
}

// clientTimeout warns of a timeout that cuts kubectl exec and watches, which are silent between two events.
func (w *warnings) clientTimeout(path string, timeout *Duration, isApiserver bool) {
	if isApiserver && timeout != nil && timeout.D() < 30*time.Second && w.doc.given(path) {
		w.warn(path, "%s is short before a kube-apiserver: its clients may be silent for 30s and longer", timeout)
	}
}

// slowRise warns if a server that has recovered gets no traffic for more than a minute.
func (w *warnings) slowRise(h *HealthCheck, path string) {
	field := yamlfile.Join(path, "rise")
	if !w.doc.given(field) {
		field = yamlfile.Join(path, "interval")
	}
	if wait := time.Duration(*h.Rise) * h.Interval.D(); wait > time.Minute && w.doc.given(field) && h.Type != CheckNone {
		w.warn(field, "a server that is back gets no traffic for %s (rise %d times interval %s)", Duration(wait), *h.Rise, h.Interval)
	}
}

// withoutCheck warns of fields of a health check that has type none.
func (w *warnings) withoutCheck(h *HealthCheck, path string) {
	if h.Type != CheckNone {
		return
	}
	for _, name := range []string{"interval", "timeout", "rise", "fall"} {
		if field := yamlfile.Join(path, name); w.doc.given(field) {
			w.warn(field, "has no effect: it goes with type tcp, http or https, got %q", h.Type)
		}
	}
}

// cutEvery is how often the daemon looks for connections to cut.
const cutEvery = 2 * time.Second

// hastyCut warns of a cutAfter that is shorter than the daemon's interval.
func (w *warnings) hastyCut(h *HealthCheck, path string) {
	if d := h.CutAfter.D(); d > 0 && d < cutEvery {
		w.warn(path, "%s is shorter than %s: the daemon looks every %[2]s, so connections are cut up to that much later", h.CutAfter, Duration(cutEvery))
	}
}

// sources warns of networks that are wider than their address suggests, of networks that are given twice, and of networks
// without the firewall that would let in only them.
func (w *warnings) sources(path string, cidrs []string) {
	if len(cidrs) > 0 && !*w.spec.Firewall.Manage {
		w.warn(path, "has no effect with firewall.manage: false: only another firewall can close the ports")
	}
	first := make(map[netip.Prefix]int, len(cidrs))
	for i, text := range cidrs {
		given := netip.MustParsePrefix(text)
		network := given.Masked()
		if given != network {
			w.warn(yamlfile.Index(path, i), "%s is the network %s, did you mean %s or %[2]s?", given, network, netip.PrefixFrom(given.Addr(), given.Addr().BitLen()))
		}
		if earlier, twice := first[network]; twice {
			w.warn(yamlfile.Index(path, i), "is the same network as %s", yamlfile.Index(path, earlier))
		} else {
			first[network] = i
		}
	}
}

func (w *warnings) servers(s *Service, path string) {
	weighed := func(v Server) bool { return v.Weight == nil || *v.Weight > 0 }
	raw := func(line string) bool { return slices.Contains(rawServers, firstWord(line)) }
	if !slices.ContainsFunc(s.Servers, weighed) && !slices.ContainsFunc(s.ExtraBackend, raw) {
		w.warn(path, "every server has weight 0: none gets connections")
	}
	if len(s.Servers) == 1 {
		w.warn(path, "there is only one server: when it fails, the service fails")
	}
	type target struct {
		address string
		port    int
	}
	first := make(map[target]int, len(s.Servers))
	for i := range s.Servers {
		server := &s.Servers[i]
		here := target{strings.ToLower(server.Address), *server.Port}
		if addr, err := netip.ParseAddr(server.Address); err == nil {
			here.address = addr.String()
			w.portInAddress(addr, *s.Port, yamlfile.Join(yamlfile.Index(path, i), "address"))
		}
		if earlier, twice := first[here]; twice {
			w.warn(yamlfile.Join(yamlfile.Index(path, i), "address"), "is the same server as %s", yamlfile.Index(path, earlier))
		} else {
			first[here] = i
		}
	}
}

// commonPorts are ports that people often write after an address.
var commonPorts = []string{"80", "443", "2379", "3306", "5432", "6443", "8080", "8443", "9345"}

// portInAddress warns of 2001:db8::12:6443, which is an address without a port.
func (w *warnings) portInAddress(addr netip.Addr, servicePort int, path string) {
	if !addr.Is6() {
		return
	}
	text := addr.String()
	colon := strings.LastIndexByte(text, ':')
	before, last := text[:colon], text[colon+1:]
	if last != strconv.Itoa(servicePort) && !slices.Contains(commonPorts, last) {
		return
	}
	if _, err := netip.ParseAddr(before); err == nil {
		w.warn(path, "%s is an address as a whole, did you mean [%s]:%s? Then write address: %s, port: %s", addr, before, last, before, last)
	}
}

// rawServers are the first words of raw lines that define servers.
var rawServers = []string{"server", "server-template"}

func firstWord(line string) string {
	if words := strings.Fields(line); len(words) > 0 {
		return words[0]
	}
	return ""
}

func (w *warnings) rawWords(path string, lines Lines, word, message string) {
	for i, line := range lines {
		if firstWord(line) == word {
			w.warn(yamlfile.Index(path, i), "%s", message)
		}
	}
}

// Costs of a connection in HAProxy: two buffers (tune.bufsize, 16 KiB each) and its state, and a descriptor on either
// side. Checks, listeners and HAProxy's own sockets need some more descriptors.
const (
	memoryPerConnection      = 34 << 10
	descriptorsPerConnection = 2
	otherDescriptors         = 100
)

func (w *warnings) capacity() {
	const path = "proxy.maxConnections"
	if w.spec.Proxy.MaxConnections == nil {
		return
	}
	connections := uint64(*w.spec.Proxy.MaxConnections)
	if need := connections * memoryPerConnection; w.host.Memory > 0 && need > w.host.Memory {
		w.warn(path, "%d connections may take %d MiB, the host has %d MiB", connections, need>>20, w.host.Memory>>20)
	}
	if need := connections*descriptorsPerConnection + otherDescriptors; w.host.Descriptors > 0 && need > w.host.Descriptors {
		w.warn(path, "%d connections need %d descriptors, HAProxy may have %d (LimitNOFILE of haproxy.service)", connections, need, w.host.Descriptors)
	}
}

func (w *warnings) openStats() {
	const path = "proxy.stats.address"
	at, err := netip.ParseAddrPort(w.spec.Proxy.Stats.Address)
	closed := *w.spec.Firewall.Manage && len(w.spec.Firewall.AllowFrom) > 0
	if err == nil && !at.Addr().IsLoopback() && !closed {
		w.warn(path, "everyone may see the statistics: use a loopback address, or firewall.allowFrom")
	}
}

// versions warns of versions that no package of Debian has.
func (w *warnings) versions(name, version string, hasEpoch bool) {
	if version == "" || version[0] < '0' || version[0] > '9' {
		return
	}
	lacks, better := "", version
	if hasEpoch && !strings.Contains(version, ":") {
		lacks, better = " and an epoch", "1:"+version
	}
	if !strings.ContainsAny(version, "*?[-") {
		lacks += " and a revision"
		better += map[bool]string{true: "-*", false: ".*"}[strings.Count(version, ".") > 1]
	}
	if lacks != "" {
		w.warn("packages."+name+".version", "Debian's versions of %s have %s, did you mean %q?", name, lacks[len(" and "):], better)
	}
}

package plan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render"
)

// FactFinder finds the facts of a host that rendering needs.
type FactFinder struct {
	Observer host.Observer
	Given    render.Facts // from flags; they take precedence over everything that is found
	Assume   bool         // for use off the host: likely values replace facts that are not found; each is noted

	// Wanted is called with the desired state as soon as it is known, before the host is looked at; may be nil.
	Wanted func(Desired)

	// AskNoPrograms prevents questions to apt, which take up to two seconds. A program that is not installed is assumed to
	// have the version of the machine's release.
	AskNoPrograms bool
}

// Find finds the facts of the host. A fact that the host does not show because its network is not up yet is taken from an
// earlier run. The notes say what was assumed. A *FieldError names a fact that is missing and that a run needs.
func (f FactFinder) Find(ctx context.Context, spec *api.LoadBalancerSpec) (render.Facts, []string, error) {
	interfaces, err := f.Observer.Interfaces(ctx)
	if err != nil && !errors.Is(err, host.ErrUnavailable) {
		return render.Facts{}, nil, err
	}
	memory, err := state.ReadMemory(ctx, f.Observer)
	if err != nil && !errors.Is(err, host.ErrUnavailable) {
		return render.Facts{}, nil, err
	}
	s := search{FactFinder: f, spec: spec, interfaces: interfaces, facts: f.Given, kept: memory.Facts}
	for _, find := range []func() error{s.node, s.interfaceName, s.subnets} {
		if err := find(); err != nil {
			return render.Facts{}, s.notes, err
		}
	}
	if err := s.nameservers(ctx); err != nil {
		return render.Facts{}, s.notes, err
	}
	if err := s.versions(ctx); err != nil {
		return render.Facts{}, s.notes, err
	}
	if err := s.paths(ctx); err != nil {
		return render.Facts{}, s.notes, err
	}
	if err := s.sysctls(ctx); err != nil {
		return render.Facts{}, s.notes, err
	}
	return s.facts, s.notes, nil
}

// search is one run of a FactFinder.
type search struct {
	FactFinder
	spec       *api.LoadBalancerSpec
	interfaces []host.Interface
	facts      render.Facts
	kept       render.Facts
	assumed    bool // the interface was assumed
	notes      []string
}

func (s *search) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// node finds the node of the spec that this host is: the one whose address this host holds.
func (s *search) node() error {
	if len(s.spec.Nodes) == 0 {
		if s.facts.Node != "" {
			return FieldErrorf("nodes", "cannot find node %q in the spec: it has no nodes", s.facts.Node)
		}
		return nil
	}
	if s.facts.Node != "" {
		if s.findNode(s.facts.Node) == nil {
			return FieldErrorf("nodes", "cannot find node %q in the spec", s.facts.Node)
		}
		return nil
	}
	for _, node := range s.spec.Nodes {
		if slices.ContainsFunc(node.Addrs(), func(addr netip.Addr) bool { return s.holder(addr) != "" }) {
			s.facts.Node = node.Name
			return nil
		}
	}
	switch {
	case s.findNode(s.kept.Node) != nil:
		s.facts.Node = s.kept.Node
	case s.Assume:
		s.facts.Node = s.spec.Nodes[0].Name
		s.note("this machine holds no address of the spec's nodes: assumed node %s", s.facts.Node)
	default:
		return FieldErrorf("nodes", "cannot tell which of the spec's nodes this is: it holds none of their addresses, only %s", s.held())
	}
	return nil
}

func (s *search) findNode(name string) *api.Node {
	for i := range s.spec.Nodes {
		if s.spec.Nodes[i].Name == name {
			return &s.spec.Nodes[i]
		}
	}
	return nil
}

// interfaceName finds the interface of the virtual IPs.
func (s *search) interfaceName() error {
	if s.facts.Interface != "" {
		return nil
	}
	if node := s.findNode(s.facts.Node); node != nil {
		s.facts.Interface = node.Interface
	}
	if s.facts.Interface == "" {
		s.facts.Interface = s.spec.VRRP.Interface
	}
	main := s.spec.VirtualIPs[0].Addr()
	if s.facts.Interface == "" {
		s.facts.Interface, _ = host.Holder(s.interfaces, main)
	}
	switch {
	case s.facts.Interface != "":
	case s.kept.Interface != "":
		s.facts.Interface = s.kept.Interface
	case s.Assume:
		s.facts.Interface, s.assumed = "eth0", true
		s.note("no interface of this machine has a subnet that holds %s: assumed interface eth0", main)
	default:
		return FieldErrorf("virtualIPs[0]", "cannot tell the interface of the virtual IPs: no subnet holds %s, there is only %s; name it as vrrp.interface", main, s.held())
	}
	return nil
}

// subnets finds the subnets of that interface. Without nodes, VRRP is accepted from these subnets.
func (s *search) subnets() error {
	if len(s.facts.Subnets) > 0 {
		return nil
	}
	known := false
	for _, i := range s.interfaces {
		if i.Name != s.facts.Interface || s.assumed || s.Assume && !s.isHosts(i) { // on another machine, the interface of the same name is a different one
			continue
		}
		known = true
		for _, prefix := range i.Prefixes {
			// a virtual IP that this host holds now is not a fact of the host
			if prefix.Bits() < prefix.Addr().BitLen() && !s.isVirtual(prefix.Addr()) {
				s.facts.Subnets = append(s.facts.Subnets, prefix.Masked())
			}
		}
	}
	if found := s.facts.Subnets; known && s.kept.Interface == s.facts.Interface { // the link-local IPv6 address is there before DHCP answers
		for _, kept := range s.kept.Subnets {
			if !slices.ContainsFunc(found, func(p netip.Prefix) bool { return p.Addr().Is4() == kept.Addr().Is4() }) {
				s.facts.Subnets = append(s.facts.Subnets, kept)
			}
		}
	}
	slices.SortFunc(s.facts.Subnets, netip.Prefix.Compare)
	s.facts.Subnets = slices.Compact(s.facts.Subnets)
	i, own := s.ownAddress()
	switch {
	case own && len(s.kept.Subnets) == 0:
		return FieldErrorf(fmt.Sprintf("virtualIPs[%d]", i), "%s is this host's own address on %s: a virtual IP is one that no machine has", s.spec.VirtualIPs[i].Addr(), s.facts.Interface)
	case len(s.facts.Subnets) > 0:
	case len(s.kept.Subnets) > 0 && s.kept.Interface == s.facts.Interface:
		s.facts.Subnets = s.kept.Subnets
	case s.Assume:
		for _, v := range s.spec.VirtualIPs {
			bits := 24
			if v.Addr().Is6() {
				bits = 64
			}
			s.facts.Subnets = append(s.facts.Subnets, netip.PrefixFrom(v.Addr(), bits).Masked())
		}
		slices.SortFunc(s.facts.Subnets, netip.Prefix.Compare)
		s.facts.Subnets = slices.Compact(s.facts.Subnets)
		s.note("interface %s is not on this machine, or has no subnet that holds a virtual IP: assumed that its subnet is %v", s.facts.Interface, s.facts.Subnets)
	case !known:
		return FieldErrorf("vrrp.interface", "cannot find interface %s on this host, there is only %s", s.facts.Interface, s.held())
	case len(s.spec.Nodes) == 0:
		return FieldErrorf("vrrp.interface", "cannot tell the subnet of interface %s: it has no address", s.facts.Interface)
	}
	return nil
}

// ownAddress finds a virtual IP that is the only address of its family on the interface and has the prefix length of a
// subnet. Before the first run this is the host's own address.
func (s *search) ownAddress() (index int, own bool) {
	for i, v := range s.spec.VirtualIPs {
		addr := v.Addr()
		sameFamily := func(p netip.Prefix) bool { return p.Addr().Is4() == addr.Is4() }
		if v.Interface == "" && s.holder(addr) == s.facts.Interface && !slices.ContainsFunc(s.facts.Subnets, sameFamily) {
			return i, true
		}
	}
	return 0, false
}

func (s *search) isVirtual(addr netip.Addr) bool {
	return slices.ContainsFunc(s.spec.VirtualIPs, func(v api.VirtualIP) bool { return v.Addr() == addr })
}

// holder is the interface that holds the address, or "".
func (s *search) holder(addr netip.Addr) string {
	for _, i := range s.interfaces {
		for _, prefix := range i.Prefixes {
			if prefix.Addr() == addr {
				return i.Name
			}
		}
	}
	return ""
}

// isHosts reports whether an interface belongs to the host that is rendered for: it has a subnet that contains a virtual
// IP, or this machine holds an address of the node.
func (s *search) isHosts(i host.Interface) bool {
	if node := s.findNode(s.facts.Node); node != nil && slices.ContainsFunc(node.Addrs(), func(addr netip.Addr) bool { return s.holder(addr) != "" }) {
		return true
	}
	return slices.ContainsFunc(i.Prefixes, func(p netip.Prefix) bool {
		return slices.ContainsFunc(s.spec.VirtualIPs, func(v api.VirtualIP) bool { return p.Contains(v.Addr()) })
	})
}

// held lists the interfaces and addresses of this machine for errors: "eth0 (198.51.100.11/24)".
func (s *search) held() string {
	var all []string
	for _, i := range s.interfaces {
		var prefixes []string
		for _, prefix := range i.Prefixes {
			if !prefix.Addr().IsLoopback() && !prefix.Addr().IsLinkLocalUnicast() {
				prefixes = append(prefixes, prefix.String())
			}
		}
		if len(prefixes) > 0 {
			all = append(all, fmt.Sprintf("%s (%s)", i.Name, strings.Join(prefixes, ", ")))
		}
	}
	if len(all) == 0 {
		return "no interface with an address"
	}
	return strings.Join(all, ", ")
}

// sysctls finds the original settings, which a teardown restores. A value from an earlier run takes precedence: the present
// value may be the agent's.
func (s *search) sysctls(ctx context.Context) error {
	if s.facts.Sysctls != nil {
		return nil
	}
	for key := range render.HandoverSysctls(s.spec, s.facts.Interface) {
		value, known := s.kept.Sysctls[key]
		if !known {
			var err error
			if value, err = s.Observer.Sysctl(ctx, key); err != nil && !errors.Is(err, host.ErrUnavailable) {
				return err
			}
		}
		if value == "" {
			continue
		}
		if s.facts.Sysctls == nil {
			s.facts.Sysctls = map[string]string{}
		}
		s.facts.Sysctls[key] = value
	}
	if s.facts.Sysctls != nil {
		maps.Copy(s.facts.Sysctls, s.kept.Sysctls) // also of interfaces that had virtual IPs before
	}
	return nil
}

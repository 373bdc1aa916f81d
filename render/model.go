package render

import (
	"net/netip"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/render/vrrp"
)

// Rendered is all that a spec implies for one host.
type Rendered struct {
	Files []File
	Model Model
}

// Model is what the files were made from, for those who would else have to read them back.
type Model struct {
	Frontends []Frontend              // that clients reach
	Backends  []Backend               // of the services
	Defaulted bool                    // servers are what they are by more than their lines: raw lines give them defaults, or a former state
	Routers   []vrrp.Identity         // of keepalived's instances, sorted by family
	Instances []string                // their names, the main family's first
	Tracks    bool                    // keepalived tracks FaultFile and DrainFile
	Firewall  map[api.Family][]string // rules of the agent's chain; nil where the firewall is not managed
	Handover  *Handover               // what planned moves need in the kernel; nil where they are as without it
}

// Frontend is what listens for a service, or for several that TLS server names tell apart.
type Frontend struct {
	Name   string
	Field  string // path of the first service in the spec
	Listen []netip.AddrPort
}

// Backend is a backend of a service: its own, or the one that fails open.
type Backend struct {
	Name     string
	Service  string // its name in the spec
	Field    string // its path there
	FailOpen bool   // it gets the connections while no server of the service's own backend is usable
	Balance  string
	Servers  []Server
	Raw      []string // the user's own lines of the service
}

// Names says whether the user's own lines speak of a server.
func (b Backend) Names(server string) bool {
	return slices.ContainsFunc(b.Raw, func(line string) bool {
		return slices.ContainsFunc(strings.Fields(line), func(word string) bool {
			return word == server || strings.HasSuffix(word, "/"+server)
		})
	})
}

// Listen is where HAProxy listens for a service.
func Listen(spec *api.LoadBalancerSpec, s *api.Service) (all []netip.AddrPort) {
	r := renderer{spec: spec}
	r.families()
	return r.listen(s)
}

func (r *renderer) listen(s *api.Service) (all []netip.AddrPort) {
	port := uint16(*s.Port)
	for _, bind := range s.Bind {
		if bind != "*" {
			all = append(all, netip.AddrPortFrom(netip.MustParseAddr(bind), port))
			continue
		}
		for _, family := range r.order {
			all = append(all, netip.AddrPortFrom(unspecified(family), port))
		}
	}
	return all
}

func unspecified(family api.Family) netip.Addr {
	if family == api.IPv6 {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

// routers are what keepalived's instances are known by.
func (r *renderer) routers() (all []vrrp.Identity) {
	v := r.spec.VRRP
	for _, family := range api.Families {
		if len(r.vips[family]) == 0 {
			continue
		}
		id := vrrp.Identity{
			Family: family, Version: *v.Version, RouterID: *v.RouterID, Unicast: r.self != nil && v.Transport == api.Unicast,
			Addresses: len(r.vips[family]), Lenient: r.spec.Profile == api.Standard, Period: v.AdvertisementInterval.D(),
		}
		if family == api.IPv6 {
			id.Version = 3
		}
		if id.Version == 2 {
			id.Interval = id.Period
		}
		all = append(all, id)
	}
	return all
}

// defaulted says whether raw lines of haproxy.cfg hold for servers beside their own lines.
func (r *renderer) defaulted() bool {
	of := func(lines api.Lines) bool {
		return slices.ContainsFunc(lines, func(line string) bool {
			words := append(strings.Fields(line), "")
			return words[0] == "default-server" || words[0] == "load-server-state-from-file"
		})
	}
	p := r.spec.Proxy
	return of(p.ExtraGlobal) || of(p.ExtraDefaults) || slices.ContainsFunc(r.spec.Services, func(s api.Service) bool { return of(s.ExtraBackend) })
}

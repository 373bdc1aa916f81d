package render

import (
	"net/netip"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/render/vrrp"
)

// Rendered holds all files of a spec for one host, and their model.
type Rendered struct {
	Files []File
	Model Model
}

// Model describes the content of the files, so that no other package has to parse them.
type Model struct {
	Frontends []Frontend              // the frontends that clients reach
	Backends  []Backend               // the backends of the services
	Defaulted bool                    // raw lines give the servers defaults or a former state, in addition to their own lines
	Routers   []vrrp.Identity         // the identities of keepalived's instances, sorted by family
	Instances []string                // the names of the instances, the main family's first
	Tracks    bool                    // keepalived tracks FaultFile and DrainFile
	Firewall  map[api.Family][]string // rules of the agent's chain; nil if the firewall is not managed
	Handover  *Handover               // what planned moves need in the kernel; nil if they forward nothing
}

// Frontend is the frontend of a service, or of several services that TLS server names distinguish.
type Frontend struct {
	Name   string
	Field  string // path of the first service in the spec
	Listen []netip.AddrPort
}

// Backend is a backend of a service: its own, or its second one, which fails open.
type Backend struct {
	Name     string
	Service  string // name of the service in the spec
	Field    string // path of the service in the spec
	FailOpen bool   // the backend gets the connections while no server of the service's own backend is usable
	Balance  string
	Servers  []Server
	Raw      []string // the user's own lines of the service
}

// Names reports whether the user's own lines name a server.
func (b Backend) Names(server string) bool {
	return slices.ContainsFunc(b.Raw, func(line string) bool {
		return slices.ContainsFunc(strings.Fields(line), func(word string) bool {
			return word == server || strings.HasSuffix(word, "/"+server)
		})
	})
}

// Listen returns the addresses and ports on which HAProxy listens for a service.
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

// routers returns the identities of keepalived's instances.
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

// defaulted reports whether raw lines of haproxy.cfg apply to servers in addition to their own lines.
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

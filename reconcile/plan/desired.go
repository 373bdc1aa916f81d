package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// Desired is what a spec implies for one host.
type Desired struct {
	Facts      render.Facts
	Files      []render.File
	Packages   []PackageWant              // empty where packages are not managed
	Firewall   map[render.Family][]string // rules of the agent's chain; nil where the firewall is not managed
	Units      []UnitWant                 // in the order in which they are started
	Listen     []ListenWant               // where HAProxy must listen for clients
	Instances  []string                   // names of keepalived's
	VirtualIPs []netip.Addr
	Backends   []BackendWant // one for each service
	Ports      []int         // of the services
	Tracks     bool          // keepalived heeds the tracked files
}

// PackageWant is a package that must be installed.
type PackageWant struct {
	Name    string
	Version string // exact or a glob; "" for any
	Hold    *bool  // nil: the agent has no say in it
}

// UnitWant is a unit that must start at boot.
type UnitWant struct {
	Name   string
	Run    bool          // must be active now too
	Out    bool          // must neither be active nor start at boot
	Config string        // the file that the running unit must have loaded, or ""
	Rest   time.Duration // after its death, before it is started again
}

// ListenWant is where HAProxy must listen, and the field of the spec that says so.
type ListenWant struct {
	Addr  netip.AddrPort
	Field string
}

// BackendWant is a backend, and how long HAProxy takes at most until it has checked all of its servers once.
type BackendWant struct {
	Name       string
	Field      string
	Servers    []string // their names
	FirstCheck time.Duration
}

// KeepalivedRest is how long keepalived stays away after its death. Its successor takes the virtual IPs off the interface
// and waits for the peer: before the peer has missed it and taken over, nobody would hold them. What comes on top leaves
// it to systemd to start it again where its unit says so.
func KeepalivedRest(spec *api.LoadBalancerSpec) time.Duration {
	return render.TakeoverTime(spec) + 200*time.Millisecond
}

// Want says what the spec implies for a host with these facts.
func Want(spec *api.LoadBalancerSpec, facts render.Facts) (Desired, error) {
	files, err := render.Files(spec, facts)
	if err != nil {
		return Desired{}, err
	}
	d := Desired{Facts: facts, Files: files}
	if *spec.Packages.Manage {
		hold := spec.Packages.Hold
		d.Packages = []PackageWant{
			{Name: "haproxy", Version: spec.Packages.HAProxy.Version, Hold: hold},
			{Name: "keepalived", Version: spec.Packages.Keepalived.Version, Hold: hold},
		}
		if *spec.Firewall.Manage {
			d.Packages = append(d.Packages, PackageWant{Name: "iptables"})
		}
	}
	if *spec.Firewall.Manage {
		d.Firewall = map[render.Family][]string{}
		d.Units = append(d.Units, UnitWant{Name: render.FirewallUnit})
	}
	for _, f := range files {
		if f.Kind == render.FirewallRules {
			d.Firewall[render.FamilyOfRules(f)] = render.ChainRules(f)
		}
	}
	d.Units = append(d.Units,
		UnitWant{Name: host.HAProxyUnit, Run: true, Config: facts.HAProxyConfig},
		UnitWant{Name: host.KeepalivedUnit, Run: true, Config: facts.KeepalivedConfig, Rest: KeepalivedRest(spec)})
	d.Instances, d.Tracks = render.Instances(spec), render.TracksFiles(spec)
	for _, v := range spec.VirtualIPs {
		d.VirtualIPs = append(d.VirtualIPs, v.Addr())
	}
	for i, service := range spec.Services {
		field := fmt.Sprintf("services[%d]", i)
		for _, addr := range Listen(spec, service) {
			d.Listen = append(d.Listen, ListenWant{addr, field + ".port"})
		}
		d.Ports = append(d.Ports, *service.Port)
		d.Backends = append(d.Backends, backend(service, field))
	}
	return d, nil
}

func backend(service api.Service, field string) BackendWant {
	b := BackendWant{Name: service.Name, Field: field + ".healthCheck", FirstCheck: service.HealthCheck.Interval.D()}
	if timeout := service.HealthCheck.Timeout; timeout != nil {
		b.FirstCheck += timeout.D()
	}
	for _, s := range service.Servers {
		b.Servers = append(b.Servers, s.Name)
	}
	return b
}

// listen is where HAProxy listens for a service.
func Listen(spec *api.LoadBalancerSpec, service api.Service) []netip.AddrPort {
	port := uint16(*service.Port)
	var any4, any6 bool
	for _, v := range spec.VirtualIPs {
		any4 = any4 || v.Addr().Is4()
		any6 = any6 || v.Addr().Is6()
	}
	var all []netip.AddrPort
	for _, bind := range service.Bind {
		if bind != "*" {
			all = append(all, netip.AddrPortFrom(netip.MustParseAddr(bind), port))
			continue
		}
		if any4 {
			all = append(all, netip.AddrPortFrom(netip.IPv4Unspecified(), port))
		}
		if any6 {
			all = append(all, netip.AddrPortFrom(netip.IPv6Unspecified(), port))
		}
	}
	return all
}

// applyRuntimeState changes what is wanted by what only the host can tell: it is drained, or waits for its peer.
func (d *Desired) ApplyRuntimeState(seen Observed) {
	d.Units = slices.Clone(d.Units)
	for i := range d.Units {
		unit := &d.Units[i]
		switch {
		case unit.Name != host.KeepalivedUnit:
		case seen.Drained && !d.Tracks:
			unit.Run, unit.Out = false, true
		case seen.Waiting && !d.is(seen.Former):
			unit.Run = false
		}
	}
}

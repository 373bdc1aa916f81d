package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
	"rlb.dev/rlb-agent/render/vrrp"
)

// WatchedUnits are the units whose change may make a host differ from its spec.
var WatchedUnits = append([]string{host.HAProxyUnit, host.KeepalivedUnit, host.RejoinUnit}, render.OwnUnits...)

// Desired is the state that a spec describes for one host.
type Desired struct {
	Facts      render.Facts
	Files      []render.File
	Model      render.Model  // the model from which the files were rendered
	Packages   []PackageWant // empty if packages are not managed
	Units      []UnitWant    // in the order in which they are started
	Listen     []ListenWant  // where HAProxy must listen for clients
	VirtualIPs []netip.Addr
	Backends   []BackendWant // one for each service
	Ports      []int         // of the services
}

// File returns the wanted file at a path; nil if there is none.
func (d Desired) File(path string) *render.File {
	for i := range d.Files {
		if d.Files[i].Path == path {
			return &d.Files[i]
		}
	}
	return nil
}

// PackageWant is a package that must be installed.
type PackageWant struct {
	Name    string
	Version string // exact or a glob; "" for any
	Hold    *bool  // nil: the agent neither sets nor removes a hold
}

// UnitWant is a unit that must start at boot.
type UnitWant struct {
	Name   string
	Run    bool          // must be active now too
	Out    bool          // must not be active and must not start at boot
	Config string        // the file that the running unit must have loaded, or ""
	Rest   time.Duration // pause between a failure of the unit and its next start
}

// Loads reports whether the unit has no process: it is active once its configuration is loaded into the kernel.
func (want UnitWant) Loads() bool { return want.Name == render.HandoverUnit }

// ListenWant is an address on which HAProxy must listen, and the field of the spec that asks for it.
type ListenWant struct {
	Addr  netip.AddrPort
	Field string
}

// BackendWant is a backend, and the longest time until HAProxy has checked each of its servers once.
type BackendWant struct {
	Name       string
	Field      string
	Servers    []string // their names
	FirstCheck time.Duration
}

// KeepalivedRest is the pause between a failure of keepalived and its next start. A new keepalived removes the virtual IPs
// from the interface and waits for the peer; if it starts before the peer has taken over, no host holds them. The 200 ms on
// top let systemd start keepalived first if its unit says so.
func KeepalivedRest(spec *api.LoadBalancerSpec) time.Duration {
	return vrrp.TakeoverTime(spec) + 200*time.Millisecond
}

// Want derives the desired state from the spec and the facts of a host.
func Want(spec *api.LoadBalancerSpec, facts render.Facts) (Desired, error) {
	rendered, err := render.Render(spec, facts)
	if err != nil {
		return Desired{}, err
	}
	d := Desired{Facts: facts, Files: rendered.Files, Model: rendered.Model}
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
	if *spec.Packages.Manage && d.Model.Handover != nil {
		d.Packages = append(d.Packages, PackageWant{Name: "nftables"})
	}
	if d.Model.Handover != nil {
		d.Units = append(d.Units, UnitWant{Name: render.HandoverUnit, Run: true, Config: render.HandoverRulesFile})
	}
	if *spec.Firewall.Manage {
		d.Units = append(d.Units, UnitWant{Name: render.FirewallUnit})
	}
	d.Units = append(d.Units,
		UnitWant{Name: host.HAProxyUnit, Run: true, Config: facts.HAProxyConfig},
		UnitWant{Name: host.KeepalivedUnit, Run: true, Config: facts.KeepalivedConfig, Rest: KeepalivedRest(spec)})
	for _, v := range spec.VirtualIPs {
		d.VirtualIPs = append(d.VirtualIPs, v.Addr())
	}
	for _, f := range d.Model.Frontends {
		for _, addr := range f.Listen {
			d.Listen = append(d.Listen, ListenWant{addr, f.Field + ".port"})
		}
	}
	for i, service := range spec.Services {
		field := fmt.Sprintf("services[%d]", i)
		d.Ports = append(d.Ports, *service.Port)
		d.Backends = append(d.Backends, backendWant(service, field))
	}
	return d, nil
}

func backendWant(service api.Service, field string) BackendWant {
	b := BackendWant{Name: service.Name, Field: field + ".healthCheck", FirstCheck: service.HealthCheck.Interval.D()}
	if timeout := service.HealthCheck.Timeout; timeout != nil {
		b.FirstCheck += timeout.D()
	}
	for _, s := range service.Servers {
		b.Servers = append(b.Servers, s.Name)
	}
	return b
}

// ApplyRuntimeState adapts the desired state to conditions that only the host knows: it is drained, or waits for its peer.
func (d *Desired) ApplyRuntimeState(seen Observed) {
	d.Units = slices.Clone(d.Units)
	if seen.HandoverRefused != "" { // planned moves then work as with vrrp.handover: none
		d.Units = slices.DeleteFunc(d.Units, func(u UnitWant) bool { return u.Name == render.HandoverUnit })
	}
	for i := range d.Units {
		unit := &d.Units[i]
		switch {
		case unit.Name != host.KeepalivedUnit:
		case seen.Drained && !d.Model.Tracks:
			unit.Run, unit.Out = false, true
		case seen.Waiting && !d.is(seen.Former):
			unit.Run = false
		}
	}
}

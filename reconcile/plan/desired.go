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

// WatchedUnits are those whose change may make a host differ from its spec.
var WatchedUnits = append([]string{host.HAProxyUnit, host.KeepalivedUnit, host.RejoinUnit}, render.OwnUnits...)

// Desired is what a spec implies for one host.
type Desired struct {
	Facts      render.Facts
	Files      []render.File
	Model      render.Model  // what the files were made from
	Packages   []PackageWant // empty where packages are not managed
	Units      []UnitWant    // in the order in which they are started
	Listen     []ListenWant  // where HAProxy must listen for clients
	VirtualIPs []netip.Addr
	Backends   []BackendWant // one for each service
	Ports      []int         // of the services
}

// File is the file that is to be at a path; nil for none.
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

// Loads says that the unit has no process: it is active once what it loads is in the kernel.
func (want UnitWant) Loads() bool { return want.Name == render.HandoverUnit }

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
	return vrrp.TakeoverTime(spec) + 200*time.Millisecond
}

// Want says what the spec implies for a host with these facts.
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

// ApplyRuntimeState changes what is wanted by what only the host can tell: it is drained, or waits for its peer.
func (d *Desired) ApplyRuntimeState(seen Observed) {
	d.Units = slices.Clone(d.Units)
	if seen.HandoverRefused != "" { // planned moves are then as with vrrp.handover: none
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

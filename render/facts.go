package render

import (
	"errors"
	"fmt"
	"net/netip"

	"rlb.dev/rlb-agent/api"
)

// The default paths. The environment of the units may name other paths of the configuration.
const (
	DefaultHAProxyConfig    = "/etc/haproxy/haproxy.cfg"
	DefaultKeepalivedConfig = "/etc/keepalived/keepalived.conf"
	DefaultSystemctl        = "/usr/bin/systemctl"
)

// Facts holds what Render needs to know of a host in addition to the spec.
type Facts struct {
	Node              string         `json:"node,omitempty"`        // name of this host's node in the spec; "" if the spec has no nodes
	Interface         string         `json:"interface,omitempty"`   // of the virtual IPs
	Subnets           []netip.Prefix `json:"subnets,omitempty"`     // of that interface
	Nameservers       []netip.Addr   `json:"nameservers,omitempty"` // of /etc/resolv.conf, for servers with a DNS name
	HAProxyVersion    Version        `json:"haproxyVersion,omitempty"`
	KeepalivedVersion Version        `json:"keepalivedVersion,omitempty"`
	HAProxyConfig     string         `json:"haproxyConfig,omitempty"`    // path of haproxy.cfg
	KeepalivedConfig  string         `json:"keepalivedConfig,omitempty"` // path of keepalived.conf
	Systemctl         string         `json:"systemctl,omitempty"`        // path of systemctl

	// Sysctls are the values of HandoverSysctls before the first run, also for interfaces of former specs. A missing value
	// was 0.
	Sysctls map[string]string `json:"sysctls,omitempty"`
}

// VersionOf returns the field with the version of a program, "haproxy" or "keepalived".
func (f *Facts) VersionOf(program string) *Version {
	if program == "keepalived" {
		return &f.KeepalivedVersion
	}
	return &f.HAProxyVersion
}

// Render renders all files of a spec for a host with these facts. The files are in the order of their use:
// keepalived.conf, haproxy.cfg, drop-ins, firewall, hand-over. It fails only if a fact is missing or invalid.
func Render(spec *api.LoadBalancerSpec, facts Facts) (Rendered, error) {
	r := renderer{spec: spec, facts: facts}
	if err := r.prepare(); err != nil {
		return Rendered{}, err
	}
	files := []File{r.keepalived(), r.haproxy()}
	var handover []File
	if r.hands() {
		var err error
		if handover, err = r.handover(); err != nil {
			return Rendered{}, err
		}
	}
	files = append(files, r.dropIns()...)
	if *spec.Firewall.Manage {
		r.model.Firewall = map[api.Family][]string{}
		for _, family := range api.Families {
			rules, err := r.firewall(family)
			if err != nil {
				return Rendered{}, err
			}
			files = append(files, rules)
			r.model.Firewall[family] = chainRules(rules)
		}
		files = append(files, r.firewallUnit())
	}
	files = append(files, handover...)
	m := &r.model
	m.Routers, m.Instances, m.Tracks, m.Defaulted = r.routers(), r.instances(), r.tracksFiles(), r.defaulted()
	return Rendered{files, r.model}, nil
}

// renderer holds what several files need.
type renderer struct {
	spec  *api.LoadBalancerSpec
	facts Facts
	self  *api.Node            // nil if the spec has no nodes
	peers []api.Node           // the other nodes
	vips  map[api.Family][]vip // in the order of the spec
	order []api.Family         // the families of the virtual IPs, the main one's first
	ports []opening            // the ports of this host that clients reach
	model Model                // the model of what is rendered so far
}

// vip is a virtual IP with the field that names it.
type vip struct {
	text   string
	device string // the interface that holds it, if it is not that of the instance
	origin string
}

func (r *renderer) prepare() error {
	f := &r.facts
	orElse(&f.HAProxyConfig, DefaultHAProxyConfig)
	orElse(&f.KeepalivedConfig, DefaultKeepalivedConfig)
	orElse(&f.Systemctl, DefaultSystemctl)

	r.families()
	r.ports = r.openings()
	for i := range r.spec.Nodes {
		if node := &r.spec.Nodes[i]; node.Name == f.Node {
			r.self = node
		} else {
			r.peers = append(r.peers, *node)
		}
	}
	switch {
	case len(r.spec.Nodes) > 0 && f.Node == "":
		return errors.New("cannot tell which of the spec's nodes this is")
	case len(r.spec.Nodes) > 0 && r.self == nil:
		return fmt.Errorf("cannot find node %q in the spec", f.Node)
	case f.Interface == "":
		return errors.New("cannot tell the interface of the virtual IPs")
	}
	return f.check()
}

// families groups the virtual IPs by family.
func (r *renderer) families() {
	r.vips = map[api.Family][]vip{}
	for i, v := range r.spec.VirtualIPs {
		family := api.FamilyOf(v.Addr())
		if r.vips[family] == nil {
			r.order = append(r.order, family)
		}
		device := v.Interface
		if device == r.facts.Interface {
			device = ""
		}
		r.vips[family] = append(r.vips[family], vip{v.Address, device, fmt.Sprintf("virtualIPs[%d]", i)})
	}
}

// priority returns the priority of this node, and the field that sets it.
func (r *renderer) priority() (int, string) {
	for i, node := range r.spec.Nodes {
		if node.Name == r.facts.Node && node.Priority != nil {
			return *node.Priority, fmt.Sprintf("nodes[%d].priority", i)
		}
	}
	return *r.spec.VRRP.Priority, "vrrp.priority"
}

// addressOf returns the node's address of a family, or "".
func addressOf(node *api.Node, family api.Family) string {
	for _, text := range node.Addresses {
		if addr, err := netip.ParseAddr(text); err == nil && api.FamilyOf(addr) == family {
			return text
		}
	}
	return ""
}

func orElse(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

package render

import (
	"errors"
	"fmt"
	"net/netip"

	"rlb.dev/rlb-agent/api"
)

// Where the programs read their configuration unless the units' environment names another place.
const (
	DefaultHAProxyConfig    = "/etc/haproxy/haproxy.cfg"
	DefaultKeepalivedConfig = "/etc/keepalived/keepalived.conf"
	DefaultSystemctl        = "/usr/bin/systemctl"
)

// Facts is what rendering needs to know of a host beside the spec.
type Facts struct {
	Node              string         `json:"node,omitempty"`        // name of the spec's node that this host is; "" where the spec has no nodes
	Interface         string         `json:"interface,omitempty"`   // of the virtual IPs
	Subnets           []netip.Prefix `json:"subnets,omitempty"`     // of that interface
	Nameservers       []netip.Addr   `json:"nameservers,omitempty"` // of /etc/resolv.conf, for servers with a DNS name
	HAProxyVersion    Version        `json:"haproxyVersion,omitempty"`
	KeepalivedVersion Version        `json:"keepalivedVersion,omitempty"`
	HAProxyConfig     string         `json:"haproxyConfig,omitempty"`    // path of haproxy.cfg
	KeepalivedConfig  string         `json:"keepalivedConfig,omitempty"` // path of keepalived.conf
	Systemctl         string         `json:"systemctl,omitempty"`        // path of systemctl

	// Sysctls are the values of HandoverSysctls before the first run; one that is missing was 0.
	Sysctls map[string]string `json:"sysctls,omitempty"`
}

// VersionOf is where the facts have the version of a program, "haproxy" or "keepalived".
func (f *Facts) VersionOf(program string) *Version {
	if program == "keepalived" {
		return &f.KeepalivedVersion
	}
	return &f.HAProxyVersion
}

// Render renders everything that the spec wants on a host with these facts. The files are in the order of their use:
// keepalived.conf, haproxy.cfg, then the firewall's. It fails only where a fact is missing, or is none.
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

// renderer holds what the files have in common.
type renderer struct {
	spec  *api.LoadBalancerSpec
	facts Facts
	self  *api.Node            // nil where the spec has no nodes
	peers []api.Node           // the other nodes
	vips  map[api.Family][]vip // in the order of the spec
	order []api.Family         // the families of the virtual IPs, the main one's first
	ports []opening            // of this host that clients reach
	model Model                // of what was rendered so far
}

// vip is a virtual IP with the field that names it.
type vip struct {
	text   string
	device string // the interface that holds it, where it is another one than that of the instance
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

// families sorts the virtual IPs by family.
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

// priority is this node's, and the field that it stems from.
func (r *renderer) priority() (int, string) {
	for i, node := range r.spec.Nodes {
		if node.Name == r.facts.Node && node.Priority != nil {
			return *node.Priority, fmt.Sprintf("nodes[%d].priority", i)
		}
	}
	return *r.spec.VRRP.Priority, "vrrp.priority"
}

// addressOf is the node's address of that family, or "".
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

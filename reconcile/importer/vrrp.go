package importer

import (
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/render"
)

// configuration is a keepalived.conf.
type configuration struct {
	*block
	lines []string // the text
	ours  bool     // the agent rendered the file
}

// keepalived imports keepalived.conf. The first virtual router becomes the one of the spec. Another one is imported only if it
// is for the other address family.
func (m *mapping) keepalived(nodes []api.Node) {
	m.file = 1
	f := m.files[1]
	c := configuration{lines: strings.Split(strings.ReplaceAll(string(f.Data), "\r\n", "\n"), "\n"), ours: render.IsRendered(f.Data)}
	if !c.ours {
		resolveVariables(c.lines)
	}
	c.block = blocks(strings.Join(c.lines, "\n"))
	if !c.ours {
		m.leaveOutVariables(c.block)
	} else { // raw lines are indented and may close and open blocks, so indented blocks are no blocks of the agent
		c.children = slices.DeleteFunc(c.children, func(b *block) bool { return strings.HasPrefix(c.lines[b.line-1], " ") })
	}
	m.spec.Nodes, m.named = nodes, len(nodes) > 0
	var instances []*block
	globals := &block{}
	for _, b := range c.children {
		switch name := b.word(0); name {
		case "vrrp_instance":
			instances = append(instances, b)
		case "global_defs":
			globals = b
			m.globalDefs(c, b)
		case "vrrp_script", "vrrp_sync_group", "track_file", "vrrp_track_file":
		case "vrrp_track_process", "track_process":
			m.lost(b.line, name, "the check of haproxy.service is vrrp.check")
		case "virtual_server", "virtual_server_group", "real_server", "SSL":
			m.lost(b.line, name, "HAProxy balances, not the kernel's IPVS")
		default:
			if strings.HasPrefix(name, "include") {
				m.lost(b.line, name, "only this file is read: put what it includes in its place, and import that")
				continue
			}
			m.lost(b.line, name, "the spec has nothing of the kind")
		}
	}
	seen := map[api.Family]bool{}
	var router *block
	for _, b := range instances {
		families := m.virtualIPs(c, b, seen, router == nil)
		switch {
		case len(families) == 0 && router != nil:
			m.lost(b.line, "vrrp_instance "+b.word(1), "a spec has one virtual router in each address family")
			continue
		case router == nil:
			router = b
			m.router(c, b, globals)
		default:
			m.sameRouter(c, router, b)
		}
		for _, family := range families {
			seen[family] = true
		}
		m.transport(b)
	}
	if router != nil {
		m.reactions(c, router, len(seen) > 1)
	}
	m.otherBlocks(c, router)
	if len(m.spec.Nodes) == 1 && len(nodes) == 0 {
		m.comments["nodes"] = "Add the other load balancers here: their VRRP is dropped until then."
	} else if len(m.spec.Nodes) > 0 && len(nodes) == 0 {
		m.comments["nodes"] = "The files do not name the load balancers: these names are made up."
	}
}

// virtualIPs imports the addresses of an instance, but only of families that no earlier instance had. The spec has one virtual
// router for each family.
func (m *mapping) virtualIPs(c configuration, b *block, seen map[api.Family]bool, first bool) (families []api.Family) {
	for _, list := range b.children {
		excluded := list.word(0) == "virtual_ipaddress_excluded"
		if list.word(0) != "virtual_ipaddress" && (!excluded || c.ours) { // in a rendered file, excluded addresses are raw lines
			continue
		}
		for _, entry := range list.children {
			text, _, _ := strings.Cut(entry.word(0), "/")
			addr, err := netip.ParseAddr(text)
			if err != nil {
				m.lost(entry.line, list.word(0), "%s is no IP address", printable(entry.word(0)))
				continue
			}
			family := api.FamilyOf(addr)
			if seen[family] || len(m.spec.VirtualIPs) >= 1000 {
				if !first {
					m.lost(entry.line, list.word(0), "the virtual router before has the virtual IPs of its family")
				}
				continue
			}
			if excluded {
				m.note(entry.line, list.word(0), "carried over to virtualIPs; advertisements name it from now on, so that all load balancers must change together")
			}
			vip := api.VirtualIP{Address: entry.word(0)}
			m.addressWords(entry, list.word(0), &vip, b)
			m.spec.VirtualIPs = append(m.spec.VirtualIPs, vip)
			if !slices.Contains(families, family) {
				families = append(families, family)
			}
		}
	}
	return families
}

// addressWords reads the words after a virtual IP.
func (m *mapping) addressWords(entry *block, list string, vip *api.VirtualIP, instance *block) {
	own := ""
	if b := instance.find("interface"); b != nil {
		own = b.word(1)
	}
	for i := 1; i < len(entry.words); i += 2 {
		word, value := entry.words[i], entry.word(i+1)
		text, _, _ := strings.Cut(word, "/")
		_, err := netip.ParseAddr(text)
		switch {
		case err == nil:
			m.lost(entry.line, list+" "+word, "keepalived takes one address a line and ignores this one; to have it, add it to virtualIPs, on all load balancers together")
			i--
		case word == "dev" && value != own:
			vip.Interface = value
		case word == "dev", word == "scope" && value == "global":
		default:
			m.lost(entry.line, list+" "+word, "a virtual IP has an address and an interface only")
		}
	}
}

// router imports the settings of an instance, except its addresses.
func (m *mapping) router(c configuration, b, globals *block) {
	v := &m.spec.VRRP
	v.InstanceName = serviceName(b.word(1))
	v.Preempt, v.PreemptDelay = new(true), new(api.Duration)
	v.Version, v.AdvertisementInterval = new(2), ms(1000)
	if g := globals.find("vrrp_version"); g != nil {
		v.Version = m.blockNumber(g, 2, 3)
	}
	m.version = v.Version
	v.Priority = new(100) // keepalived's own default
	for _, s := range b.children {
		switch s.word(0) {
		case "nopreempt":
			v.Preempt = new(false)
		case "preempt_delay":
			v.PreemptDelay = m.seconds(s)
		case "interface":
			v.Interface = s.word(1)
		case "virtual_router_id":
			v.RouterID = m.blockNumber(s, 1, 255)
		case "priority":
			switch v.Priority = m.blockNumber(s, 1, 255); {
			case v.Priority == nil:
			case *v.Priority == 255:
				v.Priority = new(254)
				m.note(s.line, "priority", "carried over as 254, because 255 is for a host whose own address the virtual IP is")
			case !c.ours:
				m.note(s.line, "priority", "carried over to vrrp.priority, for all load balancers; where they differ, nodes[].priority says each")
			}
		case "advert_int":
			v.AdvertisementInterval = m.seconds(s)
		case "version":
			v.Version = m.blockNumber(s, 2, 3)
		case "state":
			if s.word(1) != "BACKUP" {
				m.lost(s.line, "state", "every load balancer begins as BACKUP, and the priority decides")
			}
		}
	}
	if v.PreemptDelay != nil && *v.PreemptDelay > 0 && !*v.Preempt {
		m.lost(b.find("preempt_delay").line, "preempt_delay", "it has no effect with nopreempt")
		v.PreemptDelay = new(api.Duration)
	}
	if v.Version != nil && v.AdvertisementInterval != nil && *v.Version == 2 && *v.AdvertisementInterval%api.Duration(time.Second) != 0 {
		m.note(b.line, "vrrp_instance "+b.word(1), "carried over with vrrp.version 3, because version 2 has whole seconds only")
		v.Version = new(3)
	}
}

// eachFamily are the statements of an instance that its own address family has.
var eachFamily = []string{"virtual_ipaddress", "virtual_ipaddress_excluded", "unicast_src_ip", "unicast_peer", "mcast_src_ip", "native_ipv6", "version"}

// sameRouter reports the statements of the other family's instance that the first instance does not have.
func (m *mapping) sameRouter(c configuration, first, b *block) {
	for _, s := range b.children {
		if !c.ours && !slices.Contains(eachFamily, s.word(0)) && !slices.ContainsFunc(first.children, s.equal) {
			m.lost(s.line, s.word(0), "both address families have that of the first virtual router")
		}
	}
	if api.FamilyOf(m.spec.VirtualIPs[0].Addr()) == api.IPv6 { // IPv6 is always version 3, so the IPv4 instance decides
		if s := b.find("version"); s != nil {
			m.spec.VRRP.Version = m.blockNumber(s, 2, 3)
		} else {
			m.spec.VRRP.Version = m.version
		}
	}
}

// transport imports the addresses of the load balancers.
func (m *mapping) transport(b *block) {
	var addresses []string
	own := ""
	for _, s := range b.children {
		switch s.word(0) {
		case "unicast_src_ip":
			own = s.word(1)
		case "mcast_src_ip":
			if own = s.word(1); len(m.spec.Nodes) == 0 {
				addresses = append(addresses, own)
			}
		case "unicast_peer":
			m.spec.VRRP.Transport = api.Unicast
			for _, peer := range s.children {
				if addresses = append(addresses, peer.word(0)); len(peer.words) > 1 {
					m.lost(peer.line, "unicast_peer "+peer.word(1), "nodes have addresses only")
				}
			}
		}
	}
	if m.spec.VRRP.Transport == api.Unicast && len(addresses) > 0 && b.find("unicast_peer") != nil {
		if own == "" {
			own = "0.0.0.0"
			m.lost(b.line, "vrrp_instance "+b.word(1), "it does not say this load balancer's own address: nodes[0] needs it (--node names them)")
		}
		addresses = append([]string{own}, addresses...)
	}
	if m.named {
		return
	}
	for i, address := range addresses[:min(len(addresses), 1000)] {
		if i == len(m.spec.Nodes) {
			m.spec.Nodes = append(m.spec.Nodes, api.Node{Name: "lb" + strconv.Itoa(i+1)})
		}
		m.spec.Nodes[i].Addresses = append(m.spec.Nodes[i].Addresses, address)
	}
}

// blockNumber returns the value of a statement as a number within bounds, or nil.
func (m *mapping) blockNumber(b *block, least, most int) *int {
	return m.bounded(b.line, b.word(0), b.word(1), least, most)
}

// seconds returns the value of a statement in seconds, with decimals, or nil.
func (m *mapping) seconds(b *block) *api.Duration {
	n, err := strconv.ParseFloat(b.word(1), 64)
	if err != nil || !(n >= 0 && n <= 1e6) {
		m.lost(b.line, b.word(0), "%s is no time in seconds", printable(b.word(1)))
		return nil
	}
	return new(api.Duration(math.Round(n*1e6)) * 1e3)
}

package api

import (
	"net/netip"

	"rlb.dev/rlb-agent/api/textrule"
	"rlb.dev/rlb-agent/api/yamlfile"
)

// rules checks what the validate tags cannot express: rules on more than one field, and rules on durations. They are
// checked after the defaults are filled in. A rule is skipped if a field that it needs already has a problem.
type rules struct {
	*yamlfile.Report
	doc  *Document
	spec *LoadBalancerSpec
	// virtual has the paths of the virtual IPs, by address.
	virtual map[netip.Addr]string
	// owners has the paths of the nodes' addresses, by address.
	owners map[netip.Addr]string
}

func checkRules(d *Document, found *yamlfile.Report) {
	r := &rules{Report: found, doc: d, spec: &d.Spec, virtual: map[netip.Addr]string{}, owners: map[netip.Addr]string{}}
	r.metadata()
	r.virtualIPs()
	r.nodes()
	r.families()
	r.notify()
	r.services()
	r.serverNames()
	r.durations()
	r.preemption()
	r.rawLines()
}

// wrong reports a problem of a field. The field need not be in the file.
func (r *rules) wrong(path, format string, args ...any) {
	where, path := r.doc.locate(path)
	r.Add(where, path, format, args...)
}

// unique reports a value that an earlier field has too. first holds the paths of the values seen so far.
func unique[T comparable](r *rules, first map[T]string, value T, path string) {
	if !r.Sound(path) {
		return
	}
	if earlier, taken := first[value]; taken {
		r.wrong(path, "must be unique, got the same as %s", earlier)
	} else {
		first[value] = path
	}
}

func (r *rules) virtualIPs() {
	for i, vip := range r.spec.VirtualIPs {
		unique(r, r.virtual, vip.Addr(), yamlfile.Index("virtualIPs", i))
	}
}

func (r *rules) nodes() {
	names := map[string]string{}
	for i, node := range r.spec.Nodes {
		path := yamlfile.Index("nodes", i)
		unique(r, names, node.Name, yamlfile.Join(path, "name"))
		families := map[Family]string{}
		for j, text := range node.Addresses {
			at := yamlfile.Index(yamlfile.Join(path, "addresses"), j)
			if !r.Sound(at) {
				continue
			}
			addr, _ := netip.ParseAddr(text)
			if vip, taken := r.virtual[addr]; taken {
				r.wrong(at, "must be the node's own address, got the same as %s", vip)
			}
			unique(r, r.owners, addr, at)
			if earlier, taken := families[FamilyOf(addr)]; taken {
				r.wrong(at, "must be the only %v address of the node, got one beside %s", FamilyOf(addr), earlier)
			} else {
				families[FamilyOf(addr)] = at
			}
		}
	}
}

// families checks the nodes against the virtual IPs: a node that sends VRRP for a family needs an address of that
// family. For IPv6 multicast nothing is checked, because every interface has a link-local address.
func (r *rules) families() {
	spec := r.spec
	unicast := spec.VRRP.Transport == Unicast
	if !r.Sound("vrrp.transport") {
		return
	}
	if unicast && len(spec.Nodes) < 2 && !r.Covered("nodes") {
		r.wrong("vrrp.transport", "unicast must have at least 2 nodes, got %d", len(spec.Nodes))
	}
	needed := map[Family]string{}
	for i, vip := range spec.VirtualIPs {
		path := yamlfile.Index("virtualIPs", i)
		if f := FamilyOf(vip.Addr()); r.Sound(path) && needed[f] == "" && (unicast || f == IPv4) {
			needed[f] = path
		}
	}
	for i, node := range spec.Nodes {
		at := yamlfile.Join(yamlfile.Index("nodes", i), "addresses")
		if !r.Sound(at) {
			continue
		}
		has := map[Family]bool{}
		for _, text := range node.Addresses {
			addr, _ := netip.ParseAddr(text)
			has[FamilyOf(addr)] = true
		}
		for _, f := range Families {
			if vip := needed[f]; vip != "" && !has[f] {
				r.wrong(at, "must hold an %v address for %s, got none", f, vip)
			}
		}
	}
}

func (r *rules) preemption() {
	v := &r.spec.VRRP
	if at := "vrrp.preemptDelay"; *v.PreemptDelay != 0 && !*v.Preempt && r.Sound(at, "vrrp.preempt") {
		r.wrong(at, "must go with vrrp.preempt: true, got %s without it", v.PreemptDelay)
	}
}

// notify checks the programs that keepalived runs: a path first, then its arguments.
func (r *rules) notify() {
	n := &r.spec.VRRP.Notify
	for _, event := range []struct {
		path    string
		command Command
	}{
		{"vrrp.notify.master", n.Master}, {"vrrp.notify.backup", n.Backup}, {"vrrp.notify.fault", n.Fault}, {"vrrp.notify.stop", n.Stop},
	} {
		for i, word := range event.command {
			rule := textrule.Argument
			if i == 0 {
				rule = textrule.Executable
			}
			if at := yamlfile.Index(event.path, i); r.Sound(at) {
				if wrong := rule(word, ""); wrong != "" {
					r.wrong(at, "%s, got %s%s", wrong, yamlfile.Quote(word), yamlfile.Oddity(word))
				}
			}
		}
	}
}

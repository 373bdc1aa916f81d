package render

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"rlb.dev/rlb-agent/api"
)

const checkScript = "chk_haproxy"

// keepalived renders keepalived.conf (keepalived.conf(5)).
func (r *renderer) keepalived() File {
	l := newLines()
	r.keepalivedGlobal(l)
	r.keepalivedCheck(l)
	if r.tracksFiles() {
		r.trackedFiles(l)
	}
	for i, family := range r.order {
		r.vrrpInstance(l, r.instanceName(i), family)
	}
	if len(r.order) > 1 {
		r.syncGroup(l)
	}
	return l.file(r.facts.KeepalivedConfig, KeepalivedConfig)
}

// keepalivedGlobal renders global_defs. Without script security keepalived logs a violation and runs scripts that other
// users may write. Without script_user it looks for a user that Debian does not create, and disables the script.
func (r *renderer) keepalivedGlobal(l *lines) {
	l.add("", "global_defs {")
	l.add("", "    enable_script_security")
	l.add("", "    script_user root")
	if r.spec.Profile == api.Standard {
		// Otherwise a virtual IP that only one of two nodes has already in its configuration would make both MASTER.
		l.add("", "    vrrp_skip_check_adv_addr")
		// Neighbours that missed the first gratuitous ARP get another within a minute.
		l.add("", "    vrrp_garp_master_refresh 60")
		// Advertisements must be on time on a busy machine too. The agent's daemon sets real-time scheduling: with
		// vrrp_rt_priority, or max_auto_priority above 0, keepalived itself sets a time limit that kills it after a reload
		// (2.2.7, 2.3.3: "has rlimit_rttime been exceeded?").
		l.add("", "    vrrp_priority -20")
		l.add("", "    vrrp_no_swap")
		if r.facts.KeepalivedVersion.atLeast(gates.keepalivedAutoPrio) {
			l.add("", "    max_auto_priority -1") // otherwise keepalived asks for the setting at every start
		}
	}
	l.add("", "}")
}

func (r *renderer) keepalivedCheck(l *lines) {
	check := r.spec.VRRP.Check
	l.section(1, "vrrp.check", "vrrp_script %s {", checkScript)
	l.add("vrrp.check", `    script   "%s is-active haproxy"`, r.facts.Systemctl)
	l.add("vrrp.check.interval", "    interval %s", seconds(check.Interval))
	l.add("vrrp.check.rise", "    rise     %d", *check.Rise)
	l.add("vrrp.check.fall", "    fall     %d", *check.Fall)
	l.add("", "}")
}

// instances returns the names of the instances, one for each family of virtual IPs.
func (r *renderer) instances() (names []string) {
	for i := range r.order {
		names = append(names, r.instanceName(i))
	}
	return names
}

// instanceName returns the name of the instance of the i-th family. The main one has the name in the spec.
func (r *renderer) instanceName(i int) string {
	if i == 0 {
		return r.spec.VRRP.InstanceName
	}
	return r.spec.VRRP.InstanceName + "-" + r.order[i].String()
}

func (r *renderer) vrrpInstance(l *lines, name string, family api.Family) {
	v := r.spec.VRRP
	priority, priorityOrigin := r.priority()
	l.section(1, "vrrp.instanceName", "vrrp_instance %s {", name)
	l.add("", "    state BACKUP")
	if !*v.Preempt {
		l.add("vrrp.preempt", "    nopreempt")
	}
	if *v.PreemptDelay > 0 {
		l.add("vrrp.preemptDelay", "    preempt_delay %s", seconds(v.PreemptDelay))
	}
	l.add("vrrp.interface", "    interface %s", r.facts.Interface)
	l.add("vrrp.routerID", "    virtual_router_id %d", *v.RouterID)
	l.add(priorityOrigin, "    priority %d", priority)
	l.add("vrrp.advertisementInterval", "    advert_int %s", seconds(v.AdvertisementInterval))
	if *v.Version == 3 || family == api.IPv6 { // 2 is keepalived's default, and has no IPv6
		l.add("vrrp.version", "    version 3")
	}
	r.transport(l, family)
	l.add("virtualIPs", "    virtual_ipaddress {")
	for _, vip := range r.vips[family] {
		if vip.device != "" {
			l.add(vip.origin, "        %s dev %s", vip.text, vip.device)
			continue
		}
		l.add(vip.origin, "        %s", vip.text)
	}
	l.add("", "    }")
	if len(r.order) == 1 {
		r.reactions(l)
	}
	l.raw("vrrp.extraInstance", v.ExtraInstance)
	l.add("", "}")
}

// syncGroup renders the group that keeps the instances of both families in the same role.
func (r *renderer) syncGroup(l *lines) {
	l.section(1, "", "vrrp_sync_group %s-GROUP {", r.spec.VRRP.InstanceName)
	l.add("", "    group {")
	for i := range r.order {
		l.add("", "        %s", r.instanceName(i))
	}
	l.add("", "    }")
	r.reactions(l)
	l.add("", "}")
}

// transport renders the source and destination of advertisements (keepalived.conf(5), unicast_peer, mcast_src_ip).
func (r *renderer) transport(l *lines, family api.Family) {
	switch {
	case r.self == nil:
	case r.spec.VRRP.Transport == api.Unicast:
		l.add("vrrp.transport", "    unicast_src_ip %s", addressOf(r.self, family))
		l.add("vrrp.transport", "    unicast_peer {")
		for _, peer := range r.peers {
			l.add("nodes", "        %s", addressOf(&peer, family))
		}
		l.add("", "    }")
	case family == api.IPv4 && r.spec.Profile == api.Standard:
		// The peers' firewalls accept the addresses in the spec, but keepalived would use the interface's first address.
		// IPv6 advertisements always come from the link-local address.
		l.add("nodes", "    mcast_src_ip %s", addressOf(r.self, family))
	}
}

// reactions renders what keepalived tracks, and the programs that it runs on a change of role. If there is a sync group,
// they are part of the group: programs then run once per change and not once per family, and keepalived 2.1 ignores
// scripts that the instances of a group track. Tracking in both places leaves 2.2 and 2.3 in FAULT forever.
func (r *renderer) reactions(l *lines) {
	l.add("", "    track_script {")
	l.add("", "        %s", checkScript)
	l.add("", "    }")
	if others := r.otherInterfaces(); len(others) > 0 {
		l.add("virtualIPs", "    track_interface {") // keepalived 2.1.5 to 2.3.4 track these by themselves (tried)
		for _, v := range others {
			l.add(v.origin, "        %s", v.device)
		}
		l.add("virtualIPs", "    }")
	}
	if r.tracksFiles() {
		l.add("", "    track_file {")
		for _, f := range trackedFiles {
			l.add("", "        %s", f.name)
		}
		l.add("", "    }")
	}
	r.notify(l)
}

// otherInterfaces returns the first virtual IP on each interface that is not the interface of the instances.
func (r *renderer) otherInterfaces() (first []vip) {
	for _, family := range r.order {
		for _, v := range r.vips[family] {
			if v.device != "" && !slices.ContainsFunc(first, func(other vip) bool { return other.device == v.device }) {
				first = append(first, v)
			}
		}
	}
	return first
}

func (r *renderer) notify(l *lines) {
	n := r.spec.VRRP.Notify
	for _, event := range []struct {
		name    string
		command api.Command
	}{
		{"master", n.Master}, {"backup", n.Backup}, {"fault", n.Fault}, {"stop", n.Stop},
	} {
		if len(event.command) > 0 {
			l.add("vrrp.notify."+event.name, `    notify_%s "%s"`, event.name, strings.Join(event.command, " "))
		}
	}
}

// seconds formats a duration for keepalived: in seconds, with as many decimals as needed.
func seconds(d *api.Duration) string {
	return strconv.FormatFloat(float64(d.D())/float64(time.Second), 'f', -1, 64)
}

// HarmlessComplaint reports whether keepalived 2.1 prints this line for a good file too. Its configuration test always
// exits with status 0, so the agent must judge its output.
func HarmlessComplaint(line string) bool {
	line = strings.TrimSpace(line)
	return line == "" || slices.ContainsFunc(harmlessEndings, func(end string) bool { return strings.HasSuffix(line, end) })
}

var harmlessEndings = []string{
	"the first IPv6 VIP address must be link local", // for every IPv6 instance with multicast; the address works
	"must be in units of 10ms - rounding",           // for an interval like 32.55 seconds, which it reads as 32.549999
}

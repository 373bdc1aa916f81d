package render

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/render/vrrp"
)

// handoverUnit renders the unit that loads the sysctls, the rules and the routes, in this order: a route without the
// sysctls would make a standby answer ARP for the virtual IPs. A stop of the unit removes all of them, and so does a
// failed start (systemd.service(5), ExecStopPost).
func (r *renderer) handoverUnit() File {
	l := newLines()
	l.add("", "[Unit]")
	l.add("", "Description=Planned moves of the load balancer's virtual IPs without a lost connection (rlb-agent)")
	l.add("", "After=network-online.target nftables.service netfilter-persistent.service ufw.service firewalld.service")
	l.add("", "Before=haproxy.service keepalived.service")
	l.add("", "")
	l.add("", "[Service]")
	l.add("", "Type=oneshot")
	l.add("", "RemainAfterExit=yes")
	for _, setting := range []string{"ExecStart=", "ExecReload="} {
		r.handoverSysctls(l, setting, r.model.Handover.Sysctls)
		load := "/usr/sbin/nft -f " + HandoverRulesFile
		if setting == "ExecReload=" {
			load = r.reloadRules()
		}
		l.add("vrrp.handover", "%s%s", setting, load)
		l.add("", "%s-/bin/ip -6 route flush table local proto %d", setting, HandoverProtocol) // routes of a former spec
		l.add("virtualIPs", "%s%s", setting, loadRoutes)
	}
	for _, family := range api.Families {
		if r.model.Handover.Rules[family] > 0 {
			l.add("", "ExecStopPost=-/usr/sbin/nft delete table %s %s", HandoverFamily(family), HandoverTable)
		}
	}
	r.noHandoverRoutes(l, "ExecStopPost=-")
	before := map[string]string{}
	maps.Copy(before, r.facts.Sysctls) // also of interfaces that had virtual IPs before
	for key := range r.model.Handover.Sysctls {
		before[key] = cmp.Or(r.facts.Sysctls[key], "0")
	}
	r.handoverSysctls(l, "ExecStopPost=-", before)
	l.add("", "")
	l.add("", "[Install]")
	l.add("", "WantedBy=multi-user.target")
	return l.file("/etc/systemd/system/"+HandoverUnit, SystemdUnit)
}

// reloadRules returns the command that replaces the rules and restores the elements of their sets, so that a move in
// progress is forwarded as before. The load is one transaction. It fails if a set has another type now; the sets then
// begin empty. Elements that are added between the listing and the load are lost. The set nodes is not restored: with a
// former spec without nodes, it may hold any neighbour.
func (r *renderer) reloadRules() string {
	command := `/bin/sh -c "test -r ` + HandoverRulesFile + ` && { cat ` + HandoverRulesFile
	for _, family := range api.Families {
		if r.model.Handover.Rules[family] > 0 {
			table := HandoverFamily(family) + " " + HandoverTable
			command += fmt.Sprintf(`; /usr/sbin/nft list table %[1]s | awk '/^[[:space:]](set|map) / { of = $$2 } `+
				`sub(/.*elements =/, \"add element %[1]s \" of) { inside = of != \"nodes\" } inside; /}$$/ { inside = 0 }'`, table)
		}
	}
	return command + "; } 2>/dev/null | /usr/sbin/nft -f - 2>/dev/null || exec /usr/sbin/nft -f " + HandoverRulesFile + `"`
}

// handoverSysctls renders one command of a unit that sets all sysctls: each command of a unit takes systemd about 20 ms.
func (r *renderer) handoverSysctls(l *lines, setting string, values map[string]string) {
	if len(values) == 0 {
		return
	}
	command := setting + "/sbin/sysctl -q -w"
	for _, key := range slices.Sorted(maps.Keys(values)) {
		command += " " + key + "=" + values[key]
	}
	l.add("vrrp.handover", "%s", command)
}

// loadRoutes is the command that replaces the local routes by those of HandoverRoutesFile.
const loadRoutes = "/bin/ip -batch " + HandoverRoutesFile

// handoverRoutes renders the local routes of the virtual IPs as commands for one run of ip(8). The units that load the
// file do not change when virtual IPs are added or removed. The first command removes the IPv4 routes of a former spec;
// the same run cannot remove the IPv6 routes too.
func (r *renderer) handoverRoutes() File {
	l := newLines()
	l.add("", "route flush table local proto %d", HandoverProtocol)
	for _, vip := range r.model.Handover.Routes {
		l.add("virtualIPs", "route replace local %v dev lo table local proto %d metric %d",
			netip.PrefixFrom(vip, vip.BitLen()), HandoverProtocol, handoverMetric)
	}
	return l.file(HandoverRoutesFile, HandoverRoutes)
}

// handoverStop renders the part of HAProxy's drop-in that keeps its sockets working after the virtual IPs have moved, and
// that makes a stop wait. If another host took over, HAProxy still serves for as long as that host forwards. If no host
// took over, HAProxy stops at once: the clients of a single host wait for its return. Without the rules it is not known
// whether a host took over, and the stop waits for handoverTime.
func (r *renderer) handoverStop(l *lines) {
	family := api.IPv4
	if r.model.Handover.Rules[family] == 0 {
		family = api.IPv6
	}
	table := HandoverFamily(family) + " " + HandoverTable
	has := func(set string) string {
		return fmt.Sprintf("/usr/sbin/nft list set %s %s | grep -q expires", table, set)
	}
	loaded := fmt.Sprintf("/usr/sbin/nft list table %s >/dev/null 2>&1", table)
	until := func(limit time.Duration, set string) {
		l.add("vrrp.handover", "ExecStop=-/usr/bin/timeout %.2f /bin/sh -c 'while %s && ! { %s; }; do sleep 0.02; done'", limit.Seconds(), has("led"), has(set))
	}
	// The routes exist only while HAProxy runs. Without them, this host's own connections reach the holder.
	l.add("vrrp.handover", "ExecStartPost=-/bin/sh -c '%s%s && exec %s'", r.tellFault(false), loaded, loadRoutes)
	r.noHandoverRoutes(l, "ExecStopPost=-")
	l.add("vrrp.handover", "ExecStop=-/bin/sh -c '%s%s || sleep %.1f'", r.tellFault(true), loaded, handoverTime.Seconds())
	until(goodbyeTime, "left")
	until(handoverTime+vrrp.SkewTime(r.spec)+skewMargin, "recent")
	l.add("vrrp.handover", "ExecStop=-/bin/sh -c '%s && %s && sleep %.1f'", has("led"), has("recent"), serveOn.Seconds())
}

// noHandoverRoutes renders the commands of a unit that remove the local routes.
func (r *renderer) noHandoverRoutes(l *lines, setting string) {
	for _, flag := range []string{"-4", "-6"} {
		l.add("", "%s/bin/ip %s route flush table local proto %d", setting, flag, HandoverProtocol)
	}
}

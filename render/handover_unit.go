package render

import (
	"cmp"
	"fmt"
	"net/netip"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/render/vrrp"
)

// handoverUnit renders the unit that loads the sysctls, the rules and the routes, in this order: a route without the
// sysctls would make a standby answer for the virtual IPs. Its stop takes all of it away again, and so does a start that
// fails (systemd.service(5), ExecStopPost).
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
		l.add("", "%s-/bin/ip -6 route flush table local proto %d", setting, HandoverProtocol) // of a former spec
		l.add("virtualIPs", "%s%s", setting, loadRoutes)
	}
	for _, family := range api.Families {
		if r.model.Handover.Rules[family] > 0 {
			l.add("", "ExecStopPost=-/usr/sbin/nft delete table %s %s", HandoverFamily(family), HandoverTable)
		}
	}
	r.noHandoverRoutes(l, "ExecStopPost=-")
	before := map[string]string{}
	for key := range r.model.Handover.Sysctls {
		before[key] = cmp.Or(r.facts.Sysctls[key], "0")
	}
	r.handoverSysctls(l, "ExecStopPost=-", before)
	l.add("", "")
	l.add("", "[Install]")
	l.add("", "WantedBy=multi-user.target")
	return l.file("/etc/systemd/system/"+HandoverUnit, SystemdUnit)
}

// reloadRules is the command that loads the rules in place of others, and puts back what was in their sets, so that a move
// that goes on forwards as before. The load is one transaction, which fails where a set has another type now; then the sets
// begin empty. What the sets learn between the listing and the load is lost. The nodes are learned anew: where the former
// spec named none, any neighbour can be one.
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

// handoverSysctls renders the command of a unit that sets all of them: each command of a unit takes systemd some 20 ms.
func (r *renderer) handoverSysctls(l *lines, setting string, values map[string]string) {
	if len(values) == 0 {
		return
	}
	command := setting + "/sbin/sysctl -q -w"
	for _, key := range sortedKeys(values) {
		command += " " + key + "=" + values[key]
	}
	l.add("vrrp.handover", "%s", command)
}

// loadRoutes makes the local routes those of HandoverRoutesFile.
const loadRoutes = "/bin/ip -batch " + HandoverRoutesFile

// handoverRoutes renders the local routes of the virtual IPs, as commands of ip(8): it runs all of them at once, and the
// units that load the file stay the same when virtual IPs come and go. The first command removes those of a former spec;
// it is about IPv4 only, and one program cannot be about both.
func (r *renderer) handoverRoutes() File {
	l := newLines()
	l.add("", "route flush table local proto %d", HandoverProtocol)
	for _, vip := range r.model.Handover.Routes {
		l.add("virtualIPs", "route replace local %v dev lo table local proto %d metric %d",
			netip.PrefixFrom(vip, vip.BitLen()), HandoverProtocol, handoverMetric)
	}
	return l.file(HandoverRoutesFile, HandoverRoutes)
}

// handoverStop renders the part of HAProxy's drop-in that keeps its sockets working after the virtual IPs have left, and
// that has a stop wait. Where another host took over, HAProxy serves on for as long as that host forwards. Where none
// did, it stops at once: the clients of a lone host wait for its return. Without the rules nothing tells which is so.
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
	// Where HAProxy does not run, this host's own connections to the virtual IPs find the host that holds them.
	l.add("vrrp.handover", "ExecStartPost=-/bin/sh -c '%s%s && exec %s'", r.tellFault(false), loaded, loadRoutes)
	r.noHandoverRoutes(l, "ExecStopPost=-")
	l.add("vrrp.handover", "ExecStop=-/bin/sh -c '%s%s || sleep %.1f'", r.tellFault(true), loaded, handoverTime.Seconds())
	until(goodbyeTime, "left")
	until(handoverTime+vrrp.SkewTime(r.spec)+skewMargin, "recent")
	l.add("vrrp.handover", "ExecStop=-/bin/sh -c '%s && %s && sleep %.1f'", has("led"), has("recent"), serveOn.Seconds())
}

// noHandoverRoutes renders commands of a unit that remove the local routes.
func (r *renderer) noHandoverRoutes(l *lines, setting string) {
	for _, flag := range []string{"-4", "-6"} {
		l.add("", "%s/bin/ip %s route flush table local proto %d", setting, flag, HandoverProtocol)
	}
}

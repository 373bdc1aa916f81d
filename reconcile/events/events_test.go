package events

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
)

// TestTell: the entries are lines of keepalived 2.2.7 and 2.3.3, HAProxy 2.6 and 3.0, and systemd 252 and 257 from the
// journal.
func TestTell(t *testing.T) {
	start := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	entry := func(ms int, unit, message string) host.JournalEntry {
		return host.JournalEntry{Time: start.Add(time.Duration(ms) * time.Millisecond), Unit: unit, Message: message, Priority: 6, Fields: map[string]string{}}
	}
	systemd := func(ms int, unit, message string) host.JournalEntry {
		e := entry(ms, unit, message)
		e.Manager = true
		return e
	}
	agent := func(ms int, message string, fields ...string) host.JournalEntry {
		e := entry(ms, host.AgentUnit, message)
		for i := 0; i+1 < len(fields); i += 2 {
			e.Fields[fields[i]] = fields[i+1]
		}
		return e
	}
	sudo := func(ms int, command string) host.JournalEntry {
		return entry(ms, host.Sudo, "   alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND="+command)
	}
	const down = `Server kube-apiserver/cp1 is DOWN, reason: Layer4 connection problem, info: "Connection refused", check duration: 0ms. 2 active and 0 backup servers left.`
	for name, c := range map[string]struct {
		entries []host.JournalEntry
		want    string
	}{
		"HAProxy is stopped on the active host": {[]host.JournalEntry{
			systemd(0, host.HAProxyUnit, "Stopping haproxy.service - HAProxy Load Balancer..."),
			agent(5, "entering FAULT: haproxy.service is deactivating"),
			entry(6, host.KeepalivedUnit, "(HA-CLUSTER) Entering FAULT STATE"),
			systemd(90, host.HAProxyUnit, "Stopped haproxy.service - HAProxy Load Balancer."),
		}, `0 Program HAProxy was stopped
5 Health entering FAULT: haproxy.service is deactivating
6 Role may not hold the virtual IPs (FAULT) (haproxy.service is deactivating)`},
		"a person stops HAProxy": {[]host.JournalEntry{
			sudo(-40, "/usr/bin/systemctl status haproxy"),
			sudo(-40, "/usr/sbin/service haproxy status"),
			sudo(-40, "/usr/bin/vim /etc/haproxy/haproxy.cfg"),
			sudo(-40, "/usr/bin/systemctl restart nginx"),
			entry(-30, host.Sudo, "bob : user NOT in sudoers ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/systemctl stop haproxy"),
			entry(-20, host.Sudo, "bob : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/ls ; COMMAND=/usr/bin/systemctl stop haproxy"),
			sudo(-10, "/usr/bin/systemctl stop haproxy"),
			systemd(0, host.HAProxyUnit, "Stopping haproxy.service - HAProxy Load Balancer..."),
			agent(5, "entering FAULT: haproxy.service is deactivating"),
			entry(6, host.KeepalivedUnit, "(HA-CLUSTER) Entering FAULT STATE"),
			sudo(3000, "/usr/bin/pkill -9 keepalived"),
			sudo(6000, "/usr/sbin/service haproxy restart"),
		}, `-10 Command alice ran systemctl stop haproxy with sudo
0 Program HAProxy was stopped
5 Health entering FAULT: haproxy.service is deactivating
6 Role may not hold the virtual IPs (FAULT) (alice ran systemctl stop haproxy with sudo)
3000 Command alice ran pkill -9 keepalived with sudo
6000 Command alice ran service haproxy restart with sudo`},
		"the agent's line comes after keepalived's": {[]host.JournalEntry{
			entry(6, host.KeepalivedUnit, "(HA-CLUSTER) Entering FAULT STATE"),
			agent(9, "entering FAULT: haproxy hangs"),
		}, `6 Role may not hold the virtual IPs (FAULT) (haproxy hangs)
9 Health entering FAULT: haproxy hangs`},
		"the peer hands over": {[]host.JournalEntry{
			entry(0, host.KeepalivedUnit, "(HA-CLUSTER) Backup received priority 0 advertisement"),
			entry(1, host.KeepalivedUnit, "(HA-CLUSTER) Entering MASTER STATE"),
			entry(2, host.KeepalivedUnit, "(HA-CLUSTER-v6) Entering MASTER STATE"),
		}, `1 Role took the virtual IPs (MASTER) (another host gave the virtual IPs up)`},
		"two hosts of one priority were MASTER": {[]host.JournalEntry{
			entry(0, host.KeepalivedUnit, "(HA-CLUSTER) Master received advert from 198.51.100.12 with same priority 254 but higher IP address than ours"),
			entry(1, host.KeepalivedUnit, "(HA-CLUSTER) Entering BACKUP STATE"),
			entry(9000, host.KeepalivedUnit, "(HA-CLUSTER) Master received advert from 198.51.100.12 with higher priority 200, ours 100"),
			entry(9001, host.KeepalivedUnit, "(HA-CLUSTER) Entering BACKUP STATE"),
		}, `1 Role stands by (BACKUP) (another host with the same priority and a higher address advertised too)
9001 Role stands by (BACKUP) (another host advertises a higher priority)`},
		"the agent knows why": {[]host.JournalEntry{
			systemd(-500, host.HAProxyUnit, "Started haproxy.service - HAProxy Load Balancer."),
			entry(0, host.KeepalivedUnit, "(HA-CLUSTER) Entering MASTER STATE"),
			agent(80, "this host is MASTER, it was BACKUP: took over", "role", "MASTER", "why", "took over"),
		}, `-500 Program HAProxy was started
0 Role took the virtual IPs (MASTER) (took over)`},
		"a role change an hour after a cause has none": {[]host.JournalEntry{
			systemd(0, host.KeepalivedUnit, "Started keepalived.service - Keepalive Daemon (LVS and VRRP)."),
			entry(3_600_000, host.KeepalivedUnit, "(HA-CLUSTER) Entering MASTER STATE"),
		}, `0 Program keepalived was started
3600000 Role took the virtual IPs (MASTER)`},
		"a drain": {[]host.JournalEntry{
			entry(0, host.KeepalivedUnit, "(HA-CLUSTER) Entering FAULT STATE"),
			agent(20, "root ran rlb-agent drain (20ms): done", "command", "rlb-agent drain"),
		}, `0 Role may not hold the virtual IPs (FAULT) (root ran rlb-agent drain (20ms): done)
20 Command root ran rlb-agent drain (20ms): done`},
		"a trial is over": {[]host.JournalEntry{
			entry(0, host.KeepalivedUnit, "(HA-CLUSTER) Entering MASTER STATE"),
			agent(20, "the trial of new.yaml is over: nobody confirmed it within 2m0s", "trial", "expired"),
		}, `0 Role took the virtual IPs (MASTER) (the trial of new.yaml is over: nobody confirmed it within 2m0s)
20 Command the trial of new.yaml is over: nobody confirmed it within 2m0s`},
		"a server goes down, in three logs": {[]host.JournalEntry{
			entry(0, host.HAProxyUnit, "[WARNING]  (125) : "+down), entry(0, host.HAProxyUnit, down), entry(0, host.HAProxyUnit, down),
			entry(100, host.HAProxyUnit, "backend kube-apiserver has no server available!"),
			entry(9000, host.HAProxyUnit, "Server kube-apiserver/cp1 is UP, reason: Layer7 check passed, code: 200, check duration: 2ms."),
		}, `0 Server service kube-apiserver: server cp1 is down: Layer4 connection problem, Connection refused
100 Server service kube-apiserver: all servers are down
9000 Server service kube-apiserver: server cp1 is up: Layer7 check passed, status 200`},
		"the agent tells of a server too, or alone": {[]host.JournalEntry{
			entry(0, host.HAProxyUnit, down),
			agent(1900, "service kube-apiserver: server cp1 is down: connection refused (L4CON)", "service", "kube-apiserver", "server", "cp1", "state", "DOWN"),
			entry(2000, host.HAProxyUnit, "Server kube-apiserver/cp1 is UP, reason: Layer7 check passed, code: 200, check duration: 2ms."),
			entry(4000, host.HAProxyUnit, down),
			agent(30000, "service kube-apiserver: server cp2 gets no new connections: wrong status 503", "service", "kube-apiserver", "server", "cp2", "state", "NOLB"),
			agent(40000, "service kube-apiserver: served again by cp1", "service", "kube-apiserver", "state", "UP"),
		}, `0 Server service kube-apiserver: server cp1 is down: Layer4 connection problem, Connection refused
2000 Server service kube-apiserver: server cp1 is up: Layer7 check passed, status 200
4000 Server service kube-apiserver: server cp1 is down: Layer4 connection problem, Connection refused
30000 Server service kube-apiserver: server cp2 gets no new connections: wrong status 503
40000 Server service kube-apiserver: served again by cp1`},
		"the steps of one run": {[]host.JournalEntry{
			agent(0, "write /etc/haproxy/haproxy.cfg", "step", "write /etc/haproxy/haproxy.cfg", "reason", "the spec changed"),
			agent(300, "reload haproxy.service", "step", "reload haproxy.service", "reason", "the spec changed"),
			agent(9000, "reload haproxy.service", "step", "reload haproxy.service", "reason", "it was edited"),
		}, `0 Change write /etc/haproxy/haproxy.cfg, reload haproxy.service (the spec changed)
9000 Change reload haproxy.service (it was edited)`},
		"a program dies": {[]host.JournalEntry{
			systemd(0, host.KeepalivedUnit, "keepalived.service: Main process exited, code=killed, status=9/KILL"),
			systemd(400, host.KeepalivedUnit, "keepalived.service: Scheduled restart job, restart counter is at 1."),
		}, `0 Program keepalived died (killed, 9/KILL)
400 Program keepalived is restarted by systemd`},
		"chatter": {[]host.JournalEntry{
			systemd(0, host.HAProxyUnit, "haproxy.service: Deactivated successfully."),
			entry(1, host.KeepalivedUnit, "Printing VRRP as json for process(130) on signal"),
			entry(2, host.HAProxyUnit, "[NOTICE]   (48) : Loading success."),
			agent(3, "this host is MASTER"),
		}, ``},
	} {
		var lines []string
		for _, e := range Tell(c.entries) {
			line := fmt.Sprintf("%d %s %s", e.Time.Sub(start).Milliseconds(), e.Kind, e.Message)
			if e.Cause != "" {
				line += " (" + e.Cause + ")"
			}
			lines = append(lines, line)
		}
		if got := strings.Join(lines, "\n"); got != c.want {
			t.Errorf("%s:\n%s\nwant:\n%s", name, got, c.want)
		}
	}
}

// Only a log that reaches back, and in which keepalived answers and says nothing else, shows that its role is still the same.
func TestRoleUnchanged(t *testing.T) {
	start := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	at := func(s int, unit, message string) host.JournalEntry {
		return host.JournalEntry{Time: start.Add(time.Duration(s) * time.Second), Unit: unit, Message: message}
	}
	answers := func(s int) host.JournalEntry {
		return at(s, host.KeepalivedUnit, "Printing VRRP as json for process(130) on signal")
	}
	before := []host.JournalEntry{at(-9, host.KeepalivedUnit, "(HA-CLUSTER) Entering BACKUP STATE"), at(-8, host.AgentUnit, "this host is BACKUP")}
	for name, c := range map[string]struct {
		after []host.JournalEntry
		want  bool
	}{
		"it answered":                 {[]host.JournalEntry{answers(0)}, true},
		"and others spoke":            {[]host.JournalEntry{answers(0), at(1, host.AgentUnit, "in sync"), at(2, host.HAProxyUnit, "Server web/a is UP"), answers(3)}, true},
		"it says nothing in its log":  {nil, false},
		"its role changed":            {[]host.JournalEntry{answers(0), at(20, host.KeepalivedUnit, "(HA-CLUSTER) Entering FAULT STATE")}, false},
		"it changed, and was asked":   {[]host.JournalEntry{answers(0), at(20, host.KeepalivedUnit, "(HA-CLUSTER) Entering FAULT STATE"), answers(30)}, false},
		"it speaks of something else": {[]host.JournalEntry{answers(0), at(1, host.KeepalivedUnit, "VRRP_Script(haproxy) failed")}, false},
		"it was started again":        {[]host.JournalEntry{answers(0), {Time: start.Add(time.Second), Unit: host.KeepalivedUnit, Manager: true, Message: "Started keepalived.service"}}, false},
	} {
		if got := RoleUnchanged(append(before[:2:2], c.after...), start); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
		if RoleUnchanged(c.after, start.Add(-time.Second)) {
			t.Errorf("%s: the log begins later", name)
		}
	}
}

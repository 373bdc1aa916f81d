package plan

import (
	"testing"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
)

// TestHoldIsExplained: a removed hold is set again. The line says why, and how newer versions are installed.
func TestHoldIsExplained(t *testing.T) {
	const want = "the hold of package haproxy was taken away: held again (packages.hold); rlb-agent upgrade brings newer versions in"
	if got := holdPackage("haproxy", true).Drift; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestSummary(t *testing.T) {
	write := func(path string) Step { return Step{Verb: verbWrite, Object: path} }
	for name, c := range map[string]struct {
		steps []Step
		want  string
		at    Place
	}{
		"nothing": {want: ""},
		"a first run": {
			[]Step{bringPackages([]PackageWant{{Name: "haproxy"}, {Name: "keepalived"}}), write("/etc/haproxy/haproxy.cfg"), startUnit(host.HAProxyUnit, "", 0, false)},
			"3 changes on this host: install haproxy, keepalived; write haproxy.cfg; start haproxy.service\nno connection is cut: programs that do not run yet are started\n",
			Place{},
		},
		"a machine without the programs, whose units nobody sees": {
			[]Step{maskUnit(host.HAProxyUnit), maskUnit(host.KeepalivedUnit), {Verb: "load", Object: "rules", Serving: true}},
			"3 changes on this host: mask haproxy.service, keepalived.service; load rules\nno connection is cut: HAProxy does not run on this host yet\n",
			Place{Role: host.RoleStopped},
		},
		"many files": {
			[]Step{write("/a"), write("/b"), write("/c"), write("/d"), write("/e")},
			"5 changes on this host: write a, b, c, 2 more\nclients do not notice it\n",
			Place{},
		},
		"a reload": {
			[]Step{reloadUnit(host.HAProxyUnit, "")},
			"1 change on this host: reload haproxy.service\nno connection is cut: the running programs load the changes\n",
			Place{},
		},
		"HAProxy restarts": {
			[]Step{restartUnit(host.HAProxyUnit, "", "why"), reloadUnit(host.KeepalivedUnit, "")},
			"2 changes on this host: restart haproxy.service; reload keepalived.service\nclients notice it: the connections through this host's HAProxy end\n",
			Place{},
		},
		"keepalived stops": {
			[]Step{stopUnit(host.KeepalivedUnit)},
			"1 change on this host: stop keepalived.service\nclients may notice it: if this host holds the virtual IPs, they move to another host\n",
			Place{},
		},
		"keepalived stops on the MASTER": {
			[]Step{stopUnit(host.KeepalivedUnit)},
			"1 change on this host: stop keepalived.service\nclients may notice it: this host is MASTER, and the virtual IPs move to lb2 within about 10 ms, and stay there\n",
			Place{Role: host.RoleMaster, Peers: []string{"lb2"}, HandoverGap: 11 * time.Millisecond},
		},
		"HAProxy restarts on the MASTER of three": {
			[]Step{restartUnit(host.HAProxyUnit, "", "why")},
			"1 change on this host: restart haproxy.service\nclients notice it: the virtual IPs move to lb2 or lb3 within about 3.6 s, and come back when this host is ready again (vrrp.preempt); the connections through this host's HAProxy end\n",
			Place{Role: host.RoleMaster, Peers: []string{"lb2", "lb3"}, FailoverGap: 3620 * time.Millisecond, Back: true},
		},
		"keepalived stops, then HAProxy": {
			[]Step{stopUnit(host.KeepalivedUnit), stopUnit(host.HAProxyUnit)},
			"2 changes on this host: stop keepalived.service, haproxy.service\nclients notice it: the virtual IPs move to another host within about 620 ms, and stay there; the connections through this host's HAProxy end\n",
			Place{Role: host.RoleMaster, HandoverGap: 619 * time.Millisecond, FailoverGap: 3620 * time.Millisecond},
		},
		"the MASTER is alone": {
			[]Step{stopUnit(host.KeepalivedUnit)},
			"1 change on this host: stop keepalived.service\nclients may notice it: this host is MASTER, and no other host takes the virtual IPs over: lb2 cannot serve: it is drained\n",
			Place{Role: host.RoleMaster, Peers: []string{"lb2"}, HandoverGap: 11 * time.Millisecond, Alone: "lb2 cannot serve: it is drained"},
		},
		"HAProxy restarts in FAULT": {
			[]Step{restartUnit(host.HAProxyUnit, "", "why")},
			"1 change on this host: restart haproxy.service\nclients do not notice it: this host is in FAULT, and clients do not use it\n",
			Place{Role: host.RoleFault},
		},
		"HAProxy restarts on the BACKUP": {
			[]Step{restartUnit(host.HAProxyUnit, "", "why")},
			"1 change on this host: restart haproxy.service\nclients do not notice it: this host is BACKUP, and clients do not use it\n",
			Place{Role: host.RoleBackup, Peers: []string{"lb2"}},
		},
	} {
		if got := Summary(c.steps, c.at); got != c.want {
			t.Errorf("%s:\n%s\nwant:\n%s", name, got, c.want)
		}
	}
}

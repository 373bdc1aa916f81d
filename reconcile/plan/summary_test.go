package plan

import (
	"testing"

	"rlb.dev/rlb-agent/reconcile/host"
)

func TestSummary(t *testing.T) {
	write := func(path string) Step { return Step{Verb: verbWrite, Object: path} }
	for name, c := range map[string]struct {
		steps []Step
		want  string
	}{
		"nothing": {nil, ""},
		"a first run": {
			[]Step{bringPackages([]PackageWant{{Name: "haproxy"}, {Name: "keepalived"}}), write("/etc/haproxy/haproxy.cfg"), startUnit(host.HAProxyUnit, "", 0)},
			"3 changes on this host: install haproxy, keepalived; write haproxy.cfg; start haproxy.service\nno connection is cut: what does not run yet is started\n",
		},
		"many files": {
			[]Step{write("/a"), write("/b"), write("/c"), write("/d"), write("/e")},
			"5 changes on this host: write a, b, c, 2 more\nclients do not notice it\n",
		},
		"a reload": {
			[]Step{reloadUnit(host.HAProxyUnit, "")},
			"1 change on this host: reload haproxy.service\nno connection is cut: the programs take over what is new while they run\n",
		},
		"HAProxy restarts": {
			[]Step{restartUnit(host.HAProxyUnit, "", "why"), reloadUnit(host.KeepalivedUnit, "")},
			"2 changes on this host: restart haproxy.service; reload keepalived.service\nclients notice it: the connections through this host's HAProxy end\n",
		},
		"keepalived stops": {
			[]Step{stopUnit(host.KeepalivedUnit)},
			"1 change on this host: stop keepalived.service\nclients may notice it: if this host holds the virtual IPs, they move to another host\n",
		},
	} {
		if got := Summary(c.steps); got != c.want {
			t.Errorf("%s:\n%s\nwant:\n%s", name, got, c.want)
		}
	}
}

package plan

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render"
)

// TestBeside: the dry run says beside each step what clients notice.
func TestBeside(t *testing.T) {
	ip4 := firewallChange{family: api.IPv4, want: []string{"-A RLB -j RETURN"}}
	steps := []Step{
		bringPackages([]PackageWant{{Name: "haproxy"}}), ip4.step(), noteFormer(&state.FormerRouter{}),
		writeFile(host.File{Path: "/etc/haproxy/haproxy.cfg"}, host.File{}, render.HAProxyConfig),
		reloadUnit(host.HAProxyUnit, ""), reloadUnit(host.KeepalivedUnit, ""), reloadUnit(render.HandoverUnit, ""),
		retireServer("web", "cp1", ""), restartUnit(host.HAProxyUnit, "", "why"),
		stopUnit(host.KeepalivedUnit), stopUnit(host.HAProxyUnit), startUnit(host.KeepalivedUnit, "", 0, false),
	}
	// the same for every place, except for the step that leaves the virtual router
	const common = `install haproxy: this may take minutes
load IPv4 firewall
leave virtual router: LEAVE
write /etc/haproxy/haproxy.cfg
reload haproxy.service: no connection is cut: the old process serves its connections until they end
reload keepalived.service: keepalived keeps its role while it reads its file
reload rlb-handover.service: no connection is cut
set web/cp1: no connection is cut
`
	for name, c := range map[string]struct {
		at    Place
		leave string
		want  string
	}{
		"MASTER": {Place{Role: host.RoleMaster, Peers: []string{"lb2"}, HandoverGap: 11 * time.Millisecond, FailoverGap: 11 * time.Millisecond}, "the virtual IPs move to lb2; each peer that is changed after this host may move them again", common +
			`restart haproxy.service: the virtual IPs move to lb2 within about 10 ms, and stay there; the connections through this HAProxy end
stop keepalived.service: the virtual IPs move to lb2 within about 10 ms, and stay there
stop haproxy.service: the connections through this HAProxy end
start keepalived.service: this host joins the virtual router as BACKUP, and takes the virtual IPs if nobody holds them
`},
		"alone": {Place{Role: host.RoleMaster, Peers: []string{"lb2"}, Alone: "lb2 cannot serve: it is drained"}, "no other host takes the virtual IPs over: lb2 cannot serve: it is drained", common +
			`restart haproxy.service: no other host takes the virtual IPs over: lb2 cannot serve: it is drained; the connections through this HAProxy end
stop keepalived.service: no other host takes the virtual IPs over: lb2 cannot serve: it is drained
stop haproxy.service: the connections through this HAProxy end
start keepalived.service: this host joins the virtual router as BACKUP, and takes the virtual IPs if nobody holds them
`},
		"doubtful": {Place{Role: host.RoleMaster, Peers: []string{"lb2"}, Doubt: "lb2 runs no agent"}, "the virtual IPs move to lb2 (it is not known whether lb2 is ready: lb2 runs no agent); each peer that is changed after this host may move them again", common +
			`restart haproxy.service: the virtual IPs move to lb2, and stay there (it is not known whether lb2 is ready: lb2 runs no agent); the connections through this HAProxy end
stop keepalived.service: the virtual IPs move to lb2, and stay there (it is not known whether lb2 is ready: lb2 runs no agent)
stop haproxy.service: the connections through this HAProxy end
start keepalived.service: this host joins the virtual router as BACKUP, and takes the virtual IPs if nobody holds them
`},
		"BACKUP": {Place{Role: host.RoleBackup, OldProcess: 10 * time.Minute}, "no client notices it: this host is BACKUP; it does not join the virtual router until every peer is changed too", strings.Replace(common, "until they end", "until they end, for 10m0s at most (proxy.hardStopAfter)", 1) +
			`restart haproxy.service: no client notices it: this host is BACKUP
stop keepalived.service: no client notices it: this host is BACKUP
stop haproxy.service: no client notices it: this host is BACKUP
start keepalived.service: this host joins the virtual router as BACKUP, and takes the virtual IPs if nobody holds them
`},
		"not known": {Place{}, "if this host holds the virtual IPs, they move to another host; each peer that is changed after this host may move them again", common +
			`restart haproxy.service: if this host holds the virtual IPs, they move to another host; the connections through this HAProxy end
stop keepalived.service: if this host holds the virtual IPs, they move to another host
stop haproxy.service: the connections through this HAProxy end
start keepalived.service: this host joins the virtual router as BACKUP, and takes the virtual IPs if nobody holds them
`},
	} {
		var got strings.Builder
		for i, text := range Beside(steps, c.at) {
			got.WriteString(strings.TrimSuffix(steps[i].Verb+" "+steps[i].Object+": "+text, ": ") + "\n")
		}
		want := strings.Replace(c.want, "LEAVE", c.leave, 1)
		if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got.String(), "\n")); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

// TestPlaceOf: the duration of a move, and whether the virtual IPs come back, follow from the spec.
func TestPlaceOf(t *testing.T) {
	const nodes = "nodes: [{name: lb1, addresses: [198.51.100.11]}, {name: lb2, addresses: [198.51.100.12]}]\n"
	for name, c := range map[string]struct {
		more string
		want string // where the virtual IPs go when keepalived stops, and when HAProxy stops
	}{
		"standard":  {nodes, "the virtual IPs move to lb2 within about 10 ms, and stay there; the same"},
		"slow":      {nodes + "vrrp: {advertisementInterval: 10s, priority: 128}\n", "the virtual IPs move to lb2 within about 5.0 s, and stay there; the same"},
		"no nodes":  {"vrrp: {preempt: true}\n", "the virtual IPs move to another host within about 10 ms; the same"},
		"preempt":   {"nodes: [{name: lb1, addresses: [198.51.100.11], priority: 200}, {name: lb2, addresses: [198.51.100.12], priority: 180}]\nvrrp: {preempt: true}\n", "the virtual IPs move to lb2 within about 40 ms, and come back when this host is ready again (vrrp.preempt); the same"},
		"the lower": {"nodes: [{name: lb1, addresses: [198.51.100.11], priority: 180}, {name: lb2, addresses: [198.51.100.12], priority: 200}]\nvrrp: {preempt: true}\n", "the virtual IPs move to lb2 within about 40 ms, and stay there; the same"},
		"classic":   {"profile: classic\n", "the virtual IPs move to another host within about 620 ms, and stay there; the virtual IPs move to another host within about 3.6 s, and stay there"},
	} {
		doc, err := api.Parse("spec.yaml", []byte("apiVersion: rlb.dev/v1\nkind: LoadBalancerSpec\nvirtualIPs: [198.51.100.100]\n"+
			"services: [{name: web, port: 9000, servers: [{address: 198.51.100.21}]}]\n"+c.more))
		if err != nil {
			t.Fatal(err)
		}
		at := PlaceOf(&doc.Spec, "lb1", host.RoleMaster)
		stop, fails := at.moves(at.HandoverGap), at.moves(at.FailoverGap)
		if fails == stop {
			fails = "the same"
		}
		if got := stop + "; " + fails; got != c.want {
			t.Errorf("%s:\n%s\nwant:\n%s", name, got, c.want)
		}
	}
}

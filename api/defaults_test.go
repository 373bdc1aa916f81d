package api

import (
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func itoa(n int) string { return strconv.Itoa(n) }

// full returns a spec with a value in every field that has a default. Fields without a default in the profile stay nil.
func full() LoadBalancerSpec {
	seconds := func(n int) *Duration { return new(Duration(n) * 1e9) }
	server := func(name, address string, port int) Server { return Server{Name: name, Address: address, Port: &port} }
	return LoadBalancerSpec{
		APIVersion: "rlb.dev/v1", Kind: "LoadBalancerSpec", Profile: "standard",
		VirtualIPs: []VirtualIP{{Address: "192.168.3.240"}},
		VRRP: VRRP{
			RouterID: new(240), Priority: new(254), AdvertisementInterval: new(Duration(100e6)), Version: new(3), Preempt: new(false), PreemptDelay: new(Duration),
			Transport: "multicast", Handover: "forward", InstanceName: "HA-CLUSTER", Check: Check{Interval: seconds(1), Rise: new(2), Fall: new(3)},
		},
		Services: []Service{{
			Name: "kube-apiserver", Bind: Strings{"*"}, Port: new(9000), Balance: "roundrobin", SendProxyProtocol: "none", FailOpen: new(true),
			Servers: []Server{server("master1", "192.168.3.251", 6443), server("master2", "192.168.3.252", 6443), server("master3", "192.168.3.253", 6443)},
			HealthCheck: HealthCheck{
				Type: "https", Method: "GET", Path: "/readyz", ExpectStatus: []int{200, 401}, CutAfter: seconds(60),
				Interval: seconds(2), Timeout: seconds(2), Rise: new(2), Fall: new(3),
			},
		}},
		Proxy: Proxy{
			MaxConnections: new(4096), Retries: new(6), HardStopAfter: seconds(4 * 3600),
			Timeouts: Timeouts{Connect: seconds(3), Client: seconds(30), Server: seconds(30), Tunnel: seconds(4 * 3600)},
		},
		Packages:  Packages{Manage: new(true), Hold: new(true)},
		Firewall:  Firewall{Manage: new(true)},
		Reconcile: Reconcile{Interval: seconds(60), Drift: "repair"},
	}
}

// fullClassic differs from full in the fields whose default is different with the profile classic.
func fullClassic() LoadBalancerSpec {
	seconds := func(n int) *Duration { return new(Duration(n) * 1e9) }
	s := full()
	s.Profile = "classic"
	s.VRRP.Interface, s.VRRP.Handover = "eth0", "none"
	s.VRRP.RouterID, s.VRRP.Priority, s.VRRP.AdvertisementInterval, s.VRRP.Version = new(1), new(100), seconds(1), new(2)
	s.Services[0].FailOpen = new(false)
	s.Services[0].HealthCheck = HealthCheck{Type: "tcp", CutAfter: new(Duration), Interval: seconds(3), Rise: new(30), Fall: new(3)}
	s.Proxy.MaxConnections, s.Proxy.HardStopAfter = nil, nil
	s.Proxy.Timeouts = Timeouts{Connect: seconds(3), Client: seconds(3), Server: seconds(60)}
	return s
}

// TestDefaults compares all fields of both profiles with the reference.
func TestDefaults(t *testing.T) {
	for profile, want := range map[string]LoadBalancerSpec{"": full(), "profile: standard\n": full(), "profile: classic\n": fullClassic()} {
		if diff := cmp.Diff(want, mustParse(t, shortest+profile).Spec); diff != "" {
			t.Errorf("%q (-want +got):\n%s", profile, diff)
		}
	}
}

// TestDefaultsThatDependOnOthers checks the defaults that depend on other fields.
func TestDefaultsThatDependOnOthers(t *testing.T) {
	for name, c := range map[string]struct {
		old, text string
		got       func(*LoadBalancerSpec) any
		want      any
	}{
		"routerID, 0":              {"[192.168.3.240]", "[10.0.1.0]", func(s *LoadBalancerSpec) any { return *s.VRRP.RouterID }, 1},
		"routerID, 255":            {"[192.168.3.240]", "[10.0.1.255/16]", func(s *LoadBalancerSpec) any { return *s.VRRP.RouterID }, 255},
		"routerID, IPv6":           {"[192.168.3.240]", "['fd00::12ab/64']", func(s *LoadBalancerSpec) any { return *s.VRRP.RouterID }, 0xab},
		"routerID, main":           {"[192.168.3.240]", "[10.0.0.7, 10.0.0.9]", func(s *LoadBalancerSpec) any { return *s.VRRP.RouterID }, 7},
		"interval, version 2":      {"", "vrrp: {version: 2}", func(s *LoadBalancerSpec) any { return s.VRRP.AdvertisementInterval.String() }, "1s"},
		"server names":             {"", "  - {name: x, address: 10.0.0.1}\n  - {address: 10.0.0.1}", func(s *LoadBalancerSpec) any { return s.Services[0].Servers[0].Name + s.Services[0].Servers[2].Name }, "server1server3"},
		"server port":              {"", "", func(s *LoadBalancerSpec) any { return *s.Services[0].Servers[0].Port }, 80},
		"check, 6443":              {"", "    port: 6443", func(s *LoadBalancerSpec) any { return s.Services[0].HealthCheck.Type }, CheckHTTPS},
		"check, 16443":             {"", "    port: 16443\n  - {address: 10.0.0.1, port: 6443}", func(s *LoadBalancerSpec) any { return s.Services[0].HealthCheck.Type }, CheckHTTPS},
		"check, service port 6443": {"  port: 80", "  port: 6443", func(s *LoadBalancerSpec) any { return s.Services[0].HealthCheck.Type }, CheckHTTPS},
		"check, not all 6443":      {"", "    port: 6443\n  - {address: 10.0.0.1, port: 6444}", func(s *LoadBalancerSpec) any { return s.Services[0].HealthCheck.Type }, CheckTCP},
		"check, no path":           {"", "", func(s *LoadBalancerSpec) any { return s.Services[0].HealthCheck.Path }, ""},
		"check, http":              {"", "  healthCheck: {type: http}", func(s *LoadBalancerSpec) any { return s.Services[0].HealthCheck.Path }, "/readyz"},
		"status, http":             {"", "  healthCheck: {type: http}", func(s *LoadBalancerSpec) any { return len(s.Services[0].HealthCheck.ExpectStatus) }, 1},
		"status, https":            {"", "  healthCheck: {type: https}", func(s *LoadBalancerSpec) any { return s.Services[0].HealthCheck.ExpectStatus[1] }, 401},
		"status, classic https":    {"", "  healthCheck: {type: https}\nprofile: classic", func(s *LoadBalancerSpec) any { return len(s.Services[0].HealthCheck.ExpectStatus) }, 1},
		"cutAfter, https":          {"", "  healthCheck: {type: https}", func(s *LoadBalancerSpec) any { return s.Services[0].HealthCheck.CutAfter.String() }, "1m"},
		"cutAfter, query":          {"", "  healthCheck: {type: https, path: '/readyz?verbose'}", func(s *LoadBalancerSpec) any { return s.Services[0].HealthCheck.CutAfter.String() }, "1m"},
		"cutAfter, another path":   {"", "  healthCheck: {type: https, path: /readyzz}", func(s *LoadBalancerSpec) any { return s.Services[0].HealthCheck.CutAfter.String() }, "0s"},
		"cutAfter, http":           {"", "  healthCheck: {type: http}", func(s *LoadBalancerSpec) any { return s.Services[0].HealthCheck.CutAfter.String() }, "0s"},
		"cutAfter, classic":        {"", "  healthCheck: {type: https}\nprofile: classic", func(s *LoadBalancerSpec) any { return s.Services[0].HealthCheck.CutAfter.String() }, "0s"},
		"failOpen, https":          {"", "  healthCheck: {type: https}", func(s *LoadBalancerSpec) any { return *s.Services[0].FailOpen }, true},
		"failOpen, another path":   {"", "  healthCheck: {type: https, path: /healthz}", func(s *LoadBalancerSpec) any { return *s.Services[0].FailOpen }, false},
		"failOpen, classic":        {"", "  healthCheck: {type: https}\nprofile: classic", func(s *LoadBalancerSpec) any { return *s.Services[0].FailOpen }, false},
		"check, classic http":      {"", "  healthCheck: {type: http}\nprofile: classic", func(s *LoadBalancerSpec) any { return s.Services[0].HealthCheck.ExpectStatus[0] }, 200},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.got(&mustParse(t, with(t, c.old, c.text)).Spec); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// TestGivenValuesStay: with the profile classic, given values stay in every field, zero values too.
func TestGivenValuesStay(t *testing.T) {
	given := `apiVersion: rlb.dev/v1
firewall: {allowFrom: [10.0.0.0/8], manage: false}
kind: LoadBalancerSpec
metadata: {annotations: {a: b}, labels: {c: d}, name: n}
metrics: {address: '127.0.0.1:9', textfile: /a.prom}
nodes:
- {addresses: [10.0.0.1], interface: eth1, name: a, priority: 1}
- {addresses: [10.0.0.2], name: b}
packages: {haproxy: {version: '1'}, hold: false, keepalived: {version: '2'}, manage: false}
profile: classic
proxy:
  extraDefaults: |
    one
    two
  extraGlobal: [three]
  hardStopAfter: 1s
  maxConnections: 1
  retries: 0
  stats: {address: '127.0.0.1:8'}
  timeouts: {client: 1s, connect: 2s, server: 4s, tunnel: 5s}
reconcile: {drift: report, interval: 1s}
services:
- acceptProxyProtocol: true
  allowFrom: [10.1.0.0/16]
  balance: first
  bind: [10.0.0.9, 127.0.0.1]
  extraBackend: [b]
  extraFrontend: [f]
  extraServer: slowstart 30s
  failOpen: false
  healthCheck: {caFile: /ca, cutAfter: 9s, expectStatus: [201], fall: 7, host: h.example, interval: 7s, method: HEAD, path: /readyz, port: 9, rise: 7, timeout: 8s, type: https}
  name: s
  port: 1
  sendProxyProtocol: v1
  sni: [a.example]
  timeouts: {client: 5s, connect: 6s, server: 7s, tunnel: 8s}
  servers: [{address: a.b, backup: true, maxConnections: 1, name: x, port: 2, weight: 0}]
virtualIPs: [{address: 10.0.0.3, interface: eth3}, 10.0.0.4]
vrrp:
  advertisementInterval: 10ms
  check: {fall: 9, interval: 9s, rise: 9}
  extraInstance: [i]
  handover: none
  instanceName: I
  interface: eth2
  notify: {backup: [/b, x], fault: /f, master: [/m], stop: /s}
  preempt: true
  preemptDelay: 7s
  priority: 2
  routerID: 3
  transport: unicast
  version: 3
web: {address: 'unix:/w'}
`
	spec := mustParse(t, given).Spec
	want := LoadBalancerSpec{
		APIVersion: APIVersion, Kind: Kind, Profile: Classic, VirtualIPs: []VirtualIP{{"10.0.0.3", "eth3"}, {Address: "10.0.0.4"}},
		Metadata: Metadata{Name: "n", Labels: map[string]string{"c": "d"}, Annotations: map[string]string{"a": "b"}},
		Nodes:    []Node{{"a", []string{"10.0.0.1"}, "eth1", new(1)}, {Name: "b", Addresses: []string{"10.0.0.2"}}},
		VRRP: VRRP{"eth2", new(3), new(2), new(Duration(10e6)), new(3), new(true), new(Duration(7e9)), Unicast, HandoverNone, "I",
			Notify{Command{"/m"}, Command{"/b", "x"}, Command{"/f"}, Command{"/s"}}, Check{new(Duration(9e9)), new(9), new(9)}, Lines{"i"}},
		Services: []Service{{"s", Strings{"10.0.0.9", "127.0.0.1"}, []string{"a.example"}, new(1), true, ProxyV1, []string{"10.1.0.0/16"}, "first",
			[]Server{{"x", "a.b", new(2), new(0), true, new(1)}},
			HealthCheck{CheckHTTPS, new(9), "HEAD", "h.example", "/readyz", []int{201}, "/ca", new(Duration(9e9)), new(Duration(7e9)), new(Duration(8e9)), new(7), new(7)},
			new(false), Timeouts{new(Duration(6e9)), new(Duration(5e9)), new(Duration(7e9)), new(Duration(8e9))}, Lines{"f"}, Lines{"b"}, "slowstart 30s"}},
		Proxy: Proxy{new(1), new(0), Timeouts{new(Duration(1e9)), new(Duration(2e9)), new(Duration(4e9)), new(Duration(5e9))},
			new(Duration(1e9)), Stats{"127.0.0.1:8"}, Lines{"three"}, Lines{"one", "two"}},
		Packages:  Packages{new(false), new(false), Package{"1"}, Package{"2"}},
		Firewall:  Firewall{new(false), []string{"10.0.0.0/8"}},
		Reconcile: Reconcile{new(Duration(1e9)), Report},
		Metrics:   Metrics{"127.0.0.1:9", "/a.prom"},
		Web:       Web{"unix:/w"},
	}
	want.Proxy.Timeouts = Timeouts{Connect: new(Duration(2e9)), Client: new(Duration(1e9)), Server: new(Duration(4e9)), Tunnel: new(Duration(5e9))}
	if diff := cmp.Diff(want, spec); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// A second SetDefaults changes nothing.
	again := spec
	again.SetDefaults()
	if diff := cmp.Diff(spec, again); diff != "" {
		t.Errorf("second setDefaults (-want +got):\n%s", diff)
	}
}

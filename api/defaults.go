package api

import (
	"fmt"
	"time"
)

// profileDefaults is what a profile says where the spec is silent. nil and "" mean that nothing is written
// (or, for the interface, that it is found on the host).
type profileDefaults struct {
	interfaceName         string
	routerID              *int // nil: from the main virtual IP
	priority              int
	advertisementInterval time.Duration
	version               int

	apiserverCheck                    HealthCheckType // the check where every server's port is 6443
	checkInterval                     time.Duration
	checkTimeout                      *Duration
	checkRise, checkFall              int
	maxConnections                    *int
	timeoutClient, timeoutServer      time.Duration
	timeoutTunnel, proxyHardStopAfter *Duration
}

// The two profiles, side by side in the order of the reference. Defaults that both share stand in setDefaults.
var profiles = map[Profile]profileDefaults{
	Standard: {
		priority: 254, advertisementInterval: 100 * time.Millisecond, version: 3,
		apiserverCheck: CheckHTTPS,
		checkInterval:  2 * time.Second, checkTimeout: duration(2 * time.Second), checkRise: 2, checkFall: 3,
		maxConnections: new(4096),
		timeoutClient:  30 * time.Second, timeoutServer: 30 * time.Second,
		timeoutTunnel: duration(4 * time.Hour), proxyHardStopAfter: duration(4 * time.Hour),
	},
	Classic: {
		interfaceName: "eth0", routerID: new(1), priority: 100, advertisementInterval: time.Second, version: 2,
		apiserverCheck: CheckTCP,
		checkInterval:  3 * time.Second, checkRise: 30, checkFall: 3,
		timeoutClient: 3 * time.Second, timeoutServer: 60 * time.Second,
	},
}

// apiserverPort is where kube-apiservers listen by default (kubeadm's bindPort).
const apiserverPort = 6443

// setDefaults fills every field that the spec leaves open. It does nothing where a field is given.
func (s *LoadBalancerSpec) setDefaults() {
	fill(&s.Profile, Standard)
	profile := profiles[s.Profile]

	v := &s.VRRP
	fill(&v.Interface, profile.interfaceName)
	fillPtr(&v.RouterID, profile.routerID)
	if len(s.VirtualIPs) > 0 {
		fillPtr(&v.RouterID, lastByte(s.VirtualIPs[0]))
	}
	fillPtr(&v.Priority, &profile.priority)
	fillPtr(&v.Version, &profile.version)
	if *v.Version == 2 { // which knows whole seconds only
		fillPtr(&v.AdvertisementInterval, duration(time.Second))
	}
	fillPtr(&v.AdvertisementInterval, duration(profile.advertisementInterval))
	fillPtr(&v.Preempt, new(false))
	fill(&v.Transport, Multicast)
	fill(&v.InstanceName, "HA-CLUSTER")
	fillPtr(&v.Check.Interval, duration(time.Second))
	fillPtr(&v.Check.Rise, new(2))
	fillPtr(&v.Check.Fall, new(3))

	for i := range s.Services {
		s.Services[i].setDefaults(profile)
	}

	p := &s.Proxy
	fillPtr(&p.MaxConnections, profile.maxConnections)
	fillPtr(&p.Retries, new(6))
	fillPtr(&p.Timeouts.Connect, duration(3*time.Second))
	fillPtr(&p.Timeouts.Client, duration(profile.timeoutClient))
	fillPtr(&p.Timeouts.Server, duration(profile.timeoutServer))
	fillPtr(&p.Timeouts.Tunnel, profile.timeoutTunnel)
	fillPtr(&p.HardStopAfter, profile.proxyHardStopAfter)

	fillPtr(&s.Packages.Manage, new(true))
	fillPtr(&s.Packages.Hold, new(true))
	fillPtr(&s.Firewall.Manage, new(true))
	fillPtr(&s.Reconcile.Interval, duration(time.Minute))
	fill(&s.Reconcile.Drift, Repair)
}

func (s *Service) setDefaults(profile profileDefaults) {
	fill(&s.Bind, "*")
	fill(&s.Balance, "roundrobin")
	allApiservers := true
	for i := range s.Servers {
		server := &s.Servers[i]
		fill(&server.Name, fmt.Sprintf("server%d", i+1))
		fillPtr(&server.Port, s.Port)
		allApiservers = allApiservers && server.Port != nil && *server.Port == apiserverPort
	}
	h := &s.HealthCheck
	if allApiservers {
		fill(&h.Type, profile.apiserverCheck)
	}
	fill(&h.Type, CheckTCP)
	if h.Type == CheckHTTP || h.Type == CheckHTTPS {
		fill(&h.Path, "/readyz")
		if len(h.ExpectStatus) == 0 {
			h.ExpectStatus = []int{200}
		}
	}
	fillPtr(&h.Interval, duration(profile.checkInterval))
	fillPtr(&h.Timeout, profile.checkTimeout)
	fillPtr(&h.Rise, &profile.checkRise)
	fillPtr(&h.Fall, &profile.checkFall)
}

// lastByte is the default router id: the last byte of an address, or 1 where that is 0, which is no valid id.
func lastByte(v VirtualIP) *int {
	bytes := v.Addr().AsSlice()
	if len(bytes) == 0 {
		return nil
	}
	return new(max(1, int(bytes[len(bytes)-1])))
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// fillPtr copies, so that no two specs share a value.
func fillPtr[T any](field **T, value *T) {
	if *field == nil && value != nil {
		copied := *value
		*field = &copied
	}
}

func duration(d time.Duration) *Duration { return new(Duration(d)) }

package api

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// profileDefaults holds the defaults of one profile. nil and "" mean that no directive is written
// (or, for the interface, that it is found on the host).
type profileDefaults struct {
	interfaceName         string
	routerID              *int // nil: from the main virtual IP
	priority              int
	advertisementInterval time.Duration
	version               int

	handover                          Handover
	apiserverCheck                    HealthCheckType // the check if every server's port is that of a kube-apiserver
	httpsStatus                       []int
	readyzCutAfter                    time.Duration // of https checks of /readyz
	readyzFailOpen                    bool
	checkInterval                     time.Duration
	checkTimeout                      *Duration
	checkRise, checkFall              int
	maxConnections                    *int
	timeoutClient, timeoutServer      time.Duration
	timeoutTunnel, proxyHardStopAfter *Duration
}

// The two profiles, side by side in the order of the reference. SetDefaults has the defaults that both share.
var profiles = map[Profile]profileDefaults{
	Standard: {
		priority: 254, advertisementInterval: 100 * time.Millisecond, version: 3,
		handover: HandoverForward, apiserverCheck: CheckHTTPS, httpsStatus: []int{200, 401}, readyzCutAfter: time.Minute, readyzFailOpen: true,
		checkInterval: 2 * time.Second, checkTimeout: duration(2 * time.Second), checkRise: 2, checkFall: 3,
		maxConnections: new(4096),
		timeoutClient:  30 * time.Second, timeoutServer: 30 * time.Second,
		timeoutTunnel: duration(4 * time.Hour), proxyHardStopAfter: duration(4 * time.Hour),
	},
	Classic: {
		interfaceName: "eth0", routerID: new(1), priority: 100, advertisementInterval: time.Second, version: 2,
		handover: HandoverNone, apiserverCheck: CheckTCP, httpsStatus: []int{200},
		checkInterval: 3 * time.Second, checkRise: 30, checkFall: 3,
		timeoutClient: 3 * time.Second, timeoutServer: 60 * time.Second,
	},
}

// apiserverPorts are the default ports of kube-apiservers: 6443 with kubeadm, k3s and RKE2, 16443 with MicroK8s.
var apiserverPorts = []int{6443, 16443}

// readyz is the path at which a kube-apiserver reports whether it is ready for traffic.
const readyz = "/readyz"

// SetDefaults fills every field that has no value. It does not change a field that is given.
func (s *LoadBalancerSpec) SetDefaults() {
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
	if *v.Version == 2 { // VRRP version 2 has whole seconds only
		fillPtr(&v.AdvertisementInterval, duration(time.Second))
	}
	fillPtr(&v.AdvertisementInterval, duration(profile.advertisementInterval))
	fillPtr(&v.Preempt, new(false))
	fillPtr(&v.PreemptDelay, new(Duration))
	fill(&v.Transport, Multicast)
	fill(&v.Handover, profile.handover)
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
	if len(s.Bind) == 0 {
		s.Bind = Strings{"*"}
	}
	fill(&s.SendProxyProtocol, ProxyNone)
	fill(&s.Balance, "roundrobin")
	apiservers := true
	for i := range s.Servers {
		server := &s.Servers[i]
		if server.Name == "" {
			server.Name = "server" + strconv.Itoa(i+1)
		}
		fillPtr(&server.Port, s.Port)
		apiservers = apiservers && server.Port != nil && slices.Contains(apiserverPorts, *server.Port)
	}
	if apiservers {
		fill(&s.HealthCheck.Type, profile.apiserverCheck)
	}
	s.HealthCheck.setDefaults(profile)
	fillPtr(&s.FailOpen, new(s.HealthCheck.asksReadyz() && profile.readyzFailOpen))
}

func (h *HealthCheck) setDefaults(profile profileDefaults) {
	fill(&h.Type, CheckTCP)
	if h.Type.HTTP() {
		fill(&h.Method, "GET")
		fill(&h.Path, readyz)
		if len(h.ExpectStatus) == 0 {
			h.ExpectStatus = []int{200}
			if h.Type == CheckHTTPS {
				h.ExpectStatus = slices.Clone(profile.httpsStatus)
			}
		}
	}
	if h.asksReadyz() {
		fillPtr(&h.CutAfter, duration(profile.readyzCutAfter))
	}
	fillPtr(&h.CutAfter, new(Duration))
	fillPtr(&h.Interval, duration(profile.checkInterval))
	fillPtr(&h.Timeout, profile.checkTimeout)
	fillPtr(&h.Rise, &profile.checkRise)
	fillPtr(&h.Fall, &profile.checkFall)
}

// asksReadyz reports whether the check asks a kube-apiserver for /readyz over TLS.
func (h *HealthCheck) asksReadyz() bool {
	path, _, _ := strings.Cut(h.Path, "?")
	return h.Type == CheckHTTPS && path == readyz
}

// lastByte returns the default router id: the last byte of an address, or 1 if that byte is 0, which is no valid id.
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

// fillPtr copies the value, so that no two specs share it.
func fillPtr[T any](field **T, value *T) {
	if *field == nil && value != nil {
		copied := *value
		*field = &copied
	}
}

func duration(d time.Duration) *Duration { return new(Duration(d)) }

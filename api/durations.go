package api

import (
	"math"
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/api/yamlfile"
)

// durationRule bounds a duration.
type durationRule struct {
	min, max, step time.Duration
	text           string
}

var (
	inSeconds = durationRule{time.Second, time.Hour, time.Second, "1s to 1h in whole seconds"}
	// HAProxy's timers hold a signed 32-bit number of milliseconds.
	inMilliseconds = durationRule{time.Millisecond, math.MaxInt32 * time.Millisecond, time.Millisecond, "1ms to 2147483647ms in whole milliseconds"}
	orZero         = durationRule{0, math.MaxInt32 * time.Millisecond, time.Millisecond, "0s to 2147483647ms in whole milliseconds"}
	ofPreemption   = durationRule{0, 1000 * time.Second, time.Second, "0s to 1000s in whole seconds"} // keepalived.conf(5), preempt_delay
	ofReconcile    = durationRule{time.Second, 24 * time.Hour, 1, "1s to 24h"}
	// RFC 9568 §5.2.7: 12 bits of centiseconds. RFC 3768 §5.3.7: 8 bits of seconds.
	ofVersion3 = durationRule{10 * time.Millisecond, 40950 * time.Millisecond, 10 * time.Millisecond, "10ms to 40.95s in steps of 10ms"}
	ofVersion2 = durationRule{time.Second, 255 * time.Second, time.Second, "1s to 255s in whole seconds (below 1s only with vrrp.version 3)"}
	// With virtual IPs of both families the two instances share one interval, and the IPv6 instance has version 3.
	ofVersions2And3 = durationRule{time.Second, 40 * time.Second, time.Second, "1s to 40s in whole seconds, since IPv6 has version 3 of the protocol (below 1s only with vrrp.version 3)"}
)

// takes reports whether a duration satisfies the rule.
func (rule durationRule) takes(d time.Duration) bool {
	return d >= rule.min && d <= rule.max && d%rule.step == 0
}

// durationRuleAt returns the rule of the field at a path. For the advertisement interval this is the rule of VRRP
// version 3, whatever the version in the spec.
func durationRuleAt(path string) durationRule {
	switch {
	case path == "vrrp.advertisementInterval":
		return ofVersion3
	case path == "vrrp.preemptDelay":
		return ofPreemption
	case path == "vrrp.check.interval":
		return inSeconds
	case path == "reconcile.interval":
		return ofReconcile
	case strings.HasSuffix(path, ".cutAfter"):
		return orZero
	}
	return inMilliseconds
}

func (r *rules) durations() {
	vrrp := &r.spec.VRRP
	if r.Sound("profile", "vrrp.version") {
		advertisement := ofVersion3
		switch {
		case *vrrp.Version == 2 && r.hasIPv6():
			advertisement = ofVersions2And3
		case *vrrp.Version == 2:
			advertisement = ofVersion2
		}
		r.keeps(advertisement, "vrrp.advertisementInterval", vrrp.AdvertisementInterval)
	}
	r.duration("vrrp.preemptDelay", vrrp.PreemptDelay)
	r.duration("vrrp.check.interval", vrrp.Check.Interval)
	for i := range r.spec.Services {
		service, check := yamlfile.Index("services", i), &r.spec.Services[i].HealthCheck
		at := yamlfile.Join(service, "healthCheck")
		r.timeouts(yamlfile.Join(service, "timeouts"), &r.spec.Services[i].Timeouts)
		r.duration(yamlfile.Join(at, "cutAfter"), check.CutAfter)
		r.duration(yamlfile.Join(at, "interval"), check.Interval)
		r.duration(yamlfile.Join(at, "timeout"), check.Timeout)
	}
	r.timeouts("proxy.timeouts", &r.spec.Proxy.Timeouts)
	r.duration("proxy.hardStopAfter", r.spec.Proxy.HardStopAfter)
	r.duration("reconcile.interval", r.spec.Reconcile.Interval)
}

// hasIPv6 reports whether any virtual IP is an IPv6 address.
func (r *rules) hasIPv6() bool {
	return slices.ContainsFunc(r.spec.VirtualIPs, func(v VirtualIP) bool { return v.Addr().Is6() })
}

func (r *rules) timeouts(path string, t *Timeouts) {
	r.duration(yamlfile.Join(path, "connect"), t.Connect)
	r.duration(yamlfile.Join(path, "client"), t.Client)
	r.duration(yamlfile.Join(path, "server"), t.Server)
	r.duration(yamlfile.Join(path, "tunnel"), t.Tunnel)
}

func (r *rules) duration(path string, value *Duration) { r.keeps(durationRuleAt(path), path, value) }

// keeps checks a duration, unless it is nil, against a rule.
func (r *rules) keeps(rule durationRule, path string, value *Duration) {
	if value != nil && !rule.takes(value.D()) {
		r.wrong(path, "must be %s, got %s", rule.text, value)
	}
}

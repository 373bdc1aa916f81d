package vrrp

import (
	"time"

	"rlb.dev/rlb-agent/api"
)

// TakeoverTime is how long the others wait after the last advertisement of a master until one of them takes its place:
// three intervals and the skew of the lowest priority (RFC 9568 §6.1, Active_Down_Interval; RFC 3768 §6.1).
func TakeoverTime(spec *api.LoadBalancerSpec) time.Duration {
	return 3*spec.VRRP.AdvertisementInterval.D() + SkewTime(spec)
}

// SkewTime is the longest time after a master's goodbye until another router takes its place: the skew of the lowest
// priority (RFC 9568 §6.1, Skew_Time; RFC 3768 §6.1).
func SkewTime(spec *api.LoadBalancerSpec) time.Duration {
	lowest := *spec.VRRP.Priority
	for _, node := range spec.Nodes {
		if node.Priority != nil {
			lowest = min(lowest, *node.Priority)
		}
	}
	interval := spec.VRRP.AdvertisementInterval.D()
	unit := time.Second // version 2
	if *spec.VRRP.Version == 3 {
		unit = interval
	}
	return unit * time.Duration(256-lowest) / 256
}

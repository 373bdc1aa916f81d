package vrrp

import (
	"time"

	"rlb.dev/rlb-agent/api"
)

// TakeoverTime returns the longest time after the last advertisement of a master until another node takes its place: the
// time of the node with the lowest priority.
func TakeoverTime(spec *api.LoadBalancerSpec) time.Duration { return downTime(spec, lowest(spec)) }

// SkewTime returns the longest time after a master's goodbye until another router takes its place: the skew time of the
// lowest priority.
func SkewTime(spec *api.LoadBalancerSpec) time.Duration { return skew(spec, lowest(spec)) }

// DownTime returns how long a node waits after the last advertisement of a master until the node takes its place. node is
// the name of the node, "" if the spec has no nodes.
func DownTime(spec *api.LoadBalancerSpec, node string) time.Duration {
	priority := *spec.VRRP.Priority
	for _, n := range spec.Nodes {
		if n.Name == node {
			priority = spec.PriorityOf(n)
		}
	}
	return downTime(spec, priority)
}

// downTime returns three intervals and the skew time (RFC 9568 §6.1, Active_Down_Interval; RFC 3768 §6.1,
// Master_Down_Interval).
func downTime(spec *api.LoadBalancerSpec, priority int) time.Duration {
	return 3*spec.VRRP.AdvertisementInterval.D() + skew(spec, priority)
}

// skew returns how much longer a lower priority waits (RFC 9568 §6.1, Skew_Time; RFC 3768 §6.1).
func skew(spec *api.LoadBalancerSpec, priority int) time.Duration {
	unit := time.Second // version 2
	if *spec.VRRP.Version == 3 {
		unit = spec.VRRP.AdvertisementInterval.D()
	}
	return unit * time.Duration(256-priority) / 256
}

func lowest(spec *api.LoadBalancerSpec) int {
	priority := *spec.VRRP.Priority
	for _, node := range spec.Nodes {
		priority = min(priority, spec.PriorityOf(node))
	}
	return priority
}

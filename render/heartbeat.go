package render

import (
	"net/netip"
	"time"

	"rlb.dev/rlb-agent/api"
)

// A holder that has given the virtual IPs up, and serves on the connections that it has, says so by heartbeats: UDP
// datagrams that go where its advertisements go, with a TTL of 255, to the discard service (RFC 863). The new holder
// forwards for as long as they come.
const (
	HeartbeatPort  = 9
	HeartbeatEvery = 100 * time.Millisecond
	// HeartbeatLife is how long the new holder forwards after the last heartbeat. Its agent tells the clients of the end then.
	HeartbeatLife = 450 * time.Millisecond

	beatMagic = 0x726c6262656174 // "rlbbeat"
	restMagic = 0x726c6272657374 // "rlbrest"
)

// Heartbeat is what a heartbeat holds, as a big-endian number: which virtual router it is of, 1 to 255.
func Heartbeat(routerID int) uint64 { return beatMagic<<8 | uint64(routerID) } // #nosec G115 -- 1 to 255

// HeartbeatRest is what the last heartbeat of an agent that is stopped holds. After it the new holder forwards for
// ForwardTime, in which another agent may start.
func HeartbeatRest(routerID int) uint64 { return restMagic<<8 | uint64(routerID) } // #nosec G115 -- 1 to 255

// HandedOver are the virtual IPs of a spec whose connections a planned move forwards, with the interface of the
// advertisements. There are none where vrrp.handover is none.
func HandedOver(spec *api.LoadBalancerSpec, iface string) (all []netip.Addr) {
	r := renderer{spec: spec, facts: Facts{Interface: iface}}
	if !r.hands() {
		return nil
	}
	for _, family := range api.Families {
		all = append(all, r.handedOver(family)...)
	}
	return all
}

package render

import (
	"net/netip"
	"time"

	"rlb.dev/rlb-agent/api"
)

// A host that has given up the virtual IPs and still serves its connections sends heartbeats: UDP datagrams to the
// destinations of its advertisements, with a TTL of 255, to the discard service (RFC 863). The new holder forwards as
// long as heartbeats arrive.
const (
	HeartbeatPort  = 9
	HeartbeatEvery = 100 * time.Millisecond
	// HeartbeatLife is how long the new holder forwards after the last heartbeat. Its agent then makes the clients notice
	// the end (serveon.Successor).
	HeartbeatLife = 450 * time.Millisecond

	beatMagic = 0x726c6262656174 // "rlbbeat"
	restMagic = 0x726c6272657374 // "rlbrest"
)

// Heartbeat returns the content of a heartbeat, a big-endian number with the router id of the virtual router, 1 to 255.
func Heartbeat(routerID int) uint64 { return beatMagic<<8 | uint64(routerID) } // #nosec G115 -- 1 to 255

// HeartbeatRest returns the content of the last heartbeat of an agent that is being stopped. After it the new holder
// forwards for ForwardTime, so that another agent can start.
func HeartbeatRest(routerID int) uint64 { return restMagic<<8 | uint64(routerID) } // #nosec G115 -- 1 to 255

// HandedOver returns the virtual IPs of a spec whose connections a planned move forwards. iface is the interface of the
// advertisements. It returns nil if vrrp.handover is none.
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

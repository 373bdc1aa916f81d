package host

import (
	"net/netip"
	"time"
)

// Beat is a received advertisement of another host.
type Beat struct {
	From     netip.Addr
	Priority uint8     // 0: the sender gives up the virtual IPs
	At       time.Time // when the kernel received it
}

// AdvertEar receives the advertisements of one virtual router. Only one goroutine may use it.
type AdvertEar interface {
	// Take returns the advertisements since the last call, the oldest first; it never waits. lost means that more were
	// received and dropped, or that their time is unknown: the intervals between the returned ones are then meaningless.
	Take() (heard []Beat, lost bool, err error)
	Close()
}

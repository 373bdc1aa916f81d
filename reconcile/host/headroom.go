package host

import (
	"net/netip"
	"time"
)

// Beat is an advertisement of another machine, as it came in.
type Beat struct {
	From     netip.Addr
	Priority uint8     // 0: it gives the virtual IPs up
	At       time.Time // when the kernel took it
}

// AdvertEar hears the advertisements of one virtual router. It is for one goroutine.
type AdvertEar interface {
	// Take is what has come in since the last call, the oldest first; it never waits. lost is that more came, which was
	// dropped, or whose time is not known: then the times between these say nothing.
	Take() (heard []Beat, lost bool, err error)
	Close()
}

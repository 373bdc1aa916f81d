package e2e

import (
	"net/netip"
	"strings"

	"rlb.dev/rlb-agent/hack/lab/pair"
)

// Classic is the line of a spec that selects the original's configuration.
const Classic = "profile: classic"

// Spec returns a spec of the three control planes behind the virtual IP, with more lines at its
// end.
func Spec(more ...string) string { return pair.Spec(3, more...) }

// TwoServers is Spec without the third control plane.
func TwoServers(more ...string) string { return pair.Spec(2, more...) }

// MoreRetries is Spec with one change that HAProxy reads only at a reload.
func MoreRetries() string { return Spec("proxy: {retries: 7}") }

// OwnVIP returns a spec with a virtual IP, and so a virtual router, for this host alone.
func (h *Host) OwnVIP(text string) string {
	own := h.Addr().As4()
	own[3] += 100
	return strings.Replace(text, pair.VIP, netip.AddrFrom4(own).String(), 1)
}

package host

import (
	"context"
	"net/netip"

	"rlb.dev/rlb-agent/render"
)

// HandoverReader reads the kernel state for planned moves of the virtual IPs.
type HandoverReader interface {
	// Handover returns the part of want that the kernel has. The error wraps ErrUnavailable if the programs that load it
	// are missing.
	Handover(ctx context.Context, want render.Handover) (render.Handover, error)
	// HandoverRefused returns why the kernel or nft would refuse these rules, or "". It changes nothing.
	HandoverRefused(ctx context.Context, rules string) (why string, err error)
	// Sysctl returns the value of a setting, "" if this kernel does not have it. The key is a path below /proc/sys.
	Sysctl(ctx context.Context, key string) (string, error)
}

// Flow identifies a TCP connection by its two ends.
type Flow struct {
	Client netip.AddrPort
	Server netip.AddrPort // on a host that holds a virtual IP
}

package host

import (
	"context"
	"net/netip"

	"rlb.dev/rlb-agent/render"
)

// HandoverReader looks at what planned moves of the virtual IPs need in the kernel.
type HandoverReader interface {
	// Handover is what is there of what is wanted. It is unavailable where the programs that load it are missing.
	Handover(ctx context.Context, want render.Handover) (render.Handover, error)
	// HandoverRefused is why the kernel or nft would not take these rules, in words, or "". It changes nothing.
	HandoverRefused(ctx context.Context, rules string) (why string, err error)
	// Sysctl is the value of a setting, "" where this kernel does not have it. The key is as below /proc/sys.
	Sysctl(ctx context.Context, key string) (string, error)
}

// Flow is a TCP connection by its ends.
type Flow struct {
	Client netip.AddrPort
	Server netip.AddrPort // on a host that has a virtual IP
}

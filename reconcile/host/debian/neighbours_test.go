package debian

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"testing"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian/program/recorded"
)

// Package link tests the rest, in network namespaces of its own.
func TestAddressesErrors(t *testing.T) {
	h, _ := newFake(t)
	_, err := h.Neighbours(t.Context(), "nosuch0", []netip.Addr{netip.MustParseAddr("198.51.100.2")})
	recorded.WantError(t, err, "cannot ask for neighbours on nosuch0: there is no interface nosuch0")
	recorded.WantError(t, h.RemoveAddress(t.Context(), "nosuch0", netip.MustParsePrefix("198.51.100.100/32")), "")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.RemoveAddress(ended, "nosuch0", netip.MustParsePrefix("198.51.100.100/32")); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if err := h.WatchAddresses(ended, func() {}); err != nil {
		t.Errorf("the end of watching is no error: %v", err)
	}
	if err := refined(fmt.Errorf("cannot look: %w", fs.ErrPermission)); !errors.Is(err, host.ErrUnavailable) {
		t.Errorf("%v is that we may not look", err)
	}
}

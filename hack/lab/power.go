package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"time"
)

// Start boots a host that is down, with its former disk and a new, empty network.
func (h *Host) Start(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gone {
		return errClosed
	}
	if h.running() != nil {
		return fmt.Errorf("cannot start %s: it is up", h.name)
	}
	h.clear() // the host may have stopped by itself
	if err := h.plug(ctx); err != nil {
		return fmt.Errorf("cannot connect %s: %w", h.name, err)
	}
	begin := time.Now()
	b, err := bootHost(ctx, h)
	if err != nil {
		h.clear()
		return fmt.Errorf("cannot boot %s: %w", h.name, err)
	}
	h.current.Store(b)
	if err := h.waitSettled(ctx); err != nil {
		h.clear()
		return fmt.Errorf("cannot boot %s: %w", h.name, err)
	}
	h.lab.log("%s (%s) is up after %s", h.name, h.release, time.Since(begin).Round(10*time.Millisecond))
	return nil
}

// waitSettled asks systemd over D-Bus until it has finished starting.
func (h *Host) waitSettled(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		state, err := h.Run(ctx, "systemctl", "is-system-running")
		switch strings.TrimSpace(state) {
		case "running", "degraded":
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Shutdown powers the host off in order, as an administrator would, and waits until it is off.
func (h *Host) Shutdown(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.running()
	if b == nil {
		return fmt.Errorf("cannot shut %s down: it is down", h.name)
	}
	// The host may be off before the command has its answer.
	_, err := h.Run(ctx, "systemctl", "poweroff")
	if err != nil && !b.ended() && ctx.Err() == nil {
		var failed *RunError
		if !errors.As(err, &failed) || failed.Code > 0 {
			return err
		}
	}
	b.over()
	select {
	case <-b.done:
		h.clear()
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cannot shut %s down: %w", h.name, ctx.Err())
	}
}

// Reboot shuts the host down and boots it again. Addresses and packet filter rules that only the kernel had are
// lost.
func (h *Host) Reboot(ctx context.Context) error {
	if err := h.Shutdown(ctx); err != nil {
		return err
	}
	return h.Start(ctx)
}

// Crash cuts the host's power: no process ends in order, and no frame leaves the host any more. Its disk stays for
// Start.
func (h *Host) Crash() {
	h.kill()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clear()
}

// kill ends all processes of the host at once; clear must follow.
func (h *Host) kill() {
	b := h.running()
	if b == nil {
		return
	}
	// Cut the cable first: when processes die the kernel closes their connections, which a host without power does not
	// do.
	_ = h.CutLink()
	b.group.kill()
}

// clear removes what is left of the host's last boot.
func (h *Host) clear() {
	if b := h.current.Swap(nil); b != nil {
		b.end()
	}
	h.unplug()
}

// retire shuts the host down for good.
func (h *Host) retire() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gone = true
	h.clear()
}

func (h *Host) running() *boot {
	if b := h.current.Load(); b != nil && !b.ended() {
		return b
	}
	return nil
}

// Up reports whether the host runs.
func (h *Host) Up() bool { return h.running() != nil }

// Addresses lists the present addresses of the host, without loopback; none if it is down.
func (h *Host) Addresses() ([]netip.Prefix, error) {
	if !h.Up() {
		return nil, nil
	}
	return h.addresses()
}

// HoldsAddress reports whether the host has the address now. It takes microseconds, so it may be polled.
func (h *Host) HoldsAddress(addr netip.Addr) bool {
	list, _ := h.Addresses()
	for _, p := range list {
		if p.Addr() == addr {
			return true
		}
	}
	return false
}

// consolePath is the file with the console output of the host's last boot.
func (h *Host) consolePath() string { return filepath.Join(h.dir, "console.log") }

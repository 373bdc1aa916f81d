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

// Start boots a host that is down, with the disk it had and a new, empty network.
func (h *Host) Start(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gone {
		return errClosed
	}
	if h.running() != nil {
		return fmt.Errorf("cannot start %s: it is up", h.name)
	}
	h.clear() // it may have stopped by itself
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

// waitSettled asks systemd over D-Bus until it says that it is up.
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

// Shutdown powers the host off in order, as an administrator would, and waits for it.
func (h *Host) Shutdown(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.running()
	if b == nil {
		return fmt.Errorf("cannot shut %s down: it is down", h.name)
	}
	// The host may be gone before the command has its answer.
	_, err := h.Run(ctx, "systemctl", "poweroff")
	if err != nil && !b.ended() && ctx.Err() == nil {
		var failed *RunError
		if !errors.As(err, &failed) || failed.Code > 0 {
			return err
		}
	}
	select {
	case <-b.done:
		h.clear()
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cannot shut %s down: %w", h.name, ctx.Err())
	}
}

// Reboot shuts the host down and boots it again. Addresses and rules that lived only in the kernel are gone then.
func (h *Host) Reboot(ctx context.Context) error {
	if err := h.Shutdown(ctx); err != nil {
		return err
	}
	return h.Start(ctx)
}

// Crash takes the host's power away: no process may end in order and no frame leaves it any more. Its disk stays for
// Start.
func (h *Host) Crash() {
	h.kill()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clear()
}

// kill ends the host's life at once; clear must follow.
func (h *Host) kill() {
	b := h.running()
	if b == nil {
		return
	}
	// First the cable: the kernel says farewell for processes that die, and a host without power does not.
	_ = h.CutLink()
	b.group.kill()
}

// clear takes away what is left of the host's last life.
func (h *Host) clear() {
	if b := h.current.Swap(nil); b != nil {
		b.end()
	}
	h.unplug()
}

// retire ends the host for good.
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

// Up tells whether the host runs.
func (h *Host) Up() bool { return h.running() != nil }

// Addresses lists the addresses that the host holds now, but for the loopback's; none if it is down.
func (h *Host) Addresses() ([]netip.Prefix, error) {
	if !h.Up() {
		return nil, nil
	}
	return h.addresses()
}

// HoldsAddress tells whether the host holds the address now. It costs microseconds, so it may be polled.
func (h *Host) HoldsAddress(addr netip.Addr) bool {
	list, _ := h.Addresses()
	for _, p := range list {
		if p.Addr() == addr {
			return true
		}
	}
	return false
}

// consolePath is the file that has what the host wrote on its console in its last life.
func (h *Host) consolePath() string { return filepath.Join(h.dir, "console.log") }

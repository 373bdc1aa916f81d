package e2e

import (
	"context"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

// Eventually fails the test if the condition does not become true in time.
func (w *World) Eventually(what string, within time.Duration, condition func() bool) {
	w.Helper()
	if lab.Until(w.Context(), within, condition) == nil {
		return
	}
	for _, h := range w.Lab.Hosts() {
		if h.Up() {
			out, _ := h.Sh(context.Background(), "ip -4 addr show eth0; systemctl status --no-pager -n 15 haproxy keepalived; iptables -S; journalctl -b --no-pager -n 60")
			w.Logf("%s:\n%s", h.Name(), out)
		}
	}
	w.Fatalf("not within %v: %s", within, what)
}

// Never fails the test if the condition becomes true in that time.
func (w *World) Never(what string, during time.Duration, condition func() bool) {
	w.Helper()
	if lab.Until(w.Context(), during, condition) == nil {
		w.Fatalf("came true: %s", what)
	}
}

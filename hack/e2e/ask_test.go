package e2e

import (
	"errors"
	"net/netip"
	"strings"

	"rlb.dev/rlb-agent/hack/lab"
)

func (h *host) active() bool { return h.HoldsAddress(netip.MustParseAddr(vip)) }

// must runs a command on the host that has to succeed.
func (h *host) must(args ...string) string {
	h.w.Helper()
	out, err := h.Run(h.w.Context(), args...)
	if err != nil {
		h.w.Fatalf("%s: %v\n%s", h.Name(), err, out)
	}
	return out
}

func (h *host) sh(script string) string { h.w.Helper(); return h.must("sh", "-c", script) }

// writeSpec puts a spec in place as an administrator would.
func (h *host) writeSpec(text string) {
	h.w.Helper()
	if err := h.WriteFile(spec, []byte(text), 0o644); err != nil {
		h.w.Fatal(err)
	}
}

// apply writes a spec and reconciles once.
func (h *host) apply(text string) string {
	h.w.Helper()
	h.writeSpec(text)
	return h.must(agent, "--once")
}

// code runs the agent and returns its exit code and all that it said.
func (h *host) code(args ...string) (int, string) {
	h.w.Helper()
	out, err := h.Run(h.w.Context(), append([]string{agent}, args...)...)
	var failed *lab.RunError
	switch {
	case err == nil:
		return 0, out
	case errors.As(err, &failed):
		return failed.Code, failed.Stdout + failed.Stderr
	}
	h.w.Fatal(err)
	return -1, ""
}

func (h *host) is(property, unit, want string) bool {
	out, _ := h.Run(h.w.Context(), "systemctl", "is-"+property, unit)
	return strings.TrimSpace(out) == want
}

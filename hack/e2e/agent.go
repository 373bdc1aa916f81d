package e2e

import (
	"encoding/json"
	"errors"
	"strings"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
	"rlb.dev/rlb-agent/reconcile/status"
)

// WriteSpec writes the spec file as an administrator would.
func (h *Host) WriteSpec(text string) {
	h.World.Helper()
	if err := h.WriteFile(pair.SpecFile, []byte(text), 0o644); err != nil {
		h.World.Fatal(err)
	}
}

// Apply writes a spec, runs the agent once and returns its output.
func (h *Host) Apply(text string) string {
	h.World.Helper()
	h.WriteSpec(text)
	return h.Must(pair.Agent, "--once")
}

// RunAgent runs the agent and returns its exit code and its output.
func (h *Host) RunAgent(args ...string) (code int, out string) {
	h.World.Helper()
	out, err := h.Run(h.World.Context(), append([]string{pair.Agent}, args...)...)
	var failed *lab.RunError
	switch {
	case err == nil:
		return 0, out
	case errors.As(err, &failed):
		return failed.Code, failed.Stdout + failed.Stderr
	}
	h.World.Fatal(err)
	return -1, ""
}

// RunFaulty runs the agent with faults (see reconcile/faulty) and returns its exit code, 137 if it was killed, and its
// output.
func (h *Host) RunFaulty(faults string, args ...string) (code int, out string) {
	h.World.Helper()
	out, code = h.Exit("RLB_FAULT='" + faults + "' " + Faulty + " " + strings.Join(args, " "))
	return code, out
}

// Converges fails the test if the next run fails, or if the one after it has something to do; it returns the output of
// the first one.
func (h *Host) Converges(after string) (first string) {
	h.World.Helper()
	code, first := h.RunAgent("--once")
	if code != 0 {
		h.World.Fatalf("%s: after %s the next run fails: exit code %d\n%s", h.Name(), after, code, first)
	}
	if code, out := h.RunAgent("--once"); code != 0 || !strings.Contains(out, "nothing to do") {
		h.World.Fatalf("%s: after %s the run after the next: exit code %d\n%s", h.Name(), after, code, out)
	}
	return first
}

// HAProxyIs reports whether this is the daemon's last verdict on HAProxy: answers, full, hangs …
func (h *Host) HAProxyIs(state string) bool {
	data, _ := h.ReadFile("/run/rlb/guard.json")
	return strings.Contains(string(data), `"haproxy": "`+state+`"`)
}

// StartDaemon enables and starts the agent on hosts that have their spec, and waits until its first run is over.
func StartDaemon(hosts ...*Host) {
	for _, h := range hosts {
		h.World.Helper()
		h.Shell("systemctl enable --now rlb-agent")
	}
	for _, h := range hosts {
		h.World.Eventually("the first run of the daemon on "+h.Name()+" is over", time.Minute, func() bool {
			out, err := h.Run(h.World.Context(), "systemctl", "show", "--value", "-p", "StatusText", "rlb-agent")
			return err == nil && strings.Contains(out, "in sync with") && h.FaultFlag(false)
		})
	}
}

// FaultFlag reports whether the file that keepalived tracks has this value; true keeps the host from holding the
// virtual IP.
func (h *Host) FaultFlag(fault bool) bool {
	data, err := h.ReadFile("/run/rlb/fault")
	return err == nil && string(data) == map[bool]string{true: "1\n", false: "0\n"}[fault]
}

// Status returns the agent's present status of the host, and its exit code.
func (h *Host) Status() (s status.Status, code int) {
	h.World.Helper()
	code, out := h.RunAgent("status", "-o", "json")
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		h.World.Fatalf("%s: %v\n%s", h.Name(), err, out)
	}
	return s, code
}

package e2e

import (
	"strconv"
	"strings"

	"rlb.dev/rlb-agent/hack/lab/pair"
)

// Active reports whether the host holds the virtual IP, seen from its own namespace.
func (h *Host) Active() bool { return pair.Holds(h.Host) }

// Must runs a command on the host that must succeed, and returns its output.
func (h *Host) Must(args ...string) string {
	h.World.Helper()
	out, err := h.Run(h.World.Context(), args...)
	if err != nil {
		h.World.Fatalf("%s: %v\n%s", h.Name(), err, out)
	}
	return out
}

// Shell is Must for a script.
func (h *Host) Shell(script string) string { h.World.Helper(); return h.Must("sh", "-c", script) }

// Succeeds reports whether a script ends with exit code 0.
func (h *Host) Succeeds(script string) bool {
	_, err := h.Sh(h.World.Context(), script)
	return err == nil
}

// Exit runs a script and returns its output and its exit code; 128 plus the signal's number if a signal ended it.
func (h *Host) Exit(script string) (out string, code int) {
	h.World.Helper()
	all, err := h.Command(h.World.Context(), "sh", "-c", "("+script+") 2>&1; echo EXIT $?").CombinedOutput()
	if err != nil {
		h.World.Fatalf("%v\n%s", err, all)
	}
	out, number, _ := strings.Cut(string(all), "EXIT ")
	code, err = strconv.Atoi(strings.TrimSpace(number))
	if err != nil {
		h.World.Fatalf("no exit code: %s", all)
	}
	return out, code
}

// Is reports whether "systemctl is-PROPERTY UNIT" prints this.
func (h *Host) Is(property, unit, want string) bool {
	out, _ := h.Run(h.World.Context(), "systemctl", "is-"+property, unit)
	return strings.TrimSpace(out) == want
}

// HAProxy sends commands to HAProxy's admin socket (management guide §9.3), and returns the answer.
func (h *Host) HAProxy(commands ...string) string {
	h.World.Helper()
	const ask = `my $s = IO::Socket::UNIX->new("/run/haproxy/admin.sock") or die "no socket: $!"; print $s join(";", @ARGV), "\n"; print while <$s>`
	return h.Must(append([]string{"perl", "-MIO::Socket::UNIX", "-e", ask}, commands...)...)
}

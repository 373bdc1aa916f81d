package faults

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// TestServersOutOfService: a server that an administrator has disabled through HAProxy's runtime API gets no
// connections, even while all others fail. A server that answers with a wrong status loses its connections after
// cutAfter, also those in an old worker. A server that is down loses its connections, those in an old worker too.
func TestServersOutOfService(t *testing.T) {
	const cutAfter = 4 * time.Second
	w := e2e.New(t)
	h := w.Hosts(true, lab.Trixie)[0]
	h.Apply(strings.Replace(e2e.Spec("reconcile: {interval: 1h}"), "  servers:", fmt.Sprintf("  healthCheck: {cutAfter: %v, interval: 500ms}\n  servers:", cutAfter), 1))
	e2e.StartDaemon(h)
	w.Serves("cp1", "cp2", "cp3")
	set := func(mode lab.Mode, planes ...*lab.ControlPlane) {
		for _, plane := range planes {
			if err := plane.Set(mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	// served returns the servers that get the next connections
	served := func() string {
		names := map[string]bool{}
		for range 12 {
			name, err := w.Client.Get(t.Context(), pair.Service)
			if err != nil {
				name = err.Error()
			}
			names[name] = true
		}
		return fmt.Sprint(slices.Sorted(maps.Keys(names)))
	}

	h.HAProxy("set server kube-apiserver/cp1 state maint", "set server kube-apiserver/cp2 weight 0%")
	w.Eventually("the daemon follows", 5*time.Second, func() bool {
		out := h.HAProxy("show servers state kube-apiserver:failopen")
		return admin(out, "cp1") == "1 1" && admin(out, "cp2") == "0 0" && admin(out, "cp3") == "0 1"
	})
	set(lab.Fail(500), w.Planes...)
	within(h, 5*time.Second, false, "kube-apiserver", "cp3")
	if got := served(); got != "[cp3]" {
		t.Errorf("cp1 is in maintenance, cp2 has weight 0, all answer 500: new connections go to %s", got)
	}
	set(lab.OK, w.Planes...)
	h.Shell("systemctl reload rlb-agent") // SIGHUP makes it compare everything
	w.Eventually("what the spec says is in force again", 10*time.Second, func() bool {
		out := h.HAProxy("show servers state kube-apiserver:failopen")
		return admin(out, "cp1") == "0 1" && admin(out, "cp2") == "0 1" && served() == "[cp1 cp2 cp3]"
	})

	held := quiet(w, pair.Service, "cp1", "cp2", "cp3")
	h.Shell("systemctl reload haproxy")
	w.Eventually("an old worker holds the connections", 5*time.Second, func() bool {
		return h.Succeeds(`test $(pgrep -x -c haproxy) -ge 3`)
	})
	failed := time.Now()
	set(lab.Fail(500), w.Planes[1])
	select {
	case <-held["cp2"].Done():
	case <-time.After(cutAfter + 6*time.Second): // one check, HAProxy's rounding to seconds, and the daemon's interval of two seconds
	}
	at, cut, err := held["cp2"].Cut()
	if lived := at.Sub(failed); !cut || lived < cutAfter {
		t.Errorf("the connection to cp2 in the old worker: cut %v after %v, %v", cut, lived, err)
	}
	for _, name := range []string{"cp1", "cp3"} {
		if _, cut, err := held[name].Cut(); cut {
			t.Errorf("the connection to %s was cut: %v", name, err)
		}
	}

	// a server that is down loses them at once
	set(lab.Hang, w.Planes[0])
	w.Eventually("the connection to cp1 in the old worker is cut", 15*time.Second, func() bool { _, cut, _ := held["cp1"].Cut(); return cut })
	if _, cut, err := held["cp3"].Cut(); cut {
		t.Errorf("the connection to cp3 was cut: %v", err)
	}
}

// TestAPIServerEnds: an API server that is terminated reports that in /readyz, serves on for its delay, and ends its
// watches: no request fails, and nothing else ends a watch. "make clientview" has the other ways to end.
func TestAPIServerEnds(t *testing.T) {
	const delay = 3 * time.Second
	w := e2e.New(t)
	station, err := w.Lab.AddClient(t.Context(), "cp4", netip.MustParsePrefix("198.51.100.24/24"))
	if err != nil {
		t.Fatal(err)
	}
	server := station.Command(t.Context(), w.APIServer(), "-name", "cp4", "-bind-address", "198.51.100.24", "-shutdown-delay-duration", delay.String())
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	h := w.Hosts(true, lab.Trixie)[0]
	h.Apply(strings.Replace(e2e.TwoServers(), "  servers:", "  servers:\n  - {name: cp4, address: 198.51.100.24, port: 6443}", 1))
	e2e.StartDaemon(h)
	w.Serves("cp1", "cp2", "cp4")
	held := quiet(w, pair.Service, "cp1", "cp4")
	stop := w.Steady("SIGTERM")
	asked := time.Now()
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := server.Wait(); err != nil {
		t.Errorf("its end: %v", err)
	}
	time.Sleep(3 * time.Second) // until it is marked down
	stop()
	<-held["cp4"].Done()
	at, _, err := held["cp4"].Cut()
	if lived := at.Sub(asked); lived < delay || !errors.Is(err, io.EOF) {
		t.Errorf("the watch ended after %v: %v; want %v, by the server", lived, err, delay)
	}
	if _, cut, err := held["cp1"].Cut(); cut {
		t.Errorf("the watch of another server was cut: %v", err)
	}
}

// admin returns a server's administrative state and weight in the answer to "show servers state".
func admin(answer, server string) string {
	for line := range strings.Lines(answer) {
		if f := strings.Fields(line); len(f) > 7 && f[3] == server {
			return f[6] + " " + f[7]
		}
	}
	return ""
}

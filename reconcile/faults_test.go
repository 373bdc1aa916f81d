package reconcile_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host/fake"
)

// change is a transition of a host from one state to another.
type change struct {
	host func(t *testing.T) *fake.Host    // the host before the change
	doc  func(t *testing.T) *api.Document // the wanted spec
	left string                           // what an undone run leaves on purpose
	runs bool                             // an undone run starts keepalived once more
}

// changes are the transitions that the tests interrupt at every step.
var changes = map[string]change{
	"first install": {
		host: func(*testing.T) *fake.Host { return fake.New() },
		doc:  func(t *testing.T) *api.Document { return parse(t, spec) },
	},
	"host of the original": {
		host: func(*testing.T) *fake.Host { return original() },
		doc:  func(t *testing.T) *api.Document { return parse(t, spec) },
	},
	"edit": {
		host: func(t *testing.T) *fake.Host { return installed(t, parse(t, spec)) },
		doc:  func(t *testing.T) *api.Document { return edited(t, "9000", "9001") },
	},
	"servers while HAProxy runs": {
		host: func(t *testing.T) *fake.Host { return installed(t, parse(t, servers)) },
		doc:  func(t *testing.T) *api.Document { return parse(t, otherServers) },
	},
	"servers that somebody changed": {
		host: func(t *testing.T) *fake.Host {
			h := installed(t, parse(t, servers))
			runtime(h, "set server web/a state maint", "set server web/a weight 9", "set server web/b state maint", "del server web/b",
				"set maxconn server web/c 9", "set server web/d addr 198.51.100.99 port 1", "add server web/x 198.51.100.99:1", "enable server web/x")
			return h
		},
		doc: func(t *testing.T) *api.Document { return parse(t, servers) },
	},
	"rollback": {
		host: func(t *testing.T) *fake.Host {
			h := installed(t, parse(t, spec))
			must(t, h, edited(t, "9000", "9001"))
			return h
		},
		doc: func(t *testing.T) *api.Document { return parse(t, spec) },
	},
	"firewall is no longer managed": {
		host: func(t *testing.T) *fake.Host {
			h := installed(t, parse(t, spec))
			h.Reboot()
			return h
		},
		doc: func(t *testing.T) *api.Document { return parse(t, spec+"firewall: {manage: false}\n") },
	},
	"another virtual router": {
		host: func(t *testing.T) *fake.Host { return installed(t, parse(t, spec)) },
		doc:  func(t *testing.T) *api.Document { return parse(t, spec+"vrrp: {routerID: 7}\n") },
		runs: true,
	},
	"another virtual router than the peer": {
		host: func(t *testing.T) *fake.Host {
			h := installed(t, parse(t, spec))
			h.Adverts = routersOf(t, spec)
			return h
		},
		doc:  func(t *testing.T) *api.Document { return parse(t, spec+"vrrp: {routerID: 7}\n") },
		runs: true,
	},
	"pin": {
		host: func(t *testing.T) *fake.Host { return installed(t, parse(t, spec)) },
		doc: func(t *testing.T) *api.Document {
			return parse(t, spec+"packages: {hold: false, haproxy: {version: '*deb12u3'}}\n")
		},
	},
	"configuration elsewhere": {
		host: func(t *testing.T) *fake.Host {
			h := installed(t, parse(t, spec))
			h.Put("/etc/default/haproxy", "CONFIG=/etc/haproxy/other.cfg\n", 0o644)
			h.Put("/etc/default/keepalived", "DAEMON_ARGS=\"-f /etc/keepalived/other.conf\"\n", 0o644)
			return h
		},
		doc:  func(t *testing.T) *api.Document { return parse(t, spec) },
		left: "start",
	},
	"masked by the administrator": {
		host: func(t *testing.T) *fake.Host {
			h := fake.New()
			adminInstalls(h, "haproxy", "keepalived", "iptables")
			h.Crash("haproxy.service")
			h.MaskForGood("haproxy.service")
			return h
		},
		doc:  func(t *testing.T) *api.Document { return parse(t, spec) },
		left: "mask",
	},
}

// original is a host in the state in which the original system's scripts left it.
func original() *fake.Host {
	h := fake.New()
	adminInstalls(h, "haproxy", "keepalived", "iptables")
	h.Iptables(api.IPv4, "-A INPUT -i lo -j ACCEPT", "-A INPUT -p tcp -m tcp --dport 9000 -j ACCEPT", "-A INPUT -j DROP")
	h.Put("/etc/rc.local", "#!/bin/sh\niptables -A INPUT -p tcp -m tcp --dport 9000 -j ACCEPT\n\nexit 0\n", 0o755)
	return h
}

// TestKilledAtEveryEffect: if a run is killed before, after or half-way through any of its effects, the next run completes
// it, and the run after that has nothing to do.
func TestKilledAtEveryEffect(t *testing.T) {
	for name, c := range changes {
		for when, stop := range map[string]func(*fake.Host, int){
			"before": (*fake.Host).StopBefore, "after": (*fake.Host).StopAfter, "within": (*fake.Host).StopWithin,
		} {
			t.Run(name+", "+when, func(t *testing.T) {
				t.Parallel()
				doc := c.doc(t)
				fresh := c.host(t)
				whole := fresh.Clone()
				must(t, whole, doc)
				for n := 1; ; n++ {
					h := fresh.Clone()
					stop(h, n)
					_, killed, err := once(t, h, doc)
					if !killed {
						if err != nil || n < 5 {
							t.Fatalf("effect %d: %v", n, err)
						}
						return
					}
					at := h.Log[len(h.Log)-1]
					h.Heal()
					if _, _, err := once(t, h, doc); err != nil {
						t.Fatalf("killed %s effect %d (%s): the next run: %v", when, n, at, err)
					}
					sameText(t, fmt.Sprintf("a kill %s effect %d (%s) and one more run", when, n, at), shape(whole), shape(h))
					quiet(t, h, doc)
					if t.Failed() {
						t.FailNow()
					}
				}
			})
		}
	}
}

// shape is the state of a host, without the differences between two ways to reach it.
func shape(h *fake.Host) string {
	// a unit that was restarted right before the kill is restarted again, because the agent cannot know of the restart
	return strings.ReplaceAll(h.Dump(memory...), "active run 3", "active run 2")
}

// oneRun matches the run number of a unit.
var oneRun = regexp.MustCompile(`active run \d+`)

// TestErrorAtEveryEffect: an error at any effect is undone, or the failure says what could not be undone.
func TestErrorAtEveryEffect(t *testing.T) {
	broken := errors.New("cannot do it: disk full")
	for name, c := range changes {
		for kind, fail := range map[string]func(*fake.Host, int){
			"once":     func(h *fake.Host, n int) { h.FailAt(n, broken) },
			"for good": func(h *fake.Host, n int) { h.FailFrom(n, broken) },
		} {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				doc := c.doc(t)
				fresh := c.host(t)
				whole := fresh.Clone()
				must(t, whole, doc)
				for n := 1; ; n++ {
					h := fresh.Clone()
					before := h.Dump(memory...)
					fail(h, n)
					_, _, err := once(t, h, doc)
					if err == nil && len(h.Log) < n {
						return
					}
					at := h.Log[min(n, len(h.Log))-1]
					h.Heal()
					if failure := (*reconcile.Failure)(nil); err != nil && !errors.As(err, &failure) {
						t.Fatalf("effect %d (%s): not a failure: %v", n, at, err)
					} else if err != nil && !failure.Undone && h.Dump(memory...) == shape(whole) {
						// everything was done except the record in the memory
					} else if err != nil && failure.Undo == nil && c.runs {
						sameText(t, fmt.Sprintf("an error at effect %d (%s)", n, at), oneRun.ReplaceAllString(before, ""), oneRun.ReplaceAllString(h.Dump(memory...), ""))
					} else if err != nil && failure.Undo == nil {
						same(t, fmt.Sprintf("an error at effect %d (%s)", n, at), h, before, memory...)
					} else if err != nil && kind == "once" && (c.left == "" || !strings.Contains(err.Error(), c.left)) {
						t.Errorf("effect %d (%s): one error cannot stop the undo: %v", n, at, err)
					}
					must(t, h, doc)
					quiet(t, h, doc)
					if t.Failed() {
						t.FailNow()
					}
				}
			})
		}
	}
}

// TestObserverFails: the same holds for an observer that fails during a run.
func TestObserverFails(t *testing.T) {
	for _, method := range []string{"Unit", "File", "Firewall", "Packages", "Check", "Workers", "Listeners"} {
		t.Run(method, func(t *testing.T) {
			h := installed(t, parse(t, spec))
			before := h.Dump(memory...)
			h.FailMethod(method, errors.New("cannot look: the bus is gone"))
			_, _, err := once(t, h, edited(t, "9000", "9001"))
			var failure *reconcile.Failure
			if !errors.As(err, &failure) {
				t.Errorf("got %v, want a failure", err)
			}
			h.Heal()
			same(t, "a failing observer", h, before, memory...)
			must(t, h, parse(t, spec))
			quiet(t, h, parse(t, spec))
		})
	}
}

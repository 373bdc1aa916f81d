package failover

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// stacked has three hosts that are load balancer and control plane in one.
type stacked struct {
	*e2e.World
	hosts []*e2e.Host
}

// stackedSpec is examples/kubeadm-stacked.yaml in the lab. The service needs another bind or port than the API server,
// which has port 6443 of every address. The checks are frequent, to save seconds of test time.
func stackedSpec(service string, more ...string) string {
	var nodes, servers strings.Builder
	for i := 1; i <= 3; i++ {
		fmt.Fprintf(&nodes, "- {name: lb%d, addresses: [198.51.100.%d]}\n", i, 10+i)
		fmt.Fprintf(&servers, "  - {name: lb%d, address: 198.51.100.%d, port: 6443}\n", i, 10+i)
	}
	return "apiVersion: rlb.dev/v1\nkind: LoadBalancerSpec\nvirtualIPs: [" + pair.VIP + "]\nnodes:\n" + nodes.String() +
		"services:\n- name: kube-apiserver\n  healthCheck: {interval: 500ms}\n" + service + "  servers:\n" + servers.String() + strings.Join(more, "\n") + "\n"
}

const (
	otherPort = "  port: 9000\n"
	onVIP     = "  bind: " + pair.VIP + "\n  port: 6443\n"

	twoHolders = 50 * time.Millisecond // limit; one look at the hosts takes part of it
	rightAgain = 10 * time.Second
)

// TestStacked: on three control planes that are load balancers too, whatever happens to one or two of them, one host
// holds the virtual IP, and clients reach the remaining API servers.
func TestStacked(t *testing.T) {
	w := e2e.New(t)
	s := stacked{w, w.ControlPlanes(lab.Trixie, lab.Bookworm, lab.Trixie)}
	s.bootstrap()
	for _, fault := range []struct {
		name string
		gap  time.Duration
		do   func(w *e2e.World, h *e2e.Host)
		heal func(w *e2e.World, h *e2e.Host)
	}{
		{"drained", 150 * time.Millisecond, drainHost, undrainHost},
		{"link cut", time.Second, func(w *e2e.World, h *e2e.Host) {
			if err := h.CutLink(); err != nil {
				w.Fatal(err)
			}
		}, func(w *e2e.World, h *e2e.Host) {
			if err := h.RestoreLink(); err != nil {
				w.Fatal(err)
			}
		}},
		{"killed", time.Second, func(_ *e2e.World, h *e2e.Host) { h.Crash() }, boot},
		{"rebooted", 300 * time.Millisecond, func(w *e2e.World, h *e2e.Host) {
			if err := h.Reboot(w.Context()); err != nil {
				w.Fatal(err)
			}
		}, nil},
	} {
		for i := range s.hosts {
			t.Run(fmt.Sprintf("lb%d %s", i+1, fault.name), func(t *testing.T) {
				s := s.in(t)
				s.Judge(fault.name, func() (lab.Report, error) {
					victim := s.hosts[i]
					s.makeActive(victim)
					var report lab.Report
					seen := s.holders(func() { report = s.Probe(time.Second, func() { fault.do(s.World, victim) }) })
					if victim.Up() && victim.Active() || s.holder() == nil {
						s.Errorf("it did not move to one of the others")
					}
					again := s.holders(func() {
						if fault.heal != nil {
							fault.heal(s.World, victim)
						}
						s.right()
					})
					t.Logf("gap %v; %s; then %s", report.Gap, seen, again)
					if most := max(seen.Longest(2), again.Longest(2)); most > twoHolders || seen.Longest(3)+again.Longest(3) > 0 {
						return report, fmt.Errorf("more than one holder for %v: %s; then %s", most, seen, again)
					}
					return report, e2e.Within(report, fault.gap)
				})
			})
		}
	}
	t.Run("the third is in FAULT", func(t *testing.T) { s.in(t).thirdInFault() })
	t.Run("two at once", func(t *testing.T) { s.in(t).twoAtOnce() })
	s.otherRouters()
	t.Run("takeover by priority", func(t *testing.T) { s.in(t).byPriority() })
	t.Run("the port clash", func(t *testing.T) { s.in(t).portClash() })
}

func (s stacked) in(t *testing.T) stacked {
	all := stacked{World: s.World.In(t)}
	for _, h := range s.hosts {
		all.hosts = append(all.hosts, h.In(t))
	}
	return all
}

func (s stacked) holders(do func()) pair.Holding { s.Helper(); return s.HoldersAmong(s.hosts, do) }

// holder returns the host that holds the virtual IP; nil if none or more than one does.
func (s stacked) holder() (only *e2e.Host) {
	for _, h := range s.hosts {
		if h.Active() {
			if only != nil {
				return nil
			}
			only = h
		}
	}
	return only
}

// right waits until one host holds the virtual IP, HAProxy works on all, and clients reach all API servers.
func (s stacked) right() {
	s.Helper()
	began := time.Now()
	s.Eventually("one holder, and all are well", rightAgain, func() bool {
		return s.holder() != nil && !slices.ContainsFunc(s.hosts, func(h *e2e.Host) bool { return !h.Up() || !h.Well() })
	})
	seen := map[string]bool{}
	s.Eventually("clients reach each API server", max(time.Second, time.Until(began.Add(rightAgain))), func() bool {
		name, err := s.Client.Get(s.Context(), pair.Service)
		if err != nil {
			clear(seen)
		}
		seen[name] = true
		return seen["lb1"] && seen["lb2"] && seen["lb3"]
	})
}

// makeActive moves the virtual IP to a host, as an administrator would.
func (s stacked) makeActive(h *e2e.Host) {
	s.Helper()
	s.right()
	for s.holder() != h {
		from := s.holder()
		for _, other := range s.hosts {
			if other != h && other != from {
				drainHost(s.World, other)
			}
		}
		drainHost(s.World, from)
		for _, other := range s.hosts {
			if other != h {
				undrainHost(s.World, other)
			}
		}
		s.Eventually(h.Name()+" holds the virtual IP", 2*time.Second, func() bool { return s.holder() == h })
	}
	s.Eventually("the others are backups", 5*time.Second, func() bool {
		return !slices.ContainsFunc(s.hosts, func(other *e2e.Host) bool { return other != h && !backup(other) })
	})
}

// thirdInFault: beside a proven standby, the verdict of each other host names the one that is in FAULT.
func (s stacked) thirdInFault() {
	third := s.hosts[2]
	s.makeActive(s.hosts[0])
	verdict := func(h *e2e.Host) string {
		out, _ := h.Exit(pair.Agent + " status")
		text, _, _ := strings.Cut(out, "\n")
		return text
	}
	third.Shell("kill -STOP $(pidof haproxy)")
	for _, h := range s.hosts[:2] {
		s.Eventually(h.Name()+" says who is in FAULT, and why", 15*time.Second, func() bool {
			return strings.HasSuffix(verdict(h), ", but lb3 cannot serve: it is in FAULT, HAProxy does not serve")
		})
		if st, _ := h.Status(); !st.Is("Redundant") || !strings.Contains(st.Condition("Redundant").Message, "; lb3 cannot serve") {
			s.Errorf("%s: %+v", h.Name(), st.Conditions)
		}
	}
	third.Shell("kill -CONT $(pidof haproxy) || true")
	s.right()
	for _, h := range s.hosts {
		s.Eventually(h.Name()+" says that all is well", rightAgain, func() bool { return strings.HasSuffix(verdict(h), ": all is well") })
	}
}

func drainHost(_ *e2e.World, h *e2e.Host)   { h.Must(pair.Agent, "drain") }
func undrainHost(_ *e2e.World, h *e2e.Host) { h.Must(pair.Agent, "undrain") }

func boot(w *e2e.World, h *e2e.Host) {
	if err := h.Start(w.Context()); err != nil {
		w.Fatal(err)
	}
}

// bootstrap follows kubeadm's order: first the load balancer, then the first API server, then the others.
func (s stacked) bootstrap() {
	for _, h := range s.hosts {
		h.Apply(stackedSpec(otherPort)) // fails unless the host converges
	}
	e2e.StartDaemon(s.hosts...)
	s.Eventually("one host holds the virtual IP", 10*time.Second, func() bool { return s.holder() != nil })
	vip, err := s.Client.Probe(pair.Service, lab.ProbeOptions{Interval: 20 * time.Millisecond, TCP: true})
	if err != nil {
		s.Fatal(err)
	}
	failsOpen := func(want bool) func() bool { // it serves in both cases
		return func() bool {
			return !slices.ContainsFunc(s.hosts, func(h *e2e.Host) bool {
				st, _ := h.Status()
				c := st.Condition("Serving")
				says := c.Reason == "FailOpen" && strings.Contains(c.Message, "no server that is up")
				return says != want || c.Status != "True" || !st.Is("InSync")
			})
		}
	}
	s.Eventually("Serving tells that no server is up", rightAgain, failsOpen(true))
	s.hosts[0].Must("systemctl", "enable", "--now", e2e.APIServerUnit)
	s.Eventually("the first API server is reached", 5*time.Second, func() bool {
		name, err := s.Client.Get(s.Context(), pair.Service)
		return err == nil && name == "lb1"
	})
	s.Eventually("Serving tells it no more", 5*time.Second, failsOpen(false))
	for _, h := range s.hosts[1:] {
		h.Must("systemctl", "enable", "--now", e2e.APIServerUnit)
	}
	s.right()
	if report := vip.Stop(); report.Failed > report.Errors["timeout"] || report.Gap > 200*time.Millisecond {
		s.Errorf("the virtual IP did not answer all the time: gap %v, %v", report.Gap, report.Errors)
	}
}

// twoAtOnce crashes the holder and another host: the third serves alone and cannot be drained. When the other host is
// back it can: any peer is enough.
func (s stacked) twoAtOnce() {
	last, holder, other := s.hosts[0], s.hosts[1], s.hosts[2]
	s.makeActive(holder)
	seen := s.holders(func() {
		report := s.Probe(2*time.Second, func() { holder.Crash(); other.Crash() })
		if !last.Active() {
			s.Fatal("the last host does not hold the virtual IP")
		}
		if err := e2e.Within(report, 1500*time.Millisecond); err != nil { // two of three servers time out until they are marked down
			s.Error(err)
		}
		s.Eventually("no connection fails any more", rightAgain, func() bool {
			for range 5 {
				if name, err := s.Client.Get(s.Context(), pair.Service); err != nil || name != last.Name() {
					return false
				}
			}
			return true
		})
		if out, err := last.Run(s.Context(), pair.Agent, "drain"); err == nil || !strings.Contains(err.Error(), "none of its peers") {
			s.Errorf("the last one was drained: %s, %v", out, err)
		}
		boot(s.World, other)
		s.Eventually("it is a backup", rightAgain, func() bool { return backup(other) && other.Well() })
		drainHost(s.World, last)
		if !other.Active() {
			s.Error("the only peer did not take over")
		}
		undrainHost(s.World, last)
		boot(s.World, holder)
		s.right()
	})
	s.Logf("%s", seen)
	if seen.Longest(2) > twoHolders {
		s.Errorf("two holders: %s", seen)
	}
}

// otherRouters changes the virtual router on one host after the other, the holder of the virtual IP first, second or
// last, and on all at once: there are never two holders, clients see at most a failover, and all three hosts join the
// new virtual router.
func (s stacked) otherRouters() {
	const activeFirst, activeSecond, activeLast, allAtOnce = "active first", "active second", "active last", "all at once"
	const otherVIP = "198.51.100.101" // its last byte is the router ID
	before := stackedSpec(otherPort)
	for _, c := range []struct{ name, more, order string }{
		{"another router id", "vrrp: {routerID: 7}", activeFirst},
		{"unicast", "vrrp: {routerID: 7, transport: unicast}", allAtOnce},
		{"another main virtual IP", "", activeSecond},
		{"the former one", "", activeLast},
	} {
		text := stackedSpec(otherPort, c.more)
		if c.order == activeSecond {
			text = strings.Replace(text, pair.VIP, otherVIP+", "+pair.VIP, 1)
		}
		s.Run(c.name+", "+c.order, func(t *testing.T) {
			s := s.in(t)
			again := false
			s.Judge("the edit", func() (lab.Report, error) {
				if again { // start from the former spec
					for _, h := range s.hosts {
						h.WriteSpec(before)
					}
					s.inSync()
				}
				again = true
				s.right()
				var seen pair.Holding
				report := s.Probe(0, func() {
					seen = s.holders(func() {
						left := slices.Clone(s.hosts)
						for len(left) > 0 {
							activeNext := c.order == activeFirst || c.order == activeSecond && len(left) == 2
							next := slices.IndexFunc(left, func(h *e2e.Host) bool { return h.Active() == activeNext })
							h := left[max(next, 0)]
							left = slices.DeleteFunc(left, func(other *e2e.Host) bool { return other == h })
							h.WriteSpec(text)
							if c.order == allAtOnce {
								continue
							}
							h.Shell("systemctl reload rlb-agent") // on SIGHUP it does not let its peers go first
							if len(left) > 0 {
								s.Eventually(h.Name()+" waits for the others", 5*time.Second, func() bool { return h.Is("active", "rlb-rejoin", "active") })
								time.Sleep(500 * time.Millisecond) // until it has heard their goodbye
							}
						}
						s.inSync()
						time.Sleep(300 * time.Millisecond)
					})
				})
				t.Logf("%s; client: gap %v, %d of %d failed", seen, report.Gap, report.Failed, report.Total)
				if two, none := max(seen.Longest(2), seen.Longest(3)), seen.Longest(0); two > twoHolders || none > 1500*time.Millisecond {
					return report, fmt.Errorf("more than one holder for %v, none for %v", two, none)
				}
				return report, e2e.Within(report, time.Second) // the former holder serves on for 2 s
			})
		})
		before = text
	}
}

// inSync waits until all hosts are in sync with their spec, know that of each other, and one holds the virtual IP.
func (s stacked) inSync() {
	s.Helper()
	s.Eventually("all are in sync", 2*rightAgain, func() bool {
		return s.holder() != nil && !slices.ContainsFunc(s.hosts, func(h *e2e.Host) bool {
			if code, _ := h.RunAgent("--once", "--dry-run"); code != 0 || !h.Is("active", "keepalived", "active") {
				return true // the status alone may be from before the edit
			}
			st, _ := h.Status()
			return !st.Is("InSync") || !st.Is("PeerInSync")
		})
	})
}

// byPriority gives the hosts priorities against the order of their addresses, which decides between equal priorities:
// the host with the highest priority that is up holds the virtual IP, and preempts.
func (s stacked) byPriority() {
	priorities := map[string]int{"lb1": 200, "lb2": 150, "lb3": 100}
	spec := stackedSpec(otherPort, "vrrp: {preempt: true}")
	for i, h := range s.hosts {
		spec = strings.Replace(spec, fmt.Sprintf("[198.51.100.%d]}", 11+i), fmt.Sprintf("[198.51.100.%d], priority: %d}", 11+i, priorities[h.Name()]), 1)
	}
	for _, h := range s.hosts {
		h.Apply(spec)
	}
	first, second, third := s.hosts[0], s.hosts[1], s.hosts[2]
	holds := func(when string, h *e2e.Host) {
		s.Helper()
		s.Eventually(h.Name()+" holds the virtual IP, "+when, rightAgain, func() bool { return s.holder() == h })
	}
	cut := func(h *e2e.Host, heir *e2e.Host) {
		s.Helper()
		seen := s.holders(func() {
			if err := h.CutLink(); err != nil {
				s.Fatal(err)
			}
			s.Eventually(heir.Name()+" takes over", rightAgain, func() bool { return heir.Active() && !h.Active() })
		})
		if most := seen.Longest(2); most > twoHolders {
			s.Errorf("%s was cut, and two hosts held the virtual IP for %v", h.Name(), most)
		}
		for _, other := range s.hosts {
			if other != h && other != heir && other.Active() {
				s.Errorf("%s was cut, and %s took over too", h.Name(), other.Name())
			}
		}
	}
	restore := func(h *e2e.Host) {
		s.Helper()
		if err := h.RestoreLink(); err != nil {
			s.Fatal(err)
		}
	}
	holds("as its priority says", first)
	cut(first, second)
	cut(second, third)
	restore(second)
	holds("when it is back", second)
	restore(first)
	holds("when it is back", first)
	s.right()
}

// portClash requests the API server's own port: the agent reports the conflict and two solutions, and each solution
// works.
func (s stacked) portClash() {
	h := s.hosts[2]
	const ways = "give the service another port, or bind it to the virtual IP and the "
	for _, c := range []struct{ service, words string }{
		{"  port: 6443\n", "services[0].servers[0].address: must not lead back to the load balancer"},
		{onVIP, pair.VIP + ":6443 is taken by kube-apiserver (process "},
	} {
		h.WriteSpec(stackedSpec(c.service))
		code, out := h.RunAgent("--once")
		if code != 3 || !strings.Contains(out, c.words) || !strings.Contains(out, ways) || !strings.Contains(out, "--bind-address") {
			s.Errorf("exit code %d, %s; want 3, %q and both ways out", code, out, c.words)
		}
		if _, err := s.Client.Get(s.Context(), pair.Service); err != nil {
			s.Errorf("refused, and it does not serve any more: %v", err)
		}
	}
	for _, h := range s.hosts {
		err := h.WriteFile("/etc/kube-apiserver.env", []byte("ARGS=-bind-address "+h.Addr().String()+"\n"), 0o644)
		if err = errors.Join(err, func() error { _, err := h.Run(s.Context(), "systemctl", "restart", e2e.APIServerUnit); return err }()); err != nil {
			s.Fatal(err)
		}
	}
	for _, h := range s.hosts {
		h.Apply(stackedSpec(onVIP))
	}
	seen := map[string]bool{}
	s.Eventually("the virtual IP and the API servers have one port", rightAgain, func() bool {
		name, _ := s.Client.Get(s.Context(), netip.AddrPortFrom(netip.MustParseAddr(pair.VIP), 6443).String())
		seen[name] = true
		return seen["lb1"] && seen["lb2"] && seen["lb3"]
	})
	for _, h := range s.hosts { // both start in either order, after a boot too
		h.Shell("systemctl restart haproxy; systemctl restart " + e2e.APIServerUnit + "; systemctl restart haproxy")
	}
	s.Eventually("after restarts too", rightAgain, func() bool { return s.holder() != nil })
}

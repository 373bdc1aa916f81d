package faults

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// forge sends, as a user without any right, signals that look like systemd's, to everybody on the system bus by his
// unique name: HAProxy and keepalived failed, and a job of theirs ended well. Debian's policy of the bus lets it pass.
const forge = `for name in $(busctl list --unique --no-legend | awk '{print $1}'); do
	for unit in haproxy keepalived; do
		at=/org/freedesktop/systemd1/unit/${unit}_2eservice
		runuser -u nobody -- busctl emit --destination=$name $at org.freedesktop.DBus.Properties PropertiesChanged \
			'sa{sv}as' org.freedesktop.systemd1.Unit 2 ActiveState s failed SubState s failed 0
	done
	runuser -u nobody -- busctl emit --destination=$name /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager JobRemoved \
		uoss 1 /org/freedesktop/systemd1/job/1 haproxy.service done
done 2>&1`

// What a local user can send on the system bus does not reach the daemon.
func TestForgedSystemdSignals(t *testing.T) {
	w := e2e.New(t)
	h := w.Hosts(true, lab.Trixie)[0]
	h.Apply(e2e.Spec())
	e2e.StartDaemon(h)
	w.Eventually("it holds the virtual IP", 10*time.Second, h.Active)
	began := h.Shell("date +%s")

	attack := make(chan string, 1)
	go func() {
		out, _ := h.Sh(t.Context(), forge)
		attack <- out
	}()
	w.Never("forged signals are believed", 3*time.Second, func() bool { return !h.Active() || !h.FaultFlag(false) })
	if out := <-attack; strings.Contains(out, "denied") || strings.Contains(out, "nvalid") {
		t.Errorf("the signals were not sent: %s", out)
	}
	if out := h.Shell("journalctl --no-pager -o cat -u rlb-agent --since=@" + began); strings.Contains(out, "failed") {
		t.Errorf("the daemon says: %s", out)
	}

	// what is true comes through
	h.Shell("systemctl stop haproxy")
	w.Eventually("a stop of haproxy is heard", 3*time.Second, func() bool {
		return strings.Contains(h.Shell("journalctl --no-pager -o cat -u rlb-agent --since=@"+began), "haproxy")
	})
}

// A user who is in the way of keepalived's dump in /tmp, before and while it is asked for, stops no edit. Where
// keepalived knows another place (2.2.7 and newer) he does not even hide the role.
func TestTmpInTheWay(t *testing.T) {
	w := e2e.New(t)
	for i, h := range w.Hosts(true, lab.Trixie, lab.Bookworm, lab.Bullseye) {
		h.Shell("runuser -u nobody -- mkdir -p /tmp/keepalived.json/x")
		h.Apply(e2e.Spec())
		h.Apply(e2e.Spec("vrrp: {priority: 77}"))
		out := h.Shell("rlb-agent status || true")
		if hidden := strings.Contains(out, "/tmp/keepalived.json"); hidden != (i == 2) {
			t.Errorf("%s: status:\n%s", h.Name(), out)
		}
		if out := h.Shell("find /tmp /run/rlb -name '*keepalived.json' -o -name 'rlb-check-*'"); strings.TrimSpace(out) != "/tmp/keepalived.json" {
			t.Errorf("%s: left: %s", h.Name(), out)
		}
		h.Shell("systemctl stop keepalived haproxy") // the next one is to hold the virtual IP
	}
}

// A station that advertises the former virtual router without end keeps no host out of the new one. Without nodes anyone on
// the subnet may be a member of it; then the wait ends since nobody is its master.
func TestForgedAdverts(t *testing.T) {
	for name, nodes := range map[string]string{"with nodes": pair.Nodes, "without nodes": ""} {
		t.Run(name, func(t *testing.T) {
			w := e2e.New(t)
			active, standby := w.Pair(e2e.Spec(nodes), lab.Trixie, lab.Trixie)
			e2e.StartDaemon(active, standby)
			stop, err := w.Client.Advertise(100, netip.MustParseAddr(pair.VIP))
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			seen := w.HoldersDuring(active, standby, func() {
				for _, h := range []*e2e.Host{standby, active} {
					h.WriteSpec(e2e.Spec(nodes, "vrrp: {routerID: 7}"))
					h.Shell("systemctl reload rlb-agent")
					time.Sleep(1500 * time.Millisecond)
				}
				w.Eventually("both have joined", 10*time.Second, func() bool {
					return active.Is("active", "keepalived", "active") && standby.Is("active", "keepalived", "active")
				})
				w.Eventually("one holds the virtual IP", 3*time.Second, func() bool { return active.Active() != standby.Active() })
			})
			t.Logf("%s", seen)
			most := 5 * time.Second
			if nodes != "" {
				most = 1050 * time.Millisecond // as without the attack
			}
			if two, none := seen.Longest(2), seen.Longest(0); two > 100*time.Millisecond || none > most {
				t.Errorf("two holders for %v, none for %v", two, none)
			}
			out := standby.Shell("journalctl --no-pager -o cat | grep 'still advertises the former virtual router' || true")
			if forged := out != ""; forged != (nodes == "") {
				t.Errorf("the log says: %s", out)
			}
		})
	}
}

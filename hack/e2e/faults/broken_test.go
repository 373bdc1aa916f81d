package faults

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// holdPort starts another program that occupies a port.
const holdPort = `systemd-run --quiet --collect --unit=taker perl -MSocket -e 'socket(S,PF_INET,SOCK_STREAM,0); bind(S,sockaddr_in(9100,INADDR_ANY)) or die; listen(S,5); sleep 600'
	timeout 10 sh -c "until ss -Hltn sport = :9100 | grep -q .; do sleep 0.05; done"`

// spinning replaces keepalived by one whose test of a file never ends, as that of 2.3.3 may, and has a child
// process; its other functions work.
const spinning = `mkdir -p /root/real; cp /usr/sbin/keepalived /root/real/keepalived; cat > /root/spinning <<'END'
#!/bin/sh
case $1 in
-t) renice -n 19 $$ >/dev/null; sleep 987 & while :; do :; done;;
esac
exec /root/real/keepalived "$@"
END
	chmod 755 /root/spinning; mount --bind /root/spinning /usr/sbin/keepalived`

// notSpinning undoes spinning, and fails if a process of it is left.
const notSpinning = `umount /usr/sbin/keepalived; ! pgrep -a -f '[s]pinning|keepalived [-]t|[s]leep 987'`

// brokenPackage installs a package whose installation really fails and stays half-configured.
const brokenPackage = `mkdir -p /root/broken/DEBIAN; printf 'Package: broken\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: broken\n' > /root/broken/DEBIAN/control
	printf '#!/bin/sh\ntest -e /root/fixed\n' > /root/broken/DEBIAN/postinst; chmod 755 /root/broken/DEBIAN/postinst
	dpkg-deb --build /root/broken /root/broken.deb >/dev/null; dpkg -i /root/broken.deb >/dev/null 2>&1 || true; dpkg -s broken | grep half-configured`

// TestBrokenHost: a defect on the active host stops an edit and is named, and no client notices. After the repair
// the next run converges.
func TestBrokenHost(t *testing.T) {
	w := e2e.New(t)
	active, standby := w.Pair(e2e.Spec(), lab.Trixie, lab.Trixie)
	h := active
	version := strings.Fields(h.Must("dpkg-query", "-W", "-f=${Version}", "haproxy"))[0]
	if err := h.AddRepackaged(t.Context(), "haproxy", version+"+new"); err != nil {
		t.Fatal(err)
	}
	pin := "packages: {haproxy: {version: '" + version + "+new'}}"
	extra := strings.Replace(e2e.Spec(), "services:\n", "services:\n- {name: other, port: 9100, servers: [{address: 198.51.100.21, port: 6443}]}\n", 1)
	w.Serves("cp1", "cp2", "cp3")

	for _, tt := range []struct {
		name, broken, fixed string
		spec                string
		fault, meanwhile    string // a fault of the build with faults, and a script that runs while the fault stops the agent
		code                int
		reason, said        string
		within              time.Duration // the agent ends within this time; 0: no limit
		gap                 time.Duration // the longest gap for clients; 0: none
	}{
		{name: "disk full under /var/lib/rlb", broken: pair.Full("/var/lib/rlb"), fixed: pair.NotFull("/var/lib/rlb"), spec: e2e.TwoServers(), code: 4, reason: "no space left on device"},
		{name: "disk full under /etc/haproxy", broken: pair.Full("/etc/haproxy"), fixed: pair.NotFull("/etc/haproxy"), spec: e2e.TwoServers(), code: 4, reason: "cannot write /etc/haproxy/haproxy.cfg: no space left on device"},
		{name: "/etc/haproxy read-only", broken: pair.ReadOnly("/etc/haproxy"), fixed: pair.Writable("/etc/haproxy"),
			spec: e2e.TwoServers(), code: 4, reason: "cannot write /etc/haproxy/haproxy.cfg: read-only file system"},
		{name: "firewall tool locked", broken: pair.LockTables, fixed: pair.FreeTables, spec: extra, code: 4, reason: "holding the xtables lock"},
		{name: "firewall tool fails (injected)", spec: extra, fault: "error:LoadFirewall IPv4", code: 4, reason: "injected fault at LoadFirewall"},
		{name: "systemd refuses a reload (injected)", spec: e2e.MoreRetries(), fault: "error-once:ReloadUnit", code: 4, reason: "injected fault at ReloadUnit"},
		{name: "D-Bus gone", broken: "systemctl stop dbus.socket dbus", fixed: "systemctl start dbus.socket dbus", spec: e2e.TwoServers(), code: 2, reason: "there is no system bus"},
		{name: "port taken by another program", broken: holdPort, fixed: "systemctl stop taker", spec: extra, code: 3, reason: "services[0].port: 0.0.0.0:9100 is taken by perl"},
		// HAProxy's own doing: while its new process tries to bind for 2 s or more, it has the old one close its listeners
		{name: "port taken after the check", spec: extra, fault: "stop-before:ReloadUnit haproxy", meanwhile: holdPort, fixed: "systemctl stop taker", code: 4, reason: "its new worker failed", gap: 4 * time.Second},
		{name: "apt's lock held", broken: pair.HoldDpkg, fixed: pair.FreeDpkg, spec: e2e.Spec(pin), code: 4, reason: "Unable to acquire the dpkg frontend lock"},
		{name: "keepalived -t never ends", broken: spinning, fixed: notSpinning, spec: e2e.Spec("vrrp: {priority: 77}"), code: 4,
			reason: "\"keepalived -t -f /", said: " did not end within 1m0s and was killed", within: 75 * time.Second, gap: 3 * time.Second}, // one CPU of the lab spins for a minute
		{name: "version not in the archive", spec: e2e.Spec("packages: {haproxy: {version: 99.9.*}}"), code: 4, reason: "Version '99.9.*' for 'haproxy' was not found"},
		{name: "another package half configured", broken: brokenPackage, fixed: "dpkg --purge broken >/dev/null", spec: e2e.TwoServers(), code: 0, reason: "done"},
	} {
		h.Apply(e2e.Spec())
		cfg, history := h.Shell("cat /etc/haproxy/haproxy.cfg /etc/keepalived/keepalived.conf; iptables -S"), h.Must(pair.Agent, "history")
		stop := w.StartProbe()
		h.Shell(tt.broken)
		h.WriteSpec(tt.spec)
		fault := make(chan struct{})
		go func() {
			defer close(fault)
			if tt.meanwhile != "" {
				stopped(h, tt.meanwhile)
			}
		}()
		began := time.Now()
		code, out := h.RunFaulty(tt.fault, "--once", "--lock-timeout", "2s")
		<-fault
		if took := time.Since(began); tt.within > 0 && took > tt.within {
			t.Errorf("%s: the agent took %v, at most %v", tt.name, took, tt.within)
		}
		if code != tt.code || !strings.Contains(out, tt.reason) || !strings.Contains(out, tt.said) {
			t.Errorf("%s: exit code %d, want %d with %q:\n%s", tt.name, code, tt.code, tt.reason, out)
		}
		if now := h.Shell("cat /etc/haproxy/haproxy.cfg /etc/keepalived/keepalived.conf; iptables -S"); code != 0 && now != cfg {
			t.Errorf("%s: exit code %d, but what was there before is not in force:\n%s", tt.name, code, e2e.Difference(cfg, now))
		}
		if now := h.Must(pair.Agent, "history"); code != 0 && now != history {
			t.Errorf("%s: the history changed:\n%s", tt.name, e2e.Difference(history, now))
		}
		time.Sleep(200 * time.Millisecond)
		report := stop() // packages that are installed afterwards restart their services
		if report.Failed > 0 && report.Gap > tt.gap {
			t.Errorf("%s: %d of %d connections failed, gap %v: %v", tt.name, report.Failed, report.Total, report.Gap, report.Errors)
		}
		h.Shell(tt.fixed)
		if strings.Contains(tt.spec, "99.9") {
			h.WriteSpec(e2e.TwoServers())
		}
		next := h.Converges(tt.name)
		e2e.Row(t, tt.name, report, fmt.Sprintf("exit %d: %s", code, e2e.Brief(out)), next)
	}

	// keepalived's interface is deleted after the check, on the standby
	standby.Shell("ip link add gone0 type veth peer name gone1; ip link set gone0 up; ip link set gone1 up; ip addr add 198.51.100.200/26 dev gone0")
	stop := w.Steady("interface gone")
	standby.WriteSpec(e2e.Spec("vrrp: {interface: gone0}"))
	done := make(chan struct{})
	go func() { defer close(done); stopped(standby, "ip link del gone0") }()
	code, out := standby.RunFaulty("stop-before:ReloadUnit keepalived", "--once")
	<-done
	if code != 4 || !strings.Contains(out, "keepalived") {
		t.Errorf("interface gone: exit code %d\n%s", code, out)
	}
	standby.WriteSpec(e2e.Spec())
	next := standby.Converges("the interface went")
	e2e.Row(t, "keepalived's interface goes after the check (standby)", stop(), fmt.Sprintf("exit %d: %s", code, e2e.Brief(out)), next)
}

// stopped waits until the agent has stopped itself (stop-before), runs a script, and continues the agent.
func stopped(h *e2e.Host, do string) {
	ctx, cancel := context.WithTimeout(h.World.Context(), 30*time.Second)
	defer cancel()
	out, err := h.Sh(ctx, `until pid=$(pgrep -f '^`+e2e.Faulty+`' -r T); do sleep 0.05; done
		`+do+`
		kill -CONT $pid`)
	if err != nil {
		h.World.Errorf("while the agent stood still: %v\n%s", err, out)
	}
}

package chaos

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// fault is a fault of a pair, with the bounds on its cost. The bounds of faults at the same time add up.
type fault struct {
	name  string
	at    aim
	lasts [2]time.Duration // shortest and longest; zero: the fault is over at once
	begin func(ctx context.Context, a *act) error
	end   func(ctx context.Context, a *act) error // may be nil

	none   time.Duration // longest time without a holder of the virtual IP
	two    time.Duration // longest time with two holders
	whole  bool          // two may hold it for as long as the fault lasts: the hosts are partitioned
	served bool          // no connection may fail or be cut
}

// aim is the host that the fault happens to.
type aim int

const (
	active aim = iota
	standby
	either
)

// act is a fault as it happens.
type act struct {
	*fault
	r     *run
	h     *lab.Host
	lasts time.Duration
	n     int // a random number
	stop  func()
}

// Bounds of a fault on a busy machine: a takeover takes 0.3 s on an idle one.
const (
	takeover = 2 * time.Second
	overlap  = 2 * time.Second // until the leftover address is removed
	argument = 4 * time.Second // until one of two holders that do not hear each other gives up the virtual IPs
)

func brief(from, to time.Duration) [2]time.Duration { return [2]time.Duration{from, to} }

// sh runs a script on the host.
func sh(script string) func(context.Context, *act) error {
	return func(ctx context.Context, a *act) error {
		_, err := a.h.Sh(ctx, script)
		return err
	}
}

// faults lists all faults. Steps of the clock are left out, because the hosts share the machine's clock.
var faults = []fault{
	// programs
	{name: "keepalived stopped", none: takeover, begin: sh("systemctl stop keepalived")},
	{name: "keepalived killed", none: takeover, two: overlap, begin: sh("systemctl kill -s KILL keepalived")},
	{name: "keepalived's VRRP process killed", none: takeover, two: overlap, begin: sh("pkill -KILL -P $(systemctl show -p MainPID --value keepalived)")},
	{name: "keepalived hangs", at: either, none: takeover, two: argument, lasts: brief(500*time.Millisecond, 3*time.Second),
		begin: sh("systemctl kill -s STOP keepalived"), end: sh("systemctl kill -s CONT keepalived 2>/dev/null || true")},
	{name: "keepalived restarted", at: either, none: takeover, begin: sh("systemctl restart keepalived")},
	{name: "HAProxy stopped", none: takeover, begin: sh("systemctl stop haproxy")},
	{name: "HAProxy killed", none: takeover, begin: sh("systemctl kill -s KILL haproxy")},
	{name: "HAProxy hangs", none: takeover, lasts: brief(500*time.Millisecond, 5*time.Second),
		begin: sh("systemctl kill -s STOP haproxy"), end: sh("systemctl kill -s CONT haproxy 2>/dev/null || true")},
	{name: "HAProxy restarted", at: either, none: takeover, begin: sh("systemctl restart haproxy")},
	{name: "HAProxy stopped on the standby", at: standby, served: true, begin: sh("systemctl stop haproxy")},
	{name: "HAProxy reloaded", at: either, served: true, begin: sh("systemctl reload haproxy")},
	{name: "keepalived reloaded", at: either, served: true, begin: sh("systemctl reload keepalived")},
	{name: "agent killed", at: either, served: true, begin: sh("systemctl kill -s KILL rlb-agent")},
	{name: "agent stopped", at: either, served: true, lasts: brief(time.Second, 4*time.Second), begin: sh("systemctl stop rlb-agent"), end: sh("systemctl start rlb-agent")},
	{name: "agent hangs", at: either, served: true, lasts: brief(time.Second, 4*time.Second),
		begin: sh("systemctl kill -s STOP rlb-agent"), end: sh("systemctl kill -s CONT rlb-agent 2>/dev/null || true")},
	{name: "systemd executes itself anew", at: either, served: true, begin: sh("systemctl daemon-reexec")},

	// hosts and the network
	{name: "link flaps", at: either, none: takeover, two: overlap, lasts: brief(50*time.Millisecond, 5*time.Second),
		begin: func(_ context.Context, a *act) error { return a.h.CutLink() }, end: func(_ context.Context, a *act) error { return a.h.RestoreLink() }},
	{name: "host crashes", at: either, none: takeover, lasts: brief(time.Second, 2*time.Second),
		begin: func(_ context.Context, a *act) error { a.h.Crash(); return nil }, end: func(ctx context.Context, a *act) error { return a.h.Start(ctx) }},
	{name: "host reboots", at: either, none: takeover, begin: func(ctx context.Context, a *act) error { return a.h.Reboot(ctx) }},
	{name: "hosts are apart", none: takeover, two: argument, whole: true, lasts: brief(200*time.Millisecond, 4*time.Second),
		begin: func(_ context.Context, a *act) error { return a.r.stage.Partition(a.r.hosts[0], a.r.hosts[1]) },
		end:   func(_ context.Context, a *act) error { return a.r.stage.Heal() }},
	{name: "VRRP does not pass", at: either, none: takeover, two: argument, lasts: brief(time.Second, 4*time.Second),
		begin: sh("iptables -t mangle -I INPUT -p 112 -j DROP"), end: sh("while iptables -t mangle -D INPUT -p 112 -j DROP 2>/dev/null; do :; done")},
	{name: "processor is busy", at: either, served: true, lasts: brief(time.Second, 2*time.Second),
		begin: sh("for i in 1 2 3; do timeout 2 sh -c 'while :; do :; done' >/dev/null 2>&1 & done")},
	{name: "memory is short", at: either, served: true, begin: sh("for i in 1 2; do dd if=/dev/zero of=/dev/null bs=150M count=4 2>/dev/null & done; wait")},

	{name: "machine stalls", at: either, served: true, begin: sh(pair.Stall)},
	{name: "/run is full", at: either, served: true, lasts: brief(500*time.Millisecond, 3*time.Second), begin: sh(pair.FullRun), end: sh(pair.NotFullRun)},
	{name: "/run/rlb is read-only", at: either, served: true, lasts: brief(500*time.Millisecond, 3*time.Second),
		begin: sh(pair.ReadOnly("/run/rlb")), end: sh("! mountpoint -q /run/rlb || " + pair.Writable("/run/rlb"))},
	{name: "/var/lib/rlb is full", at: either, served: true, lasts: brief(500*time.Millisecond, 3*time.Second),
		begin: sh(pair.Full("/var/lib/rlb")), end: sh("! mountpoint -q /var/lib/rlb || { " + pair.NotFull("/var/lib/rlb") + "; }")},

	// administrators
	{name: "drain and undrain", at: either, none: takeover, lasts: brief(500*time.Millisecond, 2*time.Second), begin: sh(pair.Agent + " drain"), end: sh(pair.Agent + " undrain")},
	{name: "spec edited", served: true, begin: func(_ context.Context, a *act) error {
		a.r.edits.Add(1)
		return a.r.writeSpec(a.r.spec())
	}},
	{name: "spec that is wrong", at: either, served: true, lasts: brief(500*time.Millisecond, 2*time.Second),
		begin: func(_ context.Context, a *act) error {
			return a.h.WriteFile(pair.SpecFile, []byte(strings.Replace(a.r.spec(), "port: 9000", "port: 90000", 1)), 0o644)
		},
		end: func(_ context.Context, a *act) error { return a.r.writeSpec(a.r.spec()) }},
	{name: "spec half written", at: either, served: true, lasts: brief(500*time.Millisecond, 2*time.Second),
		begin: func(_ context.Context, a *act) error {
			text := a.r.spec()
			return a.h.WriteFile(pair.SpecFile, []byte(text[:len(text)*(a.n%9+1)/10]), 0o644)
		},
		end: func(_ context.Context, a *act) error { return a.r.writeSpec(a.r.spec()) }},
	{name: "many ask for the status", at: either, served: true, begin: sh("for i in 1 2 3 4 5 6; do " + pair.Agent + " status >/dev/null 2>&1 & done; wait")},

	// changes by other programs
	{name: "haproxy.cfg edited", at: either, served: true, begin: sh("echo '# by hand' >> /etc/haproxy/haproxy.cfg")},
	// HAProxy accepts an empty file, and closes its ports until the agent has restored the right one
	{name: "haproxy.cfg emptied and reloaded", at: either, begin: sh(": > /etc/haproxy/haproxy.cfg; systemctl reload haproxy || true")},
	{name: "keepalived.conf removed", at: either, served: true, begin: sh("rm /etc/keepalived/keepalived.conf")},
	{name: "packet filter flushed", at: either, served: true, begin: sh("iptables -F; iptables -X; ip6tables -F; ip6tables -X")},
	{name: "units disabled", at: either, served: true, begin: sh("systemctl disable haproxy keepalived")},
	{name: "virtual IP removed", none: takeover, two: overlap, begin: sh("ip addr del $(ip -o -4 addr show dev eth0 | awk '$4 ~ /^" + pair.VIP + "/ {print $4}') dev eth0")},
	{name: "virtual IP added on the standby", at: standby, two: argument, none: takeover, begin: sh("ip addr add " + pair.VIP + "/32 dev eth0")},
	{name: "fault flag written", at: either, none: takeover, two: overlap, begin: sh("echo 1 > /run/rlb/fault")},
	{name: "files under /run/rlb garbled", at: either, served: true, begin: sh("cd /run/rlb && for f in *.json; do head -c 20 $f > /run/x && cat /run/x > $f; done")},
	{name: "files under /run/rlb removed", at: either, served: true, begin: sh("rm -f /run/rlb/*.json")},
	{name: "memory garbled", at: either, served: true, begin: sh("f=$(ls /var/lib/rlb/*.json | head -1); head -c 30 $f > /run/x; cat /run/x > $f")},

	{name: "firewall tool is locked", at: either, served: true, lasts: brief(time.Second, 4*time.Second),
		begin: sh(pair.LockTables), end: sh("! mountpoint -q $(readlink -f /usr/sbin/iptables) || " + pair.FreeTables)},
	{name: "dpkg is locked", at: either, served: true, lasts: brief(time.Second, 4*time.Second), begin: sh(pair.HoldDpkg), end: sh(pair.FreeDpkg + "; true")},

	// attacks
	{name: "forged signals of systemd", at: either, served: true, begin: sh(`sent=; for name in $(busctl list --unique --no-legend | awk '{print $1}'); do
		runuser -u nobody -- busctl emit --destination=$name /org/freedesktop/systemd1/unit/haproxy_2eservice org.freedesktop.DBus.Properties \
			PropertiesChanged 'sa{sv}as' org.freedesktop.systemd1.Unit 2 ActiveState s failed SubState s failed 0 && sent=1
	done; test "$sent"`)},
	{name: "/tmp in the way", at: either, served: true, lasts: brief(500*time.Millisecond, time.Second),
		begin: sh("runuser -u nobody -- mkdir -p /tmp/keepalived.json/x /tmp/rlb"), end: sh("rm -rf /tmp/keepalived.json /tmp/rlb")},
	// A device that only answers ARP for the virtual IP and serves nothing there does not change the holder: hosts test
	// the service of a rival before they yield to it. Clients may use the wrong MAC until the holder announces itself
	// again.
	{name: "a device answers for the virtual IP", lasts: brief(500*time.Millisecond, 3*time.Second),
		begin: stranger("ip addr add " + pair.VIP + "/32 dev eth0"), end: stranger("ip addr del " + pair.VIP + "/32 dev eth0")},
	{name: "a router answers for the virtual IP", lasts: brief(time.Second, 4*time.Second),
		begin: stranger(`ip link set eth0 address fe:ff:ff:ff:ff:fe; ip link add far type veth peer name far2; ip link set far up; ip link set far2 up
			ip route add ` + pair.VIP + `/32 dev far; echo 0 >/proc/sys/net/ipv4/neigh/eth0/proxy_delay
			echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv4/conf/eth0/proxy_arp`),
		end: stranger("echo 0 >/proc/sys/net/ipv4/conf/eth0/proxy_arp; ip link del far")},
	{name: "a thousand claims of the virtual IP", begin: func(_ context.Context, a *act) error {
		return a.r.device.Claim(net.HardwareAddr{0xfe, 0xff, 0xff, 0xff, 0xff, 0xfe}, netip.MustParseAddr(pair.VIP), 1000, time.Millisecond)
	}},
	{name: "half-open connections to the metrics", at: either, served: true, lasts: brief(500*time.Millisecond, 3*time.Second),
		begin: func(ctx context.Context, a *act) (err error) {
			var all []net.Conn
			a.stop = func() {
				for _, conn := range all {
					_ = conn.Close() // the agent may have closed it
				}
			}
			for i := 0; i < 4*64 && err == nil; i++ { // it serves 64 at a time
				var conn net.Conn
				if conn, err = a.r.device.Dial(ctx, netip.AddrPortFrom(a.h.Addr(), metricsPort).String()); err == nil {
					all = append(all, conn)
					_, _ = conn.Write([]byte("GET /metrics HTTP/1.1\r\nHo")) // the same
				}
			}
			return err
		}, end: stop},
	{name: "forged advertisements", at: either, served: true, lasts: brief(500*time.Millisecond, 3*time.Second),
		begin: func(_ context.Context, a *act) (err error) {
			a.stop, err = a.r.device.Advertise(100, []uint8{255, 0}[a.n%2], netip.MustParseAddr(pair.VIP))
			return err
		},
		end: stop},

	// control planes
	{name: "a control plane refuses", lasts: brief(500*time.Millisecond, 5*time.Second), begin: mode(lab.Refuse), end: mode(lab.OK)},
	{name: "a control plane hangs", lasts: brief(500*time.Millisecond, 5*time.Second), begin: mode(lab.Hang), end: mode(lab.OK)},
	{name: "a control plane fails", lasts: brief(500*time.Millisecond, 5*time.Second), begin: mode(lab.Fail(500)), end: mode(lab.OK)},
}

func mode(m lab.Mode) func(context.Context, *act) error {
	return func(_ context.Context, a *act) error { return a.r.stage.Planes[a.n%len(a.r.stage.Planes)].Set(m) }
}

// stop stops the device's traffic.
func stop(_ context.Context, a *act) error {
	if a.stop != nil {
		a.stop()
	}
	return nil
}

// stranger runs a script on a device on the same link that does not belong to the pair.
func stranger(script string) func(context.Context, *act) error {
	return func(ctx context.Context, a *act) error {
		if out, err := a.r.device.Command(ctx, "sh", "-ec", script).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w", out, err)
		}
		return nil
	}
}

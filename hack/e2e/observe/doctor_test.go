package observe

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
	"rlb.dev/rlb-agent/reconcile/doctor"
)

// examine runs doctor, and returns its report and its exit code.
func examine(h *e2e.Host, args ...string) (r doctor.Report, code int) {
	h.World.Helper()
	out, err := h.Run(h.World.Context(), append([]string{pair.Agent, "doctor", "-o", "json", "--listen", "1s"}, args...)...)
	failed, _ := err.(*lab.RunError)
	if failed != nil {
		out, code = failed.Stdout, failed.Code
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		h.World.Fatalf("%s: %v: exit code %d\n%s", h.Name(), err, code, out)
	}
	return r, code
}

// finds fails the test unless doctor has findings with all of these titles.
func finds(h *e2e.Host, titles []string, args ...string) doctor.Report {
	h.World.Helper()
	r, code := examine(h, args...)
	for _, title := range titles {
		if !slices.ContainsFunc(r.Findings, func(f doctor.Finding) bool { return strings.HasPrefix(f.Title, title) }) {
			h.World.Errorf("%s: no finding %q: exit code %d\n%+v", h.Name(), title, code, r)
		}
	}
	if code != 1 {
		h.World.Errorf("%s: exit code %d", h.Name(), code)
	}
	return r
}

// advertise sends VRRP version 3 advertisements for some seconds from a namespace of the lab. Its arguments: the
// source, the destination, the router ID and the virtual IP.
const advertise = `use Socket; my ($from, $to) = map inet_aton($_), @ARGV[0, 1];
my $body = pack("CCCCnn", 0x31, $ARGV[2], 100, 1, 10, 0) . inet_aton($ARGV[3]);
my $sum = 0; $sum += $_ for unpack("n*", $from . $to . pack("CCn", 0, 112, length $body) . $body);
$sum = ($sum & 0xffff) + ($sum >> 16) for 1 .. 2;
substr($body, 6, 2) = pack("n", ~$sum & 0xffff);
socket(S, PF_INET, SOCK_RAW, 112) or die $!; bind(S, pack_sockaddr_in(0, $from)) or die $!;
setsockopt(S, 0, 33, pack("i", 255)); setsockopt(S, 0, 32, $from);
for (1 .. 60) { send(S, $body, 0, pack_sockaddr_in(0, $to)) or die $!; select(undef, undef, undef, 0.1) }
`

// noVRRP drops the advertisements between all stations in the switch, as IGMP snooping without a querier does.
const noVRRP = `table bridge novrrp {
	chain forward {
		type filter hook forward priority 0
		ether type ip ip protocol 112 drop
	}
}
`

func inSwitch(w *e2e.World, rules string) {
	w.Helper()
	cmd := exec.Command("ip", "netns", "exec", lab.Namespace("switch"), "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		w.Fatalf("%v: %s", err, out)
	}
}

// TestDoctor: doctor finds the faults of a real pair, and has no finding for a healthy one.
func TestDoctor(t *testing.T) {
	cases := e2e.NewPairCases(t, e2e.Spec(pair.Nodes), lab.Trixie, lab.Bookworm)
	other := func(h *e2e.Host, text string) (flag []string) {
		if err := h.WriteFile("/etc/rlb/other.yaml", []byte(text), 0o644); err != nil {
			h.World.Fatal(err)
		}
		return []string{"--spec", "/etc/rlb/other.yaml"}
	}

	cases.Run("well", func(w *e2e.World, active, standby *e2e.Host) {
		for _, h := range []*e2e.Host{active, standby} {
			began := time.Now()
			r, code := examine(h)
			if took := time.Since(began); code != 0 || len(r.Findings) > 0 || took > 10*time.Second {
				w.Errorf("%s: exit code %d after %v: %+v", h.Name(), code, took, r)
			}
			for _, c := range r.Checks {
				if c.Result != doctor.Passed {
					w.Errorf("%s: %+v", h.Name(), c)
				}
			}
		}
	})
	cases.Run("another spec", func(w *e2e.World, active, h *e2e.Host) {
		h.Shell(`systemd-run --quiet --unit=squatter perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(LocalPort => 9001, Listen => 1) or die; sleep 600'`)
		h.World.Eventually("the port is taken", 5*time.Second, func() bool { return h.Succeeds("ss -ltn | grep -q :9001") })
		defer h.Shell("systemctl stop squatter")
		text := strings.NewReplacer("port: 9000", "port: 9001", pair.VIP, "198.51.100.50").Replace(e2e.Spec(pair.Nodes))
		r := finds(h, []string{"port 9001 is taken", "198.51.100.50 is answered by an unknown machine"}, other(h, text)...)
		if f := r.Findings[0]; !strings.Contains(f.Message, "perl (pid ") {
			w.Errorf("%+v", f)
		}
		finds(h, []string{"no interface eth9"}, other(h, e2e.Spec(pair.Nodes, "vrrp: {interface: eth9}"))...)
		finds(h, []string{active.Name() + " has another router id"}, other(h, e2e.Spec(pair.Nodes, "vrrp: {routerID: 51}"))...)
		finds(h, []string{active.Name() + " has another advertisement interval"}, other(h, e2e.Spec(pair.Nodes, "vrrp: {advertisementInterval: 1s}"))...)
		finds(h, []string{active.Name() + " has another VRRP version"}, other(h, e2e.Spec(pair.Nodes, "vrrp: {version: 2}"))...)
	})
	cases.Run("router id", func(_ *e2e.World, _, h *e2e.Host) {
		for title, router := range map[string][]string{
			"router id 100 is used by another virtual router": {"100", "198.51.100.222"},
			"an unknown router advertises the virtual IPs":    {"77", pair.VIP},
		} {
			rogue := exec.Command("ip", append([]string{"netns", "exec", lab.Namespace("client"), "perl", "-e", advertise, "198.51.100.50", "224.0.0.18"}, router...)...)
			if err := rogue.Start(); err != nil {
				h.World.Fatal(err)
			}
			finds(h, []string{title})
			_ = rogue.Process.Kill()
			_ = rogue.Wait()
		}
	})
	cases.Run("the agents", func(w *e2e.World, active, h *e2e.Host) {
		active.Shell("systemctl stop rlb-agent")
		w.Eventually("the stop is heard", 10*time.Second, func() bool { return strings.Contains(titles(h), "the agent of "+active.Name()+" was stopped") })
		active.Shell("systemctl start rlb-agent")
		w.Eventually("it is well again", 30*time.Second, func() bool { return titles(h) == "" })
		h.Shell(pair.Agent + " drain")
		w.Eventually("the drain is heard", 10*time.Second, func() bool { return strings.Contains(titles(active), h.Name()+" is drained") })
		h.Shell(pair.Agent + " undrain")
		inSwitch(w, "table bridge noagents {\n chain forward {\n  type filter hook forward priority 0\n  ether type 0x88b5 drop\n }\n}\n")
		defer inSwitch(w, "delete table bridge noagents")
		w.Eventually("the silence is found", 30*time.Second, func() bool { return strings.Contains(titles(h), "no agent of a peer is heard") })
	})
	cases.Run("the spec", func(w *e2e.World, _, h *e2e.Host) {
		spec := e2e.Spec(pair.Nodes)
		finds(h, []string{"this host is not in sync with the spec"}, other(h, strings.Replace(spec, "port: 9000", "port: 9002", 1))...)
		finds(h, []string{"not enough memory for maxConnections", "not enough descriptors for maxConnections"}, other(h, e2e.Spec(pair.Nodes, "proxy: {maxConnections: 10000000}"))...)
		finds(h, []string{"virtualIPs[1] does not fit this host"}, other(h, strings.Replace(spec, "["+pair.VIP+"]", "["+pair.VIP+", 203.0.113.9]", 1))...)
		finds(h, []string{"this host does not match the spec"}, other(h, strings.Replace(spec, "name: "+h.Name()+", addresses: ["+h.Addr().String(), "name: lb9, addresses: [198.51.100.99", 1))...)
		flag := other(h, spec)
		h.Shell("chmod 666 /etc/rlb/other.yaml")
		finds(h, []string{"users other than root can change the spec file"}, flag...)
		h.Shell("chmod 644 /etc/rlb/other.yaml; cp -p /etc/rlb/spec.yaml /root/good.yaml; echo nonsense >/etc/rlb/spec.yaml")
		defer h.Shell("cp -p /root/good.yaml /etc/rlb/spec.yaml")
		w.Eventually("the spec is refused", 15*time.Second, func() bool {
			r, _ := examine(h, flag...)
			return slices.ContainsFunc(r.Findings, func(f doctor.Finding) bool { return f.Title == "the last reconcile did not succeed" })
		})
	})
	cases.Run("servers", func(w *e2e.World, _, h *e2e.Host) {
		for i, mode := range []lab.Mode{lab.Fail(500), lab.Refuse, lab.Unauthorized} {
			if err := w.Planes[i].Set(mode); err != nil {
				w.Fatal(err)
			}
			defer func() { _ = w.Planes[i].Set(lab.OK) }()
		}
		text := strings.Replace(e2e.Spec(pair.Nodes), "  servers:", "  healthCheck: {expectStatus: [200]}\n  servers:", 1)
		finds(h, []string{"server cp1 of service kube-apiserver answers 500", "server cp2 of service kube-apiserver is unreachable",
			"server cp3 of service kube-apiserver answers 401"}, other(h, text)...)
	})
	cases.Run("certificates", func(w *e2e.World, _, h *e2e.Host) {
		for i, mode := range []lab.Mode{lab.Expired, lab.Expiring} {
			if err := w.Planes[i].Set(mode); err != nil {
				w.Fatal(err)
			}
			defer func() { _ = w.Planes[i].Set(lab.OK) }()
		}
		finds(h, []string{"the certificate of server cp1 of service kube-apiserver has expired", "the certificate of server cp2 of service kube-apiserver expires in 19 days"})
	})
	cases.Run("two masters", func(w *e2e.World, a, b *e2e.Host) {
		lower, higher := a, b
		if b.Addr().Less(a.Addr()) {
			lower, higher = b, a
		}
		const rule = " INPUT -p 112 -j DROP"
		for _, one := range []*e2e.Host{a, b} { // so that both stay MASTER
			one.Shell("systemctl stop rlb-agent; iptables -t mangle -I" + rule)
			defer one.Shell("iptables -t mangle -D" + rule + " 2>/dev/null; systemctl start rlb-agent")
		}
		w.Eventually("both are MASTER", 10*time.Second, func() bool { return lower.Active() && higher.Active() })
		higher.Shell("iptables -t mangle -D" + rule)
		finds(higher, []string{"two hosts are MASTER"})
	})
	cases.Run("another version", func(w *e2e.World, active, h *e2e.Host) {
		if h.Shell(pair.Agent+" version") == h.Shell(e2e.Faulty+" version") {
			w.Skip("both programs of this build have the same version")
		}
		h.Shell("mount --bind " + e2e.Faulty + " " + pair.Agent + "; systemctl restart rlb-agent")
		defer h.Shell("systemctl stop rlb-agent; umount " + pair.Agent + "; systemctl start rlb-agent") // the file of a running program is busy
		w.Eventually("the version is told", 20*time.Second, func() bool { return strings.Contains(titles(active), h.Name()+" runs another version of rlb-agent") })
	})
	cases.Run("firewall", func(w *e2e.World, active, h *e2e.Host) {
		for _, one := range []*e2e.Host{active, h} { // so that both stay MASTER
			one.Shell("systemctl stop rlb-agent")
			defer one.Shell("systemctl start rlb-agent")
		}
		h.Shell(`nft -f - <<'END'
table inet own {
	chain input {
		type filter hook input priority 10; policy drop;
		ct state established,related accept
		iifname "lo" accept
		meta l4proto { icmp, ipv6-icmp } accept
		ip protocol 112 drop
	}
	chain output {
		type filter hook output priority 10
		ip protocol 112 drop
	}
}
END`)
		defer h.Shell("nft delete table inet own")
		finds(h, []string{"the firewall drops connections to port 9000 (IPv4)", "the firewall drops VRRP of the peers (IPv4)", "the firewall here drops the advertisements of " + active.Name()})
		w.Eventually("both hold the virtual IP", 10*time.Second, func() bool { return strings.Contains(titles(h), pair.VIP+" is held by two hosts") })
	})
	cases.Run("multicast", func(w *e2e.World, active, h *e2e.Host) {
		inSwitch(w, noVRRP)
		defer inSwitch(w, "delete table bridge novrrp")
		time.Sleep(time.Second) // both have taken over, or one has given up
		if a, b := titles(active), titles(h); !strings.Contains(a+b, "do not arrive") {
			w.Errorf("%s: %s\n%s: %s", active.Name(), a, h.Name(), b)
		}
	})
	cases.Run("the host", func(w *e2e.World, _, h *e2e.Host) {
		h.Shell(`systemctl stop rlb-agent
			systemctl mask --runtime keepalived 2>/dev/null
			printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d
			mkdir -p /run/systemd/system/haproxy.service.d; printf '[Service]\nNice=0\n' >/run/systemd/system/haproxy.service.d/mine.conf
			ip link add spare type veth peer name spare2; ip addr add 198.51.100.129/30 dev spare; ip link set spare up; ip link set spare2 up
			echo 1 >/proc/sys/net/ipv4/conf/eth0/rp_filter
			cp -p /var/lib/dpkg/status /var/lib/dpkg/status-before; touch -d '40 days ago' /var/lib/apt/lists
			sed -i '/^Package: keepalived$/,/^$/s/^Status: .*/Status: hold ok half-configured/' /var/lib/dpkg/status
			systemctl daemon-reload`)
		defer h.Shell(`systemctl unmask --runtime keepalived; rm -r /usr/sbin/policy-rc.d /run/systemd/system/haproxy.service.d
			cp -p /var/lib/dpkg/status-before /var/lib/dpkg/status; touch /var/lib/apt/lists
			ip link del spare; echo 0 >/proc/sys/net/ipv4/conf/eth0/rp_filter; systemctl daemon-reload; systemctl start rlb-agent`)
		finds(h, []string{"the agent does not run", "keepalived.service is masked", "policy-rc.d keeps services from starting",
			"haproxy.service is changed by another drop-in", "rp_filter drops clients", "package keepalived is half installed", "apt's lists are old"})
		h.Shell("ip link set spare2 down")
		flag := other(h, strings.Replace(e2e.Spec(pair.Nodes), "["+pair.VIP+"]", "["+pair.VIP+", {address: 198.51.100.130/30, interface: spare}]", 1))
		w.Eventually("the link is gone", 5*time.Second, func() bool { return strings.Contains(titles(h, flag...), "interface spare has no link") })
		h.Shell("ip link set spare down")
		finds(h, []string{"interface spare is down"}, flag...)
	})
	cases.Run("AppArmor", func(_ *e2e.World, _, h *e2e.Host) { // the lab's kernel may have no AppArmor: its list of profiles is a file
		h.Shell(`mkdir -p /sys/kernel/security && mount -t tmpfs tmpfs /sys/kernel/security && mkdir /sys/kernel/security/apparmor
			printf 'usr.sbin.haproxy (enforce)\n/usr/sbin/keepalived (complain)\n' >/sys/kernel/security/apparmor/profiles`)
		defer h.Shell("umount /sys/kernel/security")
		finds(h, []string{"AppArmor confines haproxy"})
		h.Shell("mkdir -p /etc/apparmor.d/local; echo '/run/rlb/** r,' >/etc/apparmor.d/local/usr.sbin.haproxy")
		defer h.Shell("rm -r /etc/apparmor.d/local")
		if left := titles(h); strings.Contains(left, "AppArmor") {
			h.World.Errorf("still to do: %s", left)
		}
	})
	cases.Run("old tables", func(w *e2e.World, _, h *e2e.Host) {
		if out, err := h.Sh(w.Context(), "iptables-legacy -I INPUT -s 203.0.113.9 -j DROP"); err != nil {
			w.Skipf("the kernel has no tables of iptables-legacy: %s", out)
		}
		defer h.Shell("iptables-legacy -D INPUT -s 203.0.113.9 -j DROP")
		finds(h, []string{"iptables-legacy and nftables are mixed"})
	})
	cases.Run("held back", func(_ *e2e.World, _, h *e2e.Host) {
		h.Shell(`mkdir -p /srv/next-security; printf '%s\n' 'Package: haproxy' 'Version: 99.0-1' "Architecture: $(dpkg --print-architecture)" 'Maintainer: nobody' \
				'Filename: ./none.deb' 'Size: 1' "SHA256: $(printf '%064d' 0)" 'Description: newer' >/srv/next-security/Packages
			echo 'deb [trusted=yes] file:/srv/next-security ./' >/etc/apt/sources.list.d/next.list
			apt-get update -o Dir::Etc::sourcelist=sources.list.d/next.list -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0; ` + pair.Agent + " --once")
		defer h.Shell("rm -r /srv/next-security /etc/apt/sources.list.d/next.list /var/lib/apt/lists/*next-security*; " + pair.Agent + " --once")
		r := finds(h, []string{"a security update of haproxy is held back"})
		if !slices.ContainsFunc(r.Findings, func(f doctor.Finding) bool { return strings.Contains(f.Fix, "rlb-agent upgrade haproxy") }) {
			h.World.Errorf("%+v", r.Findings)
		}
	})
	cases.Run("NetworkManager", func(w *e2e.World, _, h *e2e.Host) { // a program of this name that leaves the same files
		h.Shell(`mkdir -p /run/NetworkManager/devices; printf '[device]\nmanaged=true\n' >/run/NetworkManager/devices/$(cat /sys/class/net/eth0/ifindex)
			systemd-run --quiet --unit=NetworkManager sleep 600`)
		defer h.Shell("systemctl stop NetworkManager; rm -r /run/NetworkManager")
		finds(h, []string{"NetworkManager may remove the virtual IPs"})
	})
	cases.Run("renamed", func(w *e2e.World, _, h *e2e.Host) {
		h.Shell("systemctl stop rlb-agent keepalived; ip link set eth0 down; ip link set eth0 name lan0; ip link set lan0 up")
		defer h.Shell("ip link set lan0 down; ip link set lan0 name eth0; ip link set eth0 up; systemctl start keepalived rlb-agent")
		finds(h, []string{"interface eth0 was renamed"})
	})
	cases.Run("networkd", func(w *e2e.World, _, h *e2e.Host) {
		h.Shell(`printf '[Match]\nName=eth0\n[Network]\nAddress=` + h.Addr().String() + `/24\n' >/etc/systemd/network/10-eth0.network; systemctl start systemd-networkd`)
		defer h.Shell("systemctl stop systemd-networkd systemd-networkd.socket; rm /etc/systemd/network/10-eth0.network")
		w.Eventually("networkd manages eth0", 10*time.Second, func() bool { return h.Succeeds("grep -q NETWORK_FILE /run/systemd/netif/links/*") })
		finds(h, []string{"systemd-networkd would remove the virtual IPs"})
	})
	causes(cases, other)
}

func titles(h *e2e.Host, args ...string) string {
	r, _ := examine(h, args...)
	var all []string
	for _, f := range r.Findings {
		all = append(all, f.Title)
	}
	return strings.Join(all, "; ")
}

package observe

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
	"rlb.dev/rlb-agent/reconcile/doctor"
	"rlb.dev/rlb-agent/render"
)

// comesAndGoes fails the test unless doctor has all of these findings, and none of them after end has removed the
// causes. want has the beginning of each title and a part of its other texts. end gets the findings in the same order.
func comesAndGoes(h *e2e.Host, want []doctor.Finding, end func(found []doctor.Finding), args ...string) {
	h.World.Helper()
	var found []doctor.Finding
	code := 0
	look := func() (r doctor.Report) {
		r, code = examine(h, args...)
		found = nil
		for _, f := range want {
			if at := slices.IndexFunc(r.Findings, func(g doctor.Finding) bool { return strings.HasPrefix(g.Title, f.Title) }); at >= 0 {
				found = append(found, r.Findings[at])
			}
		}
		return r
	}
	h.World.Eventually("doctor finds "+want[0].Title, 20*time.Second, func() bool { look(); return len(found) == len(want) })
	if code != 1 {
		h.World.Errorf("%s: exit code %d", h.Name(), code)
	}
	for i, f := range found {
		if !strings.Contains(f.Message, want[i].Message) || !strings.Contains(f.Fix, want[i].Fix) {
			h.World.Errorf("%s: found %+v, want %+v", h.Name(), f, want[i])
		}
	}
	checks := found
	end(found)
	h.World.Eventually("doctor no longer finds "+want[0].Title, 20*time.Second, func() bool {
		r := look()
		return len(found) == 0 && !slices.ContainsFunc(r.Checks, func(c doctor.Result) bool {
			return c.Result == doctor.Skipped && slices.ContainsFunc(checks, func(f doctor.Finding) bool { return f.Check == c.Check })
		})
	})
}

// causes has cases of a pair: each causes findings, which are gone when the cause is.
func causes(cases *e2e.PairCases, other func(*e2e.Host, string) []string) {
	spec := e2e.Spec(pair.Nodes)
	const same = "use the same spec on every node"
	cases.Run("another spec on the peer", func(_ *e2e.World, active, h *e2e.Host) {
		back := func([]doctor.Finding) { h.WriteSpec(spec) }
		h.WriteSpec(strings.Replace(e2e.Spec(pair.Nodes, "vrrp: {transport: unicast}"), "["+pair.VIP+"]", "["+pair.VIP+", 198.51.100.101]", 1))
		comesAndGoes(h, []doctor.Finding{
			{Title: active.Name() + " has another transport", Message: "advertises transport multicast, this spec has unicast", Fix: same},
			{Title: active.Name() + " has another number of virtual IPs", Message: "advertises number of virtual IPs 1, this spec has 2", Fix: same},
			{Title: "the specs of the hosts differ", Message: active.Name() + " has 1 address, this spec has 2", Fix: "rlb-agent push"},
		}, back)
		h.WriteSpec(strings.Replace(e2e.Spec(pair.Nodes, "vrrp: {routerID: 100}"), pair.VIP, "198.51.100.101", 1))
		comesAndGoes(h, []doctor.Finding{
			{Title: active.Name() + " has another set of virtual IPs", Message: "advertises set of virtual IPs " + pair.VIP + ", this spec has 198.51.100.101", Fix: same},
		}, back)
	})
	cases.Run("the peer is away", func(w *e2e.World, h, away *e2e.Host) {
		if err := away.CutLink(); err != nil {
			w.Fatal(err)
		}
		comesAndGoes(h, []doctor.Finding{
			{Title: "peer " + away.Name() + " does not answer", Message: "nobody answers for " + away.Addr().String() + ", the address of node " + away.Name() + ", on eth0", Fix: "start " + away.Name() + ", and check its cable"},
		}, func([]doctor.Finding) {
			if err := away.RestoreLink(); err != nil {
				w.Fatal(err)
			}
		})
	})
	cases.Run("a stranger's certificate", func(w *e2e.World, _, h *e2e.Host) {
		var authorities []byte
		for _, plane := range w.Planes {
			authorities = append(authorities, plane.CertPEM()...)
		}
		if err := h.WriteFile("/etc/rlb/planes.pem", authorities, 0o644); err != nil {
			w.Fatal(err)
		}
		if err := w.Planes[0].Set(lab.Stranger); err != nil {
			w.Fatal(err)
		}
		comesAndGoes(h, []doctor.Finding{
			{Title: "server cp1 of service kube-apiserver has a certificate that caFile does not verify", Message: "198.51.100.21:6443: x509: ", Fix: "give /etc/rlb/planes.pem the certificate of the authority"},
		}, func([]doctor.Finding) {
			if err := w.Planes[0].Set(lab.OK); err != nil {
				w.Fatal(err)
			}
		}, other(h, strings.Replace(spec, "  servers:", "  healthCheck: {caFile: /etc/rlb/planes.pem}\n  servers:", 1))...)
	})
	cases.Run("a raw bind", func(w *e2e.World, _, h *e2e.Host) {
		h.Shell(`systemctl stop rlb-agent; ip route flush table local proto 219 # as with vrrp.handover: none
			printf 'listen raw\n mode tcp\n timeout connect 1s\n timeout client 1s\n timeout server 1s\n bind ` + pair.VIP + `:9443\n' >/root/raw.cfg`)
		defer h.Shell("sysctl -w net.ipv4.ip_nonlocal_bind=0; systemctl start rlb-agent")
		starts := func() bool {
			return h.Succeeds("haproxy -D -p /root/raw.pid -f /root/raw.cfg && kill $(cat /root/raw.pid)")
		}
		if starts() {
			w.Error("HAProxy starts without the virtual IP")
		}
		comesAndGoes(h, []doctor.Finding{
			{Title: "HAProxy does not start without " + pair.VIP, Message: "services[0].extraFrontend[0] (bind " + pair.VIP + ":9443) cannot bind", Fix: "sysctl -w net.ipv4.ip_nonlocal_bind=1, and"},
		}, func(found []doctor.Finding) {
			_, command, _ := strings.Cut(found[0].Fix, "; or ")
			command, _, _ = strings.Cut(command, ", ")
			h.Shell(command)
			if !starts() {
				w.Error("the fix does not help: " + command)
			}
		}, other(h, strings.Replace(e2e.Spec(pair.Nodes, "vrrp: {handover: none}"), "  servers:", "  extraFrontend: bind "+pair.VIP+":9443\n  servers:", 1))...)
	})
	cases.Run("an old nft", func(w *e2e.World, _, h *e2e.Host) {
		installOldNft(h)
		h.Shell("systemctl stop rlb-agent; mount --bind /opt/old/run /usr/sbin/nft")
		defer h.Shell("umount /usr/sbin/nft 2>/dev/null; systemctl start rlb-agent")
		comesAndGoes(h, []doctor.Finding{
			{Title: "planned moves end connections", Message: "nft 1.0", Fix: "install nft 1.0 and"},
		}, func([]doctor.Finding) { h.Shell("umount /usr/sbin/nft") })
	})
	cases.Run("units and programs", func(w *e2e.World, _, h *e2e.Host) {
		// as an upgrade does where programs must not be started
		h.Shell(`systemctl stop rlb-agent
			printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d
			dpkg -i /srv/repo/haproxy_*.deb /srv/repo/keepalived_*.deb; apt-mark hold haproxy keepalived; rm /usr/sbin/policy-rc.d
			cp /lib/systemd/system/keepalived.service /etc/systemd/system; systemctl daemon-reload`)
		defer h.Shell("systemctl start rlb-agent")
		const replaced = "its file was replaced by an upgrade since process "
		comesAndGoes(h, []doctor.Finding{
			{Title: "haproxy.service runs an old program", Message: replaced, Fix: "systemctl reload haproxy.service"},
			{Title: "keepalived.service runs an old program", Message: replaced, Fix: "systemctl try-restart keepalived.service on the standby"},
			{Title: "keepalived.service is overridden", Message: "/etc/systemd/system/keepalived.service replaces", Fix: "rm /etc/systemd/system/keepalived.service && systemctl daemon-reload"},
		}, func(found []doctor.Finding) {
			restart, _, _ := strings.Cut(found[1].Fix, " on the ")
			remove, _, _ := strings.Cut(found[2].Fix, " brings ")
			h.Shell(found[0].Fix + " && " + restart + " && " + remove)
			if !h.Succeeds("test -e " + render.KeepalivedDropIn) {
				w.Errorf("%s: the agent's drop-in is gone", remove)
			}
		})
		h.Shell("cp -p /etc/haproxy/haproxy.cfg /root/good.cfg; echo nonsense >>/etc/haproxy/haproxy.cfg; systemctl restart haproxy 2>/dev/null || true")
		comesAndGoes(h, []doctor.Finding{
			{Title: "haproxy.service has failed", Message: "systemd calls it failed", Fix: "systemctl restart haproxy.service"},
		}, func(found []doctor.Finding) {
			look, restart, _ := strings.Cut(found[0].Fix, " says why; then ")
			if why := h.Shell(look); !strings.Contains(why, "nonsense") {
				w.Errorf("%s shows:\n%s", look, why)
			}
			h.Shell("cp -p /root/good.cfg /etc/haproxy/haproxy.cfg; systemctl reset-failed haproxy; " + restart)
		})
	})
	cases.Run("well again", func(w *e2e.World, active, standby *e2e.Host) {
		w.Eventually("nothing is found", 20*time.Second, func() bool { return titles(active)+titles(standby) == "" })
	})
}

// installOldNft installs nft of Debian 11 with its libraries in /opt/old of a host, and a script that runs it.
func installOldNft(h *e2e.Host) {
	h.World.Helper()
	tree, err := lab.ProgramTree(h.World.Context(), lab.Bullseye)
	if err != nil {
		h.World.Fatal(err)
	}
	archive, err := exec.Command("chroot", tree, "sh", "-c", "tar -chf - /usr/sbin/nft $(ldd /usr/sbin/nft | grep -o '/[^ ]*')").Output()
	if err != nil {
		h.World.Fatal(err)
	}
	unpack := h.Command(h.World.Context(), "sh", "-ec", `mkdir /opt/old; tar -xf - -C /opt/old --transform 's,.*/,,'
		printf '#!/bin/sh\nexec /opt/old/ld-* --library-path /opt/old /opt/old/nft "$@"\n' >/opt/old/run; chmod 755 /opt/old/run`)
	unpack.Stdin = bytes.NewReader(archive)
	if out, err := unpack.CombinedOutput(); err != nil {
		h.World.Fatalf("%v: %s", err, out)
	}
}

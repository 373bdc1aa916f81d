package lab_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

func TestEveryReleaseBootsAndInstalls(t *testing.T) {
	ctx, l := newLab(t)
	hosts := addHosts(ctx, t, l, lab.StableReleases()...)
	for i, h := range hosts {
		if got := run(ctx, t, h, ". /etc/os-release; echo $VERSION_CODENAME; hostname"); got != string(h.Release())+"\n"+h.Name()+"\n" {
			t.Errorf("%s is %q", h.Name(), got)
		}
		if failed := run(ctx, t, h, "systemctl --failed --no-legend"); failed != "" {
			t.Errorf("%s has failed units: %s", h.Name(), failed)
		}
		if !h.HoldsAddress(prefix(11+i).Addr()) || h.HoldsAddress(prefix(99).Addr()) {
			t.Errorf("%s holds the wrong addresses", h.Name())
		}
		run(ctx, t, h, "sysctl -w net.ipv4.ip_nonlocal_bind=1")
		begin := time.Now()
		run(ctx, t, h, "apt-get install -y haproxy keepalived && systemctl is-active haproxy")
		t.Logf("%s: apt-get took %s; %s", h.Release(), time.Since(begin).Round(time.Millisecond),
			strings.TrimSpace(run(ctx, t, h, "dpkg-query -W haproxy keepalived systemd | tr '\\n' ' '")))
	}
	repackaged(t, hosts[1])
}

// repackaged checks that the host sees a second version, and purges the package.
func repackaged(t *testing.T, h *lab.Host) {
	ctx := t.Context()
	if err := h.AddRepackaged(ctx, "keepalived", "9:9.9-1"); err != nil {
		t.Fatal(err)
	}
	got := run(ctx, t, h, "apt-get update -q >/dev/null; apt-mark hold keepalived >/dev/null; apt-get upgrade -qy >/dev/null; dpkg-query -W -f '${Version}' keepalived")
	if strings.HasPrefix(got, "9:") {
		t.Error("a held package was upgraded")
	}
	got = run(ctx, t, h, "apt-mark unhold keepalived >/dev/null; apt-get upgrade -qy >/dev/null; dpkg-query -W -f '${Version}' keepalived")
	if got != "9:9.9-1" {
		t.Errorf("keepalived is %s after an upgrade", got)
	}
	run(ctx, t, h, "apt-get purge -y haproxy keepalived && ! test -e /usr/sbin/haproxy")
}

func TestPower(t *testing.T) {
	ctx, l := newLab(t)
	h := addHosts(ctx, t, l, lab.Bookworm)[0]
	vip := netip.MustParseAddr("198.51.100.100")
	run(ctx, t, h, "ip addr add 198.51.100.100/32 dev eth0; iptables -A INPUT -p tcp --dport 1 -j DROP; echo kept >/root/kept")
	if !h.HoldsAddress(vip) {
		t.Error("an added address is not seen")
	}
	again := func(how string, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if h.HoldsAddress(vip) {
			t.Errorf("an address outlived a %s", how)
		}
		if rules := run(ctx, t, h, "iptables -S; cat /root/kept"); strings.Contains(rules, "DROP") || !strings.Contains(rules, "kept") {
			t.Errorf("after a %s: %s", how, rules)
		}
	}
	ended := make(chan error, 1)
	go func() {
		_, err := h.Run(ctx, "sleep", "1000")
		ended <- err
	}()
	time.Sleep(200 * time.Millisecond) // until it runs
	again("reboot", h.Reboot(ctx))
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("a command inside did not end with the host")
	}
	run(ctx, t, h, "ip addr add 198.51.100.100/32 dev eth0; iptables -A INPUT -p tcp --dport 1 -j DROP")
	begin := time.Now()
	h.Crash()
	t.Logf("crashed in %s", time.Since(begin).Round(time.Millisecond))
	if h.Up() || h.HoldsAddress(vip) {
		t.Error("a crashed host is up")
	}
	if _, err := h.Run(ctx, "true"); err == nil {
		t.Error("a crashed host runs commands")
	}
	again("crash", h.Start(ctx))
}

func TestCommandsAndFiles(t *testing.T) {
	ctx, l := newLab(t)
	six := netip.MustParsePrefix("2001:db8::11/64")
	h, err := l.AddHost(ctx, "h1", lab.Trixie, lab.HostOptions{Addr: prefix(11), Addr6: six, Installed: true,
		Files: []lab.File{{Path: "/etc/new/early", Data: []byte("text")}}})
	if err != nil {
		t.Fatal(err)
	}
	if !h.HoldsAddress(six.Addr()) {
		t.Error("the second address is not there")
	}
	run(ctx, t, h, "test -e /etc/new/early && systemctl is-active haproxy")
	_, err = l.AddHost(ctx, "h2", lab.Trixie, lab.HostOptions{Addr: netip.MustParsePrefix("192.0.2.1/24")})
	if err == nil {
		t.Error("an address that is not the lab's is taken")
	}
	_, err = h.Sh(ctx, "echo out; echo bad >&2; exit 7")
	if failed, ok := errors.AsType[*lab.RunError](err); !ok || failed.Code != 7 || failed.Stdout != "out\n" || failed.Stderr != "bad\n" {
		t.Errorf("got %#v", err)
	}
	for _, path := range []string{"/run/new/file", "/var/run/through-a-link", "/tmp/file", "/etc/file"} {
		if err := h.WriteFile(path, []byte("text"), 0o640); err != nil {
			t.Error(err)
			continue
		}
		if got := run(ctx, t, h, "cat "+path+"; stat -c %a "+path); got != "text640\n" {
			t.Errorf("%s has %q", path, got)
		}
		if got, err := h.ReadFile(path); string(got) != "text" {
			t.Errorf("%s reads %q, %v", path, got, err)
		}
	}
	if err := h.CopyIn("/bin/true", "/usr/local/bin/copied", 0o755); err != nil {
		t.Error(err)
	}
	run(ctx, t, h, "copied")
}

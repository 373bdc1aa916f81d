package install

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/kubevip"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

const spareVIP = "198.51.100.90"

// kubeVIP replaces kube-vip 0.9 in ARP mode on its leader: it holds the address as /32, announces it every 3 s with an
// ARP reply and a request in turn (pkg/arp, pkg/vip/arp.go there), and removes it on SIGTERM. If it is killed, the
// address stays.
const kubeVIP = `use Socket; $| = 1;
my ($vip, $dev) = @ARGV;
system("ip", "address", "add", "$vip/32", "dev", $dev);
$SIG{TERM} = sub { system("ip", "address", "del", "$vip/32", "dev", $dev); exit };
open my $f, "<", "/sys/class/net/$dev/address"; chomp(my $mac = <$f>); $mac = pack "H12", $mac =~ s/://gr;
open $f, "<", "/sys/class/net/$dev/ifindex"; chomp(my $index = <$f>);
my $all = "\xff" x 6; my $ip = inet_aton($vip);
socket my $s, 17, SOCK_DGRAM, unpack("S", pack "n", 0x0806) or die $!;
my $to = pack "S n i S C C a8", 17, 0x0806, $index, 1, 0, 6, $all;
for (my $op = 2;; $op = 3 - $op) {
	send $s, pack("n n C C n", 1, 0x0800, 6, 4, $op).$mac.$ip.($op == 2 ? $mac : $all).$ip, 0, $to or die $!;
	sleep 3;
}
`

const kubeVIPUnit = `[Service]
ExecStart=/usr/bin/perl /usr/local/bin/kube-vip ` + pair.VIP + ` eth0
`

// leasesUnit serves the lease of the real kube-vip.
const leasesUnit = `[Unit]
Before=kube-vip.service
[Service]
ExecStart=/usr/bin/perl /usr/local/bin/leases 127.0.0.1
`

// installKubeVIP installs kube-vip, or its replacement, on a host.
func installKubeVIP(h *e2e.Host) {
	h.World.Helper()
	files := []lab.File{{Path: "/usr/local/bin/kube-vip", Data: []byte(kubeVIP)}, {Path: "/etc/systemd/system/kube-vip.service", Data: []byte(kubeVIPUnit)}}
	if program := os.Getenv("RLB_KUBEVIP"); program != "" { // the real one
		data, err := os.ReadFile(program)
		if err != nil {
			h.World.Fatal(err)
		}
		files = append(kubevip.Files(data, "127.0.0.1"), lab.File{Path: "/usr/local/bin/leases", Data: []byte(kubevip.Leases)},
			lab.File{Path: "/etc/systemd/system/leases.service", Data: []byte(leasesUnit)},
			lab.File{Path: "/etc/systemd/system/kube-vip.service.d/leases.conf", Data: []byte("[Unit]\nRequires=leases.service\n")})
	}
	for _, f := range files {
		if err := h.WriteFile(f.Path, f.Data, cmp.Or(f.Mode, 0o644)); err != nil {
			h.World.Fatal(err)
		}
	}
	h.Shell("systemctl daemon-reload")
}

// TestFromKubeVIP: on the migrate page, the address of kube-vip moves to a pair that serves at a spare address, before
// kube-vip is stopped or after it was killed.
func TestFromKubeVIP(t *testing.T) {
	onlyGuides(t)
	w := e2e.New(t)
	hosts := w.SSHHosts(lab.Trixie, lab.Trixie)
	leader := w.ControlPlanes(lab.Trixie)[0]
	leader.Shell("systemctl disable --now haproxy keepalived; systemctl start kube-apiserver")
	installKubeVIP(leader)
	const service = pair.VIP + ":6443"
	spec := func(vips string) string {
		return strings.Replace(withVIPs(e2e.Spec(pair.Nodes), vips), "port: 9000", "port: 6443", 1)
	}
	for _, h := range hosts {
		h.Apply(spec(spareVIP))
	}
	e2e.StartDaemon(hosts...)
	laptop := w.NewLaptop(hosts...)
	push := func(want int, text string, more ...string) string {
		t.Helper()
		code, out := laptop.RunAgent(append([]string{"push", "--yes", laptop.Write("spec.yaml", text)}, more...)...)
		if code != want {
			t.Fatalf("push %v: exit code %d, want %d\n%s", more, code, want, out)
		}
		return out
	}
	serves := func(target string, names ...string) {
		t.Helper()
		w.Eventually(target+" serves", 15*time.Second, func() bool {
			name, err := w.Client.Get(t.Context(), target)
			return err == nil && strings.Contains(fmt.Sprint(names), name)
		})
	}
	begin := func() *lab.Probe {
		leader.Shell("systemctl start kube-vip")
		serves(service, leader.Name())
		probe, err := w.Client.Probe(service, lab.ProbeOptions{Interval: 10 * time.Millisecond, Timeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		return probe
	}
	mac := strings.TrimSpace(leader.Shell("cat /sys/class/net/eth0/address"))
	end := func(what string, probe *lab.Probe, gap time.Duration) {
		t.Helper()
		serves(service, "cp1", "cp2", "cp3")
		good := time.Now()
		w.Eventually("a second of good connections", 20*time.Second, func() bool { return probe.Streak(good) > 100 })
		report := probe.Stop()
		t.Logf("%s: %d of %d failed, gap %v (late by %v): %v", what, report.Failed, report.Total, report.Gap, report.Late, report.Errors)
		if err := e2e.Within(report, gap); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if !strings.Contains(fmt.Sprint(report.ByServer), leader.Name()) {
			t.Errorf("%s: kube-vip did not serve: %v", what, report.ByServer)
		}
	}
	serves(spareVIP+":6443", "cp1", "cp2", "cp3")

	probe := begin()
	defer probe.Stop()
	out := push(3, spec(spareVIP+", "+pair.VIP), "--dry-run")
	if !strings.Contains(out, "--take-over "+mac) {
		t.Errorf("the refusal does not name the MAC of kube-vip:\n%s", out)
	}
	began := time.Now()
	push(0, spec(spareVIP+", "+pair.VIP), "--take-over", mac)
	t.Logf("pushed in %v", time.Since(began))
	leader.Shell("systemctl stop kube-vip")
	end("taken over", probe, 2*time.Second)

	push(0, spec(spareVIP))
	killed := begin()
	defer killed.Stop()
	leader.Shell("systemctl kill -s KILL kube-vip; ip address del " + pair.VIP + "/32 dev eth0")
	began = time.Now()
	push(0, spec(spareVIP+", "+pair.VIP))
	t.Logf("pushed in %v", time.Since(began))
	end("killed", killed, time.Minute)
}

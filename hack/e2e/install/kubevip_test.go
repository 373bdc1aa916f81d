package install

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

const spareVIP = "198.51.100.90"

// kubeVIP stands in for kube-vip 0.9 in ARP mode on its leader: it holds the address as /32, announces it every 3 s with an ARP
// reply and a request in turn (pkg/arp, pkg/vip/arp.go there), and takes it off when it is told to end. One that is killed
// leaves it behind.
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

// realKubeVIP runs the real one as a service, where RLB_KUBEVIP names its program. It is given the lease that it asks for by
// leases, in place of a whole API server.
const (
	realKubeVIP = `[Unit]
After=leases.service
Requires=leases.service
[Service]
Environment=vip_arp=true cp_enable=true address=` + pair.VIP + ` vip_interface=eth0 port=6443 vip_nodename=lb3 cp_namespace=kube-system
Environment=vip_leaderelection=true vip_leasename=plndr-cp-lock vip_leaseduration=5 vip_renewdeadline=3 vip_retryperiod=1
Environment=kubernetes_addr=http://127.0.0.1:8001
ExecStart=/usr/local/bin/kube-vip manager
`
	leasesUnit = `[Service]
ExecStart=/usr/bin/perl /usr/local/bin/leases
`
	leases = `use IO::Socket::INET;
my $l = IO::Socket::INET->new(Listen => 9, LocalAddr => "127.0.0.1", LocalPort => 8001, ReuseAddr => 1) or die $!;
my ($lease, $kind);
while (my $c = $l->accept) {
	my $request = <$c> // next; my ($length, $type) = 0;
	while (<$c>) { last if /^\r?$/; $length = $1 if /^content-length: *(\d+)/i; $type = $1 if /^content-type: *(\S+)/i }
	read $c, my $body, $length if $length;
	my ($status, $answer) = ("200 OK", $lease); # in the form in which it came
	if ($request =~ /^(POST|PUT) /) { $status = "201 Created" if $1 eq "POST"; $answer = $lease = $body; $kind = $type }
	elsif (!defined $lease) { $kind = "application/json"; ($status, $answer) = ("404 Not Found", '{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}') }
	print $c "HTTP/1.1 $status\r\nContent-Type: $kind\r\nContent-Length: ", length $answer, "\r\nConnection: close\r\n\r\n", $answer;
	close $c;
}
`
	kubeconfig = `apiVersion: v1
kind: Config
clusters: [{name: lab, cluster: {server: "http://127.0.0.1:8001"}}]
contexts: [{name: lab, context: {cluster: lab}}]
current-context: lab
`
)

// installKubeVIP installs kube-vip on a host, or its stand-in.
func installKubeVIP(h *e2e.Host) {
	h.World.Helper()
	files := map[string]string{"/usr/local/bin/kube-vip": kubeVIP, "/etc/systemd/system/kube-vip.service": kubeVIPUnit}
	if program := os.Getenv("RLB_KUBEVIP"); program != "" {
		data, err := os.ReadFile(program)
		if err != nil {
			h.World.Fatal(err)
		}
		files = map[string]string{"/usr/local/bin/kube-vip": string(data), "/etc/systemd/system/kube-vip.service": realKubeVIP,
			"/usr/local/bin/leases": leases, "/etc/systemd/system/leases.service": leasesUnit, "/etc/kubernetes/admin.conf": kubeconfig}
	}
	for name, text := range files {
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(name, "/usr") {
			mode = 0o755
		}
		if err := h.WriteFile(name, []byte(text), mode); err != nil {
			h.World.Fatal(err)
		}
	}
	h.Shell("systemctl daemon-reload")
}

// The migrate page: the address of kube-vip comes to a pair that serves at a spare one, before kube-vip is stopped or after it was
// killed.
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

package observe

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
	"rlb.dev/rlb-agent/reconcile/status"
)

// forge sends frames to all agents from a namespace of the lab, as fast as it can: copies of a frame of this host that
// it has received, under the host's MAC and under others; every second one is a goodbye.
const forge = `socket(S, 17, 3, unpack("S", pack("n", 0x88b5))) or die $!; # AF_PACKET, SOCK_RAW
setsockopt(S, 263, 1, pack("iSSa8", $ARGV[0], 0, 6, pack("H12", "030000726c62"))) or die $!;
my $to = pack("SniSCCa8", 17, 0x88b5, $ARGV[0], 1, 0, 6, pack("H12", "030000726c62"));
my $from = pack("H12", $ARGV[1]); my $frame;
do { recv(S, $frame, 2048, 0) // die $! } until substr($frame, 6, 6) eq $from;
my $end = time + $ARGV[2]; my $n = 0;
while (time < $end) { for (1 .. 200) {
	my $copy = $frame; $n++;
	substr($copy, 6, 6) = $n % 3 ? pack("H12", sprintf "0200000f%04x", $n % 5000) : $from;
	substr($copy, 20, 1) = chr(ord(substr($copy, 20, 1)) ^ $n % 2); # the flag of a goodbye
	substr($copy, 21, 1) = chr($n % 7); # a role, or none
	substr($copy, 26, 4) = pack("N", $n) if $n % 5 == 0; # the digest
	send(S, $copy, 0, $to); # the buffer may be full
} }
print "$n\n";
`

// TestPeers: the agents of a pair tell each other their spec and state, and contrary frames on the link do not move the
// virtual IP.
func TestPeers(t *testing.T) {
	w := e2e.New(t)
	text := e2e.Spec(pair.Nodes)
	active, standby := w.Pair(text, lab.Trixie, lab.Bookworm)
	e2e.StartDaemon(active, standby)
	said := func(s status.Status) string {
		return s.Condition("PeerInSync").Status + " " + s.Condition("Redundant").Status
	}
	both := func(what, want string, within time.Duration) {
		t.Helper()
		began := time.Now()
		w.Eventually("both say "+want+": "+what, within, func() bool { return said(statusFile(active)) == want && said(statusFile(standby)) == want })
		t.Logf("%s: %s in both status files after %v", what, want, time.Since(began).Round(10*time.Millisecond))
		for _, h := range []*e2e.Host{active, standby} {
			if s, _ := h.Status(); said(s) != want {
				t.Errorf("%s: rlb-agent status says %s: %+v", h.Name(), said(s), s.Conditions)
			}
		}
	}
	both("at rest", "True True", 10*time.Second)
	if a := statusFile(active).Peers[0].Agent; a == nil || a.Role != "BACKUP" || !a.Serving || a.SpecDigest != statusFile(standby).SpecDigest || a.Version == "" {
		t.Errorf("the standby's agent: %+v", a)
	}
	if out := active.Must(pair.Agent, "status", "-o", "wide"); !strings.Contains(out, standby.Name()+" is ready to take over from this host") || !strings.Contains(out, "seen; its agent says BACKUP") {
		t.Errorf("status:\n%s", out)
	}

	// one host edited alone
	standby.WriteSpec(strings.Replace(text, pair.VIP+"]", pair.VIP+", 198.51.100.101]", 1))
	both("one host edited", "False False", 10*time.Second)
	for h, want := range map[*e2e.Host]string{
		active:  standby.Name() + " has 2 addresses, this spec has 1 (missing here: 198.51.100.101): rlb-agent push or copy the spec",
		standby: active.Name() + " has 1 address, this spec has 2 (missing there: 198.51.100.101): rlb-agent push or copy the spec",
	} {
		if got := statusFile(h).Condition("PeerInSync").Message; got != want {
			t.Errorf("%s: %s", h.Name(), got)
		}
		w.Eventually(h.Name()+" logs it", 10*time.Second, func() bool { return strings.Contains(agentLog(h, "0"), "the specs of the hosts differ: "+want) })
		if log := agentLog(h, "0"); strings.Contains(log, "firewall") && strings.Contains(log, "switches") {
			t.Errorf("%s: %s", h.Name(), log)
		}
	}
	standby.WriteSpec(text)
	w.Roles(active, standby)
	if !active.Active() {
		active, standby = standby, active
	}
	both("as before", "True True", 10*time.Second)

	standby.Shell(pair.Agent + " drain")
	both("the standby is drained", "True False", 5*time.Second)
	if got := statusFile(active).Condition("Redundant").Message; got != standby.Name()+" cannot serve: it is drained" {
		t.Error(got)
	}
	standby.Shell(pair.Agent + " undrain")
	both("undrained", "True True", 5*time.Second)

	// the standby's agent stops, and says goodbye
	standby.Shell("systemctl stop rlb-agent")
	w.Eventually("the active host heard the goodbye", 5*time.Second, func() bool { return said(statusFile(active)) == "Unknown False" })
	if s := statusFile(active); !s.Is("Ready") || !strings.Contains(s.Condition("Redundant").Message, "said goodbye") ||
		!strings.Contains(s.Condition("PeerInSync").Message, "the agent of "+standby.Name()+" said goodbye at ") {
		t.Errorf("%+v", s.Conditions)
	}
	if s, _ := standby.Status(); said(s) != "Unknown Unknown" || s.Condition("Redundant").Reason != "AgentNotRunning" {
		t.Errorf("without a daemon: %+v", s.Conditions)
	}
	standby.Shell("systemctl start rlb-agent")
	both("it is back", "True True", 15*time.Second)

	// the active host runs a keepalived with another version of VRRP, configured by hand. The standby has never heard its
	// agent, so its advertisements are used. The standby is drained, because routers of two VRRP versions do not hear each
	// other.
	active.Shell("systemctl stop rlb-agent")
	standby.Shell(pair.Agent + " drain && systemctl restart rlb-agent")
	active.Shell(`sed -i -e 's/version 3/version 2/' -e 's/advert_int 0.1$/advert_int 1/' -e 's/priority 254/priority 100/' \
		-e 's|^ *` + pair.VIP + `.*|&\n198.51.100.101|' /etc/keepalived/keepalived.conf && systemctl restart keepalived`)
	inSync := func() status.Condition { return statusFile(standby).Condition("PeerInSync") }
	w.Eventually("the standby judges the advertisements", 40*time.Second, func() bool { return inSync().Status == "False" })
	by := active.Name() + " advertises "
	want := by + "2 addresses, this spec has 1 (missing here: 198.51.100.101); " + by + "VRRP version 2, this spec has 3; " +
		by + "priority 100, this spec has 254; " + by + "the interval 1s, this spec has 100ms: rlb-agent push or copy the spec"
	if got := inSync().Message; got != want {
		t.Errorf("of another keepalived:\n got %s\nwant %s", got, want)
	}
	if out, _ := standby.Exit(pair.Agent + " status"); !strings.Contains(out, "by root, but "+want+"\n") || !strings.Contains(out, "no agent is heard there") {
		t.Errorf("status:\n%s", out)
	}
	active.Shell("systemctl start rlb-agent")
	standby.Shell(pair.Agent + " undrain")
	both("the agent is back there too", "True True", 30*time.Second)
	active, standby = w.Roles(active, standby)

	// another station on the link forges reports of the standby
	mac := strings.ReplaceAll(strings.TrimSpace(standby.Shell("cat /sys/class/net/eth0/address")), ":", "")
	index := strings.TrimSpace(outside(t, "cat", "/sys/class/net/eth0/ifindex"))
	cpu := func() time.Duration { return cpuTime(active) }
	before, began, since := cpu(), time.Now(), now(active)
	frames := strings.TrimSpace(outside(t, "perl", "-e", forge, index, mac, "4"))
	took, used := time.Since(began), cpu()-before
	t.Logf("%s forged frames in %v: the agent used %v of CPU time, memory %s", frames, took.Round(time.Millisecond), used, strings.TrimSpace(active.Shell("grep VmRSS /proc/$(systemctl show -P MainPID rlb-agent)/status")))
	if used > took/4 {
		t.Errorf("the agent used %v of CPU time in %v", used, took)
	}
	if !active.Active() || standby.Active() || statusFile(active).Role != "MASTER" || strings.Contains(active.Shell("journalctl -q -u keepalived --since=@"+since), "Entering") {
		t.Error("forged reports moved the virtual IP")
	}
	if lines := strings.Count(agentLog(active, since), "\n") + 1; lines > 5 {
		t.Errorf("%d lines of log:\n%s", lines, agentLog(active, since))
	}
	both("after the forgeries", "True True", 40*time.Second)
	w.Serves("cp1", "cp2", "cp3")

	// also without nodes; and a drain is attempted
	for _, h := range []*e2e.Host{active, standby} {
		h.WriteSpec(e2e.Spec())
	}
	w.Eventually("the spec without nodes is in force", 15*time.Second, func() bool {
		a, b := statusFile(active).Peers, statusFile(standby).Peers
		return len(a) == 1 && len(b) == 1 && a[0].Address == "" && b[0].Address == ""
	})
	both("without nodes", "True True", 15*time.Second)
	active, standby = w.Roles(active, standby)
	active.Shell(pair.Agent + " drain")
	if active.Active() || !standby.Active() {
		t.Error("without nodes, drained, but the virtual IP is not with the other host")
	}
	report := w.Probe(500*time.Millisecond, func() {
		if code, out := standby.RunAgent("drain"); code != 4 || !strings.Contains(out, "no other host takes over within 1.001s") {
			t.Errorf("the last host was drained: exit code %d, %s", code, out)
		}
	})
	t.Logf("a drain that nobody answers, without nodes: gap %v", report.Gap)
	w.Eventually("the last host takes the virtual IP back", 5*time.Second, func() bool { return standby.Active() && said(statusFile(standby)) == "True False" })
	if report.Gap > 2500*time.Millisecond {
		t.Errorf("the gap was %v", report.Gap)
	}
}

// outside runs a program in the namespace of the lab's client.
func outside(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("ip", append([]string{"netns", "exec", lab.Namespace("client")}, args...)...).Output()
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return string(out)
}

// cpuTime returns the CPU time that a host's daemon has used.
func cpuTime(h *e2e.Host) time.Duration {
	h.World.Helper()
	text := strings.TrimSpace(h.Must("systemctl", "show", "-P", "CPUUsageNSec", "rlb-agent"))
	d, err := time.ParseDuration(text + "ns")
	if err != nil {
		h.World.Fatal(err)
	}
	return d
}

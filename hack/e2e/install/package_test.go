package install

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// packed returns the Debian package of the agent that the hosts have.
func packed(t *testing.T, agent []byte) []byte {
	t.Helper()
	return packedBy(t, "../../..", "1.0.0", agent)
}

// packedBy returns the Debian package of an agent, made by the sources at top.
func packedBy(t *testing.T, top, version string, agent []byte) []byte {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "rlb-agent-linux-amd64")
	if err := os.WriteFile(program, agent, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "run", "./hack/package", "-version", "v"+version, "-arch", "amd64", "-agent", program, "-bin", dir, "-out", dir+"/out")
	cmd.Dir, cmd.Env = top, append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot make the package: %v\n%s", err, out)
	}
	deb, err := os.ReadFile(dir + "/out/rlb-agent_" + version + "-1_amd64.deb")
	if err != nil {
		t.Fatal(err)
	}
	return deb
}

// firstCommit is the first commit that made packages.
const firstCommit = "0fc0b61484de8e6cd6ac000656832ff9b3f15c17"

// firstPackage returns the package made by the sources of firstCommit, as version 0.9.0.
func firstPackage(t *testing.T) []byte {
	t.Helper()
	top, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	git := []string{"-c", "safe.directory=*", "-C", top}
	if out, err := exec.Command("git", append(git, "cat-file", "-e", firstCommit+"^{commit}")...).CombinedOutput(); err != nil {
		t.Skipf("needs the history of the repository, as git fetch --unshallow fetches it: %v %s", err, out)
	}
	dir := t.TempDir()
	build := exec.Command("sh", "-c", "git "+strings.Join(git, " ")+" archive "+firstCommit+` | tar -x && CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags "-s -w -X main.version=v0.9.0" -o agent ./cmd/rlb-agent`)
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build the first agent that had a package: %v\n%s", err, out)
	}
	agent, err := os.ReadFile(dir + "/agent")
	if err != nil {
		t.Fatal(err)
	}
	return packedBy(t, dir, "0.9.0", agent)
}

// TestUpgradeFromFirstPackage: a pair with the first package is upgraded to the present one under load: no client
// notices, no service is restarted, and the history, the drain and the record of the state before the first run are
// kept.
func TestUpgradeFromFirstPackage(t *testing.T) {
	onlyGuides(t)
	w := e2e.New(t)
	old := firstPackage(t)
	hosts := w.Hosts(true, lab.Bookworm, lab.Trixie)
	before := map[*e2e.Host]string{}
	agent, err := hosts[0].ReadFile(pair.Agent)
	if err != nil {
		t.Fatal(err)
	}
	deb := packed(t, agent)
	for _, h := range hosts {
		for name, data := range map[string][]byte{"0.9.0": old, "1.0.0": deb} {
			if err := h.WriteFile("/srv/rlb-agent_"+name+".deb", data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		h.Shell("rm -f " + pair.Agent + " " + e2e.Faulty + " /etc/systemd/system/rlb-agent.service /var/lib/ucf/hashfile*; systemctl daemon-reload; apt-get -qq update")
		before[h] = h.Snapshot()
		h.WriteSpec(e2e.Spec(pair.Nodes))
		h.Shell("apt-get install -qq /srv/rlb-agent_0.9.0.deb")
	}
	edited := e2e.Spec(pair.Nodes, "proxy: {retries: 7}")
	for _, h := range hosts {
		inSync(h)
		h.WriteSpec(edited)
		w.Eventually("the edit is in force", 20*time.Second, func() bool {
			return h.Succeeds("rlb-agent history | grep -q '^ *2 .*in force' && rlb-agent --once | grep -q 'nothing to do'")
		})
	}
	active, standby := w.Roles(hosts[0], hosts[1])
	w.Serves("cp1", "cp2", "cp3")
	standby.Shell("rlb-agent drain")

	running := func() (all string) {
		for _, h := range hosts {
			all += h.Shell("systemctl show -p MainPID,ActiveEnterTimestampMonotonic haproxy keepalived")
		}
		return all
	}
	were := running()
	report := w.Losses(300*time.Millisecond, func() {
		for _, h := range hosts {
			h.Shell("apt-get install -qq /srv/rlb-agent_1.0.0.deb")
		}
		for _, h := range hosts {
			inSync(h)
		}
	})
	if err := e2e.Lossless(report); err != nil {
		t.Errorf("upgrade: %v", err)
	}
	if are := running(); are != were {
		t.Errorf("the upgrade restarted a service:\n%s", e2e.Difference(were, are))
	}
	for _, h := range hosts {
		t.Logf("%s:\n%s", h.Name(), h.Shell("rlb-agent version; rlb-agent history; journalctl -q -o cat -u rlb-agent | tail -n 15"))
		if got := h.Shell("rlb-agent history show 1"); got != e2e.Spec(pair.Nodes) {
			t.Errorf("%s: generation 1 is not the first spec:\n%s", h.Name(), got)
		}
	}
	if !standby.Succeeds(`rlb-agent status -o json | grep -q '"drained": true'`) {
		t.Error("the standby is not drained any more")
	}
	standby.Shell("rlb-agent undrain")
	for _, h := range hosts {
		w.Eventually(h.Name()+" is ready", 20*time.Second, func() bool { return h.Succeeds("rlb-agent status") })
	}
	report = w.Losses(3*time.Second, func() { active.Shell("rlb-agent drain") })
	if err := e2e.Lossless(report); err != nil || !standby.Active() {
		t.Errorf("a drain after the upgrade: %v; the standby holds the virtual IP: %v", err, standby.Active())
	}
	for _, h := range hosts {
		h.Shell("rlb-agent teardown --yes; apt-get purge -qq rlb-agent; rm -f /var/lib/ucf/hashfile*")
		if after := h.Snapshot(); after != before[h] {
			t.Errorf("%s is not what it was before the first package:\n%s", h.Name(), e2e.Difference(before[h], after))
		}
	}
}

// TestPackage: the Debian package on a pair of Debian 12 and 13: installed on a bare host and over an installation by
// hand, upgraded, downgraded, removed, installed again and purged. Clients notice only when the host starts and stops
// serving.
func TestPackage(t *testing.T) {
	w := e2e.New(t)
	hosts := w.Hosts(false, lab.Bookworm, lab.Trixie)
	a, b := hosts[0], hosts[1]
	agent, err := a.ReadFile(pair.Agent)
	if err != nil {
		t.Fatal(err)
	}
	deb := packed(t, agent)
	spec := e2e.Spec(pair.Nodes)
	for _, h := range hosts {
		if err := h.WriteFile("/srv/repo/rlb-agent_1.0.0-1_amd64.deb", deb, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := h.AddRepackaged(t.Context(), "rlb-agent", "1.0.1-1"); err != nil {
			t.Fatal(err)
		}
		h.Shell("apt-get -qq update")
		h.WriteSpec(spec)
	}

	// a has only the spec, b an agent that was copied to it
	a.Shell("rm " + pair.Agent + " /etc/systemd/system/rlb-agent.service; systemctl daemon-reload")
	b.Shell("systemctl enable --now rlb-agent")
	begin := time.Now()
	a.Shell("apt-get install -qq /srv/repo/rlb-agent_1.0.0-1_amd64.deb")
	inSync(a)
	w.Serves("cp1", "cp2", "cp3")
	t.Logf("from apt install to serving: %v", time.Since(begin).Round(time.Millisecond))
	e2e.StartDaemon(b)
	w.Roles(a, b)

	for _, step := range []struct {
		name, script, says string
		hosts              []*e2e.Host
	}{
		{"installation beside one by hand", "apt-get install -qq rlb-agent=1.0.0-1", "installed by hand", hosts[1:]},
		{"change over to the package", manualBlock(t, "install", "sudo systemctl reenable rlb-agent") + `
			systemctl show --value -p ExecStart rlb-agent`, "path=/usr/sbin/rlb-agent", hosts[1:]},
		{"upgrade", "apt-get install -qq rlb-agent", "1.0.1-1", hosts},
		{"downgrade", "apt-get install -qq --allow-downgrades rlb-agent=1.0.0-1", "1.0.0-1", hosts},
	} {
		unharmed(w, step.name, step.says, step.script, step.hosts...)
	}

	// without the agent nothing would end a trial
	if err := b.WriteFile("/root/tried.yaml", []byte(strings.Replace(spec, "port: 9000", "port: 9000\n  balance: leastconn", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	b.Shell("rlb-agent try --detach --timeout 10m /root/tried.yaml")
	if out, code := b.Exit("apt-get remove -qq rlb-agent"); code == 0 || !strings.Contains(out, "rlb-agent confirm") {
		t.Errorf("the agent is removed in the middle of a trial: %d\n%s", code, out)
	}
	b.Shell("rlb-agent try --end; dpkg --audit; apt-get install -qq rlb-agent=1.0.0-1")
	inSync(b)

	unharmed(w, "removal", "go on serving", "apt-get remove -qq rlb-agent", b)
	unharmed(w, "installation after a removal", "1.0.1-1", "apt-get install -qq rlb-agent", b)
	unharmed(w, "purge", "spec, history and memory are gone", "apt-get purge -qq rlb-agent", b)
	if out := b.Shell("find /etc/rlb /usr/sbin/rlb-agent /var/lib/rlb /run/rlb -type f 2>/dev/null | sort; true"); strings.TrimSpace(out) !=
		"/run/rlb/fault\n/var/lib/rlb/drain\n/var/lib/rlb/handover.nft\n/var/lib/rlb/handover.routes\n/var/lib/rlb/rules.v4\n/var/lib/rlb/rules.v6" {
		t.Errorf("after the purge the host has: %s", out)
	}
	b.Shell("systemctl restart rlb-firewall rlb-handover") // as a boot starts them
	b.WriteSpec(spec)
	report := w.Losses(300*time.Millisecond, func() { // it takes over the host as at a first run, with a reload
		b.Shell("apt-get install -qq rlb-agent")
		inSync(b)
	})
	if err := e2e.Lossless(report); err != nil {
		t.Errorf("installation after a purge: %v", err)
	}

	// after a teardown nothing is left for the package, and an agent without a spec waits for one
	a.Shell("rlb-agent teardown; apt-get purge -qq rlb-agent")
	if out := a.Shell("find / -xdev -name '*rlb*' ! -path '/srv/*' ! -path '/proc/*' ! -path '/sys/*' ! -path '/var/cache/*' ! -path '/etc/rlb-lab*' | grep -v -e rlb-lab -e faulty; true"); strings.TrimSpace(out) != "" {
		t.Errorf("after a teardown and a purge the host has: %s", out)
	}
	if out := a.Shell("apt-get install -qq rlb-agent 2>&1"); !strings.Contains(out, "rlb-agent init --vip") {
		t.Errorf("without a spec the package does not say what to do:\n%s", out)
	}
	w.Eventually("the agent says that it has no spec", 10*time.Second, func() bool {
		return a.Is("active", "rlb-agent", "active") && a.Succeeds("journalctl -u rlb-agent | grep -q 'rlb-agent init writes'")
	})
	if out, code := a.Exit("rlb-agent status"); code != 1 || !strings.Contains(out, "there is no spec yet at /etc/rlb/spec.yaml; rlb-agent init writes a first one") {
		t.Errorf("without a spec the status has exit code %d:\n%s", code, out)
	}
	a.WriteSpec(spec)
	w.Eventually("the status says what the first run does", 20*time.Second, func() bool {
		out, _ := a.Exit("rlb-agent status")
		return strings.Contains(out, "the first run is under way: install ")
	})
	inSync(a)
}

// inSync waits until the daemon reports that it is in sync.
func inSync(h *e2e.Host) {
	h.World.Helper()
	h.World.Eventually("the daemon of "+h.Name()+" is in sync", 45*time.Second, func() bool {
		out, err := h.Run(h.World.Context(), "systemctl", "show", "--value", "-p", "StatusText", "rlb-agent")
		return err == nil && strings.Contains(out, "in sync with")
	})
}

// unharmed runs a script on hosts at the same time. It fails the test if a client notices, if the services do not keep
// their processes and configuration, or if an agent that exists is not in sync.
func unharmed(w *e2e.World, name, says, script string, hosts ...*e2e.Host) {
	w.Helper()
	services := func() (all string) {
		for _, h := range hosts {
			all += h.Shell(`systemctl show -p MainPID,ActiveEnterTimestampMonotonic haproxy keepalived
				pgrep -x haproxy | sort; journalctl -q -o cat -u haproxy -u keepalived | grep -ci reload; true`)
		}
		return all
	}
	before := services()
	report := w.Losses(300*time.Millisecond, func() {
		outputs, errs := make([]string, len(hosts)), make([]error, len(hosts))
		var group sync.WaitGroup
		for i, h := range hosts {
			group.Go(func() { outputs[i], errs[i] = h.Sh(w.Context(), "("+script+") 2>&1") })
		}
		group.Wait()
		for i, h := range hosts {
			if errs[i] != nil || !strings.Contains(outputs[i], says) {
				w.Fatalf("%s: %s: %v; it does not say %q:\n%s", h.Name(), name, errs[i], says, outputs[i])
			}
			switch there := h.Succeeds("test -e /usr/sbin/rlb-agent"); {
			case there:
				inSync(h)
			case h.Is("active", "rlb-agent", "active"):
				w.Errorf("%s: the agent runs after its %s", h.Name(), name)
			}
		}
	})
	if err := e2e.Lossless(report); err != nil {
		w.Errorf("%s: %v", name, err)
	}
	if after := services(); after != before {
		w.Errorf("%s touched the services:\n%s", name, e2e.Difference(before, after))
	}
}

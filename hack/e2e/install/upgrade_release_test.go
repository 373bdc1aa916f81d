package install

import (
	"os"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// releaseUpgrade follows Debian's release notes, without questions.
const releaseUpgrade = `set -e
echo 'deb [trusted=yes] file:/srv/next ./' >/etc/apt/sources.list
apt-get update -q
apt-get upgrade -qy --without-new-pkgs -o Dpkg::Options::=--force-confold
apt-get full-upgrade -qy -o Dpkg::Options::=--force-confold
`

// versions prints the release, the programs and the held packages.
const versions = "cat /etc/debian_version; dpkg-query -W haproxy keepalived; apt-mark showhold"

// onlyGuides skips a test that takes too long for every run.
func onlyGuides(t *testing.T) {
	t.Helper()
	if os.Getenv("RLB_GUIDES") == "" {
		t.Skip("takes minutes: make guides")
	}
}

// TestReleaseUpgrade: on the migrate page, a serving pair of Debian 12 becomes one of Debian 13, one host
// after the other, the standby first.
func TestReleaseUpgrade(t *testing.T) {
	onlyGuides(t)
	w := e2e.New(t)
	hosts := w.UpgradeHosts(lab.Trixie, lab.Bookworm, lab.Bookworm)
	for _, h := range hosts {
		h.Apply(e2e.Spec(pair.Nodes))
	}
	e2e.StartDaemon(hosts...)
	active, standby := w.Roles(hosts[0], hosts[1])
	w.Serves("cp1", "cp2", "cp3")
	for _, h := range []*e2e.Host{standby, active} {
		start := time.Now()
		report := w.Losses(2*time.Second, func() {
			began := time.Now()
			step := func(what string) {
				t.Logf("%s: %s after %v", h.Name(), what, time.Since(began).Round(time.Second))
			}
			h.Shell("rlb-agent drain && systemctl stop rlb-agent")
			step("drained")
			h.Shell(releaseUpgrade)
			step("upgraded")
			if got := h.Shell(versions); !strings.HasPrefix(got, "13") || !strings.Contains(got, "haproxy\t2.6") || !strings.Contains(got, "keepalived\t1:2.2") {
				t.Errorf("%s: the release upgrade did not leave the held packages:\n%s", h.Name(), got)
			}
			if err := h.Reboot(t.Context()); err != nil {
				t.Fatal(err)
			}
			step("rebooted")
			h.Shell("apt-get install -qy --allow-change-held-packages -o Dpkg::Options::=--force-confold haproxy keepalived && systemctl start rlb-agent && rlb-agent undrain")
			step("undrained")
			w.Eventually("it is ready", time.Minute, func() bool { return h.Succeeds("rlb-agent status") })
			step("ready")
		})
		after := h.Shell(versions)
		t.Logf("%s: %d of %d failed, gap %v, %v after the first, late by %v, %v", h.Name(), report.Failed, report.Total, report.Gap,
			report.GapStart.Sub(start).Round(time.Second), report.Late, report.Errors)
		if !strings.HasPrefix(after, "13") || !strings.Contains(after, "haproxy\t3.0") || !strings.Contains(after, "keepalived\t1:2.3") || strings.Count(after, "haproxy") != 2 {
			t.Errorf("%s has another release, or holds nothing:\n%s", h.Name(), after)
		}
		if err := e2e.Within(report, 2*time.Second); err != nil {
			t.Errorf("%s: %v", h.Name(), err)
		}
	}
	w.Serves("cp1", "cp2", "cp3")
}

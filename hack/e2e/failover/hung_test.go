package failover

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// TestHung: a process that runs but hangs costs clients some tenths of a second, on either host: other hosts yield to
// the one with the higher MAC. RLB_ROUNDS is how often each host has each fault; with it the medians are judged too. On
// a busy machine each fault may take the usual patience.
func TestHung(t *testing.T) {
	rounds, err := strconv.Atoi(os.Getenv("RLB_ROUNDS"))
	measures := err == nil
	if !measures {
		rounds = 1
	}
	w := e2e.New(t)
	active, standby := w.Pair(e2e.Spec(pair.Nodes), lab.Trixie, lab.Trixie)
	e2e.StartDaemon(active, standby)
	for _, fault := range []struct {
		name, script, undo string
		none, two, gap     time.Duration // limits for a single fault
	}{
		{"HAProxy hung", "systemctl kill -s STOP haproxy", "systemctl kill -s CONT haproxy", 150 * time.Millisecond, 0, 1200 * time.Millisecond},
		{"keepalived hung", "systemctl kill -s STOP keepalived", "true", 0, 1100 * time.Millisecond, 1100 * time.Millisecond},
		{"keepalived hung while the agent asks it", "systemctl kill -s STOP keepalived; systemctl kill --kill-who=main -s HUP rlb-agent", "true", 0, 1100 * time.Millisecond, 1100 * time.Millisecond},
		{"VRRP process killed", "pkill -KILL -P $(systemctl show --value -p MainPID keepalived)", "true", 0, 300 * time.Millisecond, 300 * time.Millisecond},
	} {
		var gaps, nones, twos []time.Duration
		for range 2 * rounds { // the virtual IP moves each time
			w.Judge(fault.name, func() (lab.Report, error) {
				active, standby = w.Roles(active, standby)
				w.Eventually("both are well", 10*time.Second, func() bool { return active.Well() && standby.Well() })
				var seen pair.Holding
				report := w.Probe(0, func() {
					seen = w.HoldersDuring(active, standby, func() {
						active.Shell(fault.script)
						time.Sleep(2500 * time.Millisecond)
					})
				})
				active.Shell(fault.undo)
				t.Logf("%s on %s: %s", fault.name, active.Name(), seen)
				gaps, nones, twos = append(gaps, report.Gap), append(nones, seen.Longest(0)), append(twos, seen.Longest(2))
				if !standby.Active() || active.Active() || report.Gap > fault.gap || seen.Longest(0) > fault.none || seen.Longest(2) > fault.two {
					t.Logf("%s", active.Shell("journalctl -u keepalived -u rlb-agent -o short-precise --no-pager | grep -v 'Printing VRRP' | tail -60"))
					return report, fmt.Errorf("on %s: gap %v, %s", active.Name(), report.Gap, seen)
				}
				return report, nil
			})
		}
		if measures && max(middle(gaps), middle(nones), middle(twos)) > 300*time.Millisecond {
			t.Errorf("%s: a median is above 0.3 s", fault.name)
		}
		t.Logf("%s: medians: gap %v, none %v, two %v of %d", fault.name, middle(gaps), middle(nones), middle(twos), len(gaps))
	}
}

func middle(all []time.Duration) time.Duration {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2].Round(time.Millisecond)
}

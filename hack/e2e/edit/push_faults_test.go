package edit

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

const (
	pushTimeout = 15 * time.Second // of each trial
	backTime    = 8 * time.Second  // time for a host to go back after its trial, on a busy machine
)

// A pushFault happens at a call of ssh: the n-th call of the command (from 1) to the host at this place in the order of
// the trials (from 0).
type pushFault struct {
	place   int
	command string
	n       int
	fault   string // see e2e.Laptop.Record, or one of onHost
}

func (f pushFault) String() string {
	return fmt.Sprintf("host %d, %s %d: %s", f.place+1, f.command, f.n, f.fault)
}

// splits reports whether the hosts may have two specs after the fault: it ends the push between its first and its last
// confirmation.
func (f pushFault) splits() bool {
	return f.place > 0 && f.command == "confirm" && (f.fault == "laptop" || f.fault == "laptop unplugged")
}

// unplugs reports whether a link is down until the trials are over.
func (f pushFault) unplugs() bool { return strings.HasSuffix(f.fault, " unplugged") }

// onHost are faults that happen while a call waits on the laptop; each returns the function that undoes it after the
// trials.
var onHost = map[string]func(c *pushCases, h *e2e.Host) (undo func()){
	"laptop unplugged": func(c *pushCases, _ *e2e.Host) func() {
		if err := c.laptop.CutLink(); err != nil {
			c.Fatal(err)
		}
		return func() {
			if err := c.laptop.RestoreLink(); err != nil {
				c.Fatal(err)
			}
		}
	},
	"host unplugged": func(c *pushCases, h *e2e.Host) func() {
		if err := h.CutLink(); err != nil {
			c.Fatal(err)
		}
		return func() {
			if err := h.RestoreLink(); err != nil {
				c.Fatal(err)
			}
		}
	},
	"daemon killed": func(_ *pushCases, h *e2e.Host) func() {
		h.Shell("systemctl kill -s KILL rlb-agent")
		return func() {}
	},
	// the agent that ssh started on the host
	"agent killed early": func(_ *pushCases, h *e2e.Host) func() { return killOnce(h, "true") },
	"agent killed late": func(_ *pushCases, h *e2e.Host) func() {
		return killOnce(h, "! cmp -s /etc/haproxy/haproxy.cfg /root/haproxy.cfg.before || ! cmp -s "+pair.SpecFile+" /root/spec.before")
	},
}

// killOnce kills the first try or confirm that runs on the host while the condition holds.
func killOnce(h *e2e.Host, condition string) func() {
	h.Shell("cp /etc/haproxy/haproxy.cfg /root/haproxy.cfg.before; cp " + pair.SpecFile + " /root/spec.before")
	h.Shell("systemd-run --quiet --collect --unit=killer sh -c 'until (" + condition + ") && pkill -KILL -f \"^rlb-agent (try|confirm)\"; do sleep 0.02; done'")
	return func() { h.Shell("systemctl stop killer 2>/dev/null; true") }
}

// pushCases are pushes with faults, one after the other on the same hosts. Each case starts with the spec that the
// previous one left.
type pushCases struct {
	*e2e.World
	hosts   []*e2e.Host
	laptop  *e2e.Laptop
	files   map[string]string // the specs by name, on the laptop
	texts   map[string]string
	windows []time.Duration // from the end of the first confirmation to the end of the last one
	longest time.Duration   // from the start of the first trial until all hosts had one spec
}

func newPushCases(t *testing.T, count int) *pushCases {
	w := e2e.New(t)
	nodes := pair.Nodes
	if count == 3 {
		nodes += "\n- {name: lb3, addresses: [198.51.100.13]}"
	}
	hosts := w.SSHHosts(slices.Repeat([]lab.Release{lab.Trixie}, count)...)
	c := &pushCases{World: w, hosts: hosts, files: map[string]string{}, texts: map[string]string{
		"three": e2e.Spec(nodes), "two": e2e.TwoServers(nodes), "one": pair.Spec(1, nodes), "retries": e2e.Spec(nodes, "proxy: {retries: 7}")}}
	for _, h := range hosts {
		h.Apply(c.texts["three"])
	}
	e2e.StartDaemon(hosts...)
	w.Serves("cp1", "cp2", "cp3")
	c.laptop = w.NewLaptop(hosts...)
	for name, text := range c.texts {
		c.files[name] = c.laptop.Write(name+".yaml", text)
	}
	c.rest()
	return c
}

// in returns the cases for a subtest, to which failures are reported.
func (c *pushCases) in(t *testing.T) *pushCases {
	in := *c
	in.World, in.hosts = c.World.In(t), nil
	for _, h := range c.hosts {
		in.hosts = append(in.hosts, h.In(t))
	}
	laptop := *c.laptop
	laptop.World, in.laptop = in.World, &laptop
	return &in
}

// rest waits until one host holds the virtual IPs and all are in sync and ready.
func (c *pushCases) rest() {
	c.Helper()
	c.Eventually("the hosts are at rest", 30*time.Second, func() bool {
		active := 0
		for _, h := range c.hosts {
			if h.Active() {
				active++
			}
			if s, code := h.Status(); code != 0 || !s.Is("PeerInSync") {
				return false
			}
		}
		return active == 1
	})
}

// order returns the hosts in the order of a push.
func (c *pushCases) order() (hosts []*e2e.Host) {
	hosts = slices.Clone(c.hosts)
	slices.SortStableFunc(hosts, func(a, b *e2e.Host) int {
		return cmp.Compare(strconv.FormatBool(a.Active()), strconv.FormatBool(b.Active()))
	})
	return hosts
}

// has returns the name of the spec that a host has, in its file and its configuration; "" while a trial or a change is
// in progress.
func (c *pushCases) has(h *e2e.Host) string {
	out := h.Shell(`flock -n /run/rlb/lock true || echo busy; pgrep -f '^rlb-agent (try|confirm)' >/dev/null && echo busy
		ls /var/lib/rlb /etc/systemd/system | grep trial | sed 's/^/busy /'
		echo $(grep -c '^    server .* check' /etc/haproxy/haproxy.cfg) $(grep -c '^    retries 7' /etc/haproxy/haproxy.cfg); cat ` + pair.SpecFile)
	counts, text, _ := strings.Cut(out, "\n")
	for name, want := range c.texts {
		if text == want && counts == map[string]string{"three": "3 0", "two": "2 0", "one": "1 0", "retries": "3 1"}[name] {
			return name
		}
	}
	return ""
}

// specs returns the specs of the hosts once no host tries or changes anything any more. They have until by.
func (c *pushCases) specs(what string, by time.Time) (names []string) {
	c.Helper()
	c.Eventually(what+": all trials are over and each host has one whole spec", max(time.Until(by), time.Second), func() bool {
		if c.laptop.Calling() {
			return false
		}
		names = nil
		for _, h := range c.hosts {
			names = append(names, c.has(h))
		}
		return !slices.Contains(names, "")
	})
	return names
}

// oneSpec reports whether all hosts have the same spec.
func oneSpec(names []string) bool { return len(slices.Compact(slices.Clone(names))) == 1 }

// push pushes a spec with a fault, and again if the machine stalled and clients timed out.
func (c *pushCases) push(f pushFault) {
	c.Judge(f.String(), func() (lab.Report, error) {
		report := c.pushOnce(f)
		return report, e2e.Lossless(report)
	})
}

// pushOnce returns the clients' report. The test fails if hosts have different specs, or a spec other than the push
// reports.
func (c *pushCases) pushOnce(f pushFault) lab.Report {
	if had := c.specs("before it", time.Now().Add(pushTimeout+backTime)); !oneSpec(had) { // the previous case failed
		c.laptop.Record(e2e.Call{}, "")
		c.laptop.RunAgent("push", "--yes", c.files["three"])
	}
	order := c.order()
	before := c.has(c.hosts[0])
	next := "two"
	if before == "two" {
		next = "three"
	}
	at := e2e.Call{Host: order[f.place].Addr().String(), Command: f.command, N: f.n}
	fault := f.fault
	do, onHost := onHost[f.fault]
	if onHost {
		fault = "wait"
	}
	c.laptop.Record(at, fault)
	stop := c.StartProbe()
	began := time.Now()
	type outcome struct {
		code int
		out  string
	}
	ended := make(chan outcome, 1)
	go func() {
		code, out := c.laptop.RunAgent("push", "--yes", "--timeout", pushTimeout.String(), c.files[next])
		ended <- outcome{code, out}
	}()
	if onHost {
		c.Eventually(f.String()+": the push comes to it", 30*time.Second, c.laptop.Reached)
		undo := do(c, order[f.place])
		c.laptop.Proceed()
		if f.unplugs() {
			time.Sleep(pushTimeout + 3*time.Second) // in this time the hosts go back by themselves
			undo()
		} else {
			defer undo()
		}
	}
	o := <-ended
	pushed := time.Since(began)
	calls := c.laptop.Recorded()
	tries := slices.DeleteFunc(slices.Clone(calls), func(one e2e.CallTime) bool { return one.Command != "try" })
	by := time.Now().Add(2 * time.Second) // the daemon may run once more
	if len(tries) > 0 {
		began = tries[0].Began
		if o.code != 0 && o.code != 4 { // otherwise the push reports that all is over
			by = tries[len(tries)-1].Began.Add(pushTimeout + backTime)
		}
	}
	if by.Before(time.Now().Add(2 * time.Second)) {
		by = time.Now().Add(2 * time.Second)
	}
	got := c.specs(f.String()+": "+o.out, by)
	took := time.Since(began)
	if len(tries) > 0 && !f.unplugs() {
		c.longest = max(c.longest, took)
	}
	if !slices.ContainsFunc(calls, func(one e2e.CallTime) bool { return one.Call == at }) {
		c.Errorf("%v: the push did not come to it: %v", f, calls)
	}
	one, done := oneSpec(got), ""
	switch {
	case one && o.code == 0 && got[0] != next, one && (o.code >= 2 && o.code <= 4) && got[0] != before, !one && !f.splits(),
		got[0] != before && got[0] != next, o.code == 1, o.code == -1 && f.fault != "laptop":
		c.Errorf("%v: exit code %d, from %s to %s: the hosts have %v\n%s", f, o.code, before, next, got, o.out)
	}
	if !one {
		for _, h := range c.hosts {
			c.Eventually(h.Name()+" says that its peer has another spec", 15*time.Second, func() bool {
				s, _ := h.Status()
				return s.Condition("PeerInSync").Status == "False"
			})
		}
		c.laptop.Record(e2e.Call{}, "")
		code, out := c.laptop.RunAgent("push", "--yes", "--timeout", pushTimeout.String(), c.files[next])
		if finished := c.specs("the next push", time.Now().Add(2*time.Second)); code != 0 || !oneSpec(finished) || finished[0] != next {
			c.Errorf("%v: the next push: exit code %d, the hosts have %v\n%s", f, code, finished, out)
		}
		done = "; PeerInSync is False; the next push finishes"
	} else if o.code == 0 {
		c.window(calls)
	}
	report := c.clients(stop)
	e2e.Row(c, fmt.Sprintf("push to %d hosts: %v", len(c.hosts), f), report, e2e.Brief(o.out),
		fmt.Sprintf("exit code %d after %.1f s; %v after %.1f s%s", o.code, pushed.Seconds(), map[bool]string{true: map[bool]string{true: "all new", false: "all old"}[got[0] == next], false: "two specs"}[one], took.Seconds(), done))
	c.rest()
	return report
}

// clients returns the clients' report. If a connection was lost, it logs what happened on the hosts.
func (c *pushCases) clients(stop func() lab.Report) lab.Report {
	c.Helper()
	report := stop()
	if e2e.Lossless(report) != nil {
		for _, h := range c.hosts {
			c.Logf("%s:\n%s", h.Name(), h.Shell(pair.Agent+" events | tail -n 25; journalctl -b -u keepalived --no-pager -o short-precise | tail -n 25"))
		}
	}
	return report
}

// window records the time from the end of the first confirmation to the end of the last one.
func (c *pushCases) window(calls []e2e.CallTime) {
	var ends []time.Time
	for _, one := range calls {
		if one.Command == "confirm" && !one.Ended.IsZero() {
			ends = append(ends, one.Ended)
		}
	}
	if len(ends) == len(c.hosts) {
		slices.SortFunc(ends, time.Time.Compare)
		c.windows = append(c.windows, ends[len(ends)-1].Sub(ends[0]))
	}
}

// record makes a push without a fault, and lists its calls.
func (c *pushCases) record() (calls []pushFault) {
	order := c.order()
	c.laptop.Record(e2e.Call{}, "")
	if code, out := c.laptop.RunAgent("push", "--yes", "--timeout", pushTimeout.String(), c.files["two"]); code != 0 {
		c.Fatalf("a good push: exit code %d\n%s", code, out)
	}
	recorded := c.laptop.Recorded()
	c.window(recorded)
	for _, one := range recorded {
		place := slices.IndexFunc(order, func(h *e2e.Host) bool { return h.Addr().String() == one.Host })
		if one.Command == "status" && one.N > 3 { // one before the change, one to verify it, one for the holder of the virtual IPs; more on a busy machine
			continue
		}
		calls = append(calls, pushFault{place: place, command: one.Command, n: one.N})
	}
	c.Logf("a push makes %d calls: %v", len(recorded), recorded)
	c.rest()
	return calls
}

// all returns the faults at these calls. For three hosts it returns only those that can leave hosts with two specs: at
// the ends of trials and confirmations, and of the trials of the standbys only at the second one's.
func (c *pushCases) all(calls []pushFault) (faults []pushFault) {
	for _, call := range calls {
		kinds := []string{"before", "answer", "laptop"}
		if len(c.hosts) > 2 {
			if call.command == "confirm" || call.command == "try" && call.place == 1 {
				for _, kind := range kinds {
					call.fault = kind
					faults = append(faults, call)
				}
			}
			continue
		}
		switch call.command {
		case "try":
			kinds = append(kinds, "midway", "laptop unplugged", "agent killed early", "agent killed late", "daemon killed")
			if call.place == 0 { // without its link the active host loses connections with or without a push
				kinds = append(kinds, "host unplugged")
			}
		case "confirm":
			kinds = append(kinds, "midway", "laptop unplugged", "agent killed early", "agent killed late", "daemon killed")
		}
		for _, kind := range kinds {
			call.fault = kind
			faults = append(faults, call)
		}
	}
	return faults
}

// fewFaults is the number of faults in a share, besides the one that splits the hosts.
const fewFaults = 3

// shareOf returns the random source that chooses the faults of a run. RLB_PUSH_FAULTS, any text, is the seed: the same
// text chooses the same faults. It returns nil for all faults.
func shareOf(t *testing.T) *rand.Rand {
	which := cmp.Or(os.Getenv("RLB_PUSH_FAULTS"), "1")
	t.Logf("RLB_PUSH_FAULTS=%s", which)
	if which == "all" {
		return nil
	}
	seed := fnv.New64()
	seed.Write([]byte(which))
	return rand.New(rand.NewPCG(seed.Sum64(), 0))
}

// share returns the faults of a run: one that splits the hosts, and some that need not wait for the end of a trial.
func share(t *testing.T, all []pushFault, random *rand.Rand) (chosen []pushFault) {
	if random == nil {
		return all
	}
	some := slices.Clone(all)
	random.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
	quick := 0
	for _, f := range some {
		switch {
		case f.fault != "laptop" && !f.unplugs() && quick < fewFaults:
			quick++
			chosen = append(chosen, f)
		case f.fault == "laptop" && f.splits() && !slices.ContainsFunc(chosen, pushFault.splits):
			chosen = append(chosen, f)
		}
	}
	t.Logf("%d of %d faults: %v", len(chosen), len(all), chosen)
	return chosen
}

// TestPushFaults: a call of a push is killed, loses its answer or is the last one. When the trials are over, all hosts
// have the old spec or all have the new one, and no client loses a connection. Only a cut between the first and the
// last confirmation leaves two specs: the hosts report that, and the next push finishes. A run has a share of the
// faults, "make push-faults" has all.
func TestPushFaults(t *testing.T) {
	type fleet struct {
		hosts int
		specs []string // pushed at the same time
	}
	fleets, random := []fleet{{2, []string{"two", "one"}}, {3, []string{"two", "one", "retries"}}}, shareOf(t)
	if random != nil { // what fits into a minute
		at := random.IntN(len(fleets))
		fleets = fleets[at : at+1]
	}
	for _, tt := range fleets {
		t.Run(fmt.Sprintf("%d hosts", tt.hosts), func(t *testing.T) {
			c := newPushCases(t, tt.hosts)
			var windows []time.Duration
			var longest time.Duration
			for _, f := range share(t, c.all(c.record()), random) {
				t.Run(f.String(), func(t *testing.T) {
					in := c.in(t)
					defer func() { windows, longest = append(windows, in.windows[len(c.windows):]...), max(longest, in.longest) }()
					in.push(f)
				})
			}
			windows = append(windows, c.windows...)
			slices.Sort(windows)
			t.Logf("%d hosts: from the first confirmation to the last one: %d to %d ms, median %d ms, of %d pushes; all hosts had one spec at most %.1f s after the first trial began, with --timeout %v",
				tt.hosts, windows[0].Milliseconds(), windows[len(windows)-1].Milliseconds(), windows[len(windows)/2].Milliseconds(), len(windows), longest.Seconds(), pushTimeout)
			for n := len(tt.specs); n >= 2 && (random == nil || n == len(tt.specs)); n-- {
				c.atOnce(tt.specs[:n])
			}
		})
	}
}

// atOnce pushes several specs at the same time: afterwards all hosts have one of them, or the former spec.
func (c *pushCases) atOnce(names []string) {
	c.Judge("pushes at once", func() (lab.Report, error) {
		report := c.pushAtOnce(names)
		return report, e2e.Lossless(report)
	})
}

func (c *pushCases) pushAtOnce(names []string) lab.Report {
	names = slices.Clone(names)
	before := c.has(c.hosts[0])
	if i := slices.Index(names, before); i >= 0 { // none of them is in force
		names[i] = "three"
	}
	c.laptop.Record(e2e.Call{}, "")
	stop := c.StartProbe()
	began := time.Now()
	codes, outs := make([]int, len(names)), make([]string, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() {
			codes[i], outs[i] = c.laptop.RunAgent("push", "--yes", "--timeout", pushTimeout.String(), c.files[name])
		})
	}
	all.Wait()
	took := time.Since(began)
	got, want, won := c.specs("pushes at once", time.Now().Add(2*time.Second)), before, 0
	for i, code := range codes {
		switch code {
		case 0:
			want, won = names[i], won+1
		case 4:
		default:
			c.Errorf("pushes at once: exit code %d of %s\n%s", code, names[i], outs[i])
		}
	}
	if won > 1 || !oneSpec(got) || got[0] != want {
		c.Errorf("pushes of %v at once, before it was %s: exit codes %v, the hosts have %v\n%s", names, before, codes, got, strings.Join(outs, "\n"))
	}
	report := c.clients(stop)
	e2e.Row(c, fmt.Sprintf("%d pushes at once to %d hosts", len(names), len(c.hosts)), report, "", fmt.Sprintf("exit codes %v after %.1f s, all hosts have one spec", codes, took.Seconds()))
	c.rest()
	return report
}

// Package chaos makes random faults on a pair of load balancers under load, and judges the result by a history: which
// host held the virtual IP, which connections failed, and whether the pair recovered in time.
package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"rlb.dev/rlb-agent/hack/history"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// Options of a run.
type Options struct {
	Agent, Unit string        // files of the machine: the agent's program and its systemd unit
	Duration    time.Duration // how long faults are made
	Seed        uint64        // the same seed makes the same faults
	Only        string        // only faults whose name contains one of these, separated by commas; "" for all
	Log         func(format string, args ...any)
}

const (
	rate     = 200                    // new connections a second
	quiet    = 50                     // connections that are always open
	patience = 3 * time.Second        // timeout of a client
	recovery = 10 * time.Second       // time in which the pair must recover
	instant  = 100 * time.Millisecond // tolerance for a fault that must cost nothing: two hosts report, and they share the machine
	deep     = time.Minute            // time after which the run stops waiting for the pair to recover
)

// run is one run.
type run struct {
	Options
	rng     *rand.Rand
	stage   *lab.Stage
	device  *lab.Client // answers for the virtual IP
	hosts   []*lab.Host
	history history.History
	long    []*lab.LongConn
	edits   atomic.Int64
	lines   map[string]*line
	broken  []string // violated bounds
	made    int
	unmade  int // faults that could not be made
}

// line holds the results of one fault, or of several at once.
type line struct {
	times, unmade     int
	none, two, healed time.Duration
	failed, cut       int
}

// Run makes faults for o.Duration, and reports their effects. The error lists the violated bounds.
func Run(ctx context.Context, o Options) (report string, err error) {
	r := &run{Options: o, rng: rand.New(rand.NewPCG(o.Seed, 0)), lines: map[string]*line{}}
	if err := r.start(ctx); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, r.stage.Close()) }()
	ctx, cancel := context.WithCancel(ctx)
	wait := watch(ctx, r.hosts, &r.history)
	defer wait()
	defer cancel()
	table := slices.DeleteFunc(slices.Clone(faults), func(f fault) bool {
		return !slices.ContainsFunc(strings.Split(o.Only, ","), func(name string) bool { return strings.Contains(f.name, name) })
	})
	if len(table) == 0 {
		return "", fmt.Errorf("cannot find a fault that is called %q", o.Only)
	}
	var before []usage // after the first faults
	for end := time.Now().Add(o.Duration); time.Now().Before(end) && ctx.Err() == nil; {
		if r.made >= 5 && before == nil {
			if before, err = r.usage(ctx); err != nil {
				return r.report(), err
			}
		}
		if err := r.fault(ctx, table); err != nil {
			return r.report(), errors.Join(err, r.verdict())
		}
	}
	if err := r.grown(ctx, before); err != nil {
		return r.report(), err
	}
	return r.report(), r.verdict()
}

func (r *run) verdict() error {
	broken := r.broken
	if r.unmade > max(fewUnmade, r.made/10) {
		broken = append(broken, fmt.Sprintf("%d faults could not be made, beside %d that were", r.unmade, r.made))
	}
	if len(broken) == 0 {
		return nil
	}
	return fmt.Errorf("seed %d: %d of %d were not as they must be:\n%s", r.Seed, len(broken), r.made, strings.Join(broken, "\n"))
}

// fewUnmade is how many faults a short run may fail to make; a longer one may fail to make one in ten. Two faults at
// once may hinder each other: a host that reboots or has crashed accepts no command. With random faults this happens to
// one in forty.
const fewUnmade = 2

// count counts faults that were made at once, and returns the errors of those that were not made. The bounds of two
// faults remain those of both, because a failed fault may have had part of its effect.
func (r *run) count(l *line, errs []error) (unmade []string) {
	for _, err := range errs {
		if errors.Is(err, errUnmade) {
			unmade = append(unmade, err.Error())
		}
	}
	l.times++
	l.unmade += len(unmade)
	r.made, r.unmade = r.made+len(errs)-len(unmade), r.unmade+len(unmade)
	return unmade
}

func (r *run) start(ctx context.Context) (err error) {
	if r.stage, err = lab.NewStage(ctx, lab.Options{Log: r.Log}, 3); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.stage.Close())
		}
	}()
	if r.device, err = r.stage.AddClient(ctx, "device", lab.At(60)); err != nil {
		return err
	}
	files, err := pair.Files(r.Agent, r.Unit)
	if err != nil {
		return err
	}
	files = append(files, lab.File{Path: pair.SpecFile, Data: []byte(r.spec())})
	if r.hosts, err = r.stage.AddHosts(ctx, lab.HostOptions{Installed: true, Files: files}, lab.Trixie, lab.Trixie); err != nil {
		return err
	}
	if err := pair.Each(r.hosts, func(h *lab.Host) error {
		_, err := h.Sh(ctx, pair.Agent+" --once && systemctl enable --now rlb-agent")
		return err
	}); err != nil {
		return err
	}
	_, err = r.right(ctx, nil, time.Minute)
	return err
}

// light leads to the names of the control planes: its connections cost this machine little.
const light = pair.VIP + ":9001"

// spec returns the spec after the present number of edits; every third edit also needs a reload.
func (r *run) spec() string {
	return pair.SpecAfter(int(r.edits.Load()), 3, fmt.Sprintf("%s\nmetrics: {address: '0.0.0.0:%d'}\n", pair.Nodes, metricsPort))
}

// metricsPort is the port of the agents' metrics, at all addresses.
const metricsPort = 9345

// writeSpec writes a spec to the hosts that are up.
func (r *run) writeSpec(text string) error {
	return pair.Each(r.hosts, func(h *lab.Host) error {
		if !h.Up() {
			return nil
		}
		return h.WriteFile(pair.SpecFile, []byte(text), 0o644)
	})
}

// fault makes the next fault, or two at once, and judges its effects.
func (r *run) fault(ctx context.Context, table []fault) error {
	if err := r.open(ctx); err != nil {
		return err
	}
	acts := r.draw(table, pair.Holds(r.hosts[1]))
	var names, texts []string
	for _, a := range acts {
		names, texts = append(names, a.name), append(texts, a.String())
	}
	slices.Sort(names)
	probe, err := r.stage.Client.Probe(light, lab.ProbeOptions{Interval: time.Second / rate, Timeout: patience, Name: true, AtOnce: 300})
	if err != nil {
		return err
	}
	if err := lab.Until(ctx, recovery, func() bool { return probe.Streak(time.Time{}) >= 20 }); err != nil {
		return errors.Join(err, fmt.Errorf("no service before: %s: %v", strings.Join(texts, " and "), probe.Stop().Errors))
	}
	began := time.Now()
	errs := make([]error, len(acts))
	var all sync.WaitGroup
	for i, a := range acts {
		all.Go(func() { errs[i] = a.happen(ctx) })
	}
	all.Wait()
	if len(acts) > 1 { // a host may have been down when the spec was edited
		if err := r.writeSpec(r.spec()); err != nil {
			return err
		}
	}
	healed := time.Now()
	took, rightErr := r.right(ctx, probe, deep)
	time.Sleep(200 * time.Millisecond) // the pair must stay so
	report := probe.Stop()
	span := r.history.Between(began, time.Now())
	l := r.lines[strings.Join(names, " and ")]
	if l == nil {
		l = new(line)
		r.lines[strings.Join(names, " and ")] = l
	}
	unmade := r.count(l, errs)
	cut := r.cut()
	if span.Text != "" {
		r.close()
	}
	l.none, l.two, l.healed = max(l.none, span.None), max(l.two, span.Two), max(l.healed, took)
	l.failed, l.cut = l.failed+report.Failed, l.cut+cut
	none, two, served := bounds(acts)
	var wrong []string
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if span.None > none {
		complain("nobody held the virtual IP for %v, bound %v", span.None.Round(time.Millisecond), none)
	}
	if span.Two > two {
		complain("two held the virtual IP for %v, bound %v", span.Two.Round(time.Millisecond), two)
	}
	if served && report.Failed > 0 {
		complain("%d of %d connections failed: %v", report.Failed, report.Total, report.Errors)
	}
	if served && cut > 0 {
		complain("%d of %d quiet connections were cut", cut, quiet)
	}
	if took > recovery {
		complain("right again after %v, bound %v", took.Round(time.Millisecond), recovery)
	}
	if len(acts) == 1 && errs[0] != nil { // two faults may hinder each other
		complain("%v", errs[0])
	}
	if rightErr != nil {
		complain("%v", rightErr)
	}
	r.Log("%3d %s: none %v, two %v, right after %v, %d of %d failed, %d cut; %s", r.made, strings.Join(texts, " and "),
		span.None.Round(time.Millisecond), span.Two.Round(time.Millisecond), took.Round(10*time.Millisecond), report.Failed, report.Total, cut, span.Text)
	for _, text := range unmade {
		r.Log("    NOT MADE: %s", text)
	}
	if len(wrong) > 0 {
		r.broken = append(r.broken, fmt.Sprintf("%3d at %s: %s: %s; %s", r.made, healed.Format(time.TimeOnly), strings.Join(texts, " and "), strings.Join(wrong, "; "), span.Text))
		r.Log("    WRONG: %s", strings.Join(wrong, "; "))
	}
	if rightErr == nil {
		return nil
	}
	for _, h := range r.hosts {
		said, err := h.Sh(ctx, "journalctl --no-pager -o short-precise -u rlb-agent -u keepalived -n 40; "+pair.Agent+" status")
		r.Log("%s: %v\n%s", h.Name(), err, said)
	}
	if err := pair.Restore(ctx, r.stage.Lab, r.hosts, "haproxy", "keepalived", "rlb-agent"); err != nil {
		return err
	}
	r.edits.Add(1) // a refused spec is not tried again
	if err := r.writeSpec(r.spec()); err != nil {
		return err
	}
	_, err = r.right(ctx, nil, time.Minute)
	return err
}

// errUnmade is the error of a fault that could not be made.
var errUnmade = errors.New("cannot make it")

// happen makes a fault and ends it.
func (a *act) happen(ctx context.Context) (err error) {
	if beginErr := a.begin(ctx, a); beginErr != nil {
		err = fmt.Errorf("%s: %w: %w", a.name, errUnmade, beginErr)
	}
	select {
	case <-time.After(a.lasts):
	case <-ctx.Done():
	}
	if a.end == nil {
		return err
	}
	// The other fault may have taken the host down.
	for range 20 {
		if a.end(ctx, a) == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(500 * time.Millisecond)
		if a.name == "host crashes" && a.h.Up() {
			return err
		}
	}
	return errors.Join(err, fmt.Errorf("%s: cannot end it", a.name))
}

// state is the part of status -o json that matters here.
type state struct {
	Role       string
	SpecDigest string
	Drained    bool
}

// right waits until the pair has recovered, and returns how long that took: one host is MASTER and holds the virtual
// IP, the other is BACKUP, both are ready with the same spec, and clients are served. The error says that it did not
// recover in time.
func (r *run) right(ctx context.Context, probe *lab.Probe, within time.Duration) (took time.Duration, err error) {
	began := time.Now()
	states := make([]state, len(r.hosts))
	texts := make([]string, len(r.hosts))
	for {
		since := time.Now()
		var all sync.WaitGroup
		for i, h := range r.hosts {
			all.Go(func() {
				out, err := h.Run(ctx, pair.Agent, "status", "-o", "json")
				states[i] = state{}
				_ = json.Unmarshal([]byte(out), &states[i])
				if texts[i] = states[i].Role; err != nil {
					texts[i] = strings.TrimSpace(texts[i] + " not ready")
				}
			})
		}
		all.Wait()
		took = since.Sub(began)
		roles := slices.Sorted(slices.Values(texts))
		if slices.Equal(roles, []string{"BACKUP", "MASTER"}) && states[0].SpecDigest == states[1].SpecDigest {
			ok := true
			for i, h := range r.hosts {
				ok = ok && pair.Holds(h) == (states[i].Role == "MASTER")
			}
			if ok && (probe == nil || lab.Until(ctx, time.Second, func() bool { return probe.Streak(since) >= 20 }) == nil) {
				return took, nil
			}
		}
		switch {
		case ctx.Err() != nil:
			return took, ctx.Err()
		case time.Since(began) > within:
			return time.Since(began), fmt.Errorf("not right after %v: %s", within, strings.Join(texts, " and "))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// open opens the missing quiet connections.
func (r *run) open(ctx context.Context) error {
	for tries := 0; len(r.long) < quiet; {
		conn, err := r.stage.Client.LongConn(ctx, pair.Service)
		if err == nil {
			r.long = append(r.long, conn)
			continue
		}
		if tries++; tries > 20 || ctx.Err() != nil {
			return fmt.Errorf("cannot open the quiet connections: %w", err)
		}
		time.Sleep(200 * time.Millisecond)
	}
	return nil
}

// close closes the quiet connections. After a move they lead to the former holder, which cuts them once the next fault
// has begun.
func (r *run) close() {
	for _, conn := range r.long {
		_ = conn.Close()
	}
	r.long = nil
}

// cut counts the quiet connections that were cut, and removes them.
func (r *run) cut() (n int) {
	for _, conn := range r.long {
		conn.Poke()
	}
	time.Sleep(100 * time.Millisecond) // time for an answer that the other end is gone
	r.long = slices.DeleteFunc(r.long, func(conn *lab.LongConn) bool {
		_, cut, _ := conn.Cut()
		if cut {
			n++
			_ = conn.Close()
		}
		return cut
	})
	return n
}

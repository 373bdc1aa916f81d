package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render"
)

// Observed is the present state of a host, as far as a Desired needs it. What could not be read is missing in the maps and
// named in Unchecked.
type Observed struct {
	Packages  map[string]host.Package
	Files     map[string]host.File
	Units     map[string]host.Unit
	Firewall  map[api.Family]host.Firewall
	Loaded    map[string]string // for each running unit, the digest of the configuration that it runs; "" if not known
	Moved     map[string]bool   // running units that were started with their configuration at a different path
	Memory    state.Memory
	Drained   bool                // an administrator took this host out
	Former    *state.FormerRouter // the virtual router that keepalived left or is about to leave; nil if there is none
	Holds     bool                // a virtual IP is on an interface
	Waiting   bool                // keepalived is kept out until the peer has left the former virtual router too
	Unchecked []string

	Handover        render.Handover // the parts of the hand-over that exist, if it is wanted
	HandoverRefused string          // why this host cannot support the hand-over, or ""

	Servers      []host.RunningServer // of the running HAProxy
	ServersKnown bool                 // HAProxy runs the file on the disk and reported its servers
}

// Observe reads everything that the desired state names, and what the agent owns in addition.
func Observe(ctx context.Context, o host.Observer, d Desired) (Observed, error) {
	seen := Observed{
		Packages: map[string]host.Package{},
		Files:    map[string]host.File{},
		Units:    map[string]host.Unit{},
		Firewall: map[api.Family]host.Firewall{},
		Loaded:   map[string]string{},
		Moved:    map[string]bool{},
	}
	// look runs one look. If this machine cannot show the thing, look notes that; any other error ends Observe.
	look := func(what string, do func() error) error {
		err := do()
		if errors.Is(err, host.ErrUnavailable) {
			seen.Unchecked = append(seen.Unchecked, fmt.Sprintf("%s: %v", what, err))
			return nil
		}
		return err
	}
	rules, handover := askFirewall(ctx, o), askHandover(ctx, o, d)
	err := errors.Join(
		look("what earlier runs remember", func() (err error) { seen.Memory, err = state.ReadMemory(ctx, o); return err }),
		look("whether it is drained", func() (err error) { seen.Drained, err = state.Drained(ctx, o); return err }),
		look("a former virtual router", func() error { return seen.LookForFormer(ctx, o) }),
		look("addresses", func() error { return seen.holds(ctx, o, d) }),
		look("packages", func() error { return seen.packages(ctx, o, d) }),
		look("files", func() error { return seen.files(ctx, o, d) }),
		look("units", func() error { return seen.units(ctx, o, d) }),
		look("hand-over", func() error { return seen.handover(ctx, o, d, handover) }), // the last two were asked before the others
		look("firewall", func() error { return seen.firewall(rules(), d) }),
	)
	return seen, err
}

func (seen *Observed) LookForFormer(ctx context.Context, o host.Observer) (err error) {
	if seen.Former, err = state.ReadFormer(ctx, o); err == nil {
		seen.Waiting, err = waiting(ctx, o)
	}
	return err
}

func (seen *Observed) holds(ctx context.Context, o host.Observer, d Desired) (err error) {
	seen.Holds, err = (&state.InForce{VirtualIPs: d.VirtualIPs}).Held(ctx, o)
	return err
}

func (seen *Observed) packages(ctx context.Context, o host.Observer, d Desired) error {
	var names []string
	for _, want := range d.Packages {
		names = append(names, want.Name)
	}
	for name := range seen.Memory.Held {
		names = append(names, name)
	}
	if len(names) == 0 {
		return nil
	}
	packages, err := o.Packages(ctx, names...)
	for _, p := range packages {
		seen.Packages[p.Name] = p
	}
	return err
}

// firewallAnswer is the result of reading the firewall of one family.
type firewallAnswer struct {
	state host.Firewall
	err   error
}

// askFirewall reads the firewall of each of api.Families in the background, because each read runs a program for some
// milliseconds. answers waits for the results.
func askFirewall(ctx context.Context, o host.Observer) (answers func() []firewallAnswer) {
	all := make([]firewallAnswer, len(api.Families))
	var asked sync.WaitGroup
	for i, family := range api.Families {
		asked.Go(func() { all[i].state, all[i].err = o.Firewall(ctx, family) })
	}
	return func() []firewallAnswer {
		asked.Wait()
		return all
	}
}

// toCome reports whether a package is wanted and known to be not installed yet.
func (seen *Observed) toCome(d Desired, name string) bool {
	have, known := seen.Packages[name]
	return known && have.Version == "" && slices.ContainsFunc(d.Packages, func(w PackageWant) bool { return w.Name == name })
}

func (seen *Observed) firewall(answers []firewallAnswer, d Desired) error {
	for i, family := range api.Families {
		state, err := answers[i].state, answers[i].err
		switch _, other := seen.Firewall[api.IPv4]; {
		case err == nil:
			seen.Firewall[family] = state
		case !errors.Is(err, host.ErrUnavailable):
			return err
		case seen.toCome(d, "iptables"): // without the program there are no rules of the agent
			seen.Firewall[family] = host.Firewall{}
		case d.Model.Firewall == nil: // nothing is wanted
		case family == api.IPv6 && other: // a kernel without IPv6 needs no rules for it
		default:
			return err
		}
	}
	return nil
}

func (seen *Observed) files(ctx context.Context, o host.Observer, d Desired) error {
	paths := []string{rcLocal}
	for _, f := range d.Files {
		paths = append(paths, f.Path)
	}
	for path := range seen.Memory.Files {
		if !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	var unavailable error
	for _, path := range paths {
		f, err := o.File(ctx, path)
		switch {
		case errors.Is(err, host.ErrUnavailable):
			unavailable = err // the other files may be readable
		case err != nil:
			return err
		default:
			seen.Files[path] = f
		}
	}
	return unavailable
}

func (seen *Observed) units(ctx context.Context, o host.Observer, d Desired) error {
	loaded, err := state.ReadLoaded(ctx, o)
	if err != nil && !errors.Is(err, host.ErrUnavailable) {
		return err
	}
	wants := d.Units
	for _, own := range render.OwnUnits { // it may be left from a former spec
		if !slices.ContainsFunc(wants, func(u UnitWant) bool { return u.Name == own }) {
			wants = append([]UnitWant{{Name: own}}, wants...)
		}
	}
	for _, want := range wants {
		unit, err := o.Unit(ctx, want.Name)
		if err != nil {
			return err
		}
		seen.Units[want.Name] = unit
		if want.Config != "" && unit.Active() {
			seen.Loaded[want.Name] = loadedBy(unit, seen.Files[want.Config], loaded[want.Name])
			seen.Moved[want.Name] = moved(unit, want.Config, loaded[want.Name], seen.Memory)
		}
		// If HAProxy runs a file other than the one on the disk, or if that is not known, HAProxy is reloaded whatever its
		// servers are.
		if want.Name == host.HAProxyUnit && seen.Loaded[want.Name] != "" && seen.Loaded[want.Name] == host.Digest(seen.Files[want.Config].Data) {
			servers, err := o.RunningServers(ctx) // a HAProxy that does not answer is reported by the check whether it serves
			seen.Servers, seen.ServersKnown = servers, err == nil
		}
	}
	return nil
}

// askHandover reads in the background what planned moves need, because this runs programs too. answer waits for the result.
func askHandover(ctx context.Context, o host.Observer, d Desired) (answer func() (render.Handover, error)) {
	if d.Model.Handover == nil {
		return nil
	}
	var (
		have  render.Handover
		err   error
		asked sync.WaitGroup
	)
	asked.Go(func() { have, err = o.Handover(ctx, *d.Model.Handover) })
	return func() (render.Handover, error) {
		asked.Wait()
		return have, err
	}
}

// handover reads what planned moves need. If a part is missing, it also finds out whether this host supports it.
func (seen *Observed) handover(ctx context.Context, o host.Observer, d Desired, answer func() (render.Handover, error)) error {
	if d.Model.Handover == nil {
		return nil
	}
	have, err := answer()
	if seen.toCome(d, "nftables") {
		return nil
	}
	seen.Handover = have
	switch {
	case errors.Is(err, host.ErrUnavailable) && seen.Packages["nftables"].Version == "": // and it will not be installed
		seen.HandoverRefused = err.Error()
		return nil
	case err != nil || d.Model.Handover.Lacks(seen.Handover, false) == "":
		return err
	}
	if f := d.File(render.HandoverRulesFile); f != nil {
		seen.HandoverRefused, err = o.HandoverRefused(ctx, string(f.Data))
	}
	return err
}

package plan

import (
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render"
)

// Plan is the work to be done on a host, as a value: to print it is the dry run.
//
// Install is done first. The host is then looked at again and Configure is planned again, because the install script of a
// package may have written a file, started a daemon, or installed a version other than expected.
type Plan struct {
	Install   []Step
	Configure []Step

	// Tidy is work without a visible effect: a host with only these steps left is in sync with its spec.
	Tidy []Step

	// Pending says in words which changes wait for another event.
	Pending []string
}

// Steps are all steps in their order, without Tidy.
func (p Plan) Steps() []Step { return slices.Concat(p.Install, p.Configure) }

// Empty reports whether the host is in sync with its spec.
func (p Plan) Empty() bool { return len(p.Install)+len(p.Configure) == 0 }

// NewPlan is the difference between the desired and the observed state, as steps. It is pure: the same arguments give the
// same plan.
func NewPlan(d Desired, o Observed) Plan {
	p := planner{d: d, o: o}
	p.packages()
	p.programs()
	p.holds()
	p.firewall()
	p.files()
	p.units()
	if o.Memory.Known && !o.Memory.Copied {
		p.Tidy = append(p.Tidy, repairMemory())
	}
	return p.Plan
}

type planner struct {
	Plan
	d       Desired
	o       Observed
	changed map[string]bool     // paths that the plan writes
	manager bool                // systemd must read its units again
	former  *state.FormerRouter // the router that keepalived is about to leave or has left; nil if it stays in its router
	again   bool                // the router changes while a process waits, or may wait, to start keepalived
}

func (p *planner) install(s Step)   { p.Install = append(p.Install, s) }
func (p *planner) configure(s Step) { p.Configure = append(p.Configure, s) }

func (p *planner) packages() {
	var missing []PackageWant
	before := map[string]string{}
	var masks []Step
	broken := false
	for _, want := range p.d.Packages {
		have, known := p.o.Packages[want.Name]
		if !known {
			continue
		}
		broken = broken || have.Broken
		if have.Version != "" && !have.Broken && matches(want.Version, have.Version) {
			continue
		}
		missing = append(missing, want)
		before[want.Name] = have.Version
		unit := want.Name + ".service"
		if have.Version == "" && p.wantsUnit(unit) && !p.o.Units[unit].Masked() {
			masks = append(masks, maskUnit(unit))
		}
	}
	if broken {
		p.install(repairPackages())
	}
	if len(missing) > 0 {
		p.Install = append(p.Install, masks...)
		p.install(installPackages(missing, before))
	}
}

func (p *planner) wantsUnit(name string) bool {
	return slices.ContainsFunc(p.d.Units, func(u UnitWant) bool { return u.Name == name })
}

// matches reports whether an installed version is wanted. A glob has the form of Debian: "*" and "?".
func matches(want, have string) bool {
	if want == "" {
		return true
	}
	ok, err := path.Match(want, have)
	return ok && err == nil
}

func (p *planner) holds() {
	for _, want := range p.d.Packages {
		have, known := p.o.Packages[want.Name]
		if !known || want.Hold == nil || have.Held == *want.Hold {
			continue
		}
		if _, ours := p.o.Memory.Held[want.Name]; *want.Hold || ours {
			p.configure(holdPackage(want.Name, *want.Hold))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.o.Memory.Held)) {
		unwanted := !slices.ContainsFunc(p.d.Packages, func(w PackageWant) bool { return w.Name == name })
		if unwanted && p.o.Packages[name].Held && !p.o.Memory.Held[name] {
			p.configure(holdPackage(name, false))
		}
	}
}

// firewall runs before the services, so that no service starts and no role is taken while the ports are closed.
func (p *planner) firewall() {
	for _, family := range api.Families {
		have, known := p.o.Firewall[family]
		if !known {
			continue
		}
		want, managed := p.d.Model.Firewall[family]
		load := firewallChange{family: family, before: have, want: want, remove: !managed}
		for _, rule := range have.Input {
			if rule == render.Jump {
				load.drop = append(load.drop, rule)
			}
		}
		if managed && family == api.IPv4 {
			load.drop = append(load.drop, p.originalRules(have)...)
		}
		if !load.needed() {
			continue
		}
		p.configure(load.step())
	}
}

func (p *planner) originalRules(have host.Firewall) []string {
	var rules []string
	for _, rule := range have.Input {
		if slices.ContainsFunc(p.d.Ports, func(port int) bool { return rule == originalRule(port) }) {
			rules = append(rules, rule)
		}
	}
	return rules
}

func (p *planner) files() {
	p.changed = map[string]bool{}
	p.leave()
	wanted := map[string]bool{}
	for _, f := range p.d.Files {
		wanted[f.Path] = true
		have, known := p.o.Files[f.Path]
		if !known || have.Exists && string(have.Data) == string(f.Data) && have.Mode == f.Mode && have.UID == 0 && have.GID == 0 {
			continue
		}
		s := writeFile(host.File{Path: f.Path, Exists: true, Data: f.Data, Mode: f.Mode}, have, f.Kind)
		s.Drift = p.fileDrift(f, have)
		p.write(s)
		p.manager = p.manager || f.Kind == render.SystemdUnit
	}
	if have := p.o.Files[rcLocal]; have.Exists && p.d.Model.Firewall != nil {
		if rest := withoutOriginal(have.Data, p.d.Ports); len(rest) < len(have.Data) {
			to := have
			to.Data = rest
			p.write(editFile(to, have))
		}
	}
	for _, name := range render.OwnUnits { // to stop the firewall unit has no effect besides that systemd unloads it
		if unit := p.o.Units[name]; !p.wantsUnit(name) {
			if unit.Enabled() {
				p.configure(disableUnit(name))
			}
			if unit.Active() {
				p.configure(pauseUnit(name))
			}
		}
	}
	if p.o.HandoverRefused != "" {
		p.Pending = append(p.Pending, "planned moves are as with vrrp.handover: none: "+p.o.HandoverRefused)
	}
	// what a former spec asked for and this one does not
	for _, path := range slices.Sorted(maps.Keys(p.o.Memory.Files)) {
		if before := p.o.Memory.Files[path]; !before.Edited && !wanted[path] {
			p.configure(restoreFile(path, before, p.o.Files[path], false))
			p.changed[path] = true
			p.manager = p.manager || strings.HasPrefix(path, "/etc/systemd/")
		}
	}
}

// fileDrift says what somebody changed in a rendered file; "" if the file is now rendered differently, for another version
// of a program.
func (p *planner) fileDrift(want render.File, have host.File) string {
	switch {
	case !have.Exists:
		return want.Path + " was removed: put back"
	case string(have.Data) == string(want.Data):
		return "mode or owner of " + want.Path + " was changed: put back"
	case reflect.DeepEqual(p.o.Memory.Facts, p.d.Facts):
		return want.Path + " was edited by hand: put back"
	}
	return ""
}

func (p *planner) write(s Step) {
	p.configure(s)
	p.changed[s.Object] = true
}

func (p *planner) units() {
	for _, want := range p.d.Units {
		p.manager = p.manager || p.o.Units[want.Name].NeedDaemonReload
	}
	if p.manager {
		p.configure(reloadManager())
	}
	for _, want := range p.d.Units {
		have, known := p.o.Units[want.Name]
		if !known {
			continue
		}
		if want.Out {
			p.keepOut(have)
			continue
		}
		if have.Masked() {
			unmask := unmaskUnit(want.Name)
			if have.UnitFileState == "masked" { // permanently, by the administrator
				unmask.Undo = []Step{remaskUnit(want.Name)}
			}
			p.configure(unmask)
		}
		if !have.Enabled() {
			p.configure(enableUnit(want.Name).undoneBy(disableUnit(want.Name)))
		}
		leaves := p.former != nil && want.Name == host.KeepalivedUnit
		waited := leaves && p.again && !have.Active()
		switch {
		case !want.Run && !waited:
		case leaves && (!have.Active() || p.changed[want.Config] || p.o.Loaded[want.Name] != p.digestOf(want.Config)):
			if have.Active() {
				p.configure(pauseUnit(want.Name))
			}
			p.configure(rejoin(want.Name, want.Config, p.former, waited))
		case leaves:
			p.configure(forgetFormer(p.former))
		case !have.Active():
			p.configure(want.start(p.changed[want.Config]))
		case p.o.Moved[want.Name]:
			p.configure(restartUnit(want.Name, want.Config, "whose configuration is now "+want.Config))
		case want.Name == render.HandoverUnit && p.lacksHandover() != "":
			p.configure(repairHandover(want, p.lacksHandover()))
		case p.replaced(want):
		default:
			p.load(want)
		}
	}
}

// keepOut stops a unit now and disables it for the next boot.
func (p *planner) keepOut(unit host.Unit) {
	if unit.Active() {
		p.configure(pauseUnit(unit.Name))
	}
	if unit.Enabled() {
		p.configure(disableUnit(unit.Name))
	}
}

// load makes a running unit run its configuration: by a reload, or in HAProxy by the runtime API if that is enough.
func (p *planner) load(want UnitWant) {
	steps, ok := []Step(nil), !p.changed[want.Config] && p.o.Loaded[want.Name] == p.digestOf(want.Config)
	if want.Name == host.HAProxyUnit && p.o.ServersKnown {
		steps, p.Tidy, ok = p.haproxyServers(want.Config)
	}
	if !ok {
		steps = []Step{reloadUnit(want.Name, want.Config)}
	}
	p.Configure = append(p.Configure, steps...)
}

// lacksHandover names what planned moves need and is missing, or "".
func (p *planner) lacksHandover() string {
	return p.d.Model.Handover.Lacks(p.o.Handover, p.o.Units[host.HAProxyUnit].Active())
}

func (p *planner) digestOf(path string) string {
	if f := p.d.File(path); f != nil {
		return host.Digest(f.Data)
	}
	return ""
}

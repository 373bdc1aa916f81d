package plan

import (
	"fmt"
	"slices"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// mostServerSteps is for how many servers a change goes through the runtime API. A reload is quicker for more.
const mostServerSteps = 100

// haproxyServers plans what makes the running HAProxy's servers those of its file, through its runtime API: without a
// new process, so that no connection is kept by an old one. ok says that this does it all; else only a reload does. tidy
// are the retired servers that can be deleted.
//
// HAProxy runs the file that lies on the disk, else ServersKnown is false; the wanted one may differ from that in
// servers only.
func (p *planner) haproxyServers(config string) (steps, tidy []Step, ok bool) {
	wanted, installed := p.file(config), p.o.Files[config]
	if wanted == nil {
		return nil, nil, false
	}
	same := string(wanted.Data) == string(installed.Data)
	if beyondLines(wanted.Data) {
		return nil, nil, same
	}
	backends := backendsOf(*wanted)
	before, alike := linesBefore(*wanted, installed.Data, backends)
	if !alike && !same {
		return nil, nil, false
	}
	running := map[string][]host.RunningServer{}
	for _, s := range p.o.Servers {
		running[s.Backend] = append(running[s.Backend], s)
	}
	for _, b := range backends {
		var former map[string]serverLine
		if !same {
			former = before[b.name]
		}
		more, can := b.steps(config, running[b.name], former)
		if !can {
			return nil, nil, false
		}
		steps, tidy = append(steps, more...), append(tidy, b.unused(running[b.name])...)
	}
	switch {
	case same && len(steps) == 0:
		return nil, tidy, true
	case len(steps) == 0, len(steps) > mostServerSteps, !p.d.Facts.HAProxyVersion.ChangesServers():
		return nil, nil, false
	}
	return steps, tidy, true
}

func (p *planner) file(path string) *render.File {
	for i, f := range p.d.Files {
		if f.Path == path {
			return &p.d.Files[i]
		}
	}
	return nil
}

// linesBefore are the server lines of the installed file, by backend and name. alike says that all its other lines are
// those of the wanted one. A backend with lines of the user's own counts among the other lines as a whole.
func linesBefore(wanted render.File, installed []byte, backends []backendLines) (lines map[string]map[string]serverLine, alike bool) {
	ours := map[string]bool{}
	for _, b := range backends {
		ours[b.name] = len(b.raw) == 0
	}
	_, rest, ok := split(wanted.Data, ours)
	lines, restBefore, okBefore := split(installed, ours)
	return lines, ok && okBefore && slices.Equal(rest, restBefore)
}

// steps make the running servers of a backend those of its lines. former are the lines that HAProxy has read, nil
// where they are these.
func (b backendLines) steps(config string, running []host.RunningServer, former map[string]serverLine) (steps []Step, ok bool) {
	byName := map[string]host.RunningServer{}
	for _, have := range running {
		byName[have.Name] = have
	}
	for _, want := range b.servers {
		have, there := byName[want.name]
		was, known := former[want.name]
		if former == nil || len(b.raw) > 0 {
			was, known = want, true
		}
		switch {
		case b.named(want.name), !there && len(b.raw) > 0: // the user's own lines may do with it as they like
		case !there && !(b.dynamic() && want.addable()), // it cannot come while HAProxy runs
			there && !known, // one of that name is there, and nobody knows what its line was
			known && was.rest != want.rest,
			known && (was.address != want.address || was.port != want.port) && (was.isName() || want.isName()),
			known && was.weight != want.weight && !b.weighed():
			return nil, false
		case !there:
			steps = append(steps, addServer(b.name, config, want))
		default:
			if what, commands := b.set(want, have); len(commands) > 0 {
				steps = append(steps, setServer(b.name, want, have, config, what, commands))
			}
		}
	}
	for _, have := range b.unwanted(running) {
		if have.Admin == host.AdminReady {
			steps = append(steps, retireServer(b.name, have.Name, config))
		}
	}
	return steps, true
}

// unwanted are the running servers that no line names. Those that the user's own lines may bring are not among them.
func (b backendLines) unwanted(running []host.RunningServer) (all []host.RunningServer) {
	wanted := map[string]bool{}
	for _, s := range b.servers {
		wanted[s.name] = true
	}
	for _, have := range running {
		if !wanted[have.Name] && len(b.raw) == 0 {
			all = append(all, have)
		}
	}
	return all
}

// unused deletes the unwanted servers whose last connection has ended.
func (b backendLines) unused(running []host.RunningServer) (steps []Step) {
	for _, have := range b.unwanted(running) {
		if have.Admin != host.AdminReady && have.Sessions == 0 {
			steps = append(steps, deleteServer(b.name, have.Name))
		}
	}
	return steps
}

// set is what makes a running server what its line says. Its check's verdict is not the agent's business, nor is the
// address that a DNS name has.
func (b backendLines) set(want serverLine, have host.RunningServer) (changes, commands []string) {
	place := b.name + "/" + want.name
	add := func(what, command string, args ...any) {
		changes, commands = append(changes, what), append(commands, fmt.Sprintf(command, args...))
	}
	if addr := want.addr(); addr.IsValid() && have.Addr != addr {
		add(fmt.Sprintf("address %v becomes %v", have.Addr, addr), "set server %s addr %v port %d", place, addr.Addr(), addr.Port())
	}
	switch {
	case have.Weight == want.weight:
	case b.weighed():
		add(fmt.Sprintf("weight %d becomes %d", have.Weight, want.weight), "set server %s weight %d", place, want.weight)
	default: // the others know but none and all of the weight that they began with
		add(fmt.Sprintf("weight %d becomes %d", have.Weight, want.weight), "set server %s weight 100%%", place)
	}
	if have.MaxConnections != want.maxconn {
		add(fmt.Sprintf("most connections %d become %d", have.MaxConnections, want.maxconn), "set maxconn server %s %d", place, want.maxconn)
	}
	if have.CheckOff && want.checked() {
		add("its health check is switched on", "enable health %s", place)
	}
	switch have.Admin {
	case host.AdminDrain:
		add("it gets connections again, and is no longer drained", "set server %s state ready", place)
	case host.AdminMaint:
		add("it leaves maintenance", "set server %s state ready", place)
	}
	return changes, commands
}

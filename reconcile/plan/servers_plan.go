package plan

import (
	"fmt"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// mostServerSteps is the largest number of server changes through the runtime API. For more, a reload is faster.
const mostServerSteps = 100

// haproxyServers plans the changes that bring the servers of the running HAProxy in line with its file, through the runtime
// API: without a new process, so no old process keeps connections. ok means that these steps are enough; else a reload is
// needed. tidy are the retired servers that can be deleted.
//
// HAProxy runs the file on the disk, else ServersKnown is false. The wanted file may differ from that file only in servers.
func (p *planner) haproxyServers(config string) (steps, tidy []Step, ok bool) {
	wanted, installed := p.d.File(config), p.o.Files[config]
	if wanted == nil {
		return nil, nil, false
	}
	same := string(wanted.Data) == string(installed.Data)
	if p.d.Model.Defaulted {
		return nil, nil, same
	}
	before, alike := p.linesBefore(*wanted, installed.Data)
	if !alike && !same {
		return nil, nil, false
	}
	running := map[string][]host.RunningServer{}
	for _, s := range p.o.Servers {
		running[s.Backend] = append(running[s.Backend], s)
	}
	for _, wanted := range p.d.Model.Backends {
		b := backend{wanted}
		var former map[string]render.Server
		if !same {
			former = before[b.Name]
		}
		more, can := b.steps(config, running[b.Name], former)
		if !can {
			return nil, nil, false
		}
		steps, tidy = append(steps, more...), append(tidy, b.unused(running[b.Name])...)
	}
	switch {
	case same && len(steps) == 0:
		return nil, tidy, true
	case len(steps) == 0, len(steps) > mostServerSteps, !p.d.Facts.HAProxyVersion.ChangesServers():
		return nil, nil, false
	}
	return steps, tidy, true
}

// linesBefore are the server lines of the installed file, by backend and name. alike means that all its other lines equal
// those of the wanted file. A backend with raw lines of the user counts as other lines as a whole.
func (p *planner) linesBefore(wanted render.File, installed []byte) (before map[string]map[string]render.Server, alike bool) {
	ours, fields := map[string]bool{}, map[string]bool{}
	for _, b := range p.d.Model.Backends {
		if len(b.Raw) == 0 {
			ours[b.Name] = true
			fields[b.Field] = true
		}
	}
	before, rest, ok := split(installed, ours)
	return before, ok && slices.Equal(rest, wanted.LinesBut(func(origin string) bool {
		field, _, ofServer := strings.Cut(origin, ".servers[")
		return ofServer && fields[field]
	}))
}

// steps bring the running servers of a backend in line with its server lines. former are the lines that HAProxy has read;
// nil if they are the same.
func (b backend) steps(config string, running []host.RunningServer, former map[string]render.Server) (steps []Step, ok bool) {
	byName := map[string]host.RunningServer{}
	for _, have := range running {
		byName[have.Name] = have
	}
	for _, want := range b.Servers {
		have, there := byName[want.Name]
		was, known := former[want.Name]
		if former == nil || len(b.Raw) > 0 {
			was, known = want, true
		}
		switch {
		case b.Names(want.Name), !there && len(b.Raw) > 0: // the user's raw lines may change it in any way
		case !there && !(b.dynamic() && addable(want)), // it cannot be added while HAProxy runs
			there && !known, // a server of that name exists, and its former line is not known
			known && was.Rest != want.Rest,
			known && (was.Address != want.Address || was.Port != want.Port) && (was.IsName() || want.IsName()),
			known && was.Weight != want.Weight && !b.weighed():
			return nil, false
		case !there:
			steps = append(steps, addServer(b.Name, config, want))
		default:
			if what, commands := b.set(want, have); len(commands) > 0 {
				steps = append(steps, setServer(b.Name, want, have, config, what, commands))
			}
		}
	}
	for _, have := range b.unwanted(running) {
		if have.Admin == host.AdminReady {
			steps = append(steps, retireServer(b.Name, have.Name, config))
		}
	}
	return steps, true
}

// unwanted are the running servers without a line. Servers that the user's raw lines may add are not included.
func (b backend) unwanted(running []host.RunningServer) (all []host.RunningServer) {
	wanted := map[string]bool{}
	for _, s := range b.Servers {
		wanted[s.Name] = true
	}
	for _, have := range running {
		if !wanted[have.Name] && len(b.Raw) == 0 {
			all = append(all, have)
		}
	}
	return all
}

// unused deletes the unwanted servers whose last connection has ended.
func (b backend) unused(running []host.RunningServer) (steps []Step) {
	for _, have := range b.unwanted(running) {
		if have.Admin != host.AdminReady && have.Sessions == 0 {
			steps = append(steps, deleteServer(b.Name, have.Name))
		}
	}
	return steps
}

// set are the commands that bring a running server in line with its server line. They change neither the result of its check nor
// the address of a DNS name.
func (b backend) set(want render.Server, have host.RunningServer) (changes, commands []string) {
	place := b.Name + "/" + want.Name
	add := func(what, command string, args ...any) {
		changes, commands = append(changes, what), append(commands, fmt.Sprintf(command, args...))
	}
	if addr := want.Addr(); addr.IsValid() && have.Addr != addr {
		add(fmt.Sprintf("address %v becomes %v", have.Addr, addr), "set server %s addr %v port %d", place, addr.Addr(), addr.Port())
	}
	switch {
	case have.Weight == want.Weight:
	case b.weighed():
		add(fmt.Sprintf("weight %d becomes %d", have.Weight, want.Weight), "set server %s weight %d", place, want.Weight)
	default: // the other algorithms accept only 0 % and 100 % of the initial weight
		add(fmt.Sprintf("weight %d becomes %d", have.Weight, want.Weight), "set server %s weight 100%%", place)
	}
	if have.MaxConnections != want.MaxConnections {
		add(fmt.Sprintf("most connections %d become %d", have.MaxConnections, want.MaxConnections), "set maxconn server %s %d", place, want.MaxConnections)
	}
	if have.CheckOff && checked(want) {
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

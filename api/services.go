package api

import (
	"net/netip"

	"rlb.dev/rlb-agent/api/yamlfile"
)

// services checks each service, and its listeners against all other listeners.
func (r *rules) services() {
	listening := listeners{}
	names := map[string]string{}
	for i := range r.spec.Services {
		service, path := &r.spec.Services[i], yamlfile.Index("services", i)
		unique(r, names, service.Name, yamlfile.Join(path, "name"))
		if service.Port != nil && r.Sound(yamlfile.Join(path, "port"), yamlfile.Join(path, "bind")) {
			r.listenService(listening, i)
		}
		r.healthCheck(service, path)
	}
	ways := make([][]way, len(r.spec.Services))
	for i := range r.spec.Services {
		ways[i] = r.servers(i, listening)
	}
	r.loops(ways)
	for _, own := range []struct{ path, address string }{
		{"proxy.stats.address", r.spec.Proxy.Stats.Address},
		{"metrics.address", r.spec.Metrics.Address},
		{"web.address", r.spec.Web.Address},
	} {
		if addrport, err := netip.ParseAddrPort(own.address); err == nil && r.Sound(own.path) {
			if earlier := listening.add(addrport.Addr().String(), addrport.Port(), own.path); earlier != "" {
				r.wrong(own.path, "must be a free address and port, got those of %s", earlier)
			}
		}
	}
}

func (r *rules) listenService(listening listeners, i int) {
	service, path := &r.spec.Services[i], yamlfile.Index("services", i)
	at := yamlfile.Join(path, "port")
	for j, bind := range service.Bind {
		switch earlier := listening.add(bind, uint16(*service.Port), at); {
		case earlier == at:
			r.wrong(yamlfile.Index(yamlfile.Join(path, "bind"), j), "must not listen twice on the same address")
		case earlier != "":
			r.sharedPort(earlier, i)
		}
	}
}

func (r *rules) servers(number int, listening listeners) (ways []way) {
	service, path := &r.spec.Services[number], yamlfile.Index("services", number)
	list, own := yamlfile.Join(path, "servers"), yamlfile.Join(path, "port")
	nameOf := func(i int) string { return serverPath{list, i}.field("name") }
	names := make(map[string]int, len(service.Servers)) // the first server of each name
	for i := range service.Servers {
		server := &service.Servers[i]
		switch earlier, taken := names[server.Name]; {
		case taken && !r.doc.given(nameOf(i)):
			r.wrong(nameOf(i), "must be unique, got the default %q and the same as %s", server.Name, nameOf(earlier))
		case !r.Spotless() && !r.Sound(nameOf(i)):
		case taken:
			r.wrong(nameOf(i), "must be unique, got the same as %s", nameOf(earlier))
		default:
			names[server.Name] = i
		}
		if addr := addressOf(server); addr.IsValid() && (r.Spotless() || r.Sound(serverPath{list, i}.field("address"))) {
			if to := r.leadsBack(server, addr, serverPath{list, i}, own, listening); to != "" {
				ways = append(ways, way{to, serverPath{list, i}, server})
			}
		}
	}
	return ways
}

// way is a server that leads to another service of the load balancer.
type way struct {
	to     string // the path of that service's port
	at     serverPath
	server *Server
}

// loops refuses servers by which services lead to each other. Of each loop it reports the server that closes it. TLS
// server names may separate the connections, so services with sni are not counted as part of a loop.
func (r *rules) loops(ways [][]way) {
	numbers, withNames := map[string]int{}, map[int]bool{}
	for i := range r.spec.Services {
		s := &r.spec.Services[i]
		numbers[yamlfile.Join(yamlfile.Index("services", i), "port")] = i
		if s.Port != nil && len(s.SNI) > 0 {
			withNames[*s.Port] = true
		}
	}
	var onWay, done = make([]bool, len(ways)), make([]bool, len(ways))
	var follow func(i int)
	follow = func(i int) {
		onWay[i] = true
		for _, w := range ways[i] {
			to, isService := numbers[w.to]
			switch {
			case !isService || withNames[*w.server.Port]:
			case onWay[to]:
				r.wrong(w.at.field("address"), "must not lead back to the load balancer, got %s with port %d, where %s listens, which leads to %s",
					yamlfile.Quote(w.server.Address), *w.server.Port, yamlfile.Parent(w.to), yamlfile.Index("services", i))
			case !done[to]:
				follow(to)
			}
		}
		onWay[i], done[i] = false, true
	}
	for i := range ways {
		if !done[i] {
			follow(i)
		}
	}
}

// addressOf returns the address of a server, or the zero Addr if only a resolver can find it.
func addressOf(server *Server) netip.Addr {
	if server.Address == "localhost" {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	addr, _ := netip.ParseAddr(server.Address)
	return addr
}

// serverPath makes the path of a server only when a message needs it: a service may have thousands of servers.
type serverPath struct {
	list string // the path of the service's servers
	i    int
}

func (p serverPath) field(name string) string {
	return yamlfile.Join(yamlfile.Index(p.list, p.i), name)
}

// leadsBack refuses a server that is the load balancer itself: a virtual IP, which a node takes over from any other
// host, or an address and port where the service listens on a node. If another service listens there, leadsBack
// returns the path of that service's port.
func (r *rules) leadsBack(server *Server, addr netip.Addr, at serverPath, own string, listening listeners) (other string) {
	if vip := r.virtual[addr]; vip != "" {
		r.wrong(at.field("address"), "must not be a virtual IP, got that of %s: it leads back to the load balancer", vip)
		return ""
	}
	if server.Port == nil || !r.Spotless() && !r.Sound(at.field("port"), own) {
		return ""
	}
	listener, exact := listening.find(addr, uint16(*server.Port))
	switch {
	case !exact && !addr.IsLoopback() && r.owners[addr] == "":
		return ""
	case listener == own:
		r.wrong(at.field("address"), "must not lead back to the load balancer, got %s with port %d, where %s listens itself: %s", yamlfile.Quote(server.Address), *server.Port, yamlfile.Parent(own),
			"give the service another port, or bind it to the virtual IP and the server to its own address (kube-apiserver: --bind-address)")
		return ""
	}
	return listener
}

func (r *rules) healthCheck(service *Service, path string) {
	at, check := yamlfile.Join(path, "healthCheck"), &service.HealthCheck
	kind := yamlfile.Join(at, "type")
	if !r.Sound("profile", kind) || !(r.doc.given(kind) || r.portsSound(service, path)) {
		return
	}
	got := yamlfile.Quote(string(check.Type))
	if !r.doc.given(kind) {
		got += ", the default here"
	}
	http, https := check.Type.HTTP(), check.Type == CheckHTTPS
	any := check.Type != CheckNone
	for _, field := range []struct {
		name    string
		allowed bool
		types   string
	}{
		{"port", any, "tcp, http or https"},
		{"method", http, "http or https"},
		{"host", http, "http or https"},
		{"path", http, "http or https"},
		{"expectStatus", http, "http or https"},
		{"caFile", https, "https"},
		{"cutAfter", http || *check.CutAfter == 0, "http or https"},
	} {
		if own := yamlfile.Join(at, field.name); !field.allowed && r.doc.given(own) {
			r.wrong(own, "must go with type %s, got %s", field.types, got)
		}
	}
	if own := yamlfile.Join(path, "failOpen"); *service.FailOpen && !any && r.Sound(own) {
		r.wrong(own, "must go with type tcp, http or https of the health check, got %s", got)
	}
	statuses := map[int]string{}
	for i, status := range check.ExpectStatus {
		unique(r, statuses, status, yamlfile.Index(yamlfile.Join(at, "expectStatus"), i))
	}
}

// portsSound reports whether the servers' ports, which decide the default type of the health check, have no problem.
func (r *rules) portsSound(service *Service, path string) bool {
	if r.Spotless() {
		return true
	}
	for i := range service.Servers {
		if !r.Sound(yamlfile.Join(yamlfile.Index(yamlfile.Join(path, "servers"), i), "port")) {
			return false
		}
	}
	return r.Sound(yamlfile.Join(path, "port"))
}

package api

import (
	"cmp"
	"net/netip"
)

// services checks the services, each of its own and against all else that listens.
func (r *rules) services() {
	listening := listeners{}
	names := map[string]string{}
	for i := range r.spec.Services {
		service, path := &r.spec.Services[i], index("services", i)
		unique(r, names, service.Name, join(path, "name"))
		if at := join(path, "port"); r.sound(at, join(path, "bind")) && service.Port != nil {
			for _, bind := range service.Bind {
				r.listen(listening, bind, uint16(*service.Port), at)
			}
		}
		r.healthCheck(service, path)
	}
	for i := range r.spec.Services {
		r.servers(&r.spec.Services[i], index("services", i), listening)
	}
	for _, own := range []struct{ path, address string }{
		{"proxy.stats.address", r.spec.Proxy.Stats.Address},
		{"metrics.address", r.spec.Metrics.Address},
		{"web.address", r.spec.Web.Address},
	} {
		if addrport, err := netip.ParseAddrPort(own.address); err == nil && r.sound(own.path) {
			r.listen(listening, addrport.Addr().String(), addrport.Port(), own.path)
		}
	}
}

func (r *rules) listen(listening listeners, bind string, port uint16, path string) {
	if earlier := listening.add(bind, port, path); earlier != "" {
		r.wrong(path, "must be a free address and port, got those of %s", earlier)
	}
}

func (r *rules) servers(service *Service, path string, listening listeners) {
	names := map[string]string{}
	for i, server := range service.Servers {
		at := index(join(path, "servers"), i)
		if name := join(at, "name"); !r.doc.given(name) && names[server.Name] != "" {
			r.wrong(name, "must be unique, got the default %q and the same as %s", server.Name, names[server.Name])
		} else {
			unique(r, names, server.Name, name)
		}
		addr, err := netip.ParseAddr(server.Address)
		if err != nil || server.Port == nil || !r.sound(join(at, "address"), join(at, "port"), join(path, "port")) {
			continue
		}
		listener, exact := listening.find(addr, uint16(*server.Port))
		itself := listener == join(path, "port") && (exact || addr.IsLoopback())
		if listener != "" && (itself || r.virtual[addr] != "") {
			r.wrong(join(at, "address"), "must not lead back to the load balancer, got where %s listens", listener)
		}
	}
}

func (r *rules) healthCheck(service *Service, path string) {
	at, check := join(path, "healthCheck"), &service.HealthCheck
	kind := join(at, "type")
	if !r.sound("profile", kind) || !(r.doc.given(kind) || r.portsSound(service, path)) {
		return
	}
	got := quote(string(check.Type))
	if !r.doc.given(kind) {
		got += ", the default here"
	}
	http, https := check.Type.HTTP(), check.Type == CheckHTTPS
	for _, field := range []struct {
		name    string
		allowed bool
		types   string
	}{
		{"path", http, "http or https"},
		{"expectStatus", http, "http or https"},
		{"caFile", https, "https"},
	} {
		if own := join(at, field.name); !field.allowed && r.doc.given(own) {
			r.wrong(own, "must go with type %s, got %s", field.types, got)
		}
	}
	statuses := map[int]string{}
	for i, status := range check.ExpectStatus {
		unique(r, statuses, status, index(join(at, "expectStatus"), i))
	}
}

// portsSound tells whether the default type of the health check, which hangs on the servers' ports, can be told.
func (r *rules) portsSound(service *Service, path string) bool {
	for i := range service.Servers {
		if !r.sound(join(index(join(path, "servers"), i), "port")) {
			return false
		}
	}
	return r.sound(join(path, "port"))
}

// listeners knows what listens on a port: the path of the field that says so, by address.
type listeners map[uint16]*portListeners

type portListeners struct {
	first string // whatever came first
	every string // on all addresses
	on    map[netip.Addr]string
}

// add returns what listens there already, or "" where bind and port were free. "*" and the unspecified addresses
// take a port on every address.
func (l listeners) add(bind string, port uint16, path string) (earlier string) {
	known := l[port]
	if known == nil {
		known = &portListeners{on: map[netip.Addr]string{}}
		l[port] = known
	}
	addr, err := netip.ParseAddr(bind)
	if err != nil || addr.IsUnspecified() {
		earlier = known.first
		known.every = cmp.Or(known.every, path)
	} else {
		earlier = cmp.Or(known.on[addr], known.every)
		known.on[addr] = cmp.Or(known.on[addr], path)
	}
	known.first = cmp.Or(known.first, path)
	return earlier
}

// find returns what listens on that address and port, and whether on that very address.
func (l listeners) find(addr netip.Addr, port uint16) (path string, exact bool) {
	known := l[port]
	if known == nil {
		return "", false
	}
	if path = known.on[addr]; path != "" {
		return path, true
	}
	return known.every, false
}

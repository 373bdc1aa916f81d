package api

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"rlb.dev/rlb-agent/api/yamlfile"
)

// listeners records what listens on each port: by address, the path of the field that configures the listener.
type listeners map[uint16]*portListeners

type portListeners struct {
	first string // the first listener on the port, on any address
	every string // the listener on all addresses
	on    map[netip.Addr]string
}

// add records a listener. It returns what listens there already, or "" if bind and port were free. "*" and the
// unspecified addresses occupy a port on every address.
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

// find returns what listens on an address and port. exact is false if the listener has all addresses.
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

// sharedPort checks a service whose address and port another service has already. TLS server names may distinguish the
// two services, which then form one frontend.
func (r *rules) sharedPort(earlier string, i int) {
	path := yamlfile.Index("services", i)
	service := &r.spec.Services[i]
	first, isService := r.serviceAt(earlier)
	if !isService || len(service.SNI) == 0 && len(first.SNI) == 0 {
		way := ""
		if isService {
			way = "; services on one port are told apart by sni"
		}
		r.wrong(yamlfile.Join(path, "port"), "must be a free address and port, got those of %s%s", earlier, way)
		return
	}
	with := yamlfile.Parent(earlier)
	for _, field := range []struct {
		name  string
		equal bool
	}{
		{"bind", sameSet(service.Bind, first.Bind)},
		{"allowFrom", sameSet(service.AllowFrom, first.AllowFrom)},
		{"acceptProxyProtocol", service.AcceptProxyProtocol == first.AcceptProxyProtocol},
		{"timeouts.client", equalTo(service.Timeouts.Client, first.Timeouts.Client)},
	} {
		at, other := yamlfile.Join(path, field.name), yamlfile.Join(with, field.name)
		if !field.equal && r.Sound(at, other) {
			r.wrong(at, "must be the same as %s: sni makes the two one frontend", other)
		}
	}
}

// serviceAt returns the service whose port is at the path.
func (r *rules) serviceAt(path string) (service *Service, ok bool) {
	number, isService := strings.CutPrefix(strings.TrimSuffix(path, "].port"), "services[")
	i, err := strconv.Atoi(number)
	if !isService || err != nil {
		return nil, false
	}
	return &r.spec.Services[i], true
}

// serverNames checks that services on one address and port differ in their TLS server names, and that at most one
// of them has no names and takes all other connections.
func (r *rules) serverNames() {
	type place struct {
		bind string
		port int
		name string // "" for all other names
	}
	first := map[place]string{}
	for i := range r.spec.Services {
		service, path := &r.spec.Services[i], yamlfile.Index("services", i)
		if service.Port == nil || !r.Sound(yamlfile.Join(path, "port"), yamlfile.Join(path, "bind")) {
			continue
		}
		names := service.SNI
		if len(names) == 0 {
			names = []string{""}
		}
		for j, name := range names {
			at := yamlfile.Index(yamlfile.Join(path, "sni"), j)
			here := place{slices.Min(service.Bind), *service.Port, strings.ToLower(name)}
			switch earlier := first[here]; {
			case earlier == "":
				first[here] = at
			case name != "":
				r.wrong(at, "must be unique on its address and port, got the same as %s", earlier)
			case r.Sound(yamlfile.Join(path, "port")):
				r.wrong(path, "must have sni, since %s takes the rest of its address and port", yamlfile.Parent(yamlfile.Parent(earlier)))
			}
		}
	}
}

func sameSet(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}

func equalTo[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

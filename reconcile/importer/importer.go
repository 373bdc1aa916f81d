package importer

import (
	"cmp"
	"fmt"
	"strings"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/render"
)

// File is an installed file.
type File struct {
	Name string // the name in the report
	Data []byte // nil if there is no such file
}

// Options are facts that the files do not contain.
type Options struct {
	Profile api.Profile // "" selects the profile that gives the shorter spec
	Nodes   []api.Node  // the load balancers; none if they are not known
	Schema  string      // path of the JSON Schema; "" for api.DefaultSchema
}

// Result is an imported spec.
type Result struct {
	Text    string   // the spec, in YAML with comments
	Notes   []string // what was not carried over, or was changed: "file:line: directive: …", in the order of the files
	Unshown []string // fields that the files cannot show, each with the value that applies
}

// Import converts the two files to a spec. The spec may have problems that api.Parse finds, for example no virtual IP if no
// file names one.
func Import(haproxy, keepalived File, o Options) Result {
	own := render.IsRendered(haproxy.Data)
	profiles := []api.Profile{api.Standard, api.Classic}
	switch {
	case own:
		profiles = profiles[1:]
		if strings.Contains(string(haproxy.Data), "\nfrontend "+render.HealthFrontend+"\n") {
			profiles = []api.Profile{api.Standard}
		}
	case o.Profile != "":
		profiles = []api.Profile{o.Profile}
	}
	var best Result
	for _, profile := range profiles {
		m := &mapping{files: [2]File{haproxy, keepalived}, own: own, profile: profile, names: map[string]bool{}, comments: map[string]string{}, failsOpen: map[string]bool{}}
		m.spec.APIVersion, m.spec.Kind, m.spec.Profile = api.APIVersion, api.Kind, profile
		m.keepalived(o.Nodes)
		m.haproxy()
		if result := m.result(o.Schema, len(profiles) > 1); best.Text == "" || len(result.Text) < len(best.Text) {
			best = result
		}
	}
	return best
}

// mapping is the state of an import with one profile.
type mapping struct {
	report
	files      [2]File // haproxy.cfg and keepalived.conf
	file       int     // index of the file being read
	own        bool    // the agent rendered haproxy.cfg
	profile    api.Profile
	spec       api.LoadBalancerSpec // with every field that the files show
	version    *int                 // VRRP version of an instance without a version
	named      bool                 // the user named the nodes
	names      map[string]bool      // names of services in use
	servers    int                  // server lines read for all services
	work       int                  // backend lines read for all services
	caBase     string               // ca-base of the global section
	relativeCA bool                 // some statement names a ca-file relative to ca-base
	failsOpen  map[string]bool      // names of the backends that have a fail-open backend
	comments   map[string]string    // comments on fields by path
}

// result returns the spec as text. chosen says that Import chooses the profile that gives the shorter spec.
func (m *mapping) result(schema string, chosen bool) Result {
	var of []string
	for _, f := range m.files {
		if f.Data != nil {
			of = append(of, printable(f.Name))
		}
	}
	unshown := m.unshown(m.files[0].Data != nil && !m.own, chosen)
	shorten(&m.spec)
	header := fmt.Sprintf("%s\n# Imported from %s. All fields: rlb-agent help spec\n", api.Modeline(cmp.Or(schema, api.DefaultSchema)), strings.Join(of, " and "))
	return Result{Text: header + text(&m.spec, m.comments), Notes: m.all(), Unshown: unshown}
}

// unshown returns the fields that no file can show. foreign says that the agent did not render haproxy.cfg, so that more
// fields may be missing.
func (m *mapping) unshown(foreign, chosen bool) []string {
	fields := []string{"metadata: the load balancer has no name"}
	if chosen && m.profile == api.Classic {
		fields = append(fields, "profile: classic, which leaves the shorter spec; --profile standard fails over faster, and cuts connections to servers that failed")
	} else if chosen {
		fields = append(fields, "profile: standard, which leaves the shorter spec, fails over fast, and cuts connections to servers that failed; --profile classic does not")
	}
	switch {
	case len(m.spec.Nodes) == 0:
		fields = append(fields, "nodes: none, so that VRRP is accepted from the whole subnet; --node names them")
	case len(m.spec.Nodes) == 1:
		fields = append(fields, "nodes: the others, whose VRRP is dropped until they are named; --node names them")
	default:
		fields = append(fields, "nodes: their names and priorities")
	}
	fields = append(fields, "vrrp.handover: the default of the profile")
	for _, s := range m.spec.Services {
		if s.HealthCheck.CutAfter != nil && *s.HealthCheck.CutAfter > 0 {
			fields = append(fields, "healthCheck.cutAfter: how long; the file shows only that there is one")
			break
		}
	}
	if foreign {
		t := m.spec.Proxy.Timeouts
		for _, field := range []struct {
			name  string
			shown bool
		}{
			{"maxConnections", m.spec.Proxy.MaxConnections != nil || m.profile == api.Classic},
			{"hardStopAfter", m.spec.Proxy.HardStopAfter != nil || m.profile == api.Classic},
			{"timeouts.connect", t.Connect != nil}, {"timeouts.client", t.Client != nil}, {"timeouts.server", t.Server != nil},
		} {
			if !field.shown {
				fields = append(fields, "proxy."+field.name+": the file has none, and a spec always has one: the default of the profile")
			}
		}
	}
	return append(fields,
		"services[].allowFrom, firewall: the ports of the services are opened for everyone, VRRP for the peers",
		"packages: haproxy and keepalived are installed and held as they are",
		"reconcile: the host is repaired every 60s and at each event",
		"metrics, web: off")
}

package importer

import (
	"fmt"
	"strings"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/render"
)

// File is an installed file.
type File struct {
	Name string // what the report calls it
	Data []byte // nil where there is none
}

// Options are what the files cannot say.
type Options struct {
	Profile api.Profile // "" for the one that leaves the shorter spec
	Nodes   []api.Node  // the load balancers; none where they are not known
}

// Result is an imported spec.
type Result struct {
	Text    string   // the spec, in YAML with comments
	Notes   []string // what it does not carry over, or not as it was: "file:line: directive: …", in the order of the files
	Unshown []string // fields that the files cannot show, each with what holds now
}

// Import makes a spec of the two files. The spec may have problems, which api.Parse finds: of a virtual IP that no file
// names, for example.
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
		if result := m.result(len(profiles) > 1); best.Text == "" || len(result.Text) < len(best.Text) {
			best = result
		}
	}
	return best
}

// mapping is an import in one profile.
type mapping struct {
	report
	files      [2]File // haproxy.cfg and keepalived.conf
	file       int     // which of them is being read
	own        bool    // the agent rendered it
	profile    api.Profile
	spec       api.LoadBalancerSpec // with every field that the files show
	version    *int                 // of VRRP, where an instance does not say it
	named      bool                 // the user named the nodes
	names      map[string]bool      // of services
	servers    int                  // read for all services
	work       int                  // lines of backends read for all services
	caBase     string               // of the global section
	relativeCA bool                 // some server names a file that ca-base is the directory of
	failsOpen  map[string]bool      // the backends that have a second one, by name
	comments   map[string]string    // of fields, by their path
}

// result is the spec as text. chosen says that the profile is that of the shorter spec.
func (m *mapping) result(chosen bool) Result {
	var of []string
	for _, f := range m.files {
		if f.Data != nil {
			of = append(of, printable(f.Name))
		}
	}
	unshown := m.unshown(m.files[0].Data != nil && !m.own, chosen)
	shorten(&m.spec)
	header := fmt.Sprintf("%s\n# Imported from %s. All fields: rlb-agent help spec\n", api.Modeline(api.DefaultSchema), strings.Join(of, " and "))
	return Result{Text: header + text(&m.spec, m.comments), Notes: m.all(), Unshown: unshown}
}

// unshown are the fields that no file can show. foreign says that haproxy.cfg may lack what every rendered one has.
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

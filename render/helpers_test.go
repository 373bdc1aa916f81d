package render

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/api"
)

// release is a Debian release with the versions of its programs.
type release struct {
	name                string
	haproxy, keepalived Version
}

// releases are the releases that the tests render for, newest first.
var releases = []release{
	{"experimental", "3.4.7-1", "1:2.3.4-1"},
	{"sid", "3.2.26-1", "1:2.3.4-1"},
	{"debian13", "3.0.11-1+deb13u3", "1:2.3.3-1"},
	{"debian12", "2.6.12-1+deb12u3", "1:2.2.7-1+b2"},
	{"debian11", "2.2.9-2+deb11u6", "1:2.1.5-0.2+deb11u1"},
	{"debian10", "1.8.19-1+deb10u4", "1:2.0.10-1"},
}

// stable is the newest stable release, Debian 13.
var stable = releases[2]

// shortest is the beginning of a spec. Services and the other fields follow it.
const shortest = "apiVersion: rlb.dev/v1\nkind: LoadBalancerSpec\n"

// oneService is a service with one server.
const oneService = "services:\n- {name: api, port: 9000, servers: [{address: 192.168.3.251, port: 6443}]}\n"

// parse reads a spec that must be valid.
func parse(t testing.TB, text string) *api.LoadBalancerSpec {
	t.Helper()
	doc, err := api.Parse("spec.yaml", []byte(text))
	if err != nil {
		t.Fatalf("cannot parse:\n%s\n%v", text, err)
	}
	return &doc.Spec
}

// example reads a spec of the examples directory.
func example(t testing.TB, name string) *api.LoadBalancerSpec {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../examples", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(data))
}

// examples returns the names of all examples.
func examples(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob("../examples/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("cannot find the examples: %v", err)
	}
	var names []string
	for _, path := range paths {
		names = append(names, strings.TrimSuffix(filepath.Base(path), ".yaml"))
	}
	return names
}

// factsFor returns the facts of the first node of a spec, in the network of the examples.
func factsFor(spec *api.LoadBalancerSpec, r release) Facts {
	facts := Facts{
		Interface:         "eth0",
		Subnets:           []netip.Prefix{netip.MustParsePrefix("192.168.3.241/24"), netip.MustParsePrefix("2001:db8:3::241/64")},
		Nameservers:       []netip.Addr{netip.MustParseAddr("127.0.0.53")},
		HAProxyVersion:    r.haproxy,
		KeepalivedVersion: r.keepalived,
	}
	if spec.VRRP.Interface != "" {
		facts.Interface = spec.VRRP.Interface
	}
	if len(spec.Nodes) > 0 {
		facts.Node = spec.Nodes[0].Name
		if own := spec.Nodes[0].Interface; own != "" {
			facts.Interface = own
		}
	}
	return facts
}

// files renders a spec that must render.
func files(t testing.TB, spec *api.LoadBalancerSpec, facts Facts) []File {
	t.Helper()
	rendered, err := Render(spec, facts)
	if err != nil {
		t.Fatal(err)
	}
	return rendered.Files
}

// fileOf returns the first file of a kind.
func fileOf(t testing.TB, rendered []File, kind Kind) File {
	t.Helper()
	for _, f := range rendered {
		if f.Kind == kind {
			return f
		}
	}
	t.Fatalf("no file of kind %d", kind)
	return File{}
}

// rendered returns the text of the first file of a kind, for a spec in YAML and the stable programs.
func rendered(t testing.TB, kind Kind, yaml string) string {
	t.Helper()
	spec := parse(t, shortest+yaml)
	return string(fileOf(t, files(t, spec, factsFor(spec, stable)), kind).Data)
}

// section returns the text from the line that starts with head to the next line without indentation.
func section(t testing.TB, text, head string) string {
	t.Helper()
	var found []string
	for line := range strings.Lines(text) {
		if len(found) > 0 && line[0] != ' ' {
			break
		}
		if len(found) > 0 || strings.HasPrefix(line, head) {
			found = append(found, line)
		}
	}
	if len(found) == 0 {
		t.Fatalf("no %q in:\n%s", head, text)
	}
	return strings.Join(found, "")
}

// linesOf returns the lines of a text that start with a word, without indentation.
func linesOf(text, word string) []string {
	var found []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, word+" ") || line == word {
			found = append(found, line)
		}
	}
	return found
}

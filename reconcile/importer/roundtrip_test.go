package importer_test

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aymanbagabas/go-udiff"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/hack/specgen"
	"rlb.dev/rlb-agent/reconcile/importer"
	"rlb.dev/rlb-agent/render"
)

var specs = flag.Uint64("specs", 300, "how many generated specs are rendered and imported")

// versions of HAProxy and keepalived whose files differ.
var versions = [][2]render.Version{
	{"3.4.7", "2.3.4"}, {"3.0.11", "2.3.3"}, {"2.6.12", "2.2.7"}, {"2.2.9", "2.1.5"}, {"1.8.19", "2.0.10"},
}

// rendered are the two files of a spec for its first node.
func rendered(t testing.TB, spec *api.LoadBalancerSpec, version [2]render.Version) (haproxy, keepalived []byte) {
	t.Helper()
	facts := render.Facts{
		Interface: "eth0", HAProxyVersion: version[0], KeepalivedVersion: version[1],
		Subnets:     []netip.Prefix{netip.MustParsePrefix("192.168.3.241/24"), netip.MustParsePrefix("2001:db8:3::241/64")},
		Nameservers: []netip.Addr{netip.MustParseAddr("127.0.0.53")},
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
	all, err := render.Render(spec, facts)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all.Files {
		switch f.Kind {
		case render.HAProxyConfig:
			haproxy = f.Data
		case render.KeepalivedConfig:
			keepalived = f.Data
		}
	}
	return haproxy, keepalived
}

// roundTrip renders a spec, imports the files and renders what comes of it: the same bytes, and nothing is lost.
func roundTrip(t *testing.T, name, text string, versions ...[2]render.Version) {
	t.Helper()
	doc, err := api.Parse(name, []byte(text))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for _, version := range versions {
		haproxy, keepalived := rendered(t, &doc.Spec, version)
		result := importer.Import(importer.File{Name: "haproxy.cfg", Data: haproxy}, importer.File{Name: "keepalived.conf", Data: keepalived}, importer.Options{})
		again, err := api.Parse("imported", []byte(result.Text))
		if err != nil {
			t.Fatalf("%s, %v: %v\n%s\n%s\n%s", name, version, err, result.Text, haproxy, keepalived)
		}
		haproxyAgain, keepalivedAgain := rendered(t, &again.Spec, version)
		if diff := udiff.Unified("spec", "imported", string(keepalived)+string(haproxy), string(keepalivedAgain)+string(haproxyAgain)); diff != "" {
			t.Fatalf("%s, %v:\n%s\n%s\n%s", name, version, diff, text, result.Text)
		}
		if len(result.Notes) > 0 {
			t.Fatalf("%s, %v: a rendered file is carried over as a whole, got:\n%s\n%s", name, version, strings.Join(result.Notes, "\n"), text)
		}
	}
}

func TestRenderedFilesComeBack(t *testing.T) {
	for _, pattern := range []string{"../../examples/*.yaml", "../../api/testdata/cases/*.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("no files %s: %v", pattern, err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := api.Parse(path, data); err == nil { // the others are there to be refused
				t.Run(filepath.Base(path), func(t *testing.T) { roundTrip(t, path, string(data), versions...) })
			}
		}
	}
}

// TestGeneratedSpecsComeBack takes the versions in turn. go test ./reconcile/importer -specs 10000 is the whole of it.
func TestGeneratedSpecsComeBack(t *testing.T) {
	for seed := range *specs {
		roundTrip(t, fmt.Sprint("seed ", seed), specgen.Text(seed), versions[seed%uint64(len(versions))])
	}
}

// TestImportedSpecsComeBack: what others' files become is rendered, and imported again, without a difference.
func TestImportedSpecsComeBack(t *testing.T) {
	for name, files := range foreign(t) {
		for _, profile := range []api.Profile{api.Standard, api.Classic} {
			result := importer.Import(files[0], files[1], importer.Options{Profile: profile})
			if _, err := api.Parse(name, []byte(result.Text)); err == nil {
				roundTrip(t, name, result.Text, versions...)
			}
		}
	}
}

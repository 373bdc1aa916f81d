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

// versions are versions of HAProxy and keepalived with different rendered files.
var versions = [][2]render.Version{
	{"3.4.7", "2.3.4"}, {"3.0.11", "2.3.3"}, {"2.6.12", "2.2.7"}, {"2.2.9", "2.1.5"}, {"1.8.19", "2.0.10"},
}

// rendered returns the two files of a spec for its first node.
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

// roundTrip renders a spec, imports the files and renders the result. The bytes must be the same, and nothing may be lost.
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
			if _, err := api.Parse(path, data); err == nil { // other testdata files are invalid on purpose
				t.Run(filepath.Base(path), func(t *testing.T) { roundTrip(t, path, string(data), versions...) })
			}
		}
	}
}

// TestGeneratedSpecsComeBack runs roundTrip on generated specs, with a different version for each seed. The full run is
// go test ./reconcile/importer -specs 10000.
func TestGeneratedSpecsComeBack(t *testing.T) {
	for seed := range *specs {
		name := fmt.Sprint("seed ", seed)
		t.Run(name, func(t *testing.T) { roundTrip(t, name, specgen.Text(seed), versions[seed%uint64(len(versions))]) })
	}
}

// TestImportedSpecsComeBack runs roundTrip on the specs imported from foreign files.
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

// TestRawLinesComeBack: raw lines that look like generated ones stay raw lines, and fields that no example has survive the
// round trip.
func TestRawLinesComeBack(t *testing.T) {
	const head, service = "apiVersion: rlb.dev/v1\nkind: LoadBalancerSpec\nvirtualIPs: [192.168.3.240]\n", "services:\n- name: s\n  port: 9000\n  servers: [{address: 192.168.3.251, port: 6443}, {name: b, address: b.example.org, weight: 3, maxConnections: 7}]\n"
	for name, text := range map[string]string{
		"fail closed":        service + "  failOpen: false\n",
		"fail open":          service + "  failOpen: true\n  healthCheck: {type: tcp}\n",
		"readyz at once":     service + "  healthCheck: {type: https, cutAfter: 0s}\n",
		"global":             "profile: classic\nproxy: {extraGlobal: [nbthread 2, maxconn 100, hard-stop-after 3600s]}\n" + service,
		"global like ours":   "profile: classic\nproxy: {extraGlobal: [maxconn  100]}\n" + service,
		"defaults":           "proxy: {extraDefaults: ['# why', '', timeout queue 5s, timeout connect 5s, 'option  dontlognull', retries 2]}\n" + service,
		"sections":           "proxy: {extraDefaults: [peers p, peer a 192.0.2.1:1024, listen x, 'bind :1', server y 192.0.2.1:1]}\n" + service,
		"timeouts":           service + "  extraBackend: [timeout connect 5s, timeout check 1s, balance random]\n  extraFrontend: [timeout client 5s, 'bind :1', use_backend x if TRUE]\n",
		"timeouts like ours": service + "  extraBackend: [timeout connect 5000ms, timeout check 1000ms]\n  extraFrontend: [timeout client 5000ms]\n",
		"no check":           service + "  healthCheck: {type: none}\n  extraBackend: [timeout check 1000ms, option httpchk GET /]\n",
		"no check, classic":  "profile: classic\n" + service + "  healthCheck: {type: none}\n  extraBackend: [option httpchk GET /x, timeout check 1000ms]\n",
		"raw check":          "profile: classic\n" + service + "  extraBackend: [option httpchk GET /x, http-check send hdr Host h, 'http-check expect string \"a  b\"']\n",
		"raw connect":        service + "  healthCheck: {type: http}\n  extraBackend: [http-check connect port 8008, '# note']\n",
		"raw send":           service + "  healthCheck: {type: http}\n  extraBackend: [http-check send]\n",
		"raw connect, host":  service + "  healthCheck: {type: http, host: h.example.org}\n  extraBackend: [http-check connect port 8008]\n",
		"raw servers":        service + "  extraBackend: [server raw 192.0.2.1:80, server raw2 192.0.2.2:80 check inter 5s]\n",
		"server words":       service + "  extraServer: 'weight 5  slowstart 30s id 7'\n",
		"server words 2":     service + "  extraServer: ' backup'\n  healthCheck: {type: none}\n",
		"ports":              service + "  healthCheck: {type: http, port: 9000, host: h.example.org, path: '/x?a=1', expectStatus: [204, 200], method: HEAD}\n",
		"password":           "vrrp: {version: 2, extraInstance: ['authentication {', '  auth_type PASS', '', '  auth_pass x # }', '}', '# end']}\n" + service,
		"tracked":            "vrrp: {extraInstance: ['track_interface {', 'eth9', '}', 'track_file {', 'rlb-fault', '}']}\n" + service,
		"names":              service + "  sni: [a.example.org, '*.b.a.example.org', '*.example.org']\n  extraFrontend: [tcp-request inspect-delay 5000ms, 'acl x req.ssl_sni -i y']\n",
	} {
		t.Run(name, func(t *testing.T) { roundTrip(t, name, head+text, versions...) })
	}
}

// TestRawServerWordsComeBack: words of extraServer that the agent writes too, where it does not write them.
func TestRawServerWordsComeBack(t *testing.T) {
	const service = "apiVersion: rlb.dev/v1\nkind: LoadBalancerSpec\nvirtualIPs: [192.168.3.240]\nservices:\n- name: s\n  port: 9000\n" +
		"  servers: [{address: 192.168.3.251, port: 6443}, {address: 192.168.3.252, port: 6443}]\n"
	for _, more := range []string{"", "profile: classic\n", "  healthCheck: {type: http, port: 80}\n", "  healthCheck: {type: none}\n"} {
		for _, words := range []string{"fastinter 100", "fastinter 500ms on-error mark-down", "on-marked-down shutdown-sessions", "init-state fully-up",
			"init-addr last", "resolvers x", "resolve-prefer ipv4", "maxconn 7", "weight 3", "inter 5s", "check-ssl", "check", "check inter 5s", "send-proxy", "send-proxy-v2", "check-send-proxy"} {
			text := service + more + "  extraServer: " + words + "\n"
			if strings.HasPrefix(more, "profile") {
				text = more + service + "  extraServer: " + words + "\n"
			}
			t.Run(more+words, func(t *testing.T) { roundTrip(t, words, text, versions...) })
		}
	}
}

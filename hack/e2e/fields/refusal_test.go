package fields

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
)

// refused are specs that a program refuses: the text before the services, the text of the service, and the field that
// every message with a place must name.
var refused = []struct{ top, service, field, words string }{
	{"", "healthCheck: {type: https, caFile: /etc/rlb/none.crt}", "services[0].healthCheck.caFile", "/etc/rlb/none.crt"},
	{"", "healthCheck: {type: https, caFile: /etc/rlb/garbage.crt}", "services[0].healthCheck.caFile", "/etc/rlb/garbage.crt"},
	{"", "healthCheck: {type: https, caFile: /etc/rlb/none.crt}\nextraServer: slowstart 10s", "services[0].healthCheck.caFile", "/etc/rlb/none.crt"},
	{"", "extraServer: nonsense 3", "services[0].extraServer", "'nonsense'"},
	{"", "extraServer: slowstart abc", "services[0].extraServer", "'slowstart'"},
	{"", "extraServer: ssl", "services[0].extraServer", "verify is enabled by default"},
	{"", "extraServer: resolvers nope", "services[0].extraServer", "'nope'"},
	{"", "extraServer: ssl verify required ca-file /etc/rlb/none.crt", "services[0].extraServer", "/etc/rlb/none.crt"},
	{"", "extraFrontend: [option dontlog-normal, nonsense 3]", "services[0].extraFrontend", "'nonsense'"},
	{"", "extraFrontend: |\n  # why\n  use_backend nope if { src 10.0.0.0/8 }", "services[0].extraFrontend", "'nope'"},
	{"", "extraFrontend: [use_backend api if nosuchacl]", "services[0].extraFrontend", "'nosuchacl'"},
	{"", "sni: [a.example.org]\nextraFrontend: [use_backend nope if TRUE]", "services[0].extraFrontend", "'nope'"},
	{"", "extraFrontend: [mode http]", "services[0].extraFrontend", "incompatible"},
	{"", "extraFrontend: ['log-format \"abc']", "services[0].extraFrontend", "unmatched quote"},
	{"", "extraBackend: [fullconn 10, nonsense]", "services[0].extraBackend", "'nonsense'"},
	{"", "extraBackend: [fullconn 10, stick on src table nope]", "services[0].extraBackend", "'nope'"},
	{"", "extraBackend: [default-server ssl]", "services[0].extraBackend", "verify is enabled by default"},
	{"", "extraBackend: ['server m1 192.0.2.9:80']", "services[0].extraBackend", "another server named 'm1'"},
	{"", "extraBackend: [use-server nope if TRUE]", "services[0].extraBackend", "'nope'"},
	{"proxy: {extraGlobal: [nbthread 2, nonsense]}", "", "proxy.extraGlobal", "'nonsense'"},
	{"proxy: {extraGlobal: [.if 1]}", "", "proxy.extraGlobal", "'.if'"},
	{"proxy: {extraGlobal: [backend api]}", "", "proxy.extraGlobal", "has the same name"},
	{"proxy: {extraDefaults: [option nonsense]}", "", "proxy.extraDefaults", "'nonsense'"},
	{"proxy: {extraDefaults: [backend api, mode tcp]}", "extraBackend: [fullconn 10]\nextraServer: slowstart 3s", "proxy.extraDefaults", "has the same name"},
	{"proxy: {extraDefaults: [backend x, backend x]}", "", "proxy.extraDefaults", "has the same name"},
	{"proxy: {extraDefaults: [frontend x, bind 127.0.0.1:1, timeout client 1s, default_backend nope]}", "", "proxy.extraDefaults", "'nope'"},
	{"proxy: {extraDefaults: [errorfile 400 /nope]}", "", "proxy.extraDefaults", "/nope"},
	{"proxy: {extraDefaults: [default-server ssl]}", "", "proxy.extraDefaults", "verify is enabled by default"},
	{"proxy: {stats: {address: '127.0.0.1:8404'}, extraDefaults: ['frontend rlb:stats', bind 127.0.0.1:1]}", "", "proxy.extraDefaults", "has the same name"},
	{"vrrp: {extraInstance: [garp_master_delay 1, nonsense 3]}", "", "vrrp.extraInstance", "'nonsense'"},
	{"vrrp: {extraInstance: [garp_master_delay abc]}", "", "vrrp.extraInstance", "'abc'"},
	{"vrrp: {extraInstance: ['track_interface {', nosuch0, '}']}", "", "vrrp.extraInstance", "nosuch0"},
	{"vrrp: {extraInstance: ['virtual_routes {', nonsense via 3, '}']}", "", "vrrp.extraInstance", "nonsense"},
	{"vrrp: {extraInstance: ['notify \"/x']}", "", "vrrp.extraInstance", `"/x`},
	{"vrrp: {version: 2, advertisementInterval: 1s, extraInstance: ['authentication {', auth_type NOPE, auth_pass x, '}']}", "", "vrrp.extraInstance", "NOPE"},
}

// TestRefusalsNameTheField: a refusal by a release's own programs is reported with their words, at the field of the
// spec that caused it.
func TestRefusalsNameTheField(t *testing.T) {
	if os.Getenv(insideOf) == "" {
		lab.Require(t)
		t.Setenv("RLB_AGENT", e2e.AgentBinary())
	}
	inTrees(t, func(t *testing.T, tree string) {
		ip(t, "link", "add", "eth0", "type", "veth", "peer", "name", "peer")
		ip(t, "link", "set", "eth0", "up")
		ip(t, "link", "set", "peer", "up")
		ip(t, "address", "add", "192.0.2.1/24", "dev", "eth0")
		write(t, tree, "etc/rlb/garbage.crt", "no certificate\n")
		write(t, tree, "run/haproxy/.keep", "")
		if out, err := exec.Command("cp", os.Getenv("RLB_AGENT"), tree+"/rlb-agent").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, test := range refused {
			yaml := "apiVersion: rlb.dev/v1\nkind: LoadBalancerSpec\nvirtualIPs: [192.0.2.10]\n" + test.top + "\nservices:\n" +
				"- name: api\n  port: 9000\n  servers: [{name: m1, address: 192.0.2.21, port: 6443}, {name: m2, address: 192.0.2.22, port: 6443}]\n"
			for line := range strings.Lines(test.service) {
				yaml += "  " + line
			}
			write(t, tree, "spec.yaml", yaml)
			out, err := exec.Command("chroot", tree, "/rlb-agent", "validate", "spec.yaml").CombinedOutput()
			if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 3 {
				t.Errorf("%s%s: %v, want exit code 3\n%s", test.top, test.service, err, out)
				continue
			}
			lines := strings.Split(string(out), "\n")
			at := slices.IndexFunc(lines, func(line string) bool { return strings.Contains(line, " refuses its configuration:") })
			place := regexp.MustCompile(`^spec\.yaml:\d+:\d+: ` + regexp.QuoteMeta(test.field) + `: `)
			complaints := slices.DeleteFunc(lines[at+1:], func(line string) bool {
				return line == "" || line == "  Non-existent interface specified in configuration"
			})
			if at < 0 || len(complaints) == 0 || !strings.Contains(string(out), test.words) ||
				slices.ContainsFunc(complaints, func(line string) bool { return !place.MatchString(line) }) {
				t.Errorf("%s%s: must name %s only, and say %q:\n%s", test.top, test.service, test.field, test.words, out)
			}
		}
	})
}

// TestWarningsNameTheField: a warning of a release's own HAProxy about a raw line in an accepted file is reported at
// that line, and validate --strict refuses it.
func TestWarningsNameTheField(t *testing.T) {
	if os.Getenv(insideOf) == "" {
		lab.Require(t)
		t.Setenv("RLB_AGENT", e2e.AgentBinary())
	}
	inTrees(t, func(t *testing.T, tree string) {
		write(t, tree, "run/haproxy/.keep", "")
		if out, err := exec.Command("cp", os.Getenv("RLB_AGENT"), tree+"/rlb-agent").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		write(t, tree, "spec.yaml", `apiVersion: rlb.dev/v1
kind: LoadBalancerSpec
virtualIPs: [192.0.2.10]
proxy: {maxConnections: 4, extraGlobal: [nbthread 2, user haproxy, maxconn 5]}
services:
- name: web
  port: 80
  sni: [a.example.org]
  servers: [{address: 192.0.2.21}, {address: 192.0.2.22}]
  extraFrontend: [tcp-request inspect-delay 3s]
  extraBackend: timeout check 9s
`)
		out, err := exec.Command("chroot", tree, "/rlb-agent", "validate", "--strict", "--interface", "rlb-none", "spec.yaml").CombinedOutput()
		if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 3 {
			t.Errorf("%v, want exit code 3", err)
		}
		for _, want := range []string{"4:54: warning: proxy.extraGlobal", "10:19: warning: services[0].extraFrontend", "11:17: warning: services[0].extraBackend"} {
			if !strings.Contains(string(out), "spec.yaml:"+want+": haproxy warns: ") {
				t.Errorf("no %s in:\n%s", want, out)
			}
		}
		if strings.Contains(string(out), "'maxconn'") || !strings.Contains(string(out), "4:68: warning: proxy.extraGlobal[2]: has no effect") {
			t.Errorf("what both the agent and HAProxy say of a line is to be said once:\n%s", out)
		}
	})
}

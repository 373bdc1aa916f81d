package render

import (
	"fmt"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/api"
)

// TestCauses: complaints of HAProxy 2.2 to 3.4 lead to the bad field. "@TEXT@" is the number of the line that has TEXT. The
// place at the beginning of a complaint is cut off, as in the code that reads complaints.
func TestCauses(t *testing.T) {
	const healthy = "healthCheck: {type: https, caFile: /etc/rlb/ca.crt}\n"
	for _, test := range []struct {
		field          string
		proxy, service string
		at, said       string
	}{
		{"services[0].healthCheck.caFile", "", healthy, "server b ", "'server b' : 'ca-file' : unable to load /etc/rlb/ca.crt."},
		{"services[0].healthCheck.caFile", "", healthy, "server a ", "'server web/a' : Couldn't open the ca-file '/etc/rlb/ca.crt' (No such file or directory)."},
		{"services[0].healthCheck.caFile", "", healthy, "", "'ca-file' : unable to load /etc/rlb/ca.crt."},
		{"services[0].healthCheck.caFile", "", healthy + "extraServer: slowstart 3s\n", "server a ", "'server web/a' : Couldn't open the ca-file '/etc/rlb/ca.crt' (No such file or directory)."},
		{"services[0].extraServer", "", healthy + "extraServer: ssl ca-file /x.crt\n", "server a ", "'server a' : 'ca-file' : unable to load /x.crt."},
		{"services[0].extraServer", "", "extraServer: nonsense 3\n", "server a ", "'server a' unknown keyword 'nonsense'. Registered keywords :"},
		{"services[0].extraServer", "", "extraServer: slowstart\n", "server b ", "'server web/b' : unexpected character '."},
		{"services[0].extraServer", "", "extraServer: ssl\nextraBackend: [fullconn 10]\n", "server a ", "'server web/a' : unable to use ssl"},
		{"services[0].extraServer", "extraGlobal: [nbthread 2]", "extraServer: resolvers nope\n", "", "backend 'web', server 'a': unable to find required resolvers 'nope'"},
		{"services[0].extraFrontend[1]", "", "extraFrontend: [maxconn 10, use_backend nope]\n", "", "Proxy 'web': unable to find required use_backend: 'nope'."},
		{"services[0].extraFrontend[0]", "extraGlobal: [nbthread 2]", "extraFrontend: [mode http]\nextraBackend: [fullconn 1]\n", "",
			"http frontend 'web' (/h.cfg:@frontend web@) tries to use incompatible tcp backend 'web' (/h.cfg:@backend web@) as its default backend (see 'mode')."},
		{"services[0].extraBackend[1]", "", "extraBackend: [fullconn 10, stick on src table nope]\nextraFrontend: [maxconn 1]\n", "", "Proxy 'web': unable to find stick-table 'nope'."},
		{"services[0].extraBackend", "", "extraBackend: [fullconn 10, stick on src]\n", "", "Proxy 'web': unable to find stick-table 'web'."},
		{"services[0].extraBackend[0]", "", "extraBackend: [default-server ssl]\n", "server a ", "Proxy 'web', server 'a' [/h.cfg:@server a @] verify is enabled by default but no CA file specified. If you're certain to trust the server's certificate"},
		{"services[0].extraBackend[0]", "", "extraBackend: ['server a 192.0.2.1:1']\n", "server a 10", "backend 'web', another server named 'a' was already defined at line @server a 192@, please use distinct names."},
		{"proxy.extraDefaults[0]", "extraDefaults: [backend web, mode tcp]", "extraBackend: [fullconn 10]\n", "\nbackend web", "Parsing [/h.cfg:7]: backend 'web' has the same name as backend 'web' declared at /h.cfg:@    backend web@."},
		{"proxy.extraDefaults[1]", "extraDefaults: [userlist u, user x groups nope]", "extraServer: slowstart 3s\n", "", "userlist 'u': no such group 'nope' specified in user 'x'"},
		{"proxy.extraDefaults[0]", "extraDefaults: [default-server ssl]", "", "server a ", "'server web/a' : verify is enabled by default but no CA file specified."},
		{"proxy.extraGlobal[1]", "extraGlobal: [nbthread 2, .if 1]", "extraServer: slowstart 3s\n", "", "non-terminated '.if' block."},
		{"", "extraGlobal: [nbthread 2]", "extraServer: slowstart 3s\n", "", "cannot allocate memory"},
		{"", "extraGlobal: [nbthread 2]", "", "", "cannot allocate memory"},
		{"services[0].servers[1]", "", "", "server b ", "no route"},
	} {
		text := fmt.Sprintf("apiVersion: rlb.dev/v1\nkind: LoadBalancerSpec\nvirtualIPs: [10.0.0.9]\nproxy: {%s}\nservices:\n"+
			"- name: web\n  port: 80\n  servers: [{name: a, address: 10.0.0.1}, {name: b, address: 10.0.0.2}]\n", test.proxy)
		for line := range strings.Lines(test.service) {
			text += "  " + line
		}
		doc, err := api.Parse("spec.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		facts := factsFor(&doc.Spec, stable)
		facts.HAProxyConfig = "/h.cfg"
		file := fileOf(t, files(t, &doc.Spec, facts), HAProxyConfig)
		number := func(has string) int {
			before, _, found := strings.Cut(string(file.Data), has)
			if !found {
				t.Fatalf("no line has %q:\n%s", has, file.Data)
			}
			return 1 + strings.Count(before, "\n") + strings.Count(has, "\n")
		}
		line, said := 0, ""
		if test.at != "" {
			line = number(test.at)
		}
		for i, part := range strings.Split(test.said, "@") {
			if i%2 == 1 {
				part = fmt.Sprint(number(part))
			}
			said += part
		}
		if got := file.Causes().Of(line, said); got != test.field {
			t.Errorf("%q stems from %q, want %q", said, got, test.field)
		}
	}
}

// TestCausesOfOwn: a warning leads to the user's own lines only if it is about them.
func TestCausesOfOwn(t *testing.T) {
	spec := parse(t, shortest+vip4+`proxy: {extraGlobal: [nbthread 2, maxconn 5]}
services:
- name: web
  port: 80
  sni: [a.example.org]
  servers: [{address: 10.0.0.1}, {address: 10.0.0.2}]
  extraFrontend: [option dontlog-normal, tcp-request inspect-delay 3s]
  extraBackend: [cookie X insert]
  extraServer: slowstart 3s
`)
	file := fileOf(t, files(t, spec, factsFor(spec, stable)), HAProxyConfig)
	for _, test := range []struct{ at, said, field string }{
		{"maxconn 5", "'maxconn' already specified. Continuing.", "proxy.extraGlobal[1]"},
		{"tcp-request inspect-delay 5000ms", "ignoring tcp-request inspect-delay (was already defined) in frontend 'web'", "services[0].extraFrontend[1]"},
		{"", "cookie will be ignored for backend 'web' (needs 'mode http').", "services[0].extraBackend[0]"},
		{"server server1", "'server web/server1' : slowstart is ignored", "services[0].extraServer"},
		{"stats timeout", "the timeout is long", ""},
		{"balance roundrobin", "odd balance", ""},
		{"", "missing timeouts for backend 'web'.", ""},
		{"", "cannot allocate memory", ""},
	} {
		line := 0
		if before, _, found := strings.Cut(string(file.Data), test.at); test.at != "" && found {
			line = 1 + strings.Count(before, "\n")
		}
		if got := file.Causes().OfOwn(line, test.said); got != test.field {
			t.Errorf("%q stems from %q, want %q", test.said, got, test.field)
		}
	}
}

package importer_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/importer"
)

// fromHAProxy imports a haproxy.cfg together with a small keepalived.conf.
func fromHAProxy(haproxy string) importer.Result {
	const keepalived = "vrrp_instance V {\n interface eth0\n virtual_router_id 7\n virtual_ipaddress {\n 192.0.2.1/24\n }\n}\n"
	return importer.Import(importer.File{Name: "haproxy.cfg", Data: []byte(haproxy)}, importer.File{Name: "keepalived.conf", Data: []byte(keepalived)}, importer.Options{})
}

// routed returns the server that a haproxy.cfg selects for a TLS server name: by the first use_backend line that matches, else
// by default_backend. Each backend has its own server.
func routed(t *testing.T, haproxy, name string) string {
	t.Helper()
	target := ""
	for _, line := range regexp.MustCompile(`(?m)^ *use_backend (\S+) if { req\.ssl_sni (-m end )?-i (\S+) }`).FindAllStringSubmatch(haproxy, -1) {
		if line[2] == "" && line[3] == name || line[2] != "" && strings.HasSuffix(name, line[3]) {
			target = line[1]
			break
		}
	}
	if rest := regexp.MustCompile(`(?m)^ *default_backend (\S+)`).FindStringSubmatch(haproxy); target == "" && rest != nil {
		target = rest[1]
	}
	server := regexp.MustCompile(`(?m)^backend ` + regexp.QuoteMeta(target) + `\n(?: .*\n)*? *server \S+ (\S+)`).FindStringSubmatch(haproxy)
	if server == nil {
		t.Fatalf("backend %q has no server in\n%s", target, haproxy)
	}
	return server[1]
}

// TestServerNamesLeadWhereTheyDid: after an import each TLS server name leads to the same server as before, for any order and
// overlap of the conditions.
func TestServerNamesLeadWhereTheyDid(t *testing.T) {
	const backends = "backend A\n server s 192.0.2.11:443\nbackend B\n server s 192.0.2.12:443\nbackend C\n server s 192.0.2.13:443\n"
	conditions := []string{"-i x.b.example.org", "-m end -i .b.example.org", "-i y.b.example.org", "-m end -i .example.org", "-i b.example.org", "-m end -i .x.b.example.org"}
	names := []string{"x.b.example.org", "y.b.example.org", "z.b.example.org", "b.example.org", "c.example.org", "w.x.b.example.org", "example.org", "other.test"}
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		haproxy := "frontend ing\n bind *:443\n"
		for _, i := range random.Perm(len(conditions))[:1+random.IntN(len(conditions))] {
			haproxy += fmt.Sprintf(" use_backend %c if { req.ssl_sni %s }\n", 'A'+random.IntN(3), conditions[i])
		}
		haproxy += fmt.Sprintf(" default_backend %c\n", 'A'+random.IntN(3)) + backends
		result := fromHAProxy(haproxy)
		doc, err := api.Parse("imported", []byte(result.Text))
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, haproxy, result.Text)
		}
		again, _ := rendered(t, &doc.Spec, versions[0])
		for _, name := range names {
			if was, is := routed(t, haproxy, name), routed(t, string(again), name); was != is {
				t.Fatalf("%s came to %s, and comes to %s\n%s\n%s\n%s", name, was, is, haproxy, result.Text, again)
			}
		}
	}
}

// TestRoutesThatNeverHold: routes without an effect are reported, and so is a backend that becomes two services because it is
// the default and has names too.
func TestRoutesThatNeverHold(t *testing.T) {
	const backends = "backend A\n server s 192.0.2.11:443\nbackend B\n server s 192.0.2.12:443\n"
	for routes, want := range map[string]string{
		"use_backend A if { req.ssl_sni -i x.b.example.org }\nuse_backend B if { req.ssl_sni -m end .b.example.org }\ndefault_backend A\n": "haproxy.cfg:3: use_backend A: carried over as a service of its own, because the one that takes the rest has no names; both check the servers",
		"use_backend B if { req.ssl_sni -m end .b.example.org }\nuse_backend A if { req.ssl_sni -i X.b.example.org }\n":                    "haproxy.cfg:4: use_backend A: not carried over, because line 3 leads X.b.example.org to backend B before",
		"use_backend B\nuse_backend A if { req.ssl_sni -i x.example.org }\ndefault_backend A\n":                                            "haproxy.cfg:4: use_backend A: not carried over, because line 3 takes all connections before",
		"use_backend A if { req.ssl_sni -i *.example.org }\ndefault_backend B\n":                                                           "haproxy.cfg:3: use_backend A: not carried over, because services are TCP, and told apart by port and TLS server name only",
		"use_backend %[req.ssl_sni]\ndefault_backend B\n":                                                                                  "haproxy.cfg:3: use_backend %[req.ssl_sni]: not carried over, because a service has the servers of one backend, whatever the connection",
	} {
		result := fromHAProxy("frontend ing\nbind *:443\n" + routes + backends)
		if _, err := api.Parse("imported", []byte(result.Text)); err != nil || !slices.Contains(result.Notes, want) {
			t.Errorf("%s: %v, no %q in\n%s", routes, err, want, report(result))
		}
	}
	result := fromHAProxy("frontend ing\nbind *:443\nuse_backend B\nuse_backend A if { req.ssl_sni -i x.example.org }\ndefault_backend A\n" + backends)
	if !strings.Contains(result.Text, "192.0.2.12") || strings.Contains(result.Text, "192.0.2.11") {
		t.Errorf("use_backend without a condition takes all connections:\n%s", result.Text)
	}
}

// TestNamesLoseTheirLastDot: DNS names in the spec have no final dot. A TLS server name with a final dot is reported, because
// HAProxy matches it differently from the name without the dot (tried with HAProxy 2.2 and 3.0).
func TestNamesLoseTheirLastDot(t *testing.T) {
	result := fromHAProxy("frontend ing\n bind *:443\n acl x req.ssl_sni -i x.example.org. y.example.org\n use_backend A if x || { req.ssl_sni -m end .b.example.org. }\n" +
		"backend A\n option httpchk\n http-check send meth GET uri / hdr Host h.example.org.\n server c cp1.example.org.:6443 check check-ssl check-sni h.example.org. verify none\n server d cp2.example.org.\n")
	doc, err := api.Parse("imported", []byte(result.Text))
	if err != nil {
		t.Fatalf("%v\n%s", err, result.Text)
	}
	s := doc.Spec.Services[0]
	got := append(s.SNI, s.Servers[0].Address, s.Servers[1].Address, s.HealthCheck.Host, s.ExtraServer)
	if want := []string{"y.example.org", "cp1.example.org", "cp2.example.org", "h.example.org", ""}; !slices.Equal(got, want) {
		t.Errorf("%q\n%s", got, report(result))
	}
	for _, name := range []string{"x.example.org.", "*.b.example.org."} {
		want := "haproxy.cfg:4: use_backend A: not carried over, because " + name + " is no TLS server name: those have no dot at the end, and HAProxy leads only clients there that send one"
		if !slices.Contains(result.Notes, want) {
			t.Errorf("no %q in\n%s", want, report(result))
		}
	}
	alone := fromHAProxy("frontend ing\n bind *:443\n use_backend A if { req.ssl_sni -i x.example.org. }\n default_backend B\nbackend A\n server a 192.0.2.11:443\nbackend B\n server b 192.0.2.12:443\n")
	if strings.Contains(alone.Text, "192.0.2.11") || strings.Contains(alone.Text, "sni") || !strings.Contains(alone.Text, "192.0.2.12") {
		t.Errorf("a name with a dot at its end leads nobody elsewhere:\n%s", alone.Text)
	}
}

// TestFamiliesOfTheVirtualIPs: a service listens in the families of the virtual IPs, here IPv4. A bind line of the other
// family is reported.
func TestFamiliesOfTheVirtualIPs(t *testing.T) {
	for bind, want := range map[string]bool{"*:443": false, ":443": false, "[::]:443 v6only": true, ":::443 v4v6": true, "192.0.2.1:443": false, "[2001:db8::1]:443": false, "*:443\n bind :::443 v6only": true} {
		result := fromHAProxy("listen a\n bind " + bind + "\n server b 192.0.2.11:443\n")
		if got := strings.Contains(report(result), "bind on IPv6: not carried over, because a service listens in the families of the virtual IPs\n"); got != want {
			t.Errorf("bind %s: %v\n%s", bind, got, report(result))
		}
	}
}

// TestFamiliesThatAreNew: a wildcard listens in the families of all virtual IPs. A family in which the file does not listen is
// reported.
func TestFamiliesThatAreNew(t *testing.T) {
	const keepalived = "vrrp_instance V {\n interface eth0\n virtual_ipaddress {\n 192.0.2.1/24\n 2001:db8::1/64\n }\n}\n"
	for bind, want := range map[string]string{
		"*:443": "IPv6", ":443": "IPv6", ":::443 v6only": "IPv4", "[::]:443 v4v6": "", "*:443\n bind :::443 v6only": "", "192.0.2.1:443": "",
		"192.0.2.1:443\n bind :::443 v6only": "IPv4", "*:443\n bind [2001:db8::1]:443": "IPv6",
	} {
		result := importer.Import(importer.File{Name: "h", Data: []byte("listen a\n bind " + bind + "\n server b 192.0.2.11:443\n")},
			importer.File{Name: "k", Data: []byte(keepalived)}, importer.Options{})
		_, got, _ := strings.Cut(strings.Join(result.Notes, "\n"), "h:1: listen a: carried over with port 443 for ")
		if got, _, _ = strings.Cut(got, " too, because a service listens in the families of the virtual IPs\n"); got != want {
			t.Errorf("bind %s: %q\n%s", bind, got, report(result))
		}
	}
}

// TestAcceptProxyOfAPort: only the ports whose bind lines have accept-proxy expect the PROXY protocol.
func TestAcceptProxyOfAPort(t *testing.T) {
	result := fromHAProxy("listen a\n bind 192.0.2.1:80 accept-proxy\n bind 192.0.2.1:81\n bind 192.0.2.2:81 accept-proxy\n server b 192.0.2.11:443\n")
	doc, err := api.Parse("imported", []byte(result.Text))
	if err != nil || !doc.Spec.Services[0].AcceptProxyProtocol || doc.Spec.Services[1].AcceptProxyProtocol {
		t.Errorf("%v\n%s", err, result.Text)
	}
	if want := "haproxy.cfg:4: bind: not carried over, because acceptProxyProtocol holds for all addresses of a service: false\n"; !strings.Contains(report(result), want) {
		t.Errorf("no %q in\n%s", want, report(result))
	}
}

// TestListenOfABackend: a listen section without servers is the frontend of its default backend.
func TestListenOfABackend(t *testing.T) {
	result := fromHAProxy("listen a\n bind 192.0.2.1:80\n default_backend b\nbackend b\n server s 192.0.2.11:443\n")
	if got := report(result); strings.Contains(got, "haproxy.cfg:1:") || !strings.Contains(result.Text, "- name: a\n") {
		t.Errorf("%s\n%s", got, result.Text)
	}
}

// TestIncludedFiles: an included file is not read, and that is reported.
func TestIncludedFiles(t *testing.T) {
	result := importer.Import(importer.File{Name: "h"}, importer.File{Name: "k", Data: []byte("include /etc/keepalived/conf.d/*.conf\nincluder x\n")}, importer.Options{})
	for _, want := range []string{"k:1: include: not", "k:2: includer: not"} {
		if !strings.Contains(report(result), want+" carried over, because only this file is read: put what it includes in its place, and import that\n") {
			t.Errorf("no %q in\n%s", want, report(result))
		}
	}
}

// TestPortOfTheCheck: a service has one health check. Its port is the one at which most servers are checked.
func TestPortOfTheCheck(t *testing.T) {
	for _, c := range []struct{ a, b, c, want, lost string }{
		{":1 check", ":1 check", ":1 check port 8", "", "c"},
		{":1 check", ":1 check port 8", ":1 check port 8", "8", "a"},
		{":1 check port 8", ":1 check port 8", ":1 check port 9", "8", "c"},
		{":8 check", ":1 check port 8", ":2 check port 8", "8", ""},
		{":1 check port 8", ":1", ":1", "8", ""},
		{":1 check port 1", ":2 check", ":3 check", "", ""},
	} {
		result := fromHAProxy("listen l\n bind *:443\n server a 192.0.2.11" + c.a + "\n server b 192.0.2.12" + c.b + "\n server c 192.0.2.13" + c.c + "\n")
		doc, err := api.Parse("imported", []byte(result.Text))
		if err != nil {
			t.Fatalf("%v\n%s", err, result.Text)
		}
		got, lost := "", ""
		if p := doc.Spec.Services[0].HealthCheck.Port; p != nil {
			got = fmt.Sprint(*p)
		}
		for _, name := range []string{"a", "b", "c"} {
			if strings.Contains(report(result), "server "+name+" port: not carried over") {
				lost += name
			}
		}
		if got != c.want || lost != c.lost {
			t.Errorf("%v: port %q, lost %q\n%s", c, got, lost, report(result))
		}
	}
}

// TestTimeoutWithoutTunnel: without a tunnel timeout HAProxy ends a connection by the shorter one of the client's and the
// server's, those of the sections that lead to the servers.
func TestTimeoutWithoutTunnel(t *testing.T) {
	const head, server = "defaults\ntimeout client 50s\ntimeout server 50s\n", "server a 192.0.2.1:3306\n"
	for haproxy, want := range map[string]string{
		head + "listen l\nbind :3306\n" + server:                                                                       "timeouts: {tunnel: 50s}",
		head + "listen l\nbind :3306\ntimeout client 8h\ntimeout server 7h\n" + server:                                 "timeouts: {client: 8h, server: 7h, tunnel: 7h}",
		head + "frontend f\nbind :3306\ntimeout client 6h\ndefault_backend b\nbackend b\ntimeout server 7h\n" + server: "timeouts: {client: 6h, server: 7h, tunnel: 6h}",
		head + "listen l\nbind :3306\ntimeout server 7h\n" + server:                                                    "timeouts: {server: 7h, tunnel: 50s}",
		"defaults\ntimeout tunnel 2h\nlisten m\nbind :1\n" + server + head + "listen l\nbind :3306\n" + server:         "timeouts: {client: 50s, server: 50s, tunnel: 50s}",
	} {
		result := importer.Import(importer.File{Name: "h", Data: []byte(haproxy)}, importer.File{}, importer.Options{Profile: api.Standard})
		if !strings.Contains(result.Text, "  "+want+"\n") {
			t.Errorf("%s\nno %s in\n%s", haproxy, want, result.Text)
		}
	}
}

// TestPortOfTheConnect: http-check connect has a port of its own, whatever the server lines say. Nothing is lost then.
func TestPortOfTheConnect(t *testing.T) {
	result := fromHAProxy("listen l\n bind *:443\n option httpchk\n http-check connect port 8081\n server a 192.0.2.11:443 check\n server b 192.0.2.12:443 check port 9\n")
	if strings.Contains(report(result), " port: not carried over") || !strings.Contains(result.Text, "port: 8081") {
		t.Errorf("%s\n%s", report(result), result.Text)
	}
}

// TestRejectWithoutHello: a rule that rejects what the rule on the ClientHello does not accept would reject everything before
// the generated rule.
func TestRejectWithoutHello(t *testing.T) {
	const hello = " tcp-request inspect-delay 5s\n tcp-request content accept if { req_ssl_hello_type 1 }\n"
	for _, c := range []struct {
		rules string
		kept  bool
	}{
		{hello + " tcp-request content reject\n", false},
		{hello + " tcp-request content reject if { src 192.0.2.9 }\n", true},
		{" tcp-request connection reject if { src 192.0.2.9 }\n" + hello, true},
	} {
		result := fromHAProxy("frontend f\n bind *:443\n" + c.rules + " use_backend b if { req_ssl_sni -i a.example.org }\nbackend b\n server s 192.0.2.11:443\n")
		kept, told := strings.Contains(result.Text, " reject"), strings.Contains(report(result), ":5: tcp-request content: not carried over, because ")
		if kept != c.kept || told == c.kept {
			t.Errorf("%s: kept %v, reported %v\n%s\n%s", c.rules, kept, told, report(result), result.Text)
		}
	}
}

// TestTrackedInterfaces: of the tracked interfaces only those without virtual IPs stay raw lines. keepalived -t complains of the
// instance's own.
func TestTrackedInterfaces(t *testing.T) {
	const group = "vrrp_sync_group G {\n group {\n V\n }\n %s\n}\n"
	const instance = "vrrp_instance V {\n interface eth0\n virtual_ipaddress {\n 192.0.2.1/24\n 192.0.2.2/24 dev eth1\n }\n %s\n}\n"
	for tracked, want := range map[string]string{
		"track_interface {\n eth0 weight 5\n eth1\n eth2 weight -9 reverse\n eth3\n }": `extraInstance: ["track_interface {", "eth2 weight -9 reverse", eth3, "}"]`,
		"track_interface { eth0 eth1 }":       "",
		"track_interface {\n eth0\n eth1\n }": "",
		"track_interface { eth4 }":            `extraInstance: ["track_interface {", eth4, "}"]`,
	} {
		for _, keepalived := range []string{fmt.Sprintf(instance, tracked), fmt.Sprintf(group+instance, tracked, "")} {
			result := importer.Import(importer.File{}, importer.File{Name: "k", Data: []byte(keepalived)}, importer.Options{})
			if !strings.Contains(result.Text, want) || want == "" && strings.Contains(result.Text, "extraInstance") {
				t.Errorf("%s\nno %s in\n%s", keepalived, want, result.Text)
			}
		}
	}
}

// TestSectionBeforeDefaults: the lines of the defaults section do not become lines of a section that stands before it.
func TestSectionBeforeDefaults(t *testing.T) {
	const defaults, peers = "defaults\n timeout queue 20s\n", "peers p\n peer lb1 192.0.2.11:1024\n"
	for _, haproxy := range []string{defaults + peers, peers + defaults} {
		result := importer.Import(importer.File{Name: "h", Data: []byte(haproxy + "listen l\n bind :80\n server s 192.0.2.2:80\n")}, importer.File{}, importer.Options{})
		if !strings.Contains(result.Text, `extraDefaults: ["timeout queue 20s", "peers p", "peer lb1 192.0.2.11:1024"]`) {
			t.Errorf("%s\nbecame\n%s", haproxy, result.Text)
		}
	}
}

// TestUsersOfPrograms: the agent's keepalived runs the programs as root, which is reported where another user ran them.
func TestUsersOfPrograms(t *testing.T) {
	const conf = "global_defs {\nscript_user nobody\n}\nvrrp_instance VI {\nvirtual_ipaddress {\n10.0.0.1\n}\nnotify_master /a.sh nobody\nnotify_fault \"/b.sh x\" root\n}\n"
	for text, lines := range map[string]string{conf: "k:2: script_user: not k:8: notify_master: not ", strings.ReplaceAll(conf, "nobody", "root"): ""} {
		result := importer.Import(importer.File{}, importer.File{Name: "k", Data: []byte(text)}, importer.Options{})
		got := ""
		for _, note := range result.Notes {
			if strings.Contains(note, "script_user") || strings.Contains(note, "notify_") {
				got += note[:strings.Index(note, " carried")] + " "
			}
		}
		if got != lines {
			t.Errorf("%s\n%q, want %q", text, result.Notes, lines)
		}
		if strings.Contains(result.Text, "/a.sh") != (lines == "") || !strings.Contains(result.Text, "/b.sh") {
			t.Error(result.Text)
		}
	}
}

// TestKeepalivedVariables: variables with a value in the file are replaced, and statements with other variables are reported.
func TestKeepalivedVariables(t *testing.T) {
	const body = "vrrp_instance V {\n interface ${IFACE}\n virtual_router_id $ID\n virtual_ipaddress {\n  ${VIP}/24 dev ${IFACE}\n  192.0.2.8/24 dev ${IFACE}_2\n }\n lvs_x ${IFACE}\n}\n"
	of := func(keepalived string) importer.Result {
		return importer.Import(importer.File{Name: "haproxy.cfg", Data: []byte("listen l\n bind :80\n server s 192.0.2.2:80\n")}, importer.File{Name: "keepalived.conf", Data: []byte(keepalived)}, importer.Options{})
	}
	known := of("$IFACE=ens1 # the first\n  $ID=9\n$VIP=192.0.2.9\n" + body)
	doc, err := api.Parse("imported", []byte(known.Text))
	if err != nil {
		t.Fatalf("%v\n%s", err, known.Text)
	}
	v := doc.Spec.VRRP
	if got := fmt.Sprint(v.Interface, " ", *v.RouterID, " ", doc.Spec.VirtualIPs, " ", v.ExtraInstance); got != "ens1 9 [{192.0.2.9/24 } {192.0.2.8/24 ens1_2}] [lvs_x ens1]" || strings.Contains(report(known), "variables") {
		t.Errorf("%s\n%s", got, report(known))
	}
	const why = ": not carried over, because it depends on conditions or variables of keepalived"
	for name, definitions := range map[string]string{
		"none":         "\n\n\n",
		"conditional":  "$IFACE=a\n$ID=1\n$VIP=192.0.2.9\n@lb1 $IFACE=b\n@lb1 $ID=2\n@lb1 $VIP=192.0.2.10\n",
		"several line": "$IFACE=a\\\n b\n$ID=1\\\n 2\n$VIP=\\\n 192.0.2.9\n",
		"others":       "$A=1\n$IFACE=$(A)\n$ID=${A}\n$VIP=\"$A\"\n",
	} {
		result := of(definitions + body)
		from := strings.Count(definitions, "\n")
		for _, use := range []string{fmt.Sprint(from+2, ": interface"), fmt.Sprint(from+3, ": virtual_router_id"), fmt.Sprint(from+5, ": virtual_ipaddress"), fmt.Sprint(from+6, ": 192.0.2.8/24"), fmt.Sprint(from+8, ": lvs_x")} {
			if want := "keepalived.conf:" + use + why; !slices.Contains(result.Notes, want) {
				t.Errorf("%s: no %q in\n%s", name, want, report(result))
			}
		}
		if strings.Count(result.Text, "$") > 1 || strings.Contains(report(result), "no IP address") {
			t.Errorf("%s:\n%s\n%s", name, result.Text, report(result))
		}
	}
	secret := of("$PASS=\"k8s-secret\"\n" + body)
	if strings.Contains(secret.Text+report(secret), "k8s-secret") {
		t.Errorf("a password is told:\n%s", report(secret))
	}
}

// TestPasswords: the part of the password that VRRP version 2 sends is carried over, so that the load balancers still accept
// each other's advertisements. Version 3 has no password.
func TestPasswords(t *testing.T) {
	const password = "authentication {\n auth_type PASS\n auth_pass \"pass#word!\" # of ours\n }\n"
	for name, test := range map[string]struct{ instance, want string }{
		"version 2":    {password, `[authentication { auth_type PASS auth_pass "pass#wor" # of ours }]`},
		"short":        {"authentication { auth_type PASS auth_pass pass }\n", "[authentication { auth_type PASS auth_pass pass }]"},
		"version 3":    {"version 3\n" + password, "[]"},
		"subsecond":    {"advert_int 0.2\n" + password, "[]"},
		"two families": {password + "virtual_ipaddress {\n 2001:db8::9/64\n}\n", "[]"},
	} {
		for _, profile := range []api.Profile{api.Standard, api.Classic} {
			keepalived := "vrrp_instance V {\n interface eth0\n virtual_router_id 7\n virtual_ipaddress {\n 192.0.2.9/24\n }\n" + test.instance + "}\n"
			result := importer.Import(importer.File{Name: "haproxy.cfg", Data: []byte("listen l\n bind :80\n server s 192.0.2.2:80\n")}, importer.File{Name: "keepalived.conf", Data: []byte(keepalived)}, importer.Options{Profile: profile})
			doc, err := api.Parse("imported", []byte(result.Text))
			if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, result.Text)
			}
			if got := fmt.Sprint(doc.Spec.VRRP.ExtraInstance); got != test.want {
				t.Errorf("%s, %s: got %s, want %s", name, profile, got, test.want)
			}
			carried := !slices.ContainsFunc(result.Notes, func(note string) bool { return strings.Contains(note, ": authentication: not carried over") })
			if carried != (test.want != "[]") || strings.Contains(report(result), "pass#") {
				t.Errorf("%s, %s:\n%s", name, profile, report(result))
			}
		}
	}
}

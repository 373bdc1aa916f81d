package render

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/api"
)

// known has all forms of lines in rendered files without extra lines. W is a word with no special meaning for either
// program, N a number, T a time.
var known = map[Kind]*regexp.Regexp{
	HAProxyConfig: grammar(`
global
defaults
resolvers rlb(:dns)?
frontend W
backend W
    log /dev/log    local0
    log /dev/log    local1 notice
    log global
    chroot /var/lib/haproxy
    stats socket /run/haproxy/admin\.sock mode 660 level admin expose-fd listeners
    stats timeout 30s
    (user|group) haproxy
    daemon
    ca-base /etc/ssl/certs
    crt-base /etc/ssl/private
    ssl-default-bind-ciphers [A-Za-z0-9:!+]+
    ssl-default-bind-options no-sslv3
    maxconn N
    hard-stop-after T
    mworker-max-reloads N
    setenv RES_OPTIONS "timeout:1 attempts:1"
    mode (tcp|http)
    option (tcp-check|tcplog|clitcpka|srvtcpka|redispatch( 1)?)
    (cli|srv)tcpka-(idle 60s|intvl 10s|cnt N)
    option  dontlognull
    retries N
    timeout (connect|client |server |tunnel |check|client-fin|server-fin) T
    errorfile N /etc/haproxy/errors/N\.http
    nameserver dns[123] W
    accepted_payload_size 8192
    hold (nx|refused|timeout|other) 10d
    bind W( transparent| v6only)?( accept-proxy)?
    tcp-request inspect-delay 5000ms
    tcp-request content accept if { req.ssl_sni -m found }
    use_backend W if { req.ssl_sni( -m end)? -i W }
    use_backend W if ({ req.ssl_sni( -m end)? -i W } )?{ nbsrv\(W\) eq 0 }
    bind unix@/run/haproxy/rlb-health\.sock mode 600
    timeout client 1000ms
    monitor-uri /
    default_backend W
    balance (roundrobin|leastconn|source|static-rr|first)
    option httpchk (GET|HEAD|OPTIONS) (/W|/)( HTTP/1\.1(\\r\\nHost:\\ W\\r\\nConnection:\\ close)?)?
    http-check send hdr Host W
    http-check expect (error-status L7OKC )?status N(,N)*
    http-check expect rstatus \^\(N(\|N)+\)\$
    server W W:N( check( port N)?( check-ssl verify (none|required ca-file /W))?( check-sni W)? inter T rise N fall N( fastinter T on-marked-down shutdown-sessions)?( init-state up)?( check-send-proxy)?)?( send-proxy(-v2)?)?( weight N)?( maxconn N)?( backup)?( init-addr last,libc,none( resolvers rlb(:dns)? resolve-prefer ipv[46])?)?
    http-request use-service prometheus-exporter if { path /metrics }
    stats enable
    stats hide-version
    stats uri /
    stats refresh 10s
`),
	KeepalivedConfig: grammar(`
global_defs {
    enable_script_security
    script_user root
    vrrp_skip_check_adv_addr
    vrrp_garp_master_refresh 60
    vrrp_priority -20
    vrrp_no_swap
    max_auto_priority -1
}
(vrrp_)?track_file rlb-(fault|drain) {
    file "(/run/rlb/fault|/var/lib/rlb/drain)"
    weight 0
    init_file 0
vrrp_script chk_haproxy {
    script   "/usr/bin/systemctl is-active haproxy"
    interval N
    rise     N
    fall     N
vrrp_instance W {
    state BACKUP
    nopreempt
    preempt_delay N
    interface W
    virtual_router_id N
    priority N
    advert_int N(\.N)?
    version 3
    mcast_src_ip W
    unicast_src_ip W
    unicast_peer {
        [0-9a-fA-F:.]+
    }
    virtual_ipaddress {
        [0-9a-fA-F:.]+(/N)?( dev W)?
    track_interface {
        W
    track_script {
        chk_haproxy
    track_file {
        rlb-(fault|drain)
    notify_(master|backup|fault|stop) "/W( [A-Za-z0-9/._+@:,=%-]+)*"
vrrp_sync_group W-GROUP {
    group {
        W(-IPv[46])?
`),
	FirewallRules: grammar(`
\*filter
:RLB-INPUT - \[0:0\]
-A RLB-INPUT (-s [0-9a-f:.]+/N )?(-i W )?-p 112 -j (ACCEPT|DROP)
-A RLB-INPUT -i lo -j RETURN
-A RLB-INPUT (-s [0-9a-f:.]+/N )?(-d [0-9a-f:.]+/N )?-p tcp -m tcp --dport N -j (ACCEPT|DROP)
-I INPUT 1 -j RLB-INPUT
COMMIT
`),
}

func grammar(lines string) *regexp.Regexp {
	var all []string
	for line := range strings.Lines(strings.TrimSpace(lines)) {
		line = strings.TrimRight(line, "\n")
		line = strings.NewReplacer("{", `\{`, "}", `\}`).Replace(line)
		line = regexp.MustCompile(`\b[WNT]\b`).ReplaceAllStringFunc(line, func(class string) string {
			return map[string]string{"W": `[][A-Za-z0-9/._~?=&%+,:@!*()-]+`, "N": `[0-9]+`, "T": `[0-9]+(ms|m|h)`}[class]
		})
		all = append(all, line)
	}
	return regexp.MustCompile(`^(` + strings.Join(all, "|") + `)?$`)
}

// checkKnown renders a spec for the oldest, the stable and the newest programs, and reports lines of an unknown form.
func checkKnown(t *testing.T, spec *api.LoadBalancerSpec) {
	t.Helper()
	for _, r := range []release{releases[0], stable, releases[len(releases)-1]} {
		all, err := Render(spec, factsFor(spec, r))
		if err != nil {
			t.Fatalf("cannot render: %v", err)
		}
		for _, f := range all.Files {
			language := known[f.Kind]
			if language == nil {
				continue
			}
			checkLines(t, f.Path, string(f.Data), language)
			if got := strings.Count(string(f.Data), "\n"); got != len(f.origins) {
				t.Errorf("%s has %d lines and the origins of %d", f.Path, got, len(f.origins))
			}
		}
	}
}

// withoutExtra removes the fields of raw lines.
func withoutExtra(spec *api.LoadBalancerSpec) *api.LoadBalancerSpec {
	spec.VRRP.ExtraInstance, spec.Proxy.ExtraGlobal, spec.Proxy.ExtraDefaults = nil, nil, nil
	for i := range spec.Services {
		spec.Services[i].ExtraFrontend, spec.Services[i].ExtraBackend, spec.Services[i].ExtraServer = nil, nil, ""
	}
	return spec
}

// FuzzRender: the rendered files of every accepted spec have lines of known forms only.
func FuzzRender(f *testing.F) {
	paths, err := filepath.Glob("../examples/*.yaml")
	if err != nil || len(paths) == 0 {
		f.Fatalf("cannot find the examples: %v", err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if doc, err := api.Parse("spec.yaml", data); err == nil {
			checkKnown(t, withoutExtra(&doc.Spec))
		}
	})
}

// FuzzRenderTexts is FuzzRender for the texts of a spec: it changes them directly, and so tries more of them.
func FuzzRenderTexts(f *testing.F) {
	for _, seed := range []string{
		"a", "a b", "a\nb", "a\r", "a\u2028b", "a\u0085b", "a;b", "#", "!x", "a\\", `a"b`, "'", "$HOME", "${X}", "%[env(X)]", "{", "}", "@a", "\x00", "é", " ", "",
		"/", "/a b", "/a\n", "/a#", "/a%20", "/a\"", "/a|b", "/bin/sh -c x", "unix@/x", "fd@3", "ipv4@x", "1.2.3.4 }", "10.0.0.1/24\n", "::1%eth0", "a:b", "[::1]",
	} {
		f.Add(seed, seed, seed)
	}
	f.Fuzz(func(t *testing.T, name, address, path string) {
		q := func(text string) string {
			data, err := json.Marshal(text)
			if err != nil {
				t.Fatal(err)
			}
			return string(data)
		}
		for _, fields := range []string{
			fmt.Sprintf("services: [{name: %s, port: 80, servers: [{address: 10.0.0.1}]}]", q(name)),
			fmt.Sprintf("services: [{name: a, port: 80, servers: [{name: %s, address: 10.0.0.1}]}]", q(name)),
			fmt.Sprintf("services: [{name: a, port: 80, servers: [{address: %s}]}]", q(address)),
			fmt.Sprintf("services: [{name: a, port: 80, bind: %s, servers: [{address: 10.0.0.1}]}]", q(address)),
			fmt.Sprintf("services: [{name: a, port: 80, servers: [{address: 10.0.0.1}], healthCheck: {type: https, path: %s}}]", q(path)),
			fmt.Sprintf("services: [{name: a, port: 80, servers: [{address: 10.0.0.1}], healthCheck: {type: https, caFile: %s}}]", q(path)),
			oneService + fmt.Sprintf("vrrp: {interface: %s}", q(name)),
			oneService + fmt.Sprintf("vrrp: {instanceName: %s}", q(name)),
			oneService + fmt.Sprintf("vrrp: {notify: {master: %s}}", q(path)),
			oneService + fmt.Sprintf("proxy: {stats: {address: %s}}", q(address)),
			oneService + fmt.Sprintf("firewall: {allowFrom: [%s]}", q(address)),
			oneService + fmt.Sprintf("nodes: [{name: %s, addresses: [%s, 192.168.3.9]}]", q(name), q(address)),
			oneService + fmt.Sprintf("metadata: {name: %s, labels: {x: %s}}", q(name), q(path)),
		} {
			for _, vip := range []string{"192.168.3.240", address} {
				text := shortest + "virtualIPs: [" + q(vip) + "]\n" + fields + "\n"
				if doc, err := api.Parse("spec.yaml", []byte(text)); err == nil {
					checkKnown(t, &doc.Spec)
				}
			}
		}
	})
}

// FuzzFacts: facts are refused, or the rendered files have lines of known forms only.
func FuzzFacts(f *testing.F) {
	for _, seed := range []string{"", "eth0", "eth0.100@x", "a b", "a\nb", "a\r", "a{", "}", "#", `"`, "$x", "%i", "/etc/a", "/etc/a b", "/etc/../x", "/etc/a\n[x]", "1:2.2.*", "2.6\n", "é", "fe80::1%a\nb", "lo"} {
		f.Add(seed, seed, seed)
	}
	spec := parse(f, shortest+"virtualIPs: [192.168.3.240, \"2001:db8:3::240\"]\nservices:\n- {name: api, port: 9000, servers: [{address: cp.example.org}]}\n")
	f.Fuzz(func(t *testing.T, name, path, server string) {
		for _, change := range []func(*Facts){
			func(f *Facts) { f.Interface = name },
			func(f *Facts) { f.HAProxyVersion = Version(name) },
			func(f *Facts) { f.KeepalivedVersion = Version(name) },
			func(f *Facts) { f.HAProxyConfig = path },
			func(f *Facts) { f.KeepalivedConfig = path },
			func(f *Facts) { f.Systemctl = path },
			func(f *Facts) {
				addr, err := netip.ParseAddr(server)
				if err == nil {
					f.Nameservers = []netip.Addr{addr}
				}
			},
		} {
			facts := factsFor(spec, stable)
			change(&facts)
			rendered, err := Render(spec, facts)
			if err != nil {
				continue
			}
			for _, file := range rendered.Files {
				if file.Path != "" && (file.Path[0] != '/' || strings.ContainsAny(file.Path, " \n%")) {
					t.Errorf("path %q", file.Path)
				}
				if language := known[file.Kind]; language != nil {
					text := strings.ReplaceAll(string(file.Data), cmp.Or(facts.Systemctl, DefaultSystemctl)+" is-active", "/usr/bin/systemctl is-active")
					checkLines(t, file.Path, text, language)
				}
			}
		}
	})
}

// checkLines reports lines of an unknown form.
func checkLines(t *testing.T, path, text string, language *regexp.Regexp) {
	t.Helper()
	body, ok := strings.CutPrefix(text, header+"\n")
	if !ok {
		t.Errorf("%s has another header:\n%s", path, text)
	}
	for line := range strings.SplitSeq(body, "\n") {
		if !language.MatchString(line) {
			t.Errorf("%s: unknown line %q", path, line)
		}
	}
}

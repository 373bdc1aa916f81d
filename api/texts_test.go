package api

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/api/textrule"
	"rlb.dev/rlb-agent/api/yamlfile"
)

// TestTexts tries every kind of text in every field that accepts it.
func TestTexts(t *testing.T) {
	const (
		aName    = `must be letters, digits, ".", "_" and "-", with a letter or digit first`
		aPath    = `must be a path of letters, digits and /._+@:,=-`
		aRoot    = `must be an absolute path`
		anIP     = `must be an IPv4 or IPv6 address`
		aHost    = `must be an IPv4 or IPv6 address or a DNS name`
		oneOne   = `must be the address of one host`
		aBind    = `must be "*" or an IPv4 or IPv6 address`
		aPort    = `must be an address and port like 127.0.0.1:9100 or [::1]:9100`
		aWeb     = `must be a loopback address and port like 127.0.0.1:8080, or unix:/path`
		aDeb     = `must be a Debian version or a glob like 2.6.* or 1:2.2.*`
		anURL    = `must be letters, digits and /._~?=&%+,:@!*()-`
		aCIDR    = `must be a CIDR like 10.0.0.0/8 or 2001:db8::/32`
		ifname   = `must be the name of a network interface`
		aFour    = "must be an IPv4 address of four numbers from 0 to 255"
		noZone   = "must not be a link-local address, because HAProxy cannot know its interface"
		prefix4  = "must have a prefix length of 1 to 32"
		aWithDev = "must be an address; with its interface it is a mapping: "
		noLoop   = `must not be a loopback address`
	)
	injections := []string{"a b", "a\nb", "a\rb", "a\tb", "a\x00b", `a"b`, "a'b", "a#b", "a{b", "a}b", "a$b", "a\\b", "a!b", "a\u0085b", "a\u2028b", "aéb", "a\u00a0b"}
	long := func(n int) string { return strings.Repeat("a", n) }
	dns := strings.Repeat(long(49)+".", 5) // 250

	kinds := map[string]struct {
		places []string // appended to base, with the text in place of %s
		good   []string
		bad    map[string]string
		inject string // a prefix that makes an injection valid but for its characters; "-" for none
		reason string
	}{
		"name": {
			places: []string{"  name: %s", "    name: %s", "vrrp: {instanceName: %s}", "nodes: [{addresses: [10.0.0.1], name: %s}]", "metadata: {name: %s}"},
			good:   []string{"a", "9", "A.b_c-d", long(128)},
			bad:    map[string]string{".a": aName, "-a": aName, "_a": aName, "a/b": aName, "*": aName},
			reason: aName,
		},
		"name, too long": {
			places: []string{"  name: %s", "vrrp: {instanceName: %s}"}, inject: "-",
			bad: map[string]string{long(129): "must be at most 128 characters"},
		},
		"metadata.name": {
			places: []string{"metadata: {name: %s}"}, inject: "-",
			good: []string{long(253)},
			bad:  map[string]string{long(254): "must be at most 253 characters"},
		},
		"ifname": {
			places: []string{"vrrp: {interface: %s}", "nodes: [{name: a, addresses: [10.0.0.1], interface: %s}]"},
			good:   []string{"eth0", "eth0.100", "veth@if2", "_x", long(15)},
			bad: map[string]string{"bond0:1": ifname + ", without an alias: bond0", ":1": ifname, long(16): ifname, "-i": ifname, "eth/0": ifname, "..": ifname,
				"lo": "must not be the loopback interface, which keepalived refuses"},
			reason: ifname,
		},
		"path": {
			places: []string{"  healthCheck: {type: https, caFile: %s}"},
			good:   []string{"/usr/bin/a", "/a_b-c.d+e@f:g,h=i", "/..a"},
			bad: map[string]string{"a": aRoot, "./a": aRoot, "~/a": aRoot, "/": aPath, "/a/../b": `must be "/b"`, "/a/": `must be "/a"`,
				"//a": `must be "/a"`, "/./a": `must be "/a"`, "/*": aPath, "/" + long(4095): aPath},
			inject: "/", reason: aPath,
		},
		"urlpath": {
			places: []string{"  healthCheck: {type: http, path: %s}"},
			good:   []string{"/", "/readyz?verbose=1&a=%20,b", "/a~!*()", "/" + long(1023)},
			bad:    map[string]string{"readyz": `must start with "/"`, "/" + long(1024): "must be at most 1024 characters", "/a;b": anURL, "/a|b": anURL},
			inject: "/", reason: anURL,
		},
		"debversion": {
			places: []string{"packages: {haproxy: {version: %s}}", "packages: {keepalived: {version: %s}}"},
			good:   []string{"2.6.12-1+deb12u4", "2.6.*", "1:2.2.*", "1.0~rc1", "*", "2.?"},
			bad:    map[string]string{"2.6-": aDeb, "2.6.*-": aDeb, "2.6+": aDeb, "*-": aDeb, "-": aDeb, "2.6.12-1+": aDeb, "latest": aDeb, "v2.6": aDeb, "1:1:2": aDeb, "a:2": aDeb, "2:": aDeb, "-1": aDeb, "2.6_1": aDeb, "[2]": aDeb, "2/3": aDeb, long(129): aDeb},
			reason: aDeb,
		},
		"host": {
			places: []string{"    address: %s"},
			good: []string{"10.0.0.1", "2001:db8::1", "localhost.localdomain", "1.2.3.example", "1.2.3.4.example", "a.example.com", "1.example.com", "x-1", "A.B",
				"3com", long(63), dns + "abc"},
			bad: map[string]string{"10.0.0.256": aFour, "10.0.0": aFour, "10.0.0.01": `must be an IPv4 address without leading zeros: 10.0.0.1`, "1": aFour,
				"10.0.0.x": aFour, "10.0.0.1o": aFour, "10.0.0.-1": aFour, "10.0.0.31-33": "must be one address, not a range", "10.0.0.1-10.0.0.9": "must be one address, not a range",
				"a.0x1f": anIP, "a.1": anIP, "::g": anIP, "10.0.0.1:80": "must be an address without a port: 10.0.0.1", "[::1]:80": "must be an address without a port: ::1",
				"[::1]": "must be an address without brackets: ::1", "10.0.0.0/8": "must be an address without a prefix length: 10.0.0.0",
				"http://a": "must be an address without http://", "https://10.0.0.1/x": "must be an address without https://",
				"fe80::1": noZone, "fe80::1%eth0": noZone, "::ffff:10.0.0.1": "must be written as IPv4, 10.0.0.1",
				"0.0.0.0": oneOne, "::": oneOne, "224.0.0.18": oneOne, "ff02::1": oneOne, "255.255.255.255": oneOne,
				"a_b": aHost + `, which has no "_"`, "-a": aHost, "a-": aHost, "a..b": aHost, "a.": aHost + " without a dot at its end: a", "10.0.0.": aHost, "*": aHost, long(64): aHost, dns + "abcd": aHost},
			reason: aHost,
		},
		"bind": {
			places: []string{"  bind: %s"},
			good:   []string{"*", "10.0.0.1", "127.0.0.1", "2001:db8::1", "::1"},
			bad: map[string]string{"0.0.0.0": `must be "*" for every address`, "::": `must be "*" for every address`, "[::]": `must be "*" for every address`,
				"10.0.0.1:80": "must be an address without a port: 10.0.0.1", "[::1]": "must be an address without brackets: ::1",
				"*:82": aBind + ", without the port", ":82": aBind + ", without the port", "localhost": aBind + ", not a name", "eth0": aBind + ", not a name",
				"10.0.0.1/24": "must be an address without a prefix length: 10.0.0.1", "fe80::1": noZone, "fe80::1%eth0": "must be an address without a zone",
				"::ffff:10.0.0.1": "must be written as IPv4, 10.0.0.1", "224.0.0.1": oneOne},
			reason: aBind,
		},
		"virtualip": {
			places: []string{"virtualIPs: [%s]"},
			good:   []string{"10.0.0.1", "10.0.0.0", "10.0.0.1/1", "10.0.0.1/32", "10.0.0.0/31", "10.0.0.1/31", "10.8.1.0/16", "2001:db8::/127", "2001:db8::1", "2001:db8::1/1", "2001:db8::1/128", "fe80::1"},
			bad: map[string]string{"10.0.0.1/0": prefix4, "10.0.0.1/33": prefix4, "10.0.0.1/": prefix4, "10.0.0.1/024": prefix4, "10.0.0.1/24/8": prefix4,
				"10.0.0.1/255.255.255.0": prefix4 + ": 10.0.0.1/24", "10.0.0.1/255.0.255.0": prefix4, "::2/129": "must have a prefix length of 1 to 128", "::2/0": "must have a prefix length of 1 to 128",
				"10.0.0.0/24": "must be the address of one host, not that of the network", "10.1.0.0/16": "must be the address of one host, not that of the network",
				"2001:db8::/64": "must be the address of one host, not that of the network", "10.0.0.255/24": "must be the address of one host, not the broadcast address",
				"127.0.0.1": noLoop, "::1": noLoop, "0.0.0.0": oneOne, "::": oneOne, "224.0.0.1": oneOne, "ff02::12": oneOne, "255.255.255.255": oneOne,
				"fe80::1%eth0": "must be an address without a zone", "::ffff:10.0.0.1": "must be written as IPv4, 10.0.0.1", "vip": anIP, "10.0.0.1-9": "must be one address, not a range",
				"[2001:db8::1]/64": "must be an address without brackets: 2001:db8::1/64", "10.0.0.1 dev eth1": aWithDev + "{address: 10.0.0.1, interface: eth1}",
				"10.0.0.1/24 dev eth1": aWithDev + "{address: 10.0.0.1/24, interface: eth1}"},
			reason: anIP,
		},
		"node address": {
			places: []string{"nodes: [{name: a, addresses: [%s]}]"},
			good:   []string{"10.0.0.1"},
			bad:    map[string]string{"127.0.0.1": noLoop, "lb1": anIP, "224.0.0.1": oneOne, "10.0.0.1/24": "must be an address without a prefix length: 10.0.0.1", "": anIP},
			reason: anIP,
		},
		"addrport": {
			places: []string{"proxy: {stats: {address: %s}}", "metrics: {address: %s}"},
			good:   []string{"127.0.0.1:9100", "[::1]:9100", "0.0.0.0:9100", "[::]:1", "10.0.0.1:65535"},
			bad: map[string]string{"127.0.0.1": aPort, ":9100": aPort + "; every address is 0.0.0.0:9100 or [::]:9100", "*:9000": aPort + "; every address is 0.0.0.0:9000 or [::]:9000", "127.0.0.1:0": aPort, "127.0.0.1:65536": aPort, "localhost:9100": aPort, "::1:9100": aPort, "unix:/x": aPort,
				"[fe80::1%eth0]:1": noZone, "[fe80::1]:1": noZone, "[::ffff:10.0.0.1]:1": "must be written as IPv4, 10.0.0.1", "224.0.0.1:1": oneOne},
			reason: aPort,
		},
		"webaddress": {
			places: []string{"web: {address: %s}"},
			good:   []string{"127.0.0.1:8080", "127.9.0.1:8080", "[::1]:8080", "unix:/run/rlb/web.sock", "unix:/" + long(106)},
			bad: map[string]string{"10.0.0.1:8080": aWeb, "0.0.0.0:8080": aWeb, ":8080": aWeb, "127.0.0.1:0": aWeb, "/run/x": aWeb, "unix:run": aRoot, "unix:/a/../b": `must be "/b"`,
				"unix:/" + long(107): "must be a socket path of at most 107 characters", "unix:": aRoot},
			inject: "unix:/", reason: aPath,
		},
		"cidr": {
			places: []string{"firewall: {allowFrom: [%s]}", "  allowFrom: [%s]"},
			good:   []string{"10.0.0.0/8", "0.0.0.0/0", "::/0", "2001:db8::/32", "10.1.2.3/32"},
			bad: map[string]string{"10.0.0.1": "must have a prefix length: 10.0.0.1/32", "::1": "must have a prefix length: ::1/128", "10.0.0.0/33": aCIDR, "any": aCIDR + "; everyone is 0.0.0.0/0 and ::/0",
				"10.0.0.0/255.0.0.0": aCIDR + ": 10.0.0.0/8", "10.0.0.1-10.0.0.9": aCIDR, "": aCIDR,
				"::ffff:10.0.0.0/104": "must be written as IPv4"},
			reason: aCIDR,
		},
	}
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			bad := map[string]string{}
			for text, reason := range kind.bad {
				bad[text] = reason
			}
			if kind.inject != "-" {
				for _, text := range injections {
					if name != "urlpath" || text != "a!b" {
						bad[kind.inject+text] = kind.reason
					}
				}
			}
			for _, place := range kind.places {
				text, line := base, 9
				for _, known := range []string{"virtualIPs: [192.168.3.240]", "name: web", "address: 192.168.3.251"} {
					field, _, _ := strings.Cut(known, ":")
					if strings.HasPrefix(strings.TrimSpace(place), field+":") && !strings.HasPrefix(place, "    name") {
						text, place = strings.Replace(base, known, strings.TrimSpace(place), 1), ""
						line = strings.Count(text[:strings.Index(text, "%s")], "\n") + 1
					}
				}
				text += place + "\n"
				before := text[:strings.Index(text, "%s")]
				column := len(before) - strings.LastIndex(before, "\n")
				for _, good := range kind.good {
					expect(t, fmt.Sprintf(text, yamlQuote(good)))
				}
				for value, reason := range bad {
					_, err := Parse("f", fmt.Appendf(nil, text, yamlQuote(value)))
					got := fmt.Sprint(err)
					if !strings.HasPrefix(got, fmt.Sprintf("f:%d:%d: ", line, column)) || !strings.HasSuffix(got, ": "+reason+", got "+yamlfile.Quote(value)+yamlfile.Oddity(value)) {
						t.Errorf("%q at %q: got %s, want %s", value, place, got, reason)
					}
				}
			}
		})
	}
}

// yamlQuote writes a text as a double-quoted YAML scalar.
func yamlQuote(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r == '"' || r == '\\' || r < ' ' || r > '~' {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return `"` + b.String() + `"`
}

// TestEveryTextIsChecked: every field whose text is copied to a rendered file has a rule on its characters.
func TestEveryTextIsChecked(t *testing.T) {
	free := map[string]bool{"labels": true, "annotations": true} // never rendered
	var visit func(reflect.Type, string)
	visit = func(typ reflect.Type, path string) {
		for field := range typ.Fields() {
			at, tag := yamlfile.Join(path, jsonName(field)), field.Tag.Get("validate")
			inner := field.Type
			for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice && inner != reflect.TypeFor[Lines]() && inner != reflect.TypeFor[Command]() { // see TestLines, TestNotify
				inner = inner.Elem()
			}
			switch {
			case inner.Kind() == reflect.Struct:
				visit(inner, at)
			case inner.Kind() == reflect.Map && !free[at[strings.LastIndex(at, ".")+1:]]:
				t.Errorf("%s is a map", at)
			case inner.Kind() == reflect.String:
				bounded := slices.ContainsFunc(strings.Split(tag, ","), func(part string) bool {
					name, _, _ := strings.Cut(part, "=")
					return name == "oneof" || name == "eq" || textrule.ByTag[name] != nil
				})
				if !bounded {
					t.Errorf("%s takes any text: %q", at, tag)
				}
			}
		}
	}
	visit(reflect.TypeFor[LoadBalancerSpec](), "")
}

func TestNotify(t *testing.T) {
	const aPath, anArgument = "must be a path of letters, digits and /._+@:,=-", "must be an argument of letters, digits and /._+@:,=%-"
	for _, event := range []string{"master", "backup", "fault", "stop"} {
		path, before := "vrrp.notify."+event, "vrrp: {notify: {"+event+": "
		at := fmt.Sprintf("9:%d: %s", len(before)+1, path)
		second := fmt.Sprintf("9:%d: %s[1]", len(before)+6, path)
		for value, want := range map[string]string{
			"/usr/bin/a_b-c.d+e": "", "[/a]": "", "[/a, b, --c=%d:/e]": "",
			"a":        at + `: must be an absolute path, got "a"`,
			"[a]":      fmt.Sprintf("9:%d: %s[0]: ", len(before)+2, path) + `must be an absolute path, got "a"`,
			"[]":       at + `: must have 1 to 20 entries, got 0`,
			"{}":       at + `: must be a path, or a list of a path and its arguments, got a mapping`,
			"/a b -c":  at + `: must be a path; with arguments it is a list: [/a, b, -c], got "/a b -c"`,
			"/a  b":    at + `: ` + aPath + `, got "/a  b"`,
			"/a $b":    at + `: ` + aPath + `, got "/a $b": $b is an unfilled variable of a template`,
			`"/a\nb"`:  at + `: ` + aPath + `, got "/a\nb": it holds a line break`,
			`[/a, ""]`: second + `: ` + anArgument + `, got ""`,
		} {
			var all []string
			if want != "" {
				all = append(all, want)
			}
			expect(t, base+before+value+"}}\n", all...)
		}
		for _, bad := range []string{"a b", "a\nb", `a"b`, "a'b", "a#b", "a{b", "a$b", "a~b", "a\\b", "a\u0085b", "é"} {
			expect(t, fmt.Sprintf("%s%s[/a,%q]}}\n", base, before, bad), fmt.Sprintf("9:%d: %s[1]: %s, got %q%s", len(before)+5, path, anArgument, bad, yamlfile.Oddity(bad)))
		}
	}
}

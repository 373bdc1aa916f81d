package api

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unicode/utf16"

	"rlb.dev/rlb-agent/api/yamlfile"
)

func TestSyntax(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "1:1: must be a LoadBalancerSpec, got an empty file",
		"# only words\n":                    "1:1: must be a LoadBalancerSpec, got an empty file",
		"---\n---\nnull\n":                  "1:1: must be a LoadBalancerSpec, got an empty file",
		"- a\n":                             "1:1: must be a mapping of fields, got a list",
		"a: 1\nb: c: d\n":                   `2:5: not valid YAML: a value that holds ": " needs quotes`,
		"a:\n  b: 1\n c: 2\n":               "3:2: not valid YAML: did not find expected key: is the line indented as its neighbours are?",
		"a: 1\nb: 'x\n":                     "2:4: not valid YAML: the quotation mark is not closed in its line",
		"a: 1\n\tb: 2\n":                    "2:1: not valid YAML: the indentation holds a tab, YAML takes spaces only",
		"a: 1\nb: [*none]\n":                "2:5: not valid YAML: unknown anchor 'none' referenced",
		"a: 1\n  b: 2\n":                    "2:3: not valid YAML: mapping values are not allowed in this context: is the line indented as its neighbours are?",
		"a: 1\nb: @x\n":                     "2:4: not valid YAML: a value that begins with @ needs quotes",
		"a: [\n- \u00a0b: 2\n":              "2:3: not valid YAML: the indentation holds a no-break space (U+00A0), YAML takes spaces only",
		"# {{ a }}\na: {{ b }}\nc: %%d%%\n": "2:4: not valid YAML: {{ b }} is an unfilled variable of a template",
		"a: {b: ::1, c: 1}\n":               "1:8: not valid YAML: an IPv6 address that begins or ends with a colon needs quotes",
		"a: [0.0.0.0/0,::/0]\n":             "1:15: not valid YAML: an IPv6 address that begins or ends with a colon needs quotes",
		"a: [\n1,\n::ffff:1.2.3.4/96]\n":    "3:1: not valid YAML: an IPv6 address that begins or ends with a colon needs quotes",
		"a: {b: 1, c: :9100}\n":             `1:14: not valid YAML: a value that begins with a colon needs quotes, as in ":9100"`,
		"a: [:http, b]\n":                   `1:5: not valid YAML: a value that begins with a colon needs quotes, as in ":http"`,
		"a: 1\nbind: *\n":                   `2:7: not valid YAML: did not find expected alphabetic or numeric character after "*" (write "*" in quotes)`,
		"a: 1\nb: é\x01\n":                  "2:5: not valid YAML: control characters are not allowed",
		"a: 1\nb: \xff\n":                   "2:4: not valid YAML: invalid leading UTF-8 octet: the file must be saved as UTF-8",
		"a:\n- b: 1\n  c:\n  - {d: 1}\n    {d: 2}\n": "5:5: not valid YAML: did not find expected key: is the line indented as its neighbours are?",
		"a:\n  b:\n  - c\n  d: 1\n   e: 2\n":         "5:4: not valid YAML: mapping values are not allowed in this context: is the line indented as its neighbours are?",
		"a: [\"b]\nc: \"d\"\n":                       "1:5: not valid YAML: the quotation mark is not closed in its line",
		"a: 'b\nc: 1\nd: '*'\n":                      "1:4: not valid YAML: the quotation mark is not closed in its line",
		"a: 'b\n  c'\nd: 'e\nf: '*'\n":               "3:4: not valid YAML: the quotation mark is not closed in its line",
		"a:\n-b: 1\n c: 2\n":                         "2:2: not valid YAML: a space is missing after the dash: - b: 1",
		"a:\n- b: 1\n  port:443\n  c: 2\n":           "3:3: not valid YAML: a space is missing after the colon: port: 443",
		"a:\n- name:web\n  port: 443\n":              "2:3: not valid YAML: a space is missing after the colon: name: web",
		"a:\n\u2013 b: 1\n  c: 2\n":                  "2:1: not valid YAML: the line begins with a dash (U+2013), YAML takes the hyphen \"-\"",
		"a: 1\n+ b: 2\n  c: 2\n":                     "2:1: not valid YAML: the line begins with +, as in a diff",
		"<<<<<<< HEAD\na: 1\n=======\n":              "1:1: not valid YAML: the line is a mark that git leaves where a merge failed",
		"a: 1\n{{- if .b }}\nc: 1\n{{- end }}\n":     "2:1: not valid YAML: {{- if .b }} belongs to a template, which must be rendered first",
		"a:\n{% for s in b %}\n- c\n":                "2:1: not valid YAML: {% for s in b %} belongs to a template, which must be rendered first",
		"a: @B_1@\n":                                 "1:4: not valid YAML: @B_1@ is an unfilled variable of a template",
		"a: [*.b.org]\n":                             `1:5: not valid YAML: did not find expected alphabetic or numeric character after "*" (write "*.b.org" in quotes)`,
		base + "---\nkind: x\n":                      "10:1: must be one document, got a second one",
		base + "---\na: b: c\n":                      `10:5: not valid YAML: a value that holds ": " needs quotes`,
		"# a\u2028# b\nc: 1\n":                       "1:4: must not hold a line separator (U+2028): YAML ends the line there, and editors do not",
		"a: 1\nb: 'c\u0085'\n":                       "2:6: must not hold a character that cannot be seen (U+0085): YAML ends the line there, and editors do not",
		strings.Repeat("#", 8<<20+1):                 "1:1: must be at most 8388608 bytes",
	} {
		expect(t, text, want)
	}
}

// A file in UTF-16 is reported on as one in UTF-8 is, with its lines.
func TestUTF16(t *testing.T) {
	text := "# 日本\n" + strings.Replace(base, "  port: 80", "  port: 80000", 1)
	want := problemsOf(t, []byte(text)).Excerpts()
	if !strings.Contains(want, "  port: 80000\n") {
		t.Fatal(want)
	}
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		var data []byte
		for _, unit := range utf16.Encode([]rune("\ufeff" + text)) {
			data = order.AppendUint16(data, unit)
		}
		if got := problemsOf(t, data).Excerpts(); got != want {
			t.Errorf("%v:\n%s\nwant\n%s", order, got, want)
		}
		problemsOf(t, data[:len(data)-1])
	}
}

func problemsOf(t *testing.T, data []byte) (problems yamlfile.Problems) {
	t.Helper()
	if _, err := Parse("spec.yaml", data); !errors.As(err, &problems) {
		t.Fatal(err)
	}
	return problems
}

func TestSyntaxTaken(t *testing.T) {
	for name, text := range map[string]string{
		"empty documents around": "---\n" + base + "---\n",
		"comments after":         base + "...\n# end\n",
		"byte order mark":        "\ufeff" + base,
		"CRLF":                   strings.ReplaceAll(base, "\n", "\r\n"),
		"JSON":                   `{"apiVersion":"rlb.dev/v1","kind":"LoadBalancerSpec","virtualIPs":["10.0.0.1"],"services":[{"name":"a","port":1,"servers":[{"address":"10.0.0.2"}]}]}`,
		"null is absent":         base + "vrrp:\nprofile: ~\nmetadata: {name: null, labels: {a: }}\nnodes: null\n",
		"empty is absent":        base + "vrrp: {}\nprofile: ''\nnodes: []\nfirewall: {allowFrom: []}\n",
		"yes and off":            base + "vrrp: {preempt: yes}\npackages: {manage: off, hold: False}\n",
		"a date as a string":     base + "metadata: {name: 2026-01-31}\n",
		"explicit tags":          base + "metadata: !!map {name: !!str 12}\nvrrp: {priority: !!int '7'}\n",
		"hexadecimal":            base + "vrrp: {priority: 0x10}\n",
		"a boolean's word":       base + "metadata: {name: on}\n",
	} {
		t.Run(name, func(t *testing.T) { expect(t, text) })
	}
}

func TestStructure(t *testing.T) {
	checkRuleTable(t, map[string]rule{
		"unknown":            {"", "foo: 1", `9:1: foo: unknown field`, "web: {}"},
		"unknown, printed":   {"", `"a\nb": 1`, `9:1: "a\nb": unknown field`, "web: {}"},
		"unknown, empty":     {"", `"": 1`, `9:1: "": unknown field`, "web: {}"},
		"letter case":        {"", "VRRP: {}", `9:1: VRRP: unknown field, did you mean "vrrp"?`, "vrrp: {}"},
		"lookalike":          {"", "  p\u043ert: 1", `9:3: services[0].pоrt: unknown field, did you mean "port", without the character U+043E?`, "  bind: '*'"},
		"swapped letters":    {"", "vrrp: {verison: 3}", `9:8: vrrp.verison: unknown field, did you mean "version"?`, "vrrp: {version: 3}"},
		"typo beside":        {"", "  prot: 1", `9:3: services[0].prot: unknown field, did you mean "port"?`, "  bind: '*'"},
		"typo, required":     {"  port: 80", "  Port: 80", `6:3: services[0].Port: unknown field, did you mean "port"?`, "  port: 81"},
		"missing":            {"  port: 80\n", "", `5:3: services[0]: required field "port" is missing`, "  port: 81\n"},
		"missing, null":      {"  port: 80", "  port:", `5:3: services[0]: required field "port" is missing`, "  port: 81"},
		"missing at root":    {"kind: LoadBalancerSpec\n", "", `1:1: required field "kind" is missing`, "kind: LoadBalancerSpec\n"},
		"empty":              {"name: web", "name: ''", `5:9: services[0].name: must not be empty`, "name: w"},
		"twice":              {"", "kind: LoadBalancerSpec", `9:1: kind: must not be given twice`, "profile: standard"},
		"twice, a label":     {"", "metadata: {labels: {a: b, a: c}}", `9:27: metadata.labels[a]: must not be given twice`, "metadata: {labels: {a: b, b: c}}"},
		"number as key":      {"", "1: 2", `9:1: a field name must be a string, got 1`, "web: {}"},
		"list as key":        {"", "? [a]\n: 2", `9:3: a field name must be a string, got a list`, "web: {}"},
		"string for number":  {"port: 80", `port: "100"`, `6:9: services[0].port: must be a whole number without quotes, got a string "100"`, "port: 100"},
		"fraction":           {"port: 80", `port: 80.0`, `6:9: services[0].port: must be a whole number, got 80.0`, "port: 80"},
		"leading zero":       {"port: 80", `port: 0100`, `6:9: services[0].port: must be a whole number without a leading zero, got 0100`, "port: 100"},
		"huge number":        {"port: 80", `port: 99999999999999999999`, `6:9: services[0].port: must be a smaller whole number, got 99999999999999999999`, "port: 100"},
		"number for string":  {"name: web", "name: 80", `5:9: services[0].name: must be a string in quotes, got 80`, "name: '80'"},
		"list for string":    {"name: web", "name: [a]", `5:9: services[0].name: must be a string, got a list: brackets make a list`, "name: a"},
		"bool for string":    {"", "metadata: {labels: {a: true}}", `9:24: metadata.labels[a]: must be a string in quotes, got true`, "metadata: {labels: {a: 'true'}}"},
		"bool for a choice":  {"", "vrrp: {handover: false}", `9:18: vrrp.handover: must be forward or none, got false`, "vrrp: {handover: none}"},
		"number, a choice":   {"", "  sendProxyProtocol: 2", `9:22: services[0].sendProxyProtocol: must be none, v1 or v2, got 2`, "  sendProxyProtocol: v2"},
		"string for bool":    {"", "vrrp: {preempt: 'yes'}", `9:17: vrrp.preempt: must be true or false, got a string "yes"`, "vrrp: {preempt: yes}"},
		"number for bool":    {"", "vrrp: {preempt: 1}", `9:17: vrrp.preempt: must be true or false, got 1`, "vrrp: {preempt: true}"},
		"string for list":    {"[192.168.3.240]", "192.168.3.240", `3:13: virtualIPs: must be a list, got a string "192.168.3.240": write [192.168.3.240]`, "[192.168.3.241]"},
		"quoted for list":    {"", "  sni: '*.a.b'", `9:8: services[0].sni: must be a list, got a string "*.a.b": write ["*.a.b"]`, "  sni: ['*.a.b']"},
		"mapping for list":   {"", "nodes: {}", `9:8: nodes: must be a list, got a mapping`, "nodes: []"},
		"list for mapping":   {"", "vrrp: []", `9:7: vrrp: must be a mapping of fields, got a list`, "vrrp: {}"},
		"string in a list":   {"  - address: 192.168.3.251", "  - 192.168.3.251\n  - {address: 192.168.3.252}", `8:5: services[0].servers[0]: must be a mapping of fields, got a string "192.168.3.251": write {address: 192.168.3.251}`, "  - address: 192.168.3.252"},
		"empty entry":        {"  - address: 192.168.3.251", "  -\n  - {address: 192.168.3.252}", `8:4: services[0].servers[0]: must not be empty`, "  - address: 192.168.3.252"},
		"binary":             {"", "metadata: {name: !!binary gIGC}", `9:18: metadata.name: must be a string in quotes, got a value with the tag !!binary`, "metadata: {name: a}"},
		"a tag":              {"", "vrrp: !x {}", `9:7: vrrp: must be a mapping of fields, got a value with the tag !x`, "vrrp: {}"},
		"number as duration": {"", "reconcile: {interval: 60}", `9:23: reconcile.interval: must be a duration like 100ms, 3s or 4h, got 60: a unit is missing, as in 60s`, "reconcile: {interval: 60s}"},
		"days":               {"", "reconcile: {interval: 1d}", `9:23: reconcile.interval: must be a duration like 100ms, 3s or 4h, got a string "1d": a day is 24h`, "reconcile: {interval: 1h}"},
		"lines":              {"", "proxy: {extraGlobal: 1}", `9:22: proxy.extraGlobal: must be a text or a list of lines, got 1`, "proxy: {extraGlobal: one}"},
		"a line":             {"", "proxy: {extraGlobal: [[]]}", `9:23: proxy.extraGlobal[0]: must be a string, got a list: brackets make a list`, "proxy: {extraGlobal: ['']}"},
	})
}

// TestLongNames: messages are short and made quickly, whatever the file holds.
func TestLongNames(t *testing.T) {
	long := strings.Repeat("a", 1000)
	expect(t, base+long+": 1\n", "9:1: "+long[:100]+"…: unknown field")
	expect(t, base+"profile: "+long+"\n", `9:10: profile: must be standard or classic, got "`+long[:100]+`…"`)
}

func TestAliases(t *testing.T) {
	doc := mustParse(t, `apiVersion: rlb.dev/v1
kind: LoadBalancerSpec
virtualIPs: [10.0.0.1]
services:
- &first
  name: a
  port: &port 80
  servers: &servers
  - {address: 10.0.0.2}
  - {address: 10.0.0.3}
- name: b
  port: 81
  servers: *servers
- <<: *first
  name: c
  port: 82
- name: d
  port: 83
  <<: [{servers: [{address: 10.0.0.9, port: *port}]}, *first]
`)
	services := doc.Spec.Services
	if got := services[1].Servers[1].Address; got != "10.0.0.3" {
		t.Errorf("alias: got %s", got)
	}
	if s := services[2]; s.Name != "c" || *s.Port != 82 || len(s.Servers) != 2 {
		t.Errorf("merge: got %+v", s)
	}
	if s := services[3]; s.Name != "d" || len(s.Servers) != 1 || *s.Servers[0].Port != 80 {
		t.Errorf("merge of a list: got %+v", s)
	}
	if *services[1].Servers[0].Port != 81 || *services[2].Servers[0].Port != 82 {
		t.Error("defaults of one service reached another")
	}
}

func TestAliasProblems(t *testing.T) {
	t.Run("once", func(t *testing.T) {
		expect(t, base+`  healthCheck: &hc {interval: 0s, tipe: tcp}
- {name: b, port: 81, servers: [{address: 10.0.0.2}], healthCheck: *hc}
- {name: c, port: 82, servers: [{address: 10.0.0.2}], healthCheck: {<<: *hc}}
`,
			`9:31: services[0].healthCheck.interval: must be 1ms to 2147483647ms in whole milliseconds, got 0s`,
			`9:35: services[0].healthCheck.tipe: unknown field, did you mean "type"?`)
	})
	t.Run("at the alias", func(t *testing.T) {
		expect(t, base+"  healthCheck: &hc {interval: 1s}\n  balance: *hc\n",
			`10:12: services[0].balance: must be a string, got a mapping`)
	})
	t.Run("merge", func(t *testing.T) {
		expect(t, base+"vrrp: {<<: 3}\n", `9:12: vrrp: what "<<" merges must be a mapping, got 3`)
		expect(t, base+"vrrp: {<<: {priority: 3}, <<: {version: 4}}\n", `9:27: vrrp: "<<" must not be given twice, it takes a list: <<: [*a, *b]`)
		expect(t, base+"vrrp: &a {priority: 3, <<: *a}\n", `9:7: vrrp: must not merge itself`)
		expect(t, base+"vrrp: {<<: [{priority: 300}, {priority: 2}], version: 4}\n",
			`9:24: vrrp.priority: must be 1 to 254, got 300`, `9:55: vrrp.version: must be 2 or 3, got 4`)
	})
}

func TestAliasBombs(t *testing.T) {
	var services strings.Builder
	services.WriteString("services:\n- &s {name: a, port: 1, servers: [&b {address: 10.0.0.1}" + strings.Repeat(",*b", 9000) + "]}\n")
	services.WriteString(strings.Repeat("- *s\n", 9000))

	merges := "metadata:\n  labels:\n    <<:\n    - &m0 {a: b}\n"
	for i := range 40 {
		merges += fmt.Sprintf("    - &m%d {<<: [%s]}\n", i+1, strings.Repeat(fmt.Sprintf("*m%d,", i), 10))
	}
	repeated := "metadata:\n  labels: &m {" + strings.Repeat("? [], ", 30000) + "}\nvrrp: {<<: [" + strings.Repeat("*m,", 100000) + "]}\n"

	for name, text := range map[string]string{"values": services.String(), "merges": merges, "keys": repeated} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Parse("spec.yaml", []byte(text))
			runtime.ReadMemStats(&after)
			if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > 1024 { // "keys" once took 115 GiB and half a minute
				t.Errorf("it took %d MiB in all", used)
			} else {
				t.Logf("it took %d MiB in all", used)
			}
			// A bomb may have so many problems that the problem of its size is among those that are only counted.
			if err == nil || !strings.Contains(err.Error(), "must hold at most 1000000 values with its aliases resolved") && !strings.HasSuffix(err.Error(), " more") {
				t.Errorf("got %.300v", err)
			}
		})
	}
}

package api

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"rlb.dev/rlb-agent/api/yamlfile"
)

const shortest = `apiVersion: rlb.dev/v1
kind: LoadBalancerSpec
virtualIPs: [192.168.3.240]
services:
- name: kube-apiserver
  port: 9000
  servers:
  - {name: master1, address: 192.168.3.251, port: 6443}
  - {name: master2, address: 192.168.3.252, port: 6443}
  - {name: master3, address: 192.168.3.253, port: 6443}
`

func TestShortestSpec(t *testing.T) {
	doc := mustParse(t, shortest)
	if got := doc.Spec.Services[0].Servers[2]; got.Name != "master3" || got.Address != "192.168.3.253" || *got.Port != 6443 {
		t.Errorf("got %+v", got)
	}
	if want := fmt.Sprintf("%x", sha256.Sum256([]byte(shortest))); doc.Digest != want {
		t.Errorf("got digest %s, want %s", doc.Digest, want)
	}
}

// TestErrorsOfTheContract checks the two example errors of spec.md.
func TestErrorsOfTheContract(t *testing.T) {
	text := `apiVersion: rlb.dev/v1
kind: LoadBalancerSpec
virtualIPs:
- 192.168.3.240
services:
- name: kube-apiserver
  servers:
  - name: master1
    address: 192.168.3.251
    port: 6443
  - port: 6443
    adress: 192.168.3.252
    name: master2
  port:    70000
`
	_, err := Parse("/etc/rlb/spec.yaml", []byte(text))
	want := `/etc/rlb/spec.yaml:12:5: services[0].servers[1].adress: unknown field, did you mean "address"?
/etc/rlb/spec.yaml:14:12: services[0].port: must be 1 to 65535, got 70000`
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

// TestAllProblemsAtOnce: problems of every kind are reported in the order of the file, not in that of the types.
func TestAllProblemsAtOnce(t *testing.T) {
	expect(t, `kind: LoadBalancerspec
reconcile: {interval: 1ms}
services:
- name: b b
  port: "80"
  healthcheck: {}
  servers:
  - adress: 10.0.0.1
- name: ok
  name: ok2
  port: 443
  servers: 10.0.0.1
vrrp:
  priority: 255
  preempt: maybe
nodes:
- {name: a, addresses: [10.0.0.3]}
- {name: a, addresses: [10.0.0.4]}
virtualIPs:
- 10.0.0.9
- 10.0.0.9/24
---
x: 1
`,
		`1:1: required field "apiVersion" is missing`,
		`1:7: kind: must be LoadBalancerSpec, got "LoadBalancerspec"`,
		`2:23: reconcile.interval: must be 1s to 24h, got 1ms`,
		`4:9: services[0].name: must be letters, digits, ".", "_" and "-", with a letter or digit first, got "b b"`,
		`5:9: services[0].port: must be a whole number without quotes, got a string "80"`,
		`6:3: services[0].healthcheck: unknown field, did you mean "healthCheck"?`,
		`8:5: services[0].servers[0].adress: unknown field, did you mean "address"?`,
		`10:3: services[1].name: must not be given twice`,
		`12:12: services[1].servers: must be a list, got a string "10.0.0.1"`,
		`14:13: vrrp.priority: must be 1 to 254, got 255`,
		`15:12: vrrp.preempt: must be true or false, got a string "maybe"`,
		`18:10: nodes[1].name: must be unique, got the same as nodes[0].name`,
		`21:3: virtualIPs[1]: must be unique, got the same as virtualIPs[0]`,
		`23:1: must be one document, got a second one`,
	)
}

func TestDocumentProblem(t *testing.T) {
	doc := mustParse(t, base+`proxy:
  extraGlobal: [one, two]
metadata: {labels: {a.b/c: x}}
`)
	for path, want := range map[string]string{
		"":                               "spec.yaml:1:1: no",
		"vrrp.interface":                 "spec.yaml:1:1: vrrp.interface: no",
		"services[0].port":               "spec.yaml:6:9: services[0].port: no",
		"services[0].bind":               "spec.yaml:5:3: services[0].bind: no",
		"services[0].healthCheck.path":   "spec.yaml:5:3: services[0].healthCheck.path: no",
		"services[0].servers[0].address": "spec.yaml:8:14: services[0].servers[0].address: no",
		"services[0].servers[7].address": "spec.yaml:8:3: services[0].servers[7].address: no",
		"proxy.extraGlobal[1]":           "spec.yaml:10:22: proxy.extraGlobal[1]: no",
		"metadata.labels[a.b/c]":         "spec.yaml:11:28: metadata.labels[a.b/c]: no",
		"services[":                      "spec.yaml:5:1: services[: no",
	} {
		if got := doc.Problem(path, "n%s", "o").Error(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestLargeSpec(t *testing.T) {
	var text strings.Builder
	text.WriteString("apiVersion: rlb.dev/v1\nkind: LoadBalancerSpec\nvirtualIPs: [10.0.0.1]\nservices:\n")
	for i := range 1000 {
		fmt.Fprintf(&text, "- name: s%d\n  port: %d\n  servers:\n", i, i+1)
		for j := range 15 {
			fmt.Fprintf(&text, "  - {name: n%d, address: 10.1.%d.%d, port: 8080}\n", j, i%250, j)
		}
	}
	start := time.Now()
	doc := mustParse(t, text.String())
	took := time.Since(start)
	t.Logf("%d bytes in %s", text.Len(), took)
	if got := len(doc.Spec.Services); got != 1000 {
		t.Errorf("got %d services", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "---\n---\n", shortest, base, base + "x: &a {<<: *a}\n", base + "  healthCheck: {interval: 1s, path: /x}\n",
		"services: &s [{name: a, servers: *s}]", "a: &a [*a]", "? [a]\n: {b: c}\n", "services: [null, {}, []]",
		base + "vrrp: {version: 2, advertisementInterval: 100ms}\nprofile: classic\n",
		base + "nodes: [{name: a, addresses: [10.0.0.1, '::1']}]\nproxy: {extraGlobal: |\n  a\n  b\n}\n",
		base + "packages: !!map {manage: !!bool yes}\n", "kind: !!binary gIGC\n", "\xef\xbb\xbfkind: x", "\xff\xfek\x00",
	} {
		f.Add([]byte(seed))
	}
	files, err := filepath.Glob("testdata/warnings/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := Parse("f", data)
		if (doc == nil) == (err == nil) {
			t.Fatalf("got %v and %v", doc, err)
		}
		if err == nil {
			doc.Warnings(host)
			return
		}
		for line := range strings.SplitSeq(err.(yamlfile.Problems).Excerpts(), "\n") {
			if strings.ContainsFunc(line, unicode.IsControl) {
				t.Errorf("a terminal is told %q", line)
			}
		}
		last := yamlfile.Problem{}
		for _, p := range err.(yamlfile.Problems) {
			if strings.ContainsAny(p.String(), "\n\r\x00\x1b") {
				t.Errorf("more than one line: %q", p)
			}
			if p.Line < max(1, last.Line) || p.Column < 1 || p.Line == last.Line && p.Column < last.Column {
				t.Errorf("%s comes after %s", p, last)
			}
			if p == last {
				t.Errorf("%s comes twice", p)
			}
			last = p
		}
	})
}

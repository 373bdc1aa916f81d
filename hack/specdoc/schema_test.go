package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"

	"rlb.dev/rlb-agent/api"
)

func TestTheSchemaIsUpToDate(t *testing.T) {
	want, err := schemaFile("../../" + source)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../" + jsonFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is out of date: make manual (-want +got):\n%s", jsonFile, diff)
	}
}

// compiler returns a compiler that knows the schema as "schema.json".
func compiler(t *testing.T) (*jsonschema.Compiler, map[string]any) {
	t.Helper()
	data, err := schemaFile("../../" + source)
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	return c, document.(map[string]any)
}

// judge validates a YAML document with the schema.
func judge(t *testing.T, s *jsonschema.Schema, data []byte) error {
	t.Helper()
	converted, err := yaml.YAMLToJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(converted))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(value)
}

// modeline tells editors the path of the schema that make install installs.
const modeline = "# yaml-language-server: $schema=/usr/local/share/rlb-agent/schema.json\n"

// TestTheSchemaTakesValidSpecs: the schema accepts what api accepts: an editor must not mark what
// the agent accepts.
func TestTheSchemaTakesValidSpecs(t *testing.T) {
	c, _ := compiler(t)
	s := c.MustCompile("schema.json")
	valid := 0
	for _, pattern := range []string{"../../examples/*.yaml", "../../api/testdata/*/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(file, "/examples/") && !bytes.HasPrefix(data, []byte(modeline)) {
				t.Errorf("%s does not begin with %q", file, modeline)
			}
			if _, err := api.Parse(file, data); err != nil {
				continue
			}
			valid++
			if err := judge(t, s, data); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
	if valid < 50 {
		t.Errorf("only %d valid specs", valid)
	}
}

const minimal = `apiVersion: rlb.dev/v1
kind: LoadBalancerSpec
virtualIPs: [192.168.3.240]
services:
- name: api
  port: 9000
  servers:
  - {name: master1, address: 192.168.3.251, port: 6443}
`

// TestTheSchemaRefuses: api refuses each of these specs, and the schema refuses its class too.
func TestTheSchemaRefuses(t *testing.T) {
	c, _ := compiler(t)
	s := c.MustCompile("schema.json")
	if err := judge(t, s, []byte(minimal)); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []struct{ class, old, replacement, keyword string }{
		{"unknown field", "address: 192.168.3.251", "adress: 192.168.3.251", "additionalProperties"},
		{"unknown field at the top", "virtualIPs:", "virtualIps: [192.0.2.1]\nvirtualIPs:", "additionalProperties"},
		{"wrong type", "port: 9000", `port: "9000"`, "type"},
		{"wrong type of a list", "virtualIPs: [192.168.3.240]", "virtualIPs: 192.168.3.240", "type"},
		{"out of range", "port: 9000", "port: 70000", "maximum"},
		{"too few entries", "virtualIPs: [192.168.3.240]", "virtualIPs: []", "minItems"},
		{"enum", "port: 9000", "port: 9000\n  balance: random", "enum"},
		{"enum of numbers", "services:", "vrrp: {version: 4}\nservices:", "enum"},
		{"const", "rlb.dev/v1", "rlb.dev/v2", "const"},
		{"missing required", "- name: api\n  port", "- port", "required"},
		{"form of a name", "name: api", "name: a b", "pattern"},
		{"form of a duration", "services:", "reconcile: {interval: 5 minutes}\nservices:", "pattern"},
		{"form of an address", "virtualIPs: [192.168.3.240]", "virtualIPs: [vip.example.org]", "pattern"},
		{"form of a program", "services:", "vrrp: {notify: {master: notify.sh}}\nservices:", "pattern"},
		{"one or list", "port: 9000", "port: 9000\n  bind: {a: b}", "type"},
	} {
		t.Run(bad.class, func(t *testing.T) {
			data := []byte(strings.Replace(minimal, bad.old, bad.replacement, 1))
			if _, err := api.Parse("spec.yaml", data); err == nil {
				t.Fatal("api takes it")
			}
			var failure *jsonschema.ValidationError
			if err := judge(t, s, data); !errors.As(err, &failure) {
				t.Fatalf("got %v, want an error by %s", err, bad.keyword)
			}
			if !hasKeyword(failure, bad.keyword) {
				t.Errorf("got %v, want an error by %s", failure, bad.keyword)
			}
		})
	}
}

// hasKeyword reports whether a keyword of the schema is among the causes of a failure.
func hasKeyword(failure *jsonschema.ValidationError, keyword string) bool {
	for _, part := range failure.ErrorKind.KeywordPath() {
		if part == keyword {
			return true
		}
	}
	for _, cause := range failure.Causes {
		if hasKeyword(cause, keyword) {
			return true
		}
	}
	return false
}

// TestDefaultsAndExamplesFit: every default and every example is a valid value of its field.
func TestDefaultsAndExamplesFit(t *testing.T) {
	c, document := compiler(t)
	checked := 0
	var visit func(pointer string, node map[string]any)
	visit = func(pointer string, node map[string]any) {
		values, _ := node["examples"].([]any)
		if value, ok := node["default"]; ok {
			values = append(values, value)
		}
		if len(values) > 0 {
			s := c.MustCompile("schema.json#" + pointer)
			for _, value := range values {
				checked++
				if err := s.Validate(value); err != nil {
					t.Errorf("%s: %v: %v", pointer, value, err)
				}
			}
		}
		properties, _ := node["properties"].(map[string]any)
		for name, property := range properties {
			visit(pointer+"/properties/"+name, property.(map[string]any))
		}
		if items, ok := node["items"].(map[string]any); ok {
			visit(pointer+"/items", items)
		}
	}
	visit("", document)
	if checked < 100 {
		t.Errorf("only %d defaults and examples", checked)
	}
}

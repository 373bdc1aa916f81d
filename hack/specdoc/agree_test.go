package main

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/hack/specgen"
)

var update = flag.Bool("update", false, "write the golden files")

// TestTheSchemaTakesGeneratedSpecs: the schema accepts what api accepts: specs of the whole language.
func TestTheSchemaTakesGeneratedSpecs(t *testing.T) {
	c, _ := compiler(t)
	s := c.MustCompile("schema.json")
	for seed := range uint64(150) {
		text := specgen.Text(seed)
		if err := judge(t, s, []byte(text)); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, text)
		}
	}
}

// odd are values that replace each value in a spec: absent, empty, of another type, and other notations.
var odd = []any{nil, "", []any{}, map[string]any{}, "+5s", "-0s", "+0", "0", 0, 1, -1, true, "none", []any{""}, []any{nil}, 1 << 40}

// TestTheSchemaTakesOddValues: the schema accepts what api accepts, whatever replaces a value.
func TestTheSchemaTakesOddValues(t *testing.T) {
	c, _ := compiler(t)
	s := c.MustCompile("schema.json")
	full, err := os.ReadFile("../../examples/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var spec map[string]any
	if err := yaml.Unmarshal(full, &spec); err != nil {
		t.Fatal(err)
	}
	taken, refused, beyond := 0, 0, 0
	try := func(path string, value any) {
		text, err := yaml.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		_, err = api.Parse("spec.yaml", text)
		verdict := judge(t, s, text)
		switch {
		case err == nil && verdict != nil:
			t.Errorf("%s: %#v: api takes it, and the schema says: %v", path, value, verdict)
		case err == nil:
			taken++
		case verdict == nil:
			beyond++
		default:
			refused++
		}
	}
	var visit func(path string, value any, set func(any))
	visit = func(path string, value any, set func(any)) {
		for _, other := range odd {
			set(other)
			try(path, other)
		}
		set(value)
		switch v := value.(type) {
		case map[string]any:
			for name, field := range v {
				visit(path+"."+name, field, func(other any) { v[name] = other })
			}
		case []any:
			for i, item := range v[:min(len(v), 1)] { // the others are of the same kind
				visit(path+"[]", item, func(other any) { v[i] = other })
			}
		}
	}
	for name, value := range spec {
		visit(name, value, func(other any) { spec[name] = other })
	}
	t.Logf("%d taken by both, %d refused by both, %d by api only", taken, refused, beyond)
	if taken < 100 || refused < 1000 {
		t.Error("too few values")
	}
}

// TestBeyondTheSchema lists the specs that api refuses and the schema cannot: by rules on more than one field, on the
// bytes of the file or on the meaning of a text. go test ./hack/specdoc -update writes the list.
func TestBeyondTheSchema(t *testing.T) {
	c, _ := compiler(t)
	s := c.MustCompile("schema.json")
	files, err := filepath.Glob("../../api/testdata/cases/*.yaml")
	if err != nil || len(files) < 100 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	var beyond []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, refused := api.Parse("spec.yaml", data)
		if _, err := yaml.YAMLToJSON(data); err != nil {
			continue // an editor marks invalid YAML by itself
		}
		if refused != nil && judge(t, s, data) == nil {
			first, _, _ := strings.Cut(refused.Error(), "\n")
			_, message, _ := strings.Cut(first, ": ")
			beyond = append(beyond, filepath.Base(file)+": "+message)
		}
	}
	slices.Sort(beyond)
	got := strings.Join(beyond, "\n") + "\n"
	const golden = "testdata/beyond.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

package specgen_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/hack/specgen"
)

// TestSpecsAreValid: every seed makes a valid spec, and the same one each time.
func TestSpecsAreValid(t *testing.T) {
	for seed := range uint64(500) {
		text := specgen.Text(seed)
		if again := specgen.Text(seed); again != text {
			t.Fatalf("seed %d makes two specs:\n%s\n%s", seed, text, again)
		}
		doc, err := api.Parse("spec.yaml", []byte(text))
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, text)
		}
		doc.Warnings(api.HostFacts{}) // of any valid spec, without a panic
	}
}

// generated holds the generated values of each field of the language, in JSON, over many specs.
type generated map[string]map[string]bool

// note records the values of a field and of the fields within it. The path has "[]" for the entries of a list.
func (g generated) note(path string, value any) {
	if g[path] == nil {
		g[path] = map[string]bool{}
	}
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	g[path][string(text)] = true
	switch v := value.(type) {
	case map[string]any:
		for name, field := range v {
			g.note(strings.TrimPrefix(path+"."+name, "."), field)
		}
	case []any:
		for _, item := range v {
			g.note(path+"[]", item)
		}
	}
}

// TestEveryFieldIsGenerated: the generator makes each field of the types, both values of booleans, each value of
// enumerations, and the bounds of numbers. A change that adds a field to the language must add it to the generator.
func TestEveryFieldIsGenerated(t *testing.T) {
	all := generated{}
	for seed := range uint64(1500) {
		var spec any
		if err := yaml.Unmarshal([]byte(specgen.Text(seed)), &spec); err != nil {
			t.Fatal(err)
		}
		all.note("", spec)
	}
	for _, path := range []string{"apiVersion", "kind"} {
		delete(all, path)
	}
	fields := 0
	var visit func(path string, of reflect.Type, tag reflect.StructTag)
	visit = func(path string, of reflect.Type, tag reflect.StructTag) {
		for of.Kind() == reflect.Pointer {
			of = of.Elem()
		}
		rules := strings.Split(tag.Get("validate"), ",")
		if of.Kind() == reflect.Slice {
			if i := slices.Index(rules, "dive"); i >= 0 {
				rules = rules[i+1:]
			} else {
				rules = nil
			}
			of, path = of.Elem(), path+"[]"
		}
		var want []any
		switch of.Kind() {
		case reflect.Struct:
			for i := range of.NumField() {
				field := of.Field(i)
				name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
				at := strings.TrimPrefix(path+"."+name, ".")
				if at == "apiVersion" || at == "kind" {
					continue
				}
				fields++
				if len(all[at]) < 2 {
					t.Errorf("%s: must have two values or more in 1500 specs, got %d: %v", at, len(all[at]), all[at])
				}
				visit(at, field.Type, field.Tag)
			}
		case reflect.Bool:
			want = []any{true, false}
		case reflect.Int, reflect.String:
			for _, rule := range rules {
				name, param, _ := strings.Cut(rule, "=")
				for _, text := range strings.Fields(param) {
					number, err := strconv.Atoi(text)
					switch {
					case of.Kind() == reflect.Int && err == nil: // min, max, oneof
						want = append(want, number)
					case of.Kind() == reflect.String && name == "oneof":
						want = append(want, text)
					}
				}
			}
		}
		for _, value := range want {
			if text, _ := json.Marshal(value); !all[path][string(text)] {
				t.Errorf("%s: must be %s in some of 1500 specs", path, text)
			}
		}
	}
	visit("", reflect.TypeFor[api.LoadBalancerSpec](), "")
	if fields < 80 {
		t.Errorf("only %d fields", fields)
	}
}

// TestSpecsDiffer: values that matter to the programs, beyond single fields, occur in some spec.
func TestSpecsDiffer(t *testing.T) {
	var all strings.Builder
	for seed := range uint64(300) {
		all.WriteString(specgen.Text(seed))
	}
	for _, value := range []string{`name: "rlb"`, `name: "MASTER"`, `address: "cp1.example.org"`, `caFile: "` + specgen.CAFile, "2001:db8:3::", `- "*.`, `"localhost"`, "fe80::"} {
		if !strings.Contains(all.String(), value) {
			t.Errorf("no spec has %q", value)
		}
	}
	if specgen.Text(1) == specgen.Text(2) {
		t.Error(fmt.Sprint("two seeds make the same spec: ", specgen.Text(1)))
	}
}

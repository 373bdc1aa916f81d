package api

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/api/yamlfile"
)

// TestFieldsElsewhere puts every field of the language, also in other spellings, into every mapping that has no field
// of that name. The report must be short, and say more than "unknown field".
func TestFieldsElsewhere(t *testing.T) {
	mappings := map[string]reflect.Type{}
	var names []string
	var walk func(reflect.Type, string)
	walk = func(in reflect.Type, path string) {
		mappings[path] = in
		for field := range in.Fields() {
			names = append(names, jsonName(field))
			switch below := field.Type; {
			case below.Kind() == reflect.Struct:
				walk(below, yamlfile.Join(path, jsonName(field)))
			case below.Kind() == reflect.Slice && below.Elem().Kind() == reflect.Struct:
				walk(below.Elem(), yamlfile.Join(path, jsonName(field))+"[]")
			}
		}
	}
	walk(reflect.TypeFor[LoadBalancerSpec](), "")
	if len(mappings) < 20 || len(names) < 80 {
		t.Fatalf("%d mappings, %d fields", len(mappings), len(names))
	}
	for path, in := range mappings {
		for _, name := range names {
			if slices.Contains(namesOf(in), name) {
				continue
			}
			exact := elsewhere(name, path)
			if !strings.HasPrefix(exact, ": it is a field of ") || len(exact) > 200 {
				t.Errorf("%s in %q: %q", name, path, exact)
			}
			if other := "_" + strings.ToUpper(name); elsewhere(other, path) == "" {
				t.Errorf("%s in %q: nothing", other, path)
			}
		}
	}
	if text := elsewhere("nothing", "services[]"); text != "" {
		t.Errorf("a name of no field: %q", text)
	}
}

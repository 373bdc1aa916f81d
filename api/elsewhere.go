package api

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"sync"

	"rlb.dev/rlb-agent/api/yamlfile"
)

// spot is where a field stands in the language: services[].healthCheck and interval.
type spot struct{ mapping, name string }

// language has the spots of all fields by the names that people give them, in the order of the types: the name alone,
// and the name behind that of its mapping, as in timeout_client. The names are folded.
var language = sync.OnceValue(func() map[string][]spot {
	spots := map[string][]spot{}
	addSpots(spots, reflect.TypeFor[LoadBalancerSpec](), "")
	return spots
})

func addSpots(spots map[string][]spot, t reflect.Type, mapping string) {
	last := strings.TrimSuffix(mapping[strings.LastIndex(mapping, ".")+1:], "[]")
	for field := range t.Fields() {
		name, below := jsonName(field), field.Type
		for _, called := range slices.Compact([]string{name, last + name, strings.TrimSuffix(last, "s") + name}) {
			spots[folded(called)] = append(spots[folded(called)], spot{mapping, name})
		}
		path := yamlfile.Join(mapping, name)
		if below.Kind() == reflect.Slice {
			path, below = path+"[]", below.Elem()
		}
		if below.Kind() == reflect.Struct {
			addSpots(spots, below, path)
		}
	}
}

// folded is a name without its letter case, "_" and "-".
func folded(name string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(name))
}

// maxSpots is how many places of a field are named.
const maxSpots = 3

// elsewhere says where in the language a name stands that is no field of the mapping, or "". What is beneath the mapping
// was meant most likely, and where there are many places it alone is named.
func elsewhere(name, mapping string) (sentence string) {
	spots := language()[folded(name)]
	if len(spots) > maxSpots {
		beneath := slices.DeleteFunc(slices.Clone(spots), func(s spot) bool { return !strings.HasPrefix(s.mapping, mapping) })
		if len(beneath) > 0 {
			spots = beneath
		}
		spots = spots[:min(maxSpots, len(spots))]
	}
	var mappings, fields []string
	for _, s := range spots {
		fields = append(fields, yamlfile.Quote(yamlfile.Join(s.mapping, s.name)))
		if s.name == name {
			mappings = append(mappings, cmp.Or(s.mapping, "the top level"))
		}
	}
	switch {
	case len(spots) == 0:
		return ""
	case len(mappings) == len(spots):
		return ": it is a field of " + yamlfile.Either(mappings)
	}
	return ", did you mean " + yamlfile.Either(fields) + "?"
}

package api

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"sync"

	"rlb.dev/rlb-agent/api/yamlfile"
)

// spot is the place of a field in the language: services[].healthCheck and interval.
type spot struct{ mapping, name string }

// language maps the names that people give to fields to the spots of the fields, in the order of the types: the name
// alone, and the name after that of its mapping, as in timeout_client. The names are folded.
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

// folded returns a name in lower case without "_" and "-".
func folded(name string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(name))
}

// maxSpots is how many places of a field a message names at most.
const maxSpots = 3

// elsewhere says where the language has a field of this name, which is no field of the mapping, or returns "". If there
// are more than maxSpots places, it names only those beneath the mapping, if any, because they are the most likely ones.
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

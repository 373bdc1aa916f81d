package api

import (
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"

	"rlb.dev/rlb-agent/api/yamlfile"
)

// entry is one key of a mapping and its value.
type entry struct {
	name       string
	key, value *yaml.Node
}

// entries lists the entries of a mapping: first its own, then those that it merges in ("<<") and does not have itself.
// Keys that are no strings or occur twice are reported and left out.
func (w *walker) entries(node *yaml.Node, t reflect.Type) []entry {
	if w.merging[node] {
		w.AddAlways(yamlfile.PlaceOf(node), w.path(), "must not merge itself")
		return nil
	}
	own := uniqueEntries{all: make([]entry, 0, len(node.Content)/2)}
	var merged *yaml.Node
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		name := yamlfile.Resolve(key)
		if !w.count(key) {
			return nil
		}
		switch {
		case name.Kind == yaml.ScalarNode && name.ShortTag() == "!!merge":
			if merged != nil {
				w.AddAlways(yamlfile.PlaceOf(key), w.path(), `"<<" must not be given twice, it takes a list: <<: [*a, *b]`)
				continue
			}
			merged = value
		case !yamlfile.IsString(name):
			w.AddAlways(yamlfile.PlaceOf(key), w.path(), "a field name must be a string, got %s", yamlfile.Describe(name))
		case own.has(name.Value):
			w.AddAlways(yamlfile.PlaceOf(key), child(t, w.path(), name.Value), "must not be given twice")
		default:
			own.add(entry{name.Value, key, value})
		}
	}
	if merged == nil {
		return own.all
	}
	w.merging[node] = true
	defer delete(w.merging, node)
	for _, e := range w.merge(merged, t) {
		if !own.has(e.name) {
			own.add(e)
		}
	}
	return own.all
}

// uniqueEntries are entries with distinct names. A search through a few entries is faster than making a map.
type uniqueEntries struct {
	all  []entry
	seen map[string]bool // nil up to fewEntries
}

const fewEntries = 16

func (u *uniqueEntries) has(name string) bool {
	if u.seen != nil {
		return u.seen[name]
	}
	return slices.ContainsFunc(u.all, func(e entry) bool { return e.name == name })
}

func (u *uniqueEntries) add(e entry) {
	u.all = append(u.all, e)
	switch {
	case u.seen != nil:
		u.seen[e.name] = true
	case len(u.all) > fewEntries:
		u.seen = make(map[string]bool, cap(u.all))
		for _, e := range u.all {
			u.seen[e.name] = true
		}
	}
}

// merge lists the entries of a merge key's value: a mapping, or a list of mappings. Of equal names the first counts.
func (w *walker) merge(value *yaml.Node, t reflect.Type) []entry {
	sources := []*yaml.Node{value}
	if list := yamlfile.Resolve(value); list.Kind == yaml.SequenceNode {
		sources = list.Content
	}
	var all []entry
	for _, source := range sources {
		if w.values > maxValues { // each source allocates its entries: a bomb of aliases would allocate without end
			return nil
		}
		mapping := yamlfile.Resolve(source)
		if mapping.Kind != yaml.MappingNode {
			w.AddAlways(yamlfile.PlaceOf(source), w.path(), `what "<<" merges must be a mapping, got %s`, yamlfile.Describe(mapping))
			continue
		}
		for _, e := range w.entries(mapping, t) {
			if !w.count(e.key) {
				return nil
			}
			all = append(all, e)
		}
	}
	return all
}

// child returns the path of a name in a struct or a map.
func child(t reflect.Type, path, name string) string {
	if t.Kind() == reflect.Map {
		return path + "[" + yamlfile.Printable(name) + "]"
	}
	return yamlfile.Join(path, yamlfile.Printable(name))
}

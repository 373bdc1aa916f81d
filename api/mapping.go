package api

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// entry is one key of a mapping with its value.
type entry struct {
	name       string
	key, value *yaml.Node
}

// entries lists what a mapping holds: first its own keys, then those that it merges in ("<<") and does not have
// itself. Keys that are no strings or stand there twice are reported and left out.
func (w *walker) entries(node *yaml.Node, t reflect.Type) []entry {
	if w.merging[node] {
		w.addAlways(placeOf(node), w.path(), "must not merge itself")
		return nil
	}
	own := uniqueEntries{all: make([]entry, 0, len(node.Content)/2)}
	var merged *yaml.Node
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		name := resolve(key)
		if !w.count(key) {
			return nil
		}
		switch {
		case name.Kind == yaml.ScalarNode && name.ShortTag() == "!!merge":
			if merged != nil {
				w.addAlways(placeOf(key), w.path(), `"<<" must not be given twice, it takes a list: <<: [*a, *b]`)
				continue
			}
			merged = value
		case !isString(name):
			w.addAlways(placeOf(key), w.path(), "a field name must be a string, got %s", describe(name))
		case own.has(name.Value):
			w.addAlways(placeOf(key), child(t, w.path(), name.Value), "must not be given twice")
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

// uniqueEntries are entries of which no two have the same name. Few are looked through faster than a map is made.
type uniqueEntries struct {
	all  []entry
	seen map[string]bool // nil for few
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

// merge lists what the value of a merge key brings in: a mapping, or a list of mappings of which the first counts.
func (w *walker) merge(value *yaml.Node, t reflect.Type) []entry {
	sources := []*yaml.Node{value}
	if list := resolve(value); list.Kind == yaml.SequenceNode {
		sources = list.Content
	}
	var all []entry
	for _, source := range sources {
		if w.values > maxValues { // each source allocates its entries: a bomb of aliases would do that without end
			return nil
		}
		mapping := resolve(source)
		if mapping.Kind != yaml.MappingNode {
			w.addAlways(placeOf(source), w.path(), `what "<<" merges must be a mapping, got %s`, describe(mapping))
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

// child is the path of what stands under a name in a struct or a map.
func child(t reflect.Type, path, name string) string {
	if t.Kind() == reflect.Map {
		return path + "[" + printable(name) + "]"
	}
	return join(path, printable(name))
}

// isString takes what YAML 1.1 reads as a timestamp for a string too: the language has no timestamps.
func isString(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && (node.ShortTag() == "!!str" || node.ShortTag() == "!!timestamp")
}

// describe says what stands in the file where something else should.
func describe(node *yaml.Node) string {
	switch tag := node.ShortTag(); {
	case !strings.HasPrefix(tag, "!!") || tag == "!!binary":
		return "a value with the tag " + printable(tag)
	case braces(node) != "":
		return printable(braces(node))
	case node.Kind == yaml.MappingNode:
		return "a mapping"
	case node.Kind == yaml.SequenceNode:
		return "a list"
	case isString(node):
		return "a string " + quote(node.Value)
	}
	return printable(node.Value)
}

// quote writes a value into a message: on one line, and not longer than that.
func quote(value string) string { return strconv.Quote(shorten(value)) }

// printable is quote without the quotes where the value needs none.
func printable(value string) string {
	quoted := quote(value)
	if short := shorten(value); short != "" && quoted == `"`+short+`"` {
		return short
	}
	return quoted
}

func shorten(value string) string {
	const longest = 100
	if utf8.RuneCountInString(value) <= longest {
		return value
	}
	return string([]rune(value)[:longest]) + "…"
}

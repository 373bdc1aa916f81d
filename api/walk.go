package api

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxValues bounds what a file may hold once its aliases are resolved, so that a small file cannot become a huge one.
const maxValues = 1_000_000

// walkTree holds the nodes of a file against the types of the language, reports what does not fit and returns
// what does. It returns nil where the file cannot be looked into further.
func walkTree(root *yaml.Node, found *report) *tree {
	w := &walker{report: found, merging: map[*yaml.Node]bool{}}
	result := w.walk(root, reflect.TypeFor[LoadBalancerSpec](), "")
	if w.values > maxValues {
		return nil
	}
	return result
}

type walker struct {
	*report
	values  int
	merging map[*yaml.Node]bool // mappings that are being merged, against those that hold themselves
}

// walk returns nil for what is absent, and for what does not fit.
func (w *walker) walk(node *yaml.Node, t reflect.Type, path string) *tree {
	if !w.count(node) {
		return nil
	}
	result := &tree{place: placeOf(node)}
	node = resolve(node)
	if isNull(node) {
		return nil
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var wanted string
	short, _ := reflect.Zero(t).Interface().(shorthand)
	switch {
	case t == reflect.TypeFor[Duration]():
		result.scalar, wanted = durationText(node)
	case short != nil && isString(node):
		result.scalar = node.Value
		result.text = t == reflect.TypeFor[Lines]()
		result.block = result.text && node.Style&yaml.LiteralStyle != 0
	case t.Kind() == reflect.Struct || t.Kind() == reflect.Map:
		if wanted = collection(node, yaml.MappingNode); wanted == "" {
			result.fields = w.mapping(node, t, path)
		}
	case t.Kind() == reflect.Slice:
		if wanted = collection(node, yaml.SequenceNode); wanted == "" {
			result.items = w.list(node, t.Elem(), path)
		}
	case t.Kind() == reflect.Int:
		result.scalar, wanted = integer(node)
	case t.Kind() == reflect.Bool:
		result.scalar, wanted = boolean(node)
	default:
		result.scalar, wanted = text(node)
	}
	if wanted != "" && short != nil {
		wanted = "must be " + short.form()
	}
	if wanted != "" {
		w.add(result.place, path, wanted+", got "+describe(node))
		return nil
	}
	return result
}

// count tells whether there is room for one more value.
func (w *walker) count(node *yaml.Node) bool {
	w.values++
	if w.values == maxValues+1 {
		w.addAlways(placeOf(node), "", fmt.Sprintf("must hold at most %d values with its aliases resolved", maxValues))
	}
	return w.values <= maxValues
}

func (w *walker) list(node *yaml.Node, t reflect.Type, path string) []*tree {
	items := make([]*tree, 0, len(node.Content))
	for i, entry := range node.Content {
		if w.values > maxValues {
			break
		}
		at := index(path, i)
		item := w.walk(entry, t, at)
		if item == nil {
			w.add(placeOf(entry), at, "must not be empty")
		}
		items = append(items, item)
	}
	return items
}

// mapping walks a struct by its JSON names, or a map with string keys.
func (w *walker) mapping(node *yaml.Node, t reflect.Type, path string) map[string]*tree {
	entries := w.entries(node, t, path)
	present := make(map[string]bool, len(entries))
	for _, e := range entries {
		present[e.name] = true
	}
	fields := map[string]*tree{}
	for _, e := range entries {
		fieldType := fieldTypeOf(t, e.name)
		if fieldType == nil {
			w.unknown(e, present, t, path)
		} else if field := w.walk(e.value, fieldType, child(t, path, e.name)); field != nil {
			fields[e.name] = field
		}
	}
	return fields
}

// unknown reports a key that is no field. Where it was meant for a field that is not there, that field is not
// reported as missing too.
func (w *walker) unknown(e entry, present map[string]bool, t reflect.Type, path string) {
	message := "unknown field"
	if name := suggest(e.name, namesOf(t)); name != "" {
		message += fmt.Sprintf(", did you mean %q?", name)
		if !present[name] {
			defer w.cover(join(path, name))
		}
	}
	w.add(placeOf(e.key), child(t, path, e.name), message)
}

// The functions below read one kind of value each. The second result says what it must be where it is not.

func collection(node *yaml.Node, kind yaml.Kind) (wanted string) {
	switch {
	case node.Kind == kind && (node.ShortTag() == "!!map" || node.ShortTag() == "!!seq"):
		return ""
	case kind == yaml.MappingNode:
		return "must be a mapping of fields"
	}
	return "must be a list"
}

func text(node *yaml.Node) (any, string) {
	switch {
	case isString(node):
		return node.Value, ""
	case node.Kind == yaml.ScalarNode:
		return nil, "must be a string in quotes"
	}
	return nil, "must be a string"
}

func integer(node *yaml.Node) (any, string) {
	var value int
	if node.Kind == yaml.ScalarNode && node.Style == 0 && longNumber.MatchString(node.Value) {
		return nil, "must be a smaller whole number"
	}
	if node.Kind != yaml.ScalarNode || node.ShortTag() != "!!int" || node.Decode(&value) != nil {
		return nil, "must be a whole number"
	}
	if decimal, err := strconv.Atoi(node.Value); err == nil && decimal != value {
		return nil, "must be a whole number without a leading zero" // 010 is 8 to some programs, 10 to others
	}
	return int64(value), ""
}

var longNumber = regexp.MustCompile(`^[+-]?[0-9]{19,}$`)

// boolean takes yes, no, on and off as well, as kubectl does.
func boolean(node *yaml.Node) (any, string) {
	var value bool
	plain := node.Kind == yaml.ScalarNode && (node.Style == 0 || node.ShortTag() == "!!bool")
	if !plain || node.Decode(&value) != nil {
		return nil, "must be true or false"
	}
	return value, ""
}

func durationText(node *yaml.Node) (any, string) {
	if isString(node) {
		if _, err := time.ParseDuration(node.Value); err == nil {
			return node.Value, ""
		}
	}
	return nil, "must be a duration like 100ms, 3s or 4h"
}

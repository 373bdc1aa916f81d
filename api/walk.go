package api

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"rlb.dev/rlb-agent/api/yamlfile"
)

// maxValues is how many values a file may hold with its aliases resolved, so that a small file cannot become a huge one.
const maxValues = 1_000_000

// walkTree compares the nodes of a file with the types of the language. It reports values that do not fit, and reads the
// others into the spec. It returns nil if the file cannot be checked further.
func walkTree(root *yaml.Node, spec *LoadBalancerSpec, found *yamlfile.Report) *yamlfile.Tree {
	w := &walker{Report: found, merging: map[*yaml.Node]bool{}, names: map[reflect.Type][]string{}}
	result := w.walk(root, reflect.ValueOf(spec).Elem())
	if w.values > maxValues {
		return nil
	}
	return result
}

type walker struct {
	*yamlfile.Report
	values  int
	merging map[*yaml.Node]bool // mappings that are being merged, to detect a mapping that merges itself
	steps   []step              // the path of the value that is being read

	// A file may hold hundreds of thousands of values, so the parts of the tree are allocated in large pieces.
	trees []yamlfile.Tree
	items []*yamlfile.Tree
	names map[reflect.Type][]string // the names in the last mapping of a type: the next one mostly has the same
}

// step is one step of a path: the name of a field, a key in brackets, or an index if both are empty.
type step struct {
	field, key string
	index      int          // of the entry, or of the field in its struct
	in         reflect.Type // the struct of the field
}

// path returns the path of the value that is being read. Only messages need it.
func (w *walker) path() (path string) {
	for _, s := range w.steps {
		switch {
		case s.field != "":
			path = yamlfile.Join(path, s.field)
		case s.key != "":
			path += s.key
		default:
			path = yamlfile.Index(path, s.index)
		}
	}
	return path
}

// below reads the value at the next step of the path.
func (w *walker) below(s step, node *yaml.Node, into reflect.Value) *yamlfile.Tree {
	w.steps = append(w.steps, s)
	result := w.walk(node, into)
	w.steps = w.steps[:len(w.steps)-1]
	return result
}

// take returns n values of a large piece, and allocates a new piece if the old one is used up.
func take[T any](piece *[]T, n int) []T {
	if len(*piece) < n {
		*piece = make([]T, max(n, 512))
	}
	taken := (*piece)[:n:n]
	*piece = (*piece)[n:]
	return taken
}

// walk reads a node into a value. It returns nil for a null node, and for one that does not fit.
func (w *walker) walk(node *yaml.Node, into reflect.Value) *yamlfile.Tree {
	if !w.count(node) {
		return nil
	}
	at := yamlfile.PlaceOf(node)
	node = yamlfile.Resolve(node)
	if yamlfile.IsNull(node) {
		return nil
	}
	target := into
	if into.Kind() == reflect.Pointer {
		target = reflect.New(into.Type().Elem()).Elem()
	}
	result := &take(&w.trees, 1)[0]
	result.Place = at
	if wanted := w.read(node, target, result); wanted != "" {
		if choices := w.choices(); choices != "" && wanted == yamlfile.QuotedString {
			wanted = choices
		}
		path := w.path()
		w.Add(at, path, "must be %s, got %s", wanted, lazily(func() string { return yamlfile.Describe(node) + hint(node, target.Type(), path) }))
		return nil
	}
	if into.Kind() == reflect.Pointer {
		into.Set(target.Addr())
	}
	return result
}

// choices lists the values of the field that is being read if it accepts only certain texts, else it returns "".
func (w *walker) choices() string {
	if len(w.steps) == 0 {
		return ""
	}
	last := w.steps[len(w.steps)-1]
	if last.in == nil {
		return ""
	}
	tag := last.in.Field(last.index).Tag.Get("validate")
	values := strings.Fields(cmp.Or(option(tag, "oneof"), option(tag, "eq")))
	if len(values) == 0 {
		return ""
	}
	return yamlfile.Either(values)
}

// read reads a node that is not null, or returns what the node must be.
func (w *walker) read(node *yaml.Node, into reflect.Value, result *yamlfile.Tree) (wanted string) {
	if text, ok := into.Addr().Interface().(textual); ok {
		if yamlfile.IsString(node) && text.setText(node.Value) {
			result.Kind = textKind(node, into)
			return ""
		}
		defer func() {
			if wanted != "" {
				wanted = text.form()
			}
		}()
	}
	switch into.Kind() {
	case reflect.Struct, reflect.Map:
		if wanted = yamlfile.CheckCollection(node, yaml.MappingNode); wanted == "" && yamlfile.Braces(node) != "" {
			wanted = "a mapping of fields"
		} else if wanted == "" {
			w.mapping(node, into, result)
		}
		return wanted
	case reflect.Slice:
		if wanted = yamlfile.CheckCollection(node, yaml.SequenceNode); wanted == "" {
			w.list(node, into, result)
		}
		return wanted
	}
	result.Kind = yamlfile.ScalarTree
	switch into.Kind() {
	case reflect.Int:
		return yamlfile.ReadInteger(node, into)
	case reflect.Bool:
		return yamlfile.ReadBoolean(node, into)
	case reflect.String:
		return yamlfile.ReadString(node, into)
	}
	return "a text"
}

// textKind returns the kind of a value that is written as one text.
func textKind(node *yaml.Node, value reflect.Value) yamlfile.TreeKind {
	switch {
	case value.Type() != reflect.TypeFor[Lines]():
		return yamlfile.ScalarTree
	case node.Style&yaml.LiteralStyle == 0:
		return yamlfile.LinesTree
	}
	return yamlfile.BlockTree
}

// lazily makes a text only when it is printed.
type lazily func() string

func (l lazily) String() string { return l() }

// count counts one more value, and reports whether there is room for it.
func (w *walker) count(node *yaml.Node) bool {
	w.values++
	if w.values == maxValues+1 {
		w.AddAlways(yamlfile.PlaceOf(node), "", "must hold at most %d values with its aliases resolved", maxValues)
	}
	return w.values <= maxValues
}

func (w *walker) list(node *yaml.Node, into reflect.Value, result *yamlfile.Tree) {
	into.Set(reflect.MakeSlice(into.Type(), len(node.Content), len(node.Content)))
	result.Items = make([]*yamlfile.Tree, len(node.Content))
	for i, entry := range node.Content {
		if w.values > maxValues {
			return
		}
		if result.Items[i] = w.below(step{index: i}, entry, into.Index(i)); result.Items[i] == nil {
			w.Add(yamlfile.PlaceOf(entry), yamlfile.Index(w.path(), i), "must not be empty")
		}
	}
}

// mapping reads a struct by its JSON names, or a map of strings.
func (w *walker) mapping(node *yaml.Node, into reflect.Value, result *yamlfile.Tree) {
	t := into.Type()
	entries := w.entries(node, t)
	result.Items = take(&w.items, len(entries))[:0]
	if into.Kind() == reflect.Map {
		w.stringMap(entries, into, result)
		return
	}
	fields := fieldsOf(t)
	names := w.names[t]
	if len(names) > len(entries) {
		names = names[:len(entries)]
	}
	result.Names = []string{} // not nil: the value is a mapping, even an empty one
	var given map[string]bool
	for _, e := range entries {
		i, known := fields[e.name]
		if !known {
			if given == nil {
				given = namesIn(entries)
			}
			w.unknown(e, given, t)
			continue
		}
		field := w.below(step{field: e.name, index: i, in: t}, e.value, into.Field(i))
		if field == nil {
			continue
		}
		result.Items = append(result.Items, field)
		if n := len(result.Items); n > len(names) || names[n-1] != e.name {
			names = append(slices.Clip(names[:n-1]), e.name)
		}
		result.Names = names[:len(result.Items)]
	}
	w.names[t] = names
}

func (w *walker) stringMap(entries []entry, into reflect.Value, result *yamlfile.Tree) {
	into.Set(reflect.MakeMapWithSize(into.Type(), len(entries)))
	result.Names = make([]string, 0, len(entries))
	for _, e := range entries {
		value := reflect.New(into.Type().Elem()).Elem()
		if item := w.below(step{key: child(into.Type(), "", e.name)}, e.value, value); item != nil {
			into.SetMapIndex(reflect.ValueOf(e.name), value)
			result.Names, result.Items = append(result.Names, e.name), append(result.Items, item)
		}
	}
}

func namesIn(entries []entry) map[string]bool {
	names := make(map[string]bool, len(entries))
	for _, e := range entries {
		names[e.name] = true
	}
	return names
}

// unknown reports a key that is no field. If the key was most likely meant for a field that is not given, that field is
// not reported as missing too, even if there is no room for the report.
func (w *walker) unknown(e entry, given map[string]bool, t reflect.Type) {
	path := w.path()
	at := child(t, path, e.name)
	if w.Full() && !w.Reports(yamlfile.PlaceOf(e.key)) {
		w.Add(yamlfile.PlaceOf(e.key), at, "unknown field")
		return
	}
	name, sentence := known(e.name, t)
	if name == "" && sentence == "" {
		name, sentence = yamlfile.Suggest(e.name, namesOf(t)), missingSpace(e, t)
	}
	if field, odd := oddSpace(e.name, t); odd != "" {
		sentence = odd
		if field != "" && !given[field] {
			w.Cover(yamlfile.Join(path, field))
		}
	}
	switch {
	case sentence != "":
		w.Add(yamlfile.PlaceOf(e.key), at, "unknown field: %s", sentence)
		if e.name == "spec" && path == "" { // it most likely has the required fields
			w.Cover("virtualIPs")
			w.Cover("services")
		}
	case name != "":
		w.Add(yamlfile.PlaceOf(e.key), at, "unknown field, did you mean %q%s?", name, lookalike(e.name))
		if !given[name] {
			w.Cover(yamlfile.Join(path, name))
		}
	default:
		w.Add(yamlfile.PlaceOf(e.key), at, "unknown field%s", elsewhere(e.name, w.mappingPath()))
	}
}

// mappingPath returns path with lists without an index, as in services[].
func (w *walker) mappingPath() (path string) {
	for _, s := range w.steps {
		if s.field == "" {
			path += "[]"
		} else {
			path = yamlfile.Join(path, s.field)
		}
	}
	return path
}

// oddSpace finds a name with a character that is invisible or easily mistaken for another. It returns the field that
// was meant, if there is one, and a sentence about the character.
func oddSpace(name string, t reflect.Type) (field, sentence string) {
	at := strings.IndexFunc(name, isOdd)
	if at < 0 {
		return "", ""
	}
	odd, _ := utf8.DecodeRuneInString(name[at:])
	sentence = "it holds " + yamlfile.OddName(odd)
	field, behindColon := strings.CutSuffix(name[:at], ":")
	if behindColon {
		sentence += " after the colon, YAML takes spaces only"
	} else {
		field = strings.Join(strings.FieldsFunc(name, isOdd), "")
	}
	if _, isField := fieldsOf(t)[field]; !isField {
		return "", sentence
	}
	return field, sentence
}

// lookalike names a letter of another script, which may look like one of the field's name.
func lookalike(name string) string {
	for _, r := range name {
		if r > unicode.MaxASCII {
			return fmt.Sprintf(", without the character U+%04X", r)
		}
	}
	return ""
}

func isOdd(r rune) bool { return yamlfile.OddName(r) != "" && !unicode.IsControl(r) }

// missingSpace finds "port:8080", which YAML reads as one name.
func missingSpace(e entry, t reflect.Type) (sentence string) {
	name, value, found := strings.Cut(e.name, ":")
	if _, isField := fieldsOf(t)[name]; found && isField && value != "" && yamlfile.IsNull(yamlfile.Resolve(e.value)) {
		return "a space is missing after the colon: " + name + ": " + yamlfile.Printable(value)
	}
	return ""
}

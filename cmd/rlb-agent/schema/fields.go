package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"rlb.dev/rlb-agent/cmd/rlb-agent/suggest"
)

// A Field is a field of the schema, with what explain shows of it.
type Field struct {
	Description string     `json:"description"`
	Type        kinds      `json:"type"`
	Enum        []any      `json:"enum"`
	Minimum     *float64   `json:"minimum"`
	Maximum     *float64   `json:"maximum"`
	MinItems    *float64   `json:"minItems"`
	MaxItems    *float64   `json:"maxItems"`
	Examples    []any      `json:"examples"`
	Required    []string   `json:"required"`
	Properties  properties `json:"properties"`
	Items       *Field     `json:"items"`
	AnyOf       []*Field   `json:"anyOf"`
}

// kinds is the type of a value. An optional value may also be null, which explain does not show.
type kinds string

// UnmarshalJSON accepts one type, or a list, of which it takes the first.
func (k *kinds) UnmarshalJSON(data []byte) error {
	if one := (*string)(k); data[0] != '[' {
		return json.Unmarshal(data, one)
	}
	var list []string
	err := json.Unmarshal(data, &list)
	if len(list) > 0 {
		*k = kinds(list[0])
	}
	return err
}

// properties are fields in the order of the schema.
type properties struct {
	names []string
	of    map[string]*Field
}

// UnmarshalJSON keeps the order of the members.
func (p *properties) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, &p.of); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if _, err := d.Token(); err != nil { // the opening brace
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		p.names = append(p.names, name.(string))
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
	}
	return nil
}

// indexes matches the indexes in a path: services[0].servers[] becomes services.servers.
var indexes = regexp.MustCompile(`\[\d*\]`)

// Clean removes the indexes from a path.
func Clean(path string) string { return indexes.ReplaceAllString(path, "") }

// Fields returns the whole spec.
func Fields() (*Field, error) {
	root := new(Field)
	if err := json.Unmarshal(JSON, root); err != nil {
		return nil, fmt.Errorf("cannot read the schema: %w", err)
	}
	return root, nil
}

// object returns the field that has the properties: a list's items, or the object among alternatives.
func (f *Field) object() *Field {
	if f.Items != nil {
		return f.Items.object()
	}
	for _, choice := range f.AnyOf {
		if o := choice.object(); len(o.Properties.names) > 0 {
			return o
		}
	}
	return f
}

// At returns the field at a path such as services.healthCheck; "" is f itself. The error suggests similar fields.
func (f *Field) At(path string) (*Field, error) {
	root := f
	if path == "" {
		return f, nil
	}
	above := ""
	for _, name := range strings.Split(path, ".") {
		known := f.object().Properties
		next, found := known.of[name]
		if !found {
			return nil, fmt.Errorf("cannot find the field %q of %q: %s", name, path, fieldHint(root, f, above, name))
		}
		f, above = next, above+name+"."
	}
	return f, nil
}

// fieldHint suggests fields for a name that f does not have: similar ones in f, or ones of the same name elsewhere.
func fieldHint(root, f *Field, above, name string) string {
	var meant []string
	for _, near := range suggest.Nearest(name, f.object().Properties.names) {
		meant = append(meant, above+near)
	}
	if len(meant) == 0 {
		for _, path := range root.Paths("") {
			if last := path[strings.LastIndexByte(path, '.')+1:]; strings.EqualFold(last, name) {
				meant = append(meant, path)
			}
		}
	}
	if len(meant) == 0 || len(meant) > 6 {
		return "rlb-agent explain --recursive lists all fields"
	}
	return "did you mean " + strings.Join(meant, " or ") + "?"
}

// Paths returns the paths of all fields below f.
func (f *Field) Paths(prefix string) (all []string) {
	properties := f.object().Properties
	for _, name := range properties.names {
		all = append(all, prefix+name)
		all = append(all, properties.of[name].Paths(prefix+name+".")...)
	}
	return all
}

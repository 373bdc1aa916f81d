package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// schema is the JSON Schema (draft 2020-12) of one value, with its keywords in output order.
type schema struct {
	Dialect     string     `json:"$schema,omitempty"`
	Title       string     `json:"title,omitempty"`
	Description string     `json:"description,omitempty"`
	Type        string     `json:"type,omitempty"`
	Const       any        `json:"const,omitempty"`
	Enum        []any      `json:"enum,omitempty"`
	Pattern     string     `json:"pattern,omitempty"`
	MaxLength   *int       `json:"maxLength,omitempty"`
	Minimum     *int       `json:"minimum,omitempty"`
	Maximum     *int       `json:"maximum,omitempty"`
	MinItems    *int       `json:"minItems,omitempty"`
	MaxItems    *int       `json:"maxItems,omitempty"`
	Default     any        `json:"default,omitempty"`
	Examples    []any      `json:"examples,omitempty"`
	AnyOf       []*schema  `json:"anyOf,omitempty"`
	Items       *schema    `json:"items,omitempty"`
	Properties  properties `json:"properties,omitempty"`
	Required    []string   `json:"required,omitempty"`
	Additional  any        `json:"additionalProperties,omitempty"` // false, or the schema of a map's values
	Null        bool       `json:"-"`                              // whether the field may have no value (null)
}

// MarshalJSON writes the type of a value that may be null as a list of both types.
func (s *schema) MarshalJSON() ([]byte, error) {
	type plain schema
	if !s.Null || s.Type == "" {
		return marshal((*plain)(s))
	}
	shadow := struct {
		Dialect     string   `json:"$schema,omitempty"`
		Title       string   `json:"title,omitempty"`
		Description string   `json:"description,omitempty"`
		Type        []string `json:"type"`
		*plain
	}{s.Dialect, s.Title, s.Description, []string{s.Type, "null"}, (*plain)(s)}
	return marshal(shadow)
}

// orAbsent extends the schema of an optional field to what api treats as an absent one: a name without a value, and an
// empty text.
func (s *schema) orAbsent(rules []string) {
	s.Null = true
	if s.Type == "string" && slices.Contains(rules, "omitempty") {
		switch {
		case s.Enum != nil:
			s.Enum = append(s.Enum, "")
		case s.Pattern != "":
			s.Pattern = "^$|" + s.Pattern
		}
	}
	switch {
	case s.Enum != nil:
		s.Enum = append(s.Enum, nil)
	case s.AnyOf != nil:
		s.AnyOf = append(s.AnyOf, &schema{Type: "null"})
	}
}

// properties are the fields of a mapping in the order of the reference.
type properties []property

type property struct {
	name string
	*schema
}

// MarshalJSON writes an object whose members keep their order.
func (p properties) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, member := range p {
		if i > 0 {
			b.WriteByte(',')
		}
		value, err := marshal(member.schema)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%q:%s", member.name, value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// marshal is json.Marshal without escapes for "<", ">" and "&".
func marshal(value any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return b.Bytes(), err
}

// schemaFile returns the whole schema, generated from the Go files of a directory.
func schemaFile(dir string) ([]byte, error) {
	types, err := readTypes(dir)
	if err != nil {
		return nil, err
	}
	root := types["LoadBalancerSpec"]
	if root == nil {
		return nil, fmt.Errorf("cannot find the type LoadBalancerSpec in %s", dir)
	}
	s, err := types.mapping(types.structOf(root.expr))
	if err != nil {
		return nil, err
	}
	s.Dialect, s.Title = "https://json-schema.org/draft/2020-12/schema", "LoadBalancerSpec"
	s.Description, _, _ = strings.Cut(root.doc, "\n\n")
	compact, err := marshal(s)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = json.Indent(&b, compact, "", "  ")
	return b.Bytes(), err
}

// mapping returns the schema of a struct.
func (t goTypes) mapping(s *ast.StructType) (*schema, error) {
	fields, err := t.fields(s)
	if err != nil {
		return nil, err
	}
	m := &schema{Type: "object", Additional: false}
	for _, f := range fields {
		value, err := t.value(f.expr, f.rules)
		if err != nil {
			return nil, fmt.Errorf("cannot describe the field %s: %w", f.goName, err)
		}
		t.annotate(value, f)
		m.Properties = append(m.Properties, property{f.name, value})
		if f.required {
			m.Required = append(m.Required, f.name)
		} else {
			value.orAbsent(f.rules)
		}
	}
	return m, nil
}

// annotate adds the content of a field's comment: its meaning, its default in the profile standard, an example.
func (t goTypes) annotate(s *schema, f field) {
	doc, example, hasExample := strings.Cut(strings.ReplaceAll(t.sentence(f), "\n\n", " "), " Example: ")
	s.Description = doc
	if _, words, ok := strings.Cut(doc, " Default: "); ok {
		words, _, _ = strings.Cut(words, ";")
		var value any
		if err := yaml.Unmarshal([]byte(strings.TrimSuffix(words, ".")), &value); err == nil && s.admits(value) {
			s.Default = value
		}
	}
	var value any
	if hasExample && yaml.Unmarshal([]byte(example), &value) == nil {
		s.Examples = []any{value}
	}
}

// admits reports whether a word of a default is a value of the field, and not a description such as "none" or "off".
func (s *schema) admits(value any) bool {
	switch v := value.(type) {
	case bool:
		return s.Type == "boolean"
	case float64:
		return s.Type == "integer"
	case string:
		literal := v != "" && v != "none" && v != "off" && v != "everyone" && !strings.Contains(v, " ")
		return slices.Contains(s.Enum, value) || s.Enum == nil && literal && (s.Type == "string" || len(s.AnyOf) > 0)
	}
	return false
}

// duration matches what Go's time.ParseDuration accepts. api refuses negative values other than zero.
const duration = `^[+-]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$`

// value returns the schema of an expression under its validate rules.
func (t goTypes) value(expr ast.Expr, rules []string) (*schema, error) {
	switch e := expr.(type) {
	case *ast.StarExpr:
		return t.value(e.X, rules)
	case *ast.ArrayType:
		return t.list(e.Elt, rules)
	case *ast.MapType:
		value, err := t.value(e.Value, nil)
		if err == nil {
			value.orAbsent(nil)
		}
		return &schema{Type: "object", Additional: value}, err
	case *ast.Ident:
		return t.ofName(e.Name, rules)
	}
	return nil, fmt.Errorf("no schema for a %T", expr)
}

// short has the mappings that may be written as the value of one of their fields.
var short = map[string]string{"VirtualIP": "address"}

// ofName returns the schema of a named type.
func (t goTypes) ofName(name string, rules []string) (*schema, error) {
	switch name {
	case "Duration":
		return &schema{Type: "string", Pattern: duration}, nil
	case "Lines", "Strings", "Command":
		return t.oneOrList(name, rules)
	case "string":
		return t.scalar("string", rules)
	case "int":
		return t.scalar("integer", rules)
	case "bool":
		return t.scalar("boolean", rules)
	}
	declared := t[name]
	if declared == nil {
		return nil, fmt.Errorf("no schema for the type %s", name)
	}
	s := t.structOf(declared.expr)
	if s == nil {
		return t.value(declared.expr, rules)
	}
	m, err := t.mapping(s)
	if alone := short[name]; err == nil && alone != "" {
		at := slices.IndexFunc(m.Properties, func(p property) bool { return p.name == alone })
		text := *m.Properties[at].schema
		return &schema{AnyOf: []*schema{&text, m}}, nil
	}
	return m, err
}

// oneOrList returns the schema of a text, or of a list of texts under its own rules.
func (t goTypes) oneOrList(name string, rules []string) (*schema, error) {
	list, err := t.list(ast.NewIdent("string"), rules)
	if err != nil {
		return nil, err
	}
	one := *list.Items
	if name == "Command" {
		err = t.apply(&one, "path") // of the executable; the other words of a list are arguments
	}
	return &schema{AnyOf: []*schema{&one, list}}, err
}

// list returns the schema of a list. The rules after "dive" apply to its entries.
func (t goTypes) list(entry ast.Expr, rules []string) (*schema, error) {
	var ofEntries []string
	if at := slices.Index(rules, "dive"); at >= 0 {
		rules, ofEntries = rules[:at], rules[at+1:]
	}
	items, err := t.value(entry, ofEntries)
	if err != nil {
		return nil, err
	}
	return t.under(&schema{Type: "array", Items: items}, rules)
}

func (t goTypes) scalar(kind string, rules []string) (*schema, error) {
	return t.under(&schema{Type: kind}, rules)
}

// under applies rules to a schema.
func (t goTypes) under(s *schema, rules []string) (*schema, error) {
	for _, rule := range rules {
		if err := t.apply(s, rule); err != nil {
			return nil, err
		}
	}
	return s, nil
}

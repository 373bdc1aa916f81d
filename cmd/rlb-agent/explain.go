package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// field is a part of the schema, as far as explain shows it.
type field struct {
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
	Items       *field     `json:"items"`
	AnyOf       []*field   `json:"anyOf"`
}

// kinds are the types that a value may have. One that need not be there may be null too, which explain does not say.
type kinds string

// UnmarshalJSON takes one type, or the first of a list.
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

// properties are fields in the order of the types.
type properties struct {
	names []string
	of    map[string]*field
}

// UnmarshalJSON keeps the order of the members.
func (p *properties) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, &p.of); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if _, err := d.Token(); err != nil { // the brace
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

// explainCommand explains a field of the spec, as kubectl explain does. It reads the schema, which is made from the
// types' comments.
func (a *app) explainCommand() *cobra.Command {
	var recursive bool
	cmd := &cobra.Command{
		Use:     "explain [FIELD]",
		Short:   "Explain a field of the spec: meaning, type, default, range, an example",
		Example: "  rlb-agent explain\n  rlb-agent explain services.healthCheck\n  rlb-agent explain services.servers --recursive",
		Args:    atMost(1),
		RunE: func(_ *cobra.Command, args []string) error {
			root, err := specFields()
			if err != nil {
				return err
			}
			path := ""
			if len(args) == 1 {
				path = indexes.ReplaceAllString(args[0], "")
			}
			f, err := root.at(path)
			if err != nil {
				return usageError{err}
			}
			return f.explain(a.stdout, path, recursive)
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			root, err := specFields()
			if err != nil || len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return root.paths(""), cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.Flags().BoolVar(&recursive, "recursive", false, "print all fields below it, without their meaning")
	return cmd
}

// indexes are the places in lists: services[0].servers[] is services.servers.
var indexes = regexp.MustCompile(`\[\d*\]`)

func specFields() (*field, error) {
	root := new(field)
	if err := json.Unmarshal(jsonSchema, root); err != nil {
		return nil, fmt.Errorf("cannot read the schema: %w", err)
	}
	return root, nil
}

// object is the field whose properties are meant: a list stands for its items, and a choice for its object.
func (f *field) object() *field {
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

// at is the field at a path such as services.healthCheck; "" is the whole spec.
func (f *field) at(path string) (*field, error) {
	root := f
	if path == "" {
		return f, nil
	}
	above := ""
	for name := range strings.SplitSeq(path, ".") {
		known := f.object().Properties
		next, found := known.of[name]
		if !found {
			return nil, fmt.Errorf("cannot find the field %q of %q: %s", name, path, fieldHint(root, f, above, name))
		}
		f, above = next, above+name+"."
	}
	return f, nil
}

// fieldHint says what was meant by a name that is no field of f: one beside it, or one of that name elsewhere.
func fieldHint(root, f *field, above, name string) string {
	var meant []string
	for _, near := range nearest(name, f.object().Properties.names) {
		meant = append(meant, above+near)
	}
	if len(meant) == 0 {
		for _, path := range root.paths("") {
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

// paths are the paths of all fields below f.
func (f *field) paths(prefix string) (all []string) {
	properties := f.object().Properties
	for _, name := range properties.names {
		all = append(all, prefix+name)
		all = append(all, properties.of[name].paths(prefix+name+".")...)
	}
	return all
}

// kind is the type in words.
func (f *field) kind() string {
	switch {
	case f.Items != nil:
		return "list of " + f.Items.kind()
	case len(f.AnyOf) > 0:
		var kinds []string
		for _, choice := range f.AnyOf {
			if choice.Type != "null" {
				kinds = append(kinds, choice.kind())
			}
		}
		return strings.Join(slices.Compact(kinds), " or ")
	}
	return string(f.Type)
}

// bounds are the values or the range of a field, in words, or "".
func (f *field) bounds() string {
	var values []string
	for _, value := range f.Enum {
		if value != nil && value != "" { // what stands for an absent field
			values = append(values, fmt.Sprint(value))
		}
	}
	switch {
	case len(values) > 0:
		return strings.Join(values, ", ")
	case f.Minimum != nil && f.Maximum != nil:
		return fmt.Sprintf("%.0f to %.0f", *f.Minimum, *f.Maximum)
	case f.MinItems != nil && f.MaxItems != nil:
		return fmt.Sprintf("%.0f to %.0f entries", *f.MinItems, *f.MaxItems)
	}
	for _, choice := range f.AnyOf {
		if b := choice.bounds(); b != "" {
			return b
		}
	}
	return ""
}

// meaning is the description without the default, and the default as it is described.
func (f *field) meaning() (text, standard string) {
	text, standard, _ = strings.Cut(f.Description, "Default: ")
	return strings.TrimSpace(text), strings.TrimSuffix(standard, ".")
}

// explain prints all that is known of a field.
func (f *field) explain(w io.Writer, path string, recursive bool) error {
	var b strings.Builder
	meaning, standard := f.meaning()
	if path == "" {
		path = "the spec"
	}
	fmt.Fprintf(&b, "FIELD:    %s <%s>\n", path, f.kind())
	if standard != "" {
		fmt.Fprintf(&b, "DEFAULT:  %s\n", standard)
	}
	if bounds := f.bounds(); bounds != "" {
		label := "RANGE: "
		if len(f.Enum) > 0 {
			label = "ONE OF:"
		}
		fmt.Fprintf(&b, "%s   %s\n", label, bounds)
	}
	fmt.Fprintf(&b, "\n%s\n", meaning)
	if len(f.Examples) > 0 {
		name := path[strings.LastIndexByte(path, '.')+1:]
		example, err := yaml.Marshal(map[string]any{name: f.Examples[0]})
		if err != nil {
			return fmt.Errorf("cannot print the example of %s: %w", path, err)
		}
		fmt.Fprintf(&b, "\nEXAMPLE:\n%s", indented(string(example)))
	}
	o := f.object()
	if len(o.Properties.names) > 0 {
		b.WriteString("\nFIELDS:\n")
		o.list(&b, "  ", recursive)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// list prints the fields below one, a line each.
func (f *field) list(b *strings.Builder, indent string, recursive bool) {
	for _, name := range f.Properties.names {
		p := f.Properties.of[name]
		meaning, standard := p.meaning()
		about := ""
		if slices.Contains(f.Required, name) {
			about = " required"
		}
		if bounds := p.bounds(); bounds != "" {
			about += ", " + bounds
		}
		if standard != "" && len(standard) < 40 {
			about += ", default " + standard
		}
		fmt.Fprintf(b, "%s%s <%s>%s\n", indent, name, p.kind(), about)
		if recursive {
			p.object().list(b, indent+"  ", true)
			continue
		}
		first, _, _ := strings.Cut(meaning, ". ")
		fmt.Fprintf(b, "%s    %s\n", indent, first)
	}
}

func indented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("  " + line)
	}
	return b.String()
}

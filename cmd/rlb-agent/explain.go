package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// field is a part of the schema, as far as explain shows it.
type field struct {
	Description string            `json:"description"`
	Type        string            `json:"type"`
	Enum        []any             `json:"enum"`
	Minimum     *float64          `json:"minimum"`
	Maximum     *float64          `json:"maximum"`
	Examples    []any             `json:"examples"`
	Required    []string          `json:"required"`
	Properties  map[string]*field `json:"properties"`
	Items       *field            `json:"items"`
	AnyOf       []*field          `json:"anyOf"`
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
		if o := choice.object(); len(o.Properties) > 0 {
			return o
		}
	}
	return f
}

// at is the field at a path such as services.healthCheck; "" is the whole spec.
func (f *field) at(path string) (*field, error) {
	if path == "" {
		return f, nil
	}
	for name := range strings.SplitSeq(path, ".") {
		known := f.object().Properties
		next, found := known[name]
		if !found {
			hint := "rlb-agent explain --recursive lists all fields"
			if near := nearest(name, slices.Sorted(maps.Keys(known))); len(near) > 0 {
				hint = "did you mean " + strings.Join(near, " or ") + "?"
			}
			return nil, fmt.Errorf("cannot find the field %q of %q: %s", name, path, hint)
		}
		f = next
	}
	return f, nil
}

// paths are the paths of all fields below f.
func (f *field) paths(prefix string) (all []string) {
	properties := f.object().Properties
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		all = append(all, prefix+name)
		all = append(all, properties[name].paths(prefix+name+".")...)
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
			kinds = append(kinds, choice.kind())
		}
		return strings.Join(slices.Compact(kinds), " or ")
	}
	return f.Type
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
	switch {
	case len(f.Enum) > 0:
		var values []string
		for _, value := range f.Enum {
			values = append(values, fmt.Sprint(value))
		}
		fmt.Fprintf(&b, "ONE OF:   %s\n", strings.Join(values, ", "))
	case f.Minimum != nil && f.Maximum != nil:
		fmt.Fprintf(&b, "RANGE:    %.0f to %.0f\n", *f.Minimum, *f.Maximum)
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
	if len(o.Properties) > 0 {
		b.WriteString("\nFIELDS:\n")
		o.list(&b, "  ", recursive)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// list prints the fields below one, a line each.
func (f *field) list(b *strings.Builder, indent string, recursive bool) {
	for _, name := range slices.Sorted(maps.Keys(f.Properties)) {
		p := f.Properties[name]
		required := ""
		if slices.Contains(f.Required, name) {
			required = " required"
		}
		fmt.Fprintf(b, "%s%s <%s>%s\n", indent, name, p.kind(), required)
		if recursive {
			p.object().list(b, indent+"  ", true)
			continue
		}
		meaning, _ := p.meaning()
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

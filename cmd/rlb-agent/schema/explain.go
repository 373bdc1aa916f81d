package schema

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// kind names the type.
func (f *Field) kind() string {
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

// bounds describes the allowed values or the range of a field; "" for none.
func (f *Field) bounds() string {
	var values []string
	for _, value := range f.Enum {
		if value != nil && value != "" { // null and "" stand for an absent field
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

// meaning splits the description into the text and the default.
func (f *Field) meaning() (text, standard string) {
	text, standard, _ = strings.Cut(f.Description, "Default: ")
	return strings.TrimSpace(text), strings.TrimSuffix(standard, ".")
}

// Explain prints the field at a path; recursive lists all fields below it.
func (f *Field) Explain(w io.Writer, path string, recursive bool) error {
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

// list prints the fields below f, one per line.
func (f *Field) list(b *strings.Builder, indent string, recursive bool) {
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

package main

import (
	"fmt"
	"go/ast"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// reference describes a type and all types of its fields, with a section for each struct.
func (t goTypes) reference(root string) (string, error) {
	declared := t[root]
	if declared == nil {
		return "", fmt.Errorf("cannot find the type %s", root)
	}
	top := t.structOf(declared.expr)
	if top == nil {
		return "", fmt.Errorf("cannot describe the type %s: it is no struct with fields", root)
	}
	var b strings.Builder
	err := t.section(&b, "", declared.doc, top)
	return b.String(), err
}

// section describes the fields of a struct, and then each struct among them in a section of its own.
func (t goTypes) section(b *strings.Builder, path, doc string, s *ast.StructType) error {
	title := path
	if path == "" {
		title = "The top level"
	}
	fmt.Fprintf(b, "## %s\n\n", title)
	doc, _, _ = strings.Cut(doc, "\n\n") // further paragraphs are for Go programmers
	b.WriteString(wrap(prose(doc), "") + "\n")
	fields, err := t.fields(s)
	if err != nil {
		return err
	}
	for _, f := range fields {
		t.entry(b, path, f)
	}
	b.WriteString("\n")
	for _, f := range fields {
		inner := t.structOf(f.expr)
		if inner == nil {
			continue
		}
		innerDoc := ""
		if declared := t[nameOf(f.expr)]; declared != nil {
			innerDoc = declared.doc
		}
		if err := t.section(b, t.path(path, f), innerDoc, inner); err != nil {
			return err
		}
	}
	return nil
}

// entry describes one field in a list item.
func (t goTypes) entry(b *strings.Builder, path string, f field) {
	kind := t.kind(f.expr)
	if f.required {
		kind += ", required"
	}
	doc, example, hasExample := strings.Cut(strings.ReplaceAll(t.sentence(f), "\n\n", " "), " Example: ")
	if doc = prose(doc); hasExample {
		doc += " Example: `" + example + "`"
	}
	b.WriteString(wrap(fmt.Sprintf("- `%s` (%s): %s", t.path(path, f), kind, doc), "  "))
}

// sentence returns the comment without the Go name at its beginning, if a sentence remains: "Port is the …" becomes
// "The …". A name of several words is written as in the file.
func (t goTypes) sentence(f field) string {
	for _, verb := range []string{" is ", " are "} {
		rest, ok := strings.CutPrefix(f.doc, f.goName+verb)
		if !ok {
			continue
		}
		word := strings.TrimRight(strings.Fields(rest + " x")[0], ",.:;")
		if declared := t[nameOf(f.expr)]; declared != nil && slices.Contains(declared.values, word) {
			return rest // a value keeps its letter case
		}
		first, size := utf8.DecodeRuneInString(rest)
		return string(unicode.ToUpper(first)) + rest[size:]
	}
	if rest, ok := strings.CutPrefix(f.doc, f.goName+" "); ok && f.goName[1:] != strings.ToLower(f.goName[1:]) {
		return "`" + f.name + "` " + rest
	}
	return f.doc
}

var quoted = regexp.MustCompile(`"([^"]+)"`)

// prose converts a comment to Markdown: quoted words become code.
func prose(doc string) string { return quoted.ReplaceAllString(doc, "`$1`") }

// path returns the path of a field, with "[]" for a list.
func (t goTypes) path(parent string, f field) string {
	path := f.name
	if parent != "" {
		path = parent + "." + f.name
	}
	if t.isList(f.expr) && !slices.Contains([]string{"Lines", "Strings", "Command"}, nameOf(f.expr)) { // those may be a single text
		path += "[]"
	}
	return path
}

// kind describes the possible values of a field.
func (t goTypes) kind(expr ast.Expr) string {
	switch e := expr.(type) {
	case *ast.StarExpr:
		return t.kind(e.X)
	case *ast.ArrayType:
		return "list of " + t.kind(e.Elt)
	case *ast.MapType:
		return "map of " + t.kind(e.Key) + " to " + t.kind(e.Value)
	case *ast.StructType:
		return "fields"
	case *ast.Ident:
		return t.named(e.Name)
	}
	return "value"
}

// named describes the values of types whose declaration does not.
var named = map[string]string{
	"string":   "text",
	"int":      "integer",
	"bool":     "true or false",
	"Duration": "duration",
	"Lines":    "lines",
	"Strings":  "text or list of text",
	"Command":  "path, or list of a path and its arguments",
}

// named describes the values of a named type.
func (t goTypes) named(name string) string {
	if words := named[name]; words != "" {
		return words
	}
	declared := t[name]
	switch {
	case declared == nil:
		return name
	case len(declared.values) > 0:
		return "`" + strings.Join(declared.values, "`, `") + "`"
	}
	return t.kind(declared.expr)
}

// width is the longest line of the page, for terminals.
const width = 110

// marker matches what Markdown treats, at the beginning of a line, as the start of a list, a heading or a quotation.
var marker = regexp.MustCompile(`^([-*+>#]|\d+[.)]$)`)

// wrap breaks a text into lines; those after the first begin with the indent.
func wrap(text, indent string) string {
	var b strings.Builder
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width && !marker.MatchString(word):
			b.WriteString(line + "\n")
			line = indent + word
		default:
			line += " " + word
		}
	}
	if line != "" {
		b.WriteString(line + "\n")
	}
	return b.String()
}

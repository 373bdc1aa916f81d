package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
)

// goTypes are the types that a package declares, by name.
type goTypes map[string]*goType

// goType is one declared type.
type goType struct {
	doc    string
	expr   ast.Expr
	values []string // of its constants, if they are texts
	regexp string   // of a variable that holds a compiled one
}

// field is a field of a struct, as in a spec file.
type field struct {
	name     string // in the file
	goName   string
	doc      string
	expr     ast.Expr
	required bool
	rules    []string // of its validate tag
}

// readTypes reads the declarations of all Go files in a directory and its subdirectories, except tests.
func readTypes(dir string) (goTypes, error) {
	types := goTypes{}
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	below, err := filepath.Glob(filepath.Join(dir, "*", "*.go")) // textrule has the patterns
	if err != nil {
		return nil, err
	}
	names = append(names, below...)
	var constants []*ast.ValueSpec
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, data, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		for _, declaration := range file.Decls {
			general, ok := declaration.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range general.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					types[s.Name.Name] = &goType{doc: text(s.Doc, general.Doc), expr: s.Type}
				case *ast.ValueSpec:
					constants = append(constants, s)
				}
			}
		}
	}
	for _, c := range constants {
		types.addValues(c)
		types.addPattern(c)
	}
	return types, nil
}

// addValues records the values of constants of a declared type: a field of this type has one of them.
func (t goTypes) addValues(c *ast.ValueSpec) {
	name, ok := c.Type.(*ast.Ident)
	if !ok || t[name.Name] == nil {
		return
	}
	for _, value := range c.Values {
		if literal, ok := value.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if value, err := strconv.Unquote(literal.Value); err == nil {
				t[name.Name].values = append(t[name.Name].values, value)
			}
		}
	}
}

// addPattern records the text of a regular expression: var x = regexp.MustCompile("…").
func (t goTypes) addPattern(v *ast.ValueSpec) {
	if len(v.Names) != 1 || len(v.Values) != 1 {
		return
	}
	call, ok := v.Values[0].(*ast.CallExpr)
	if !ok || len(call.Args) != 1 {
		return
	}
	if literal, ok := call.Args[0].(*ast.BasicLit); ok && literal.Kind == token.STRING {
		if value, err := strconv.Unquote(literal.Value); err == nil {
			t[v.Names[0].Name] = &goType{regexp: value}
		}
	}
}

// pattern returns the regular expression of a variable, or "".
func (t goTypes) pattern(variable string) string {
	if declared := t[variable]; declared != nil {
		return declared.regexp
	}
	return ""
}

// fields returns the fields of a struct, in the order of its declaration. The fields of an embedded struct take its
// place.
func (t goTypes) fields(s *ast.StructType) ([]field, error) {
	var all []field
	for _, f := range s.Fields.List {
		if len(f.Names) == 0 {
			inner, err := t.fields(t.structOf(f.Type))
			if err != nil {
				return nil, err
			}
			all = append(all, inner...)
			continue
		}
		tag := reflect.StructTag("")
		if f.Tag != nil {
			value, err := strconv.Unquote(f.Tag.Value)
			if err != nil {
				return nil, err
			}
			tag = reflect.StructTag(value)
		}
		name, _, _ := strings.Cut(tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		doc := text(f.Doc, f.Comment)
		if doc == "" {
			return nil, fmt.Errorf("cannot describe the field %s: it has no comment", f.Names[0].Name)
		}
		rules := strings.Split(tag.Get("validate"), ",")
		if rules[0] == "" {
			rules = nil
		}
		required := len(rules) > 0 && rules[0] == "required"
		all = append(all, field{name, f.Names[0].Name, doc, f.Type, required, rules})
	}
	return all, nil
}

// structOf returns the struct that an expression names, directly or as the element of a pointer or list, or nil. A
// struct without fields of the file is a value of its own kind.
func (t goTypes) structOf(expr ast.Expr) *ast.StructType {
	switch e := expr.(type) {
	case *ast.StarExpr:
		return t.structOf(e.X)
	case *ast.ArrayType:
		return t.structOf(e.Elt)
	case *ast.Ident:
		if declared := t[e.Name]; declared != nil {
			return t.structOf(declared.expr)
		}
	case *ast.StructType:
		if fields, err := t.fields(e); err != nil || len(fields) > 0 {
			return e
		}
	}
	return nil
}

// isList reports whether an expression is a list, directly or by a declared type.
func (t goTypes) isList(expr ast.Expr) bool {
	switch e := expr.(type) {
	case *ast.ArrayType:
		return true
	case *ast.Ident:
		return t[e.Name] != nil && t.isList(t[e.Name].expr)
	}
	return false
}

// nameOf returns the name of the declared type behind pointers and lists, or "".
func nameOf(expr ast.Expr) string {
	switch e := expr.(type) {
	case *ast.StarExpr:
		return nameOf(e.X)
	case *ast.ArrayType:
		return nameOf(e.Elt)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// text returns the first comment that is not empty, each paragraph in one line.
func text(groups ...*ast.CommentGroup) string {
	for _, group := range groups {
		var paragraphs []string
		for paragraph := range strings.SplitSeq(strings.TrimSpace(group.Text()), "\n\n") {
			paragraphs = append(paragraphs, strings.Join(strings.Fields(paragraph), " "))
		}
		if joined := strings.Join(paragraphs, "\n\n"); joined != "" {
			return joined
		}
	}
	return ""
}

package reconcile_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// calls lists the places in the files of a package, without tests, that use one of these names of package pkg.
func calls(t *testing.T, dir, pkg string, names ...string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("cannot find Go files in %s: %v", dir, err)
	}
	var found []string
	set := token.NewFileSet()
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && slices.Contains(names, s.Sel.Name) {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == pkg {
					found = append(found, set.Position(n.Pos()).String())
				}
			}
			return true
		})
	}
	return found
}

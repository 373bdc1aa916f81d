package reconcile_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp/syntax"
	"strconv"
	"strings"
	"testing"
)

// maxSteps is the largest program size of a pattern that is compiled at each start. A counted repetition of a class
// ({1,100}) has about that many steps. It costs each command some tenths of a millisecond, and stays in the memory of the
// daemon.
const maxSteps = 120

func TestPatternsOfEachStartAreSmall(t *testing.T) {
	found := 0
	for _, top := range []string{"../api", "../render", ".", "../cmd"} {
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, path, nil, 0)
			if err != nil {
				return err
			}
			for _, decl := range file.Decls {
				if vars, ok := decl.(*ast.GenDecl); ok {
					found += checkPatterns(t, set, vars)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found < 30 {
		t.Errorf("found only %d patterns", found)
	}
}

// checkPatterns checks the patterns that are compiled in the initializers of package variables, outside of functions.
func checkPatterns(t *testing.T, set *token.FileSet, vars *ast.GenDecl) (found int) {
	ast.Inspect(vars, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.CallExpr:
			s, ok := n.Fun.(*ast.SelectorExpr)
			if !ok || s.Sel.Name != "MustCompile" {
				return true
			}
			literal, ok := n.Args[0].(*ast.BasicLit)
			if !ok { // built from other patterns
				return true
			}
			pattern, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := syntax.Parse(pattern, syntax.Perl)
			if err != nil {
				t.Fatal(err)
			}
			program, err := syntax.Compile(parsed.Simplify())
			if err != nil {
				t.Fatal(err)
			}
			if found++; len(program.Inst) > maxSteps {
				t.Errorf("%s: the program of this pattern has %d steps, at most %d: count in Go, or compile it when it is used", set.Position(n.Pos()), len(program.Inst), maxSteps)
			}
		}
		return true
	})
	return found
}

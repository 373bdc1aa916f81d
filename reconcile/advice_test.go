package reconcile_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// shared are places that other users than root may write to, or have.
var shared = regexp.MustCompile(`/tmp\b|/var/tmp\b|/dev/shm\b|/home/|/root/|\$HOME|~/`)

// notAdvice are texts with such a place that send nobody there.
var notAdvice = map[string]bool{
	"../reconcile/host/debian/dump.go": true, // where a keepalived that was started before the agent writes its state
}

// No text of the product sends anybody to a shared or a home directory: what root trusts does not lie there.
func TestAdviceNamesNoSharedDirectory(t *testing.T) {
	texts := 0
	for _, dir := range packages(t) {
		files, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(dir), "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") || notAdvice[filepath.ToSlash(path)] {
				continue
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, path, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if text, ok := n.(*ast.BasicLit); ok && text.Kind == token.STRING {
					if texts++; shared.MatchString(text.Value) {
						t.Errorf("%v: %s", set.Position(text.Pos()), text.Value)
					}
				}
				return true
			})
		}
	}
	if texts < 1000 {
		t.Errorf("only %d texts were found", texts)
	}
	examples, err := filepath.Glob("../examples/*.yaml")
	if err != nil || len(examples) == 0 {
		t.Fatal(examples, err)
	}
	for _, path := range append(examples, "../README.md") {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if found := shared.Find(data); found != nil {
			t.Errorf("%s names %s", path, found)
		}
	}
}

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

// shared are directories in which users other than root may write, and home directories.
var shared = regexp.MustCompile(`/tmp\b|/var/tmp\b|/dev/shm\b|/home/|/root/|\$HOME|~/`)

// notAdvice are texts that name such a directory but do not send the reader there.
var notAdvice = map[string]bool{
	"../reconcile/host/debian/dump.go": true, // the path to which a keepalived that was started before the agent writes its state
}

// TestAdviceNamesNoSharedDirectory: no text of the product sends the reader to a shared or a home directory. Files that
// root trusts must not be there.
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

package reconcile_test

import (
	"go/build"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "rlb.dev/rlb-agent"

// rulesSection is the section of CONTRIBUTING.md that explains the rules to people.
const rulesSection = "Who may import what"

func TestTheRulesAreExplained(t *testing.T) {
	data, err := os.ReadFile("../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), "\n## "+rulesSection+"\n") {
		t.Errorf("CONTRIBUTING.md has no section %q", rulesSection)
	}
}

// rules is the table of those rules. Ours and what is not of the standard library must be named; of the
// standard library all is allowed that is not forbidden. A trailing slash names all below.
var rules = map[string]struct{ may, mustNot []string }{
	"api": {
		may:     []string{"sigs.k8s.io/yaml", "sigs.k8s.io/json", "go.yaml.in/yaml/", "github.com/go-playground/validator/"},
		mustNot: []string{"os", "os/"},
	},
	"render": {
		may:     []string{module + "/api"},
		mustNot: []string{"os", "os/", "net", "net/http"},
	},
	"reconcile/host": {
		may:     []string{module + "/api", module + "/render"},
		mustNot: []string{"os", "os/", "net", "net/http"},
	},
	"reconcile": {
		may:     []string{module + "/api", module + "/render", module + "/reconcile/host", "github.com/aymanbagabas/go-udiff"},
		mustNot: []string{"os/exec"},
	},
	"reconcile/guard": {
		may:     []string{module + "/reconcile", module + "/reconcile/host"},
		mustNot: []string{"os", "os/", "net"},
	},
	"reconcile/host/fake": {
		may:     []string{module + "/reconcile/host", module + "/render"},
		mustNot: []string{"os", "os/", "net"},
	},
	"reconcile/faulty": {
		may: []string{module + "/reconcile/host", module + "/render"},
	},
	"reconcile/host/debian": {
		may: []string{module + "/reconcile/host", module + "/render", "github.com/coreos/go-systemd/", "github.com/godbus/dbus/",
			"github.com/google/renameio/", "golang.org/x/sys/", module + "/reconcile/host/link"},
	},
	"reconcile/host/link": {
		may:     []string{module + "/render", "golang.org/x/sys/"},
		mustNot: []string{"os/exec", "net/http"},
	},
	"cmd/rlb-agent/httpd": {
		mustNot: []string{"os/exec", "net/http"},
	},
	"cmd/rlb-agent/manual": {
		mustNot: []string{"os", "os/", "net", "net/http"},
	},
	"cmd/rlb-agent": {
		may: []string{module + "/cmd/rlb-agent/httpd", module + "/cmd/rlb-agent/manual", module + "/api", module + "/render", module + "/reconcile", module + "/reconcile/guard",
			module + "/reconcile/host", module + "/reconcile/host/debian", module + "/reconcile/host/link", "github.com/fsnotify/fsnotify",
			"github.com/coreos/go-systemd/", "github.com/spf13/cobra", "github.com/spf13/pflag", "sigs.k8s.io/yaml", "sigs.k8s.io/json", "golang.org/x/sys/"},
		mustNot: []string{"os/exec"},
	},
}

func TestImports(t *testing.T) {
	for dir, rule := range rules {
		pkg, err := build.ImportDir(filepath.Join("..", filepath.FromSlash(dir)), 0)
		if err != nil {
			t.Errorf("cannot read package %s: %v", dir, err)
			continue
		}
		for _, path := range pkg.Imports {
			foreign := strings.Contains(strings.Split(path, "/")[0], ".")
			if named(rule.mustNot, path) || foreign && !named(rule.may, path) {
				t.Errorf("package %s must not import %s: see \"%s\" in CONTRIBUTING.md", dir, path, rulesSection)
			}
		}
	}
}

// Only the package of the real host runs commands; hack is for developers.
func TestOnlyTheHostRunsCommands(t *testing.T) {
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); path != ".." && (name == "hack" || name == "testdata" || strings.HasPrefix(name, ".")) {
			return fs.SkipDir
		}
		pkg, err := build.ImportDir(path, 0)
		if err == nil && slices.Contains(pkg.Imports, "os/exec") && !strings.HasSuffix(filepath.ToSlash(path), "reconcile/host/debian") {
			t.Errorf("package %s must not import os/exec: only reconcile/host/debian runs commands", path)
		}
		return nil // a folder without Go files is none of our business
	})
	if err != nil {
		t.Fatal(err)
	}
}

// render is pure: it does not ask the clock.
func TestRenderHasNoClock(t *testing.T) {
	for _, call := range calls(t, "../render", "time", "Now", "Since", "Until") {
		t.Errorf("%s: package render must not ask the clock", call)
	}
}

func named(list []string, path string) bool {
	return slices.ContainsFunc(list, func(entry string) bool {
		return entry == path || strings.HasSuffix(entry, "/") && strings.HasPrefix(path, entry)
	})
}

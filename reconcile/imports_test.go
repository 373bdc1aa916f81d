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

// rulesSection is the section of CONTRIBUTING.md that explains the rules.
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

// chain is the order of our packages. A package may import the packages before it, never those after it.
var chain = []string{
	"api/yamlfile", "api/textrule", "api", "render/vrrp", "render", "reconcile/backoff", "reconcile/wake", "reconcile/host/rootpath", "reconcile/host", "reconcile/peers", "reconcile/headroom", "reconcile/state", "reconcile/events", "reconcile/plan", "reconcile", "reconcile/status", "reconcile/cutoff", "reconcile/serveon", "reconcile/failover", "reconcile/doctor",
	"cmd/rlb-agent/filewatch", "cmd/rlb-agent/page", "cmd/rlb-agent/export", "cmd/rlb-agent/daemon", "cmd/rlb-agent/remote", "cmd/rlb-agent/beside", "cmd/rlb-agent/push", "cmd/rlb-agent/manual",
	"cmd/rlb-agent/suggest", "cmd/rlb-agent/schema", "cmd/rlb-agent/terminal", "cmd/rlb-agent/logger", "cmd/rlb-agent",
}

// ends are packages beside the chain: they import only what is listed here, and only cmd/rlb-agent and tests import them.
var ends = map[string][]string{
	"reconcile/host/link":     {"api"},
	"reconcile/host/fake":     {"api", "render/vrrp", "render", "reconcile/host"},
	"reconcile/host/patience": {},
	"reconcile/host/haproxy":  {"render", "reconcile/host", "reconcile/host/patience"},
	"reconcile/host/debian": {"api/yamlfile", "api", "render/vrrp", "render", "reconcile/backoff", "reconcile/host", "reconcile/host/link", "reconcile/host/rootpath", "reconcile/host/patience", "reconcile/host/haproxy",
		"reconcile/host/debian/program", "reconcile/host/debian/apt", "reconcile/host/debian/netfilter", "reconcile/host/debian/systemd"},
	"reconcile/host/debian/program":          {"reconcile/host"},
	"reconcile/host/debian/program/recorded": {"reconcile/host", "reconcile/host/debian/program"},
	"reconcile/host/debian/apt":              {"reconcile/host", "reconcile/host/debian/program"},
	"reconcile/host/debian/netfilter":        {"api", "render", "reconcile/host", "reconcile/host/debian/program"},
	"reconcile/host/debian/systemd":          {"reconcile/backoff", "reconcile/host"},
	"reconcile/faulty":                       {},
	"reconcile/importer":                     {"api", "render"},
	"cmd/rlb-agent/firstspec":                {"api"},
	"cmd/rlb-agent/effect":                   {"reconcile/host"}, // also reconcile/faulty, in a build with faults
}

// foreign is what a package may import besides the standard library and our own packages. A trailing slash includes all
// packages below.
var foreign = map[string][]string{
	"api/yamlfile":                    {"go.yaml.in/yaml/"},
	"api":                             {"sigs.k8s.io/yaml", "sigs.k8s.io/json", "go.yaml.in/yaml/", "github.com/go-playground/validator/"},
	"reconcile/plan":                  {"github.com/aymanbagabas/go-udiff"},
	"reconcile/host/debian":           {"github.com/coreos/go-systemd/", "github.com/godbus/dbus/", "github.com/google/renameio/", "golang.org/x/sys/"},
	"reconcile/host/rootpath":         {"golang.org/x/sys/"},
	"reconcile/host/haproxy":          {"golang.org/x/sys/"},
	"reconcile/host/debian/apt":       {"golang.org/x/sys/"},
	"reconcile/host/debian/netfilter": {"golang.org/x/sys/"},
	"reconcile/host/debian/systemd":   {"github.com/coreos/go-systemd/", "github.com/godbus/dbus/"},
	"reconcile/host/link":             {"github.com/jsimonetti/rtnetlink/v2", "github.com/mdlayher/netlink", "golang.org/x/net/bpf", "golang.org/x/sys/"},
	"cmd/rlb-agent/firstspec":         {"sigs.k8s.io/yaml"},
	"cmd/rlb-agent/schema":            {"sigs.k8s.io/yaml"},
	"cmd/rlb-agent/suggest":           {"github.com/spf13/cobra"},
	"cmd/rlb-agent/terminal":          {"golang.org/x/sys/"},
	"cmd/rlb-agent/logger":            {"github.com/coreos/go-systemd/"},
	"cmd/rlb-agent/filewatch":         {"github.com/fsnotify/fsnotify", "golang.org/x/sys/"},
	"cmd/rlb-agent/page":              {"maragu.dev/gomponents"},
	"cmd/rlb-agent/export":            {"github.com/aymanbagabas/go-udiff", "github.com/google/renameio/", "golang.org/x/sys/"},
	"cmd/rlb-agent/daemon":            {"github.com/coreos/go-systemd/", "golang.org/x/sys/"},
	"cmd/rlb-agent": {"github.com/aymanbagabas/go-udiff", "github.com/coreos/go-systemd/", "github.com/spf13/cobra", "github.com/spf13/pflag",
		"sigs.k8s.io/yaml", "sigs.k8s.io/json", "golang.org/x/sys/"},
}

// pure are the packages that access no file, no network and no process.
var pure = []string{"api/yamlfile", "api/textrule", "api", "render/vrrp", "render", "reconcile/host", "reconcile/peers", "reconcile/headroom", "reconcile/state", "reconcile/plan", "reconcile/events", "reconcile/serveon", "reconcile/failover", "reconcile/doctor", "reconcile/importer", "reconcile/host/fake", "cmd/rlb-agent/page", "cmd/rlb-agent/manual", "cmd/rlb-agent/firstspec"}

var impure = []string{"os", "os/", "net", "net/http", "syscall"}

func TestImports(t *testing.T) {
	for _, dir := range packages(t) {
		pkg, err := build.ImportDir(filepath.Join("..", filepath.FromSlash(dir)), 0)
		if err != nil {
			t.Errorf("cannot read package %s: %v", dir, err)
			continue
		}
		at := slices.Index(chain, dir)
		before, end := ends[dir]
		if at < 0 && !end {
			t.Errorf("package %s has no place among the packages: see %q in CONTRIBUTING.md", dir, rulesSection)
			continue
		}
		if at >= 0 {
			before = chain[:at]
		}
		for _, path := range pkg.Imports {
			ours, isOurs := strings.CutPrefix(path, module+"/")
			fromOutside := strings.Contains(strings.Split(path, "/")[0], ".")
			_, importsEnd := ends[ours]
			switch {
			case isOurs && (slices.Contains(before, ours) || importsEnd && dir == "cmd/rlb-agent"):
			case !isOurs && fromOutside && named(foreign[dir], path):
			case !isOurs && !fromOutside && !(slices.Contains(pure, dir) && named(impure, path)):
			default:
				t.Errorf("package %s must not import %s: see %q in CONTRIBUTING.md", dir, path, rulesSection)
			}
		}
	}
}

// TestPackagesAreSmall: a reader looks for the place of a change among the file names of a package. A package beyond these
// limits is about more than one subject; move one of them to a package below it.
func TestPackagesAreSmall(t *testing.T) {
	const mostFiles, mostLines = 25, 3000 // lines of code, without blank lines and comments
	for _, dir := range packages(t) {
		pkg, err := build.ImportDir(filepath.Join("..", filepath.FromSlash(dir)), 0)
		if err != nil {
			t.Errorf("cannot read package %s: %v", dir, err)
			continue
		}
		lines := 0
		for _, name := range pkg.GoFiles {
			data, err := os.ReadFile(filepath.Join(pkg.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(data)) {
				if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
					lines++
				}
			}
		}
		if len(pkg.GoFiles) > mostFiles || lines > mostLines {
			t.Errorf("package %s has %d files and %d lines of code: %d and %d are the most", dir, len(pkg.GoFiles), lines, mostFiles, mostLines)
		}
	}
}

// packages are the directories of the product's packages.
func packages(t *testing.T) (dirs []string) {
	t.Helper()
	for _, top := range []string{"api", "render", "reconcile", "cmd"} {
		err := filepath.WalkDir(filepath.Join("..", top), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return err
			}
			if d.Name() == "testdata" {
				return fs.SkipDir
			}
			if _, err := build.ImportDir(path, 0); err == nil {
				dirs = append(dirs, strings.TrimPrefix(filepath.ToSlash(path), "../"))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return dirs
}

// runners are the packages that run commands. program runs them for the real host. remote runs ssh, on the machine and as
// the user of an administrator: that machine is no host of ours, and needs neither root nor systemd. hack is for
// developers.
var runners = []string{"reconcile/host/debian/program", "cmd/rlb-agent/remote"}

// TestTheDaemonCallsNobody: code that runs as root in the daemon must not contact other hosts.
func TestTheDaemonCallsNobody(t *testing.T) {
	for _, dir := range packages(t) {
		if slices.Contains([]string{"cmd/rlb-agent", "cmd/rlb-agent/push", "cmd/rlb-agent/beside"}, dir) {
			continue
		}
		pkg, err := build.ImportDir(filepath.Join("..", filepath.FromSlash(dir)), 0)
		if err != nil || slices.Contains(pkg.Imports, module+"/cmd/rlb-agent/remote") {
			t.Errorf("package %s must not import cmd/rlb-agent/remote: only the command line calls other hosts: %v", dir, err)
		}
	}
}

func TestOnlyTheHostRunsCommands(t *testing.T) {
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); path != ".." && (name == "hack" || name == "testdata" || strings.HasPrefix(name, ".")) {
			return fs.SkipDir
		}
		pkg, err := build.ImportDir(path, 0)
		if err == nil && slices.Contains(pkg.Imports, "os/exec") && !slices.Contains(runners, strings.TrimPrefix(filepath.ToSlash(path), "../")) {
			t.Errorf("package %s must not import os/exec: only %v run commands", path, runners)
		}
		return nil // a directory without Go files is no package
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRenderHasNoClock: render is pure and does not read the clock.
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

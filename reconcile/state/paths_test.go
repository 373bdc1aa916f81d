package state_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

// TestManualHasAllPaths: the manual has a row for each path, in the order of the table.
func TestManualHasAllPaths(t *testing.T) {
	data, err := os.ReadFile("../../cmd/rlb-agent/manual/install.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := "| path | content | written by | life | mode |\n|---|---|---|---|---|\n"
	for _, p := range state.Paths {
		rows += fmt.Sprintf("| `%s` | %s | %s | %s | %04o |\n", p.Path, p.Holds, p.Writer, p.Life, p.Mode)
	}
	if !strings.Contains(string(data), "\n\n"+rows+"\n") {
		t.Errorf("the install page's table of files is to be:\n%s", rows)
	}
}

// named matches a path of the agent in the source. The last group is the part after the name of a directory.
var named = regexp.MustCompile(`"(/(?:run|var/lib)/rlb/[^"]+)"|host\.(StateDir|RunDir) ?\+ ?"([^"]+)"|filepath\.Join\(h\.run, "([^"]+)"\)`)

// TestSourceHasNoOtherPaths: the source uses no path that is missing in the table.
func TestSourceHasNoOtherPaths(t *testing.T) {
	found := 0
	for _, top := range []string{"../../api", "../../render", "../../reconcile", "../../cmd"} {
		err := filepath.WalkDir(top, func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
				return err
			}
			data, err := os.ReadFile(file)
			for _, m := range named.FindAllStringSubmatch(string(data), -1) {
				path := m[1]
				switch {
				case m[2] != "":
					path = map[string]string{"StateDir": host.StateDir, "RunDir": host.RunDir}[m[2]] + m[3]
				case m[4] != "":
					path = host.RunDir + "/" + m[4]
				}
				if found++; !inTable(path) {
					t.Errorf("%s: %s is not in state.Paths", file, path)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found < len(state.Paths)-2 { // the paths of the copies are derived
		t.Errorf("found only %d paths in the source", found)
	}
}

func inTable(path string) bool {
	for _, p := range state.Paths {
		if strings.TrimSuffix(p.Path, "/") == path {
			return true
		}
	}
	return false
}

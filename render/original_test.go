package render

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestOriginal compares the profile classic with the two files in the original's document (testdata/original). Each
// directive exists, in order and with its values. The test lists the additions.
func TestOriginal(t *testing.T) {
	for _, r := range releases {
		t.Run(r.name, func(t *testing.T) {
			spec := example(t, "classic")
			rendered := files(t, spec, factsFor(spec, r))

			want := originalHAProxy(t, r.haproxy)
			got := directives(t, string(fileOf(t, rendered, HAProxyConfig).Data))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("haproxy.cfg (-original +rendered):\n%s", diff)
			}

			want = original(t, "keepalived.conf")
			script := slices.Index(want, `script "systemctl is-active haproxy"`)
			if script < 0 {
				t.Fatal("no script in the original")
			}
			want[script] = `script "/usr/bin/systemctl is-active haproxy"` // keepalived's script security requires the full path
			want = append([]string{"global_defs {", "enable_script_security", "script_user root", "}"}, want...)
			got = directives(t, string(fileOf(t, rendered, KeepalivedConfig).Data))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("keepalived.conf (-original +rendered):\n%s", diff)
			}
		})
	}
}

// TestOriginalLayout: without the additions the rendered files equal those of the original byte for byte.
func TestOriginalLayout(t *testing.T) {
	spec := example(t, "classic")
	rendered := files(t, spec, factsFor(spec, stable))
	text := string(fileOf(t, rendered, HAProxyConfig).Data)
	data, err := os.ReadFile("testdata/original/haproxy.cfg")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(header+"\n"+string(data), text); diff != "" {
		t.Errorf("haproxy.cfg (-original +rendered):\n%s", diff)
	}
}

// originalHAProxy returns the original's haproxy.cfg with the additions that newer versions need to behave the same.
func originalHAProxy(t *testing.T, v Version) []string {
	t.Helper()
	want := original(t, "haproxy.cfg")
	if v.atLeast([3]int{3, 3, 0}) { // these versions end old processes after 50 reloads
		want = slices.Insert(want, slices.Index(want, "defaults"), "mworker-max-reloads 2147483647")
	}
	for i, line := range want {
		switch {
		case strings.HasPrefix(line, "frontend ") && v.atLeast([3]int{3, 1, 0}): // these versions require different names
			want[i] += ":in"
		case strings.HasPrefix(line, "server ") && v.atLeast([3]int{3, 2, 0}): // 3.4 takes a new server down sooner
			want[i] += " init-state up"
		}
	}
	return want
}

func original(t *testing.T, name string) []string {
	t.Helper()
	data, err := os.ReadFile("testdata/original/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return directives(t, string(data))
}

// directives returns the lines of a file without comments and blank lines, with single blanks between words.
func directives(t *testing.T, text string) []string {
	t.Helper()
	var found []string
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); len(words) > 0 && !strings.HasPrefix(words[0], "#") {
			found = append(found, strings.Join(words, " "))
		}
	}
	return found
}

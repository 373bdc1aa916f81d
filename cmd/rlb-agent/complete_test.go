package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// completed returns what a shell offers after these words.
func completed(t *testing.T, words ...string) (offered []string) {
	t.Helper()
	var out strings.Builder
	if code := run(t.Context(), append([]string{"__complete"}, words...), strings.NewReader(""), &out, io.Discard); code != exitDone {
		t.Errorf("%q: exit code %d", words, code)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if lines[len(lines)-1] != ":4" { // cobra.ShellCompDirectiveNoFileComp
		t.Errorf("%q: files are offered too: %q", words, lines)
	}
	for _, line := range lines[:len(lines)-1] {
		name, _, _ := strings.Cut(line, "\t")
		offered = append(offered, name)
	}
	slices.Sort(offered)
	return offered
}

// TestCompletion: hosts are the addresses of the spec that are not named yet; fields are those of the
// spec.
func TestCompletion(t *testing.T) {
	spec := "--spec=" + top + "/examples/pair.yaml"
	for _, tt := range []struct {
		words []string
		want  []string
	}{
		{[]string{"status", spec, "--on", ""}, []string{"192.168.3.241", "192.168.3.242"}},
		{[]string{"diff", spec, "--on="}, []string{"192.168.3.241", "192.168.3.242"}},
		{[]string{"push", spec, "--on", "192.168.3.241,"}, []string{"192.168.3.241,192.168.3.242"}},
		{[]string{"push", spec, "--on", "192.168.3.242,192."}, []string{"192.168.3.242,192.168.3.241"}},
		{[]string{"push", spec, "--on", "root@192.168.3.241,root@"}, []string{"root@192.168.3.241,root@192.168.3.242"}},
		{[]string{"push", top + "/examples/pair.yaml", "--on", ""}, []string{"192.168.3.241", "192.168.3.242"}},
		{[]string{"push", "--spec=nonsense", "--on", ""}, nil},
		{[]string{"render", spec, "--node", ""}, []string{"lb1", "lb2"}},
		{[]string{"history", "show", "1", ""}, nil},
		{[]string{"history", "diff", "1", "2", ""}, nil},
		{[]string{"rollback", "1", ""}, nil},
		{[]string{"explain", "services", ""}, nil},
		{[]string{"status", "-o", ""}, []string{"json", "text", "wide", "yaml"}},
	} {
		if got := completed(t, tt.words...); !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q, want %q", tt.words, got, tt.want)
		}
	}
	fields := completed(t, "explain", "")
	for _, field := range []string{"virtualIPs", "services.healthCheck.cutAfter", "services.servers.weight", "vrrp.notify.master"} {
		if !slices.Contains(fields, field) {
			t.Errorf("the field %s is not offered: %q", field, fields)
		}
	}
}

// TestShellsTakeTheCompletions: the shells accept their completion scripts.
func TestShellsTakeTheCompletions(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		t.Run(shell, func(t *testing.T) {
			_, err := exec.LookPath(shell)
			switch {
			case err != nil && os.Getenv("RLB_REQUIRE") != "":
				t.Fatalf("%s is missing (hack/tools %s)", shell, shell)
			case err != nil:
				t.Skipf("%s is not installed (hack/tools %s)", shell, shell)
			}
			path := filepath.Join(t.TempDir(), "rlb-agent")
			file, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close() //nolint:errcheck // the shell reads it
			if code := run(t.Context(), []string{"completion", shell}, strings.NewReader(""), file, io.Discard); code != exitDone {
				t.Fatalf("exit code %d", code)
			}
			if info, err := file.Stat(); err != nil || info.Size() < 1000 {
				t.Fatalf("%d bytes: %v", info.Size(), err)
			}
			cmd := exec.Command(shell, "-n", path)
			cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
			if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

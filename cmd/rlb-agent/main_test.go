package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"devfull": func() { // runs a command whose standard output is full
			full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			if err != nil {
				panic(err)
			}
			os.Exit(run(context.Background(), os.Args[2:], os.Stdin, full, os.Stderr))
		},
		"rlb-agent": func() { os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// TestScripts runs the command line as users do, without root and without a load balancer.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			wd, err := os.Getwd()
			env.Setenv("EXAMPLES", wd+"/../../examples")
			return err
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Condition: func(name string) (bool, error) {
			if name != "systemd" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			_, err := os.Lstat("/run/systemd/system")
			return err == nil, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits,
		},
	})
}

// TestExamples: every help page has examples, and the program accepts each of them as a call of the page's command or
// of a subcommand.
func TestExamples(t *testing.T) {
	checked := 0
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, c := range cmd.Commands() {
			walk(c)
		}
		if cmd.Hidden || cmd.Example == "" && !cmd.Runnable() {
			return
		}
		if cmd.Example == "" {
			t.Errorf("%s has no examples", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.Example) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "#") {
				continue
			}
			checked++
			if err := checkExampleOf(cmd, line); err != nil {
				t.Errorf("%s: the example cannot work: %s: %v", cmd.CommandPath(), line, err)
			}
		}
	}
	walk(commandTree())
	if checked < 40 {
		t.Errorf("only %d examples", checked)
	}
}

// checkExampleOf parses each call of the agent in an example of a help page.
func checkExampleOf(cmd *cobra.Command, line string) error {
	own := !cmd.HasParent() // the program's own page also shows its unit
	for _, m := range agentCall.FindAllStringSubmatch(line+" ", -1) {
		words := shellWords(m[1])
		if err := checkAgent(words); err != nil {
			return err
		}
		called, _, err := commandTree().Find(words)
		if err != nil {
			return err
		}
		own = own || strings.HasPrefix(called.CommandPath()+" ", cmd.CommandPath()+" ")
	}
	if !own {
		return errors.New("it is another command's")
	}
	return checkShellSyntax(line)
}

func TestWrongExamplesOfCommandsAreFound(t *testing.T) {
	history, _, err := commandTree().Find([]string{"history"})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"rlb-agent history --nonsense", "rlb-agent history show 1 2", "rlb-agent history diff", "rlb-agent historic",
		"rlb-agent status && rlb-agent events", "ls", "rlb-agent history | grep '", "rlb-agent history && rlb-agent nonsense"} {
		if checkExampleOf(history, line) == nil {
			t.Errorf("nothing is found wrong in the example %q", line)
		}
	}
}

// TestNumbersOutOfRange: every number or duration flag refuses values out of its range before the command does anything
// else.
func TestNumbersOutOfRange(t *testing.T) {
	endless := map[string]bool{"lock-timeout": true} // 0s and any other wait make sense
	checked := 0
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, c := range cmd.Commands() {
			walk(c)
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			values := map[string][]string{"duration": {"-1s", "0s", "100000h"}, "int": {"-1", "0", "70000"}}[f.Value.Type()]
			if endless[f.Name] {
				values = values[:1]
			}
			for _, value := range values {
				checked++
				args := append(strings.Fields(cmd.CommandPath())[1:], "--"+f.Name+"="+value)
				if strings.Contains(cmd.Use, "FILE") {
					args = append(args, "../../examples/pair.yaml")
				}
				var stderr strings.Builder
				code := run(t.Context(), args, strings.NewReader(""), io.Discard, &stderr)
				if amount := strings.TrimSuffix(value, "s"); code != exitUsage || !strings.Contains(stderr.String(), amount) || strings.Contains(stderr.String(), "systemd") {
					t.Errorf("%v: exit code %d\n%s", args, code, &stderr)
				}
			}
		})
	}
	walk((&app{}).command())
	if checked < 10 {
		t.Errorf("only %d values", checked)
	}
}

// TestSpecErrorTellsItsCause: an error about the spec wraps its cause, on which the status depends.
func TestSpecErrorTellsItsCause(t *testing.T) {
	a := &app{}
	if _, err := a.readSpec(filepath.Join(t.TempDir(), "spec.yaml")); !errors.Is(err, fs.ErrNotExist) || exitCode(err) != exitRefused {
		t.Errorf("exit code %d: %v", exitCode(err), err)
	}
}

// TestCommandsSaveTime: a short command ends before a garbage collection pays off.
func TestCommandsSaveTime(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	code := run(t.Context(), []string{"version"}, nil, io.Discard, io.Discard)
	if percent := debug.SetGCPercent(100); code != exitDone || percent <= 100 {
		t.Errorf("exit code %d, collects at %d percent", code, percent)
	}
}

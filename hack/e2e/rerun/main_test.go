package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const failover = "rlb.dev/rlb-agent/hack/e2e/failover"

// end are the events of a test that wrote a line and came to its end.
func end(name, action string, seconds float64, said string) string {
	return fmt.Sprintf(`{"Action":"run","Package":%[1]q,"Test":%[2]q}
{"Action":"output","Package":%[1]q,"Test":"%[2]s/case","Output":%[5]q}
{"Action":%[3]q,"Package":%[1]q,"Test":"%[2]s/case","Elapsed":9}
{"Action":%[3]q,"Package":%[1]q,"Test":%[2]q,"Elapsed":%[4]g}
`, failover, name, action, seconds, said+"\n")
}

// whole are the events of the package's end.
func whole(action string) string {
	return fmt.Sprintf("{\"Action\":%q,\"Package\":%q,\"Elapsed\":99}\n", action, failover)
}

func TestRerun(t *testing.T) {
	pass := end("TestDrain", "pass", 20, "fine") + end("TestKube", "skip", 0, "not here")
	fail := end("TestHolder", "fail", 30.5, "gap 3s")
	for _, tt := range []struct {
		name    string
		runs    []string // the events of each go test
		err     string
		want    []string
		notWant []string
	}{
		{"all pass", []string{pass + whole("pass")}, "",
			[]string{"pass  failover TestDrain (20.0 s)", "seconds of each test:\n   20.0  failover TestDrain\n   20.0  in all\n", "flakes: 0\n"}, []string{"fine", "once more"}},
		{"a flake", []string{pass + fail + whole("fail"), end("TestHolder", "pass", 29, "fine") + whole("pass")}, "",
			[]string{"gap 3s", "once more: failover TestHolder", "   30.5  failover TestHolder\n   20.0  failover TestDrain", "flakes: 1 (failover TestHolder)\n"}, []string{"fine"}},
		{"failed twice", []string{fail + whole("fail"), fail + whole("fail")}, "failed twice: failover TestHolder", []string{"flakes: 0\n"}, nil},
		{"a panic, so that others did not run", []string{pass + end("TestHolder", "fail", 1, "panic: nil") + whole("fail")}, "cannot run all tests",
			[]string{"failover has not run all of its tests"}, []string{"once more"}},
		{"a test without an end", []string{pass + `{"Action":"run","Package":"` + failover + `","Test":"TestHolder"}` + "\n" + fail + `{"Action":"run","Package":"` + failover + `","Test":"TestLast"}` + "\n" + whole("fail")},
			"cannot run all tests", nil, []string{"once more"}},
		{"no test ran", []string{`{"Action":"output","Package":"` + failover + `","Output":"cannot build the agent\n"}` + "\n" + whole("fail")}, "cannot run all tests", []string{"cannot build the agent"}, nil},
		{"a build failed", []string{`{"Action":"build-output","ImportPath":"x","Output":"undefined: y\n"}` + "\n" + whole("fail")}, "cannot run all tests", []string{"undefined: y"}, nil},
		{"no events at all", []string{""}, "", []string{"flakes: 0"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var calls [][]string
			test := func(_ string, packages, args []string) (io.Reader, func() error, error) {
				calls = append(calls, append(packages, args...))
				events := tt.runs[len(calls)-1]
				return strings.NewReader(events), func() error {
					if strings.Contains(events, `"fail"`) {
						return errors.New("exit status 1")
					}
					return nil
				}, nil
			}
			var out bytes.Buffer
			err := rerun(&out, test, [][]lane{{{packages: []string{"./hack/e2e/failover"}}}}, []string{"-count=1"})
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			for _, want := range tt.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in:\n%s", want, &out)
				}
			}
			for _, not := range tt.notWant {
				if strings.Contains(out.String(), not) {
					t.Errorf("%q in:\n%s", not, &out)
				}
			}
			if len(calls) != len(tt.runs) {
				t.Fatalf("go test ran %d times", len(calls))
			}
			if again := []string{failover, "-count=1", "-run", "^TestHolder$"}; len(calls) > 1 && !slices.Equal(calls[1], again) {
				t.Errorf("once more: %q, want %q", calls[1], again)
			}
		})
	}
}

func TestSplit(t *testing.T) {
	subjects, args := split([]string{"edit", "faults", "-count=1", "-exec", "sudo -E"})
	if !slices.Equal(subjects, []string{"edit", "faults"}) || !slices.Equal(args, []string{"-count=1", "-exec", "sudo -E"}) {
		t.Errorf("got %q and %q", subjects, args)
	}
}

// TestStages finds each directory of tests in one lane.
func TestStages(t *testing.T) {
	dirs, err := filepath.Glob("../*/*_test.go")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("%d files, %v", len(dirs), err)
	}
	all, err := stages(nil)
	if err != nil {
		t.Fatal(err)
	}
	lanes := slices.Concat(all...)
	for _, file := range dirs {
		dir, times := filepath.Base(filepath.Dir(file)), 0
		for _, l := range lanes {
			if slices.Contains(l.packages, "./hack/e2e/"+dir) {
				times++
			}
		}
		if want := map[bool]int{true: 0, false: 1}[dir == "rerun"]; times != want {
			t.Errorf("%s is in %d lanes, want %d", dir, times, want)
		}
	}
	if one, err := stages([]string{"faults"}); err != nil || len(one) != 1 || !slices.Equal(one[0][0].packages, []string{"./hack/e2e/faults"}) {
		t.Errorf("the stages with faults: %v, %v", one, err)
	}
	if _, err := stages([]string{"faults", "fualts"}); err == nil || !strings.Contains(err.Error(), "fualts") {
		t.Errorf("an unknown subject: %v", err)
	}
}

// TestBothLanes runs what failed in either lane once more.
func TestBothLanes(t *testing.T) {
	var again []string
	var mu sync.Mutex
	test := func(lane string, packages, args []string) (io.Reader, func() error, error) {
		mu.Lock()
		defer mu.Unlock()
		events := end("TestOf"+packages[0], "fail", 1, "gap") + whole("fail")
		if len(args) > 1 {
			again = append(again, args[len(args)-1])
			events = end("TestOf"+packages[0], "pass", 1, "") + whole("pass")
		}
		return strings.NewReader(events), func() error {
			if len(args) > 1 {
				return nil
			}
			return errors.New("exit status 1")
		}, nil
	}
	var out bytes.Buffer
	err := rerun(&lockedWriter{to: &out}, test, [][]lane{{{"", []string{"A"}}, {"2", []string{"B"}}}}, []string{"-count=1"})
	if want := []string{"^TestOfA$", "^TestOfB$"}; err != nil || !slices.Equal(again, want) || !strings.Contains(out.String(), "flakes: 2") {
		t.Errorf("once more %q, want %q; %v:\n%s", again, want, err, &out)
	}
}

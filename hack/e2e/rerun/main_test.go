package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

const failover = "rlb.dev/rlb-agent/hack/e2e/failover"

// end returns the events of a test that wrote a line and ended.
func end(name, action string, seconds float64, said string) string {
	return fmt.Sprintf(`{"Action":"run","Package":%[1]q,"Test":%[2]q}
{"Action":"output","Package":%[1]q,"Test":"%[2]s/case","Output":%[5]q}
{"Action":%[3]q,"Package":%[1]q,"Test":"%[2]s/case","Elapsed":9}
{"Action":%[3]q,"Package":%[1]q,"Test":%[2]q,"Elapsed":%[4]g}
`, failover, name, action, seconds, said+"\n")
}

// whole returns the events of the package's end.
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
			test := func(_, pkg string, args []string) (io.Reader, func() error, error) {
				calls = append(calls, append([]string{pkg}, args...))
				events := tt.runs[len(calls)-1]
				return strings.NewReader(events), func() error {
					if strings.Contains(events, `"fail"`) {
						return errors.New("exit status 1")
					}
					return nil
				}, nil
			}
			var out bytes.Buffer
			err := rerun(&out, test, []stage{{[]string{""}, []job{{pkg: "./hack/e2e/failover"}}}}, []string{"-count=1"})
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

// TestStages: each test that needs the lab is in exactly one job.
func TestStages(t *testing.T) {
	all, err := stages(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	jobs := map[string][]job{} // by directory
	for _, s := range all {
		for _, j := range s.jobs {
			dir := filepath.Clean("../../../" + j.pkg)
			jobs[dir] = append(jobs[dir], j)
		}
	}
	const e2e = "../../../hack/e2e"
	tests := 0
	err = filepath.WalkDir("../../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") || filepath.Dir(path) == e2e+"/rerun" {
			return err
		}
		text, err := os.ReadFile(path)
		dir := filepath.Dir(path)
		if err != nil || !strings.HasPrefix(dir, e2e) && !bytes.Contains(text, []byte("\tlab.Require")) {
			return err
		}
		for _, found := range regexp.MustCompile(`(?m)^func (Test\w+)\(t `).FindAllSubmatch(text, -1) {
			name, times := found[1], 0
			for _, j := range jobs[dir] {
				if (j.run == "" || regexp.MustCompile(j.run).Match(name)) && (j.skip == "" || !regexp.MustCompile(j.skip).Match(name)) {
					times++
				}
			}
			if tests++; times != 1 {
				t.Errorf("%s: %s is in %d jobs", path, name, times)
			}
		}
		return nil
	})
	if err != nil || tests < 50 {
		t.Errorf("%d tests, %v", tests, err)
	}
	if one, err := stages([]string{"edit"}, nil); err != nil || len(one) != 1 || !slices.Equal(one[0].lanes, []string{""}) || !slices.Equal(one[0].jobs, []job{{pkg: "./hack/e2e/edit"}}) {
		t.Errorf("the stages with edit: %v, %v", one, err)
	}
	if one, err := stages([]string{"failover"}, []string{"-count=1", "-run", "TestHolder"}); err != nil || len(one) != 1 || !slices.Equal(one[0].jobs, []job{{pkg: "./hack/e2e/failover"}}) {
		t.Errorf("the stages of a test that the user names: %v, %v", one, err)
	}
	if _, err := stages([]string{"faults", "fualts"}, nil); err == nil || !strings.Contains(err.Error(), "fualts") {
		t.Errorf("an unknown subject: %v", err)
	}
}

// TestLanes: each job runs once, in a free lane, and what failed in any of them runs once more.
func TestLanes(t *testing.T) {
	var again, first []string
	var mu sync.Mutex
	busy, began := map[string]bool{}, map[string]string{}
	test := func(lane, pkg string, args []string) (io.Reader, func() error, error) {
		mu.Lock()
		defer mu.Unlock()
		if busy[lane] {
			t.Errorf("lane %q has two jobs", lane)
		}
		busy[lane] = true
		events, err := end("TestOf"+pkg, "fail", 1, "gap")+whole("fail"), errors.New("exit status 1")
		if len(args) > 1 {
			again = append(again, args[len(args)-1])
			events, err = end("TestOf"+pkg, "pass", 1, "")+whole("pass"), nil
		} else {
			first = append(first, pkg)
			began[pkg] = lane
		}
		return strings.NewReader(events), func() error {
			mu.Lock()
			defer mu.Unlock()
			busy[lane] = false
			return err
		}, nil
	}
	var out bytes.Buffer
	err := rerun(&lockedWriter{to: &out}, test, []stage{{[]string{"", "2"}, []job{{pkg: "A"}, {pkg: "B"}, {pkg: "C"}}}}, []string{"-count=1"})
	slices.Sort(first)
	if want := []string{"^TestOfA$", "^TestOfB$", "^TestOfC$"}; err != nil || !slices.Equal(again, want) || !slices.Equal(first, []string{"A", "B", "C"}) || !strings.Contains(out.String(), "flakes: 3") {
		t.Errorf("first %q, once more %q, want %q; %v:\n%s", first, again, want, err, &out)
	}
	if began["A"] != "" || began["B"] != "2" {
		t.Errorf("the first jobs began in the lanes %q", began)
	}
	if got := (job{"P", "^A$", "^B$"}).args([]string{"-count=1"}); !slices.Equal(got, []string{"-count=1", "-run", "^A$", "-skip", "^B$"}) {
		t.Errorf("arguments: %q", got)
	}
}

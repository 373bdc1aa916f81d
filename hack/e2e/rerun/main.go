// Command rerun runs the end-to-end tests for hack/e2e/run, partly in two labs at the same time. What fails runs once more,
// alone: the tests measure what clients see within milliseconds, and a machine that stands still for a second spoils
// that. What is wrong with the project fails twice; what passes then is a flake, and is counted.
//
// Usage: rerun [SUBJECT…] GO-TEST-ARGUMENTS…
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
)

func main() {
	subjects, args := split(os.Args[1:])
	stages, err := stages(subjects)
	if err == nil {
		err = rerun(&lockedWriter{to: os.Stdout}, goTest, stages, args)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hack/e2e/run:", err)
		os.Exit(1)
	}
}

// split cuts off the names of subjects that the arguments begin with.
func split(all []string) (subjects, args []string) {
	for len(all) > 0 && !strings.HasPrefix(all[0], "-") {
		subjects, all = append(subjects, all[0]), all[1:]
	}
	return subjects, all
}

// A tester runs "go test -json" in a lane of the lab and returns a reader of what it writes. wait returns an error if a
// test failed.
type tester func(lane string, packages, args []string) (out io.Reader, wait func() error, err error)

// goTest tests one package after the other, for there is one lab in a lane.
func goTest(lane string, packages, args []string) (io.Reader, func() error, error) {
	command := append([]string{"test", "-json", "-p", "1"}, args...)
	cmd := exec.Command("go", append(command, packages...)...)
	cmd.Env = append(os.Environ(), "RLB_LAB_LANE="+lane)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	return out, cmd.Wait, cmd.Start()
}

// rerun tests, tests what failed once more, and writes the times and the flakes. It returns an error if a test failed
// twice, or if some did not run.
func rerun(w io.Writer, test tester, stages [][]lane, args []string) error {
	first := &results{}
	for _, lanes := range stages {
		runs, errs := make([]*results, len(lanes)), make([]error, len(lanes))
		var all sync.WaitGroup
		for i, l := range lanes {
			all.Go(func() { runs[i], errs[i] = run(w, test, l.name, l.packages, args) })
		}
		all.Wait()
		for i, r := range runs {
			first.all = append(first.all, r.all...)
			if r.stopped || errs[i] != nil && len(r.failed()) == 0 {
				return errors.Join(errors.New("cannot run all tests"), errors.Join(errs...))
			}
		}
	}
	var flakes, twice []string
	for _, f := range first.failed() {
		fmt.Fprintf(w, "once more: %s\n", f)
		if _, err := run(w, test, "", []string{f.pkg}, append(args[:len(args):len(args)], "-run", "^"+f.name+"$")); err != nil {
			twice = append(twice, f.String())
		} else {
			flakes = append(flakes, f.String())
		}
	}
	first.writeTimes(w)
	fmt.Fprintf(w, "flakes: %d", len(flakes))
	if len(flakes) > 0 {
		fmt.Fprintf(w, " (%s)", strings.Join(flakes, ", "))
	}
	fmt.Fprintln(w)
	if len(twice) > 0 {
		return fmt.Errorf("failed twice: %s", strings.Join(twice, ", "))
	}
	return nil
}

func run(w io.Writer, test tester, lane string, packages, args []string) (*results, error) {
	out, wait, err := test(lane, packages, args)
	if err != nil {
		return &results{}, fmt.Errorf("cannot run go test: %w", err)
	}
	r, err := read(w, out)
	return r, errors.Join(err, wait())
}

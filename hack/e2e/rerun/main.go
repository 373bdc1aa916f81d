// Command rerun runs the tests that need the lab for hack/e2e/run, in up to two labs at the same time. A failed test
// runs once more, alone: the tests measure what clients see within milliseconds, and a machine that stalls for a second
// spoils that. A defect of the project fails twice; a test that passes the second time is a flake, and is counted.
//
// Usage: rerun [SUBJECT…] GO-TEST-ARGUMENTS…
package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
)

func main() {
	subjects, args := split(os.Args[1:])
	stages, err := stages(subjects, args)
	if err == nil {
		err = rerun(&lockedWriter{to: os.Stdout}, goTest, stages, args)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hack/e2e/run:", err)
		os.Exit(1)
	}
}

// split separates the names of subjects from the arguments after them.
func split(all []string) (subjects, args []string) {
	for len(all) > 0 && !strings.HasPrefix(all[0], "-") {
		subjects, all = append(subjects, all[0]), all[1:]
	}
	return subjects, all
}

// A tester runs "go test -json" in a lane of the lab and returns a reader of its output. wait returns an error if a
// test failed.
type tester func(lane, pkg string, args []string) (out io.Reader, wait func() error, err error)

// goTest runs the tests of one package. Four parallel cases, each with hosts of its own, run at the same time. That is
// more than there are CPUs, because such a host waits half of the time.
func goTest(lane, pkg string, args []string) (io.Reader, func() error, error) {
	command := append([]string{"test", "-json", "-vet=off", "-parallel", "4"}, args...)
	cmd := exec.Command("go", append(command, pkg)...)
	cmd.Env = append(os.Environ(), "RLB_LAB_LANE="+lane)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	return out, cmd.Wait, cmd.Start()
}

// rerun runs the tests, runs what failed once more, and writes the times and the flakes. It returns an error if a test
// failed twice, or if some did not run.
func rerun(w io.Writer, test tester, stages []stage, args []string) error {
	first := &results{}
	for _, s := range stages {
		for i, d := range runJobs(w, test, s, args) {
			first.all = append(first.all, d.results.all...)
			if d.results.stopped || d.err != nil && len(d.results.failed()) == 0 {
				return fmt.Errorf("cannot run all tests of %s: %w", s.jobs[i].subject(), cmp.Or(d.err, errStopped))
			}
		}
	}
	var flakes, twice []string
	for _, f := range first.failed() {
		fmt.Fprintf(w, "once more: %s\n", f)
		if _, err := run(w, test, "", f.pkg, append(args[:len(args):len(args)], "-run", "^"+f.name+"$")); err != nil {
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

// done is the result of a job.
type done struct {
	results *results
	err     error
}

// errStopped is the reason if go test itself gives none.
var errStopped = errors.New("it ended too early")

// runJobs starts the first jobs in the lanes of a stage, in this order; each lane runs the next job when it has
// finished one.
func runJobs(w io.Writer, test tester, s stage, args []string) []done {
	all := make([]done, len(s.jobs))
	var last atomic.Int64
	last.Store(int64(len(s.lanes) - 1))
	var lanes sync.WaitGroup
	for first, lane := range s.lanes {
		lanes.Go(func() {
			for i := first; i < len(s.jobs); i = int(last.Add(1)) {
				all[i].results, all[i].err = run(w, test, lane, s.jobs[i].pkg, s.jobs[i].args(args))
			}
		})
	}
	lanes.Wait()
	return all
}

func run(w io.Writer, test tester, lane, pkg string, args []string) (*results, error) {
	out, wait, err := test(lane, pkg, args)
	if err != nil {
		return &results{}, fmt.Errorf("cannot run go test: %w", err)
	}
	r, err := read(w, out)
	return r, errors.Join(err, wait())
}

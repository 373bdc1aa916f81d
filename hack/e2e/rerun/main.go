// Command rerun runs the end-to-end tests for hack/e2e/run. What fails runs once more, alone: the tests measure what
// clients see within milliseconds, and a machine that stands still for a second spoils that. What is wrong with the
// project fails twice; what passes then is a flake, and is counted.
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
)

func main() {
	packages, args := split(os.Args[1:])
	if err := rerun(os.Stdout, goTest, packages, args); err != nil {
		fmt.Fprintln(os.Stderr, "hack/e2e/run:", err)
		os.Exit(1)
	}
}

// split turns the names of subjects that the arguments begin with into packages; without any it is all of them.
func split(all []string) (packages, args []string) {
	const below = "./hack/e2e/"
	for len(all) > 0 && !strings.HasPrefix(all[0], "-") {
		packages, all = append(packages, below+all[0]), all[1:]
	}
	if len(packages) == 0 {
		packages = []string{below + "..."}
	}
	return packages, all
}

// A tester runs "go test -json" and returns a reader of what it writes. wait returns an error if a test failed.
type tester func(packages, args []string) (out io.Reader, wait func() error, err error)

// goTest tests one package after the other, for there is one lab.
func goTest(packages, args []string) (io.Reader, func() error, error) {
	command := append([]string{"test", "-json", "-p", "1"}, args...)
	cmd := exec.Command("go", append(command, packages...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	return out, cmd.Wait, cmd.Start()
}

// rerun tests, tests what failed once more, and writes the times and the flakes. It returns an error if a test failed
// twice, or if some did not run.
func rerun(w io.Writer, test tester, packages, args []string) error {
	first, err := run(w, test, packages, args)
	failed := first.failed()
	if first.stopped || err != nil && len(failed) == 0 {
		return errors.Join(errors.New("cannot run all tests"), err)
	}
	var flakes, twice []string
	for _, f := range failed {
		fmt.Fprintf(w, "once more: %s\n", f)
		if _, err := run(w, test, []string{f.pkg}, append(args[:len(args):len(args)], "-run", "^"+f.name+"$")); err != nil {
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

func run(w io.Writer, test tester, packages, args []string) (*results, error) {
	out, wait, err := test(packages, args)
	if err != nil {
		return &results{}, fmt.Errorf("cannot run go test: %w", err)
	}
	r, err := read(w, out)
	return r, errors.Join(err, wait())
}

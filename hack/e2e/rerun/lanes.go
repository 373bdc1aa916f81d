package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

// A job is one run of go test: the tests of a package that match run and do not match skip, if these are given.
type job struct {
	pkg, run, skip string
}

// subject is the user's name for the job: the directory of the tests, or the package if it is not an end-to-end test.
func (j job) subject() string {
	if folder, ok := strings.CutPrefix(j.pkg, "./hack/e2e/"); ok {
		return folder
	}
	return strings.TrimPrefix(j.pkg, "./")
}

// args returns the arguments of go test for the job: first those of the user.
func (j job) args(given []string) []string {
	args := slices.Clone(given)
	if j.run != "" {
		args = append(args, "-run", j.run)
	}
	if j.skip != "" {
		args = append(args, "-skip", j.skip)
	}
	return args
}

// A stage is a list of jobs that some lanes (lab.Lane) share: the first lane begins with the first job, and each lane
// takes the next job when it has finished one. So long jobs come first.
type stage struct {
	lanes []string
	jobs  []job
}

// kills are tests that keep the CPUs busy and measure little: they begin in a lane with a lower CPU weight.
const kills = "^TestKilled"

// stagesOf run one after the other: failovers are measured in milliseconds, on a machine that does nothing else. The
// last stage has all other tests that need the lab. On two CPUs a third lane would make clients time out.
var stagesOf = []stage{
	{[]string{""}, []job{{pkg: "./hack/e2e/failover"}}},
	{[]string{"2", ""}, []job{
		{pkg: "./hack/e2e/faults", run: kills}, {pkg: "./hack/e2e/edit"}, {pkg: "./hack/e2e/install"}, {pkg: "./hack/e2e/faults", skip: kills},
		{pkg: "./hack/e2e/observe"}, {pkg: "./hack/e2e/fields"}, {pkg: "./hack/lab"}, {pkg: "./render"}, {pkg: "./hack/fuzz"},
		{pkg: "./reconcile/importer"}, {pkg: "./hack/e2e/."},
	}},
}

// stages returns the stages with these subjects, or all; a single job runs in the first lane. If the user selects tests
// to run or to skip, a package is one job in its first stage.
func stages(subjects, args []string) (some []stage, err error) {
	chosen := slices.ContainsFunc(args, func(arg string) bool {
		flag, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		return flag == "run" || flag == "skip"
	})
	unknown, seen := slices.Clone(subjects), map[string]bool{}
	for _, all := range stagesOf {
		s := stage{lanes: all.lanes}
		for _, j := range all.jobs {
			unknown = slices.DeleteFunc(unknown, func(name string) bool { return name == j.subject() })
			if len(subjects) > 0 && !slices.Contains(subjects, j.subject()) || chosen && seen[j.pkg] {
				continue
			}
			if seen[j.pkg] = true; chosen {
				j = job{pkg: j.pkg}
			}
			s.jobs = append(s.jobs, j)
		}
		if len(s.jobs) == 1 {
			s.lanes = []string{""}
		}
		if len(s.jobs) > 0 {
			some = append(some, s)
		}
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("cannot find the subjects %s", strings.Join(unknown, ", "))
	}
	return some, nil
}

// A lockedWriter writes for one lane at a time.
type lockedWriter struct {
	mu sync.Mutex
	to io.Writer
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(p)
}

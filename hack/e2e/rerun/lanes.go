package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

// A lane is what runs in one lab (lab.Lane).
type lane struct {
	name     string
	packages []string
}

// subjectsOf are the subjects of each lane. The lanes take about as long as each other, and no two tests of failover
// times run at once.
var subjectsOf = []struct {
	lane     string
	subjects []string
}{
	{"", []string{"failover", "faults"}},
	{"2", []string{"edit", "install", "observe", "fields", "."}},
}

// lanes are the lanes with these subjects, or with all of them.
func lanes(subjects []string) (all []lane, err error) {
	unknown := slices.Clone(subjects)
	for _, l := range subjectsOf {
		one := lane{name: l.lane}
		for _, subject := range l.subjects {
			if len(subjects) == 0 || slices.Contains(subjects, subject) {
				one.packages = append(one.packages, "./hack/e2e/"+subject)
			}
		}
		if len(one.packages) > 0 {
			all = append(all, one)
		}
		unknown = slices.DeleteFunc(unknown, func(s string) bool { return slices.Contains(l.subjects, s) })
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("cannot find the subjects %s", strings.Join(unknown, ", "))
	}
	return all, nil
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

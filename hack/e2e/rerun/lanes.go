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

// stagesOf are the subjects of the lanes of each stage. The stages come one after the other: failover measures
// milliseconds and has the machine for itself. The lanes of the second take about as long as each other.
var stagesOf = [][]struct {
	lane     string
	subjects []string
}{
	{{"", []string{"failover"}}},
	{{"", []string{"faults", "fields", "."}}, {"2", []string{"edit", "install", "observe"}}},
}

// stages are the lanes of each stage with these subjects, or with all of them.
func stages(subjects []string) (all [][]lane, err error) {
	unknown := slices.Clone(subjects)
	for _, s := range stagesOf {
		var lanes []lane
		for _, l := range s {
			one := lane{name: l.lane}
			for _, subject := range l.subjects {
				if len(subjects) == 0 || slices.Contains(subjects, subject) {
					one.packages = append(one.packages, "./hack/e2e/"+subject)
				}
			}
			if len(one.packages) > 0 {
				lanes = append(lanes, one)
			}
			unknown = slices.DeleteFunc(unknown, func(s string) bool { return slices.Contains(l.subjects, s) })
		}
		if len(lanes) > 0 {
			all = append(all, lanes)
		}
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

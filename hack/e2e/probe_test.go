package e2e

import (
	"errors"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

func TestJudge(t *testing.T) {
	calm, stood := lab.Report{Late: time.Millisecond}, lab.Report{Late: time.Second}
	bad, lost := errors.New("gap 9s"), Lossless(lab.Report{Total: 9, Failed: 1, Errors: map[string]int{"connection refused": 1}})
	type outcome struct {
		report lab.Report
		err    error
	}
	for _, tt := range []struct {
		name     string
		outcomes []outcome
		want     string
	}{
		{"good", []outcome{{calm, nil}}, ""},
		{"good, although the machine stood still", []outcome{{stood, nil}}, ""},
		{"bad", []outcome{{calm, bad}}, "failover: gap 9s"},
		{"spoiled, then good", []outcome{{stood, bad}, {calm, nil}}, ""},
		{"spoiled, then bad", []outcome{{stood, bad}, {stood, bad}, {calm, bad}}, "failover: gap 9s"},
		{"lost, although the machine stood still", []outcome{{stood, lost}}, "failover: 1 of 9 connections failed, not by timeouts alone"},
		{"spoiled each time", []outcome{{stood, bad}, {stood, bad}, {stood, bad}}, "failover: gap 9s; the machine stood still each time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			err := judge(t.Logf, "failover", func() (lab.Report, error) { n++; return tt.outcomes[n-1].report, tt.outcomes[n-1].err })
			if n != len(tt.outcomes) || (err == nil) != (tt.want == "") || err != nil && !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("after %d trials: %v, want %d and %q", n, err, len(tt.outcomes), tt.want)
			}
		})
	}
}

func TestVerdicts(t *testing.T) {
	for _, tt := range []struct {
		name   string
		report lab.Report
		lossy  bool
		slow   bool
	}{
		{"good", lab.Report{Total: 100, Gap: 10 * time.Millisecond}, false, false},
		{"nothing asked", lab.Report{}, true, false},
		{"one failed", lab.Report{Total: 100, Failed: 1, Errors: map[string]int{"timeout": 1}, Gap: 20 * time.Millisecond}, true, false},
		{"a long gap", lab.Report{Total: 100, Failed: 30, Gap: 300 * time.Millisecond}, true, true},
		{"no service at the end", lab.Report{Total: 100, Failed: 60, Open: 600 * time.Millisecond}, true, true},
	} {
		if err := Lossless(tt.report); (err != nil) != tt.lossy {
			t.Errorf("%s: lossless: %v", tt.name, err)
		}
		if err := Within(tt.report, 200*time.Millisecond); (err != nil) != tt.slow {
			t.Errorf("%s: within 200 ms: %v", tt.name, err)
		}
	}
}

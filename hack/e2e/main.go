package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"rlb.dev/rlb-agent/hack/lab"
)

// Faulty is the path of the agent built with the tag "faults" on hosts: RLB_FAULT selects the faults.
const Faulty = "/usr/local/sbin/rlb-agent-faulty"

// agentBinary and faultyBinary are the programs for the hosts: the values of these variables, else built once for the
// tests of a subject.
var agentBinary, faultyBinary = os.Getenv("RLB_AGENT"), os.Getenv("RLB_AGENT_FAULTS")

// AgentBinary returns the path of the agent's program on this machine.
func AgentBinary() string { return agentBinary }

// Main is the TestMain of every subject.
func Main(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if lab.Available() != nil || os.Getenv("RLB_LAB") != "1" {
		return m.Run(), nil // every test reports why it is skipped
	}
	dir, err := os.MkdirTemp("", "rlb-e2e-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	for tags, binary := range map[string]*string{"": &agentBinary, "faults": &faultyBinary} {
		if *binary != "" {
			continue
		}
		*binary = filepath.Join(dir, "rlb-agent"+tags)
		build := exec.Command("go", "build", "-trimpath", "-tags", tags, "-o", *binary, "rlb.dev/rlb-agent/cmd/rlb-agent")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("cannot build the agent: %w\n%s", err, out)
		}
	}
	return m.Run(), nil
}

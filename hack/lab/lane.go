package lab

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Lane is RLB_LAB_LANE: a digit, or nothing. Labs of two lanes share only the trees of the releases and the CPUs, so
// they can run at the same time. Each lane has one lab at a time.
var Lane = lane(os.Getenv("RLB_LAB_LANE"))

func lane(named string) string {
	if len(named) == 1 && named[0] >= '0' && named[0] <= '9' {
		return named
	}
	return ""
}

// Everything that the lab makes on the machine has a name with its lane, so that a sweep finds all of it and nothing
// else.
var (
	// StateDir holds the lane's lock and the control socket of labctl.
	StateDir = "/run/rlb-lab" + Lane
	runDir   = "/var/lib/rlb-lab" + Lane + "/run" // the disks of the hosts, removed with the lab
	prefix   = "rlb-lab" + Lane + "-"             // of namespaces, machines and scopes
	switchNS = Namespace("switch")

	// groupParent holds the control groups on a machine without systemd as process 1.
	groupParent = "rlb-lab" + Lane
	// groupSlice holds them if systemd owns the tree; systemd must then be asked for a scope.
	groupSlice = "rlblab" + Lane + ".slice"
)

// Namespace returns the name of the network namespace of a station, or of the "switch".
func Namespace(station string) string { return prefix + station }

// laneWeight is the CPU weight of a host of a named lane when the first lane, which measures times, needs the CPU too;
// equal shares would be 100. With control groups of version 1, laneShares limits all hosts of the lane together, to as
// much as two processes of the first lane. laneRealTime is how many microseconds per second its real-time processes
// get; keepalived is one. Otherwise a group of version 1 gets no such time, and no process in it can become real-time
// (CONFIG_RT_GROUP_SCHED).
const laneWeight, laneShares, laneRealTime = "50", "2048", "300000"

// laneGroup makes the control group of version 1 that limits the hosts of a named lane. It returns nil for the first
// lane, and if the machine has no such hierarchy.
func laneGroup() []string {
	dir := filepath.Join(cgroupRoot, "cpu", groupParent)
	if Lane == "" {
		return nil
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil
	}
	if os.WriteFile(filepath.Join(dir, "cpu.shares"), []byte(laneShares), 0) != nil {
		return nil
	}
	realTime := filepath.Join(dir, "cpu.rt_runtime_us")
	if _, err := os.Stat(realTime); err == nil && os.WriteFile(realTime, []byte(laneRealTime), 0) != nil {
		return nil
	}
	return []string{dir}
}

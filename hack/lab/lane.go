package lab

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Lane is RLB_LAB_LANE: a digit, or nothing. Labs of two lanes share nothing but the trees of the releases and the
// processors, so that they can run at the same time. Within a lane there is one lab at a time.
var Lane = lane(os.Getenv("RLB_LAB_LANE"))

func lane(named string) string {
	if len(named) == 1 && named[0] >= '0' && named[0] <= '9' {
		return named
	}
	return ""
}

// What the lab makes on the machine is named by its lane, so that a sweep finds it, and finds nothing else.
var (
	// StateDir holds the lane's lock, and the control socket of labctl.
	StateDir = "/run/rlb-lab" + Lane
	runDir   = "/var/lib/rlb-lab" + Lane + "/run" // the disks of the hosts, gone with the lab
	prefix   = "rlb-lab" + Lane + "-"             // of namespaces, machines and scopes
	switchNS = Namespace("switch")

	// groupParent holds the control groups on a machine without systemd as process 1.
	groupParent = "rlb-lab" + Lane
	// groupSlice holds them where systemd owns the tree; it must be asked for a scope then.
	groupSlice = "rlblab" + Lane + ".slice"
)

// Namespace is the network namespace of a station, or of the "switch".
func Namespace(station string) string { return prefix + station }

// laneWeight is how much of a processor a host of a named lane gets where the first lane, which measures times, wants it
// too; 100 is as much. laneShares bounds all hosts of the lane where control groups are of version 1: to as much as two
// processes of the first lane. laneRealTime is how many microseconds of a second its real-time processes get, of which
// keepalived is one: a group of version 1 has none of its own (CONFIG_RT_GROUP_SCHED), and lets no process become one.
const laneWeight, laneShares, laneRealTime = "50", "2048", "300000"

// laneGroup is the control group of version 1 that holds the hosts of a named lane back. There is none for the first lane, or
// where the machine has no such hierarchy.
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

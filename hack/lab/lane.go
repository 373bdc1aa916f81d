package lab

import "os"

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

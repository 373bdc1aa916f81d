package render

import (
	"fmt"

	"rlb.dev/rlb-agent/api"
)

// The files that keepalived tracks: while one says other than 0, this host stays out of the virtual router.
const (
	// FaultFile says that HAProxy does not serve here. The agent writes it, and where no agent runs a stop or a start of
	// HAProxy. It is gone after a boot.
	FaultFile = "/run/rlb/fault"
	// DrainFile is an administrator's word that this host is to stay out. It stays over a boot.
	DrainFile = "/var/lib/rlb/drain"
)

// TrackedText is what a tracked file holds: whether this host must stay out.
func TrackedText(out bool) string {
	if out {
		return "1\n"
	}
	return "0\n"
}

// tellFault renders a command of sh, to stand before others, that writes FaultFile where no agent runs that does so. keepalived makes the file: one
// that is not there is not tracked. The only node of a spec has nobody to hand the virtual IPs over to.
func (r *renderer) tellFault(out bool) string {
	if r.self != nil && len(r.peers) == 0 {
		return ""
	}
	value := 0
	if out {
		value = 1
	}
	return fmt.Sprintf("/bin/systemctl -q is-active rlb-agent || [ ! -e %[1]s ] || echo %[2]d >%[1]s; ", FaultFile, value)
}

// HealthSocket is where HAProxy answers the agent that it serves. It leads to no server.
const HealthSocket = "/run/haproxy/rlb-health.sock"

// HealthFrontend is the frontend that answers there.
const HealthFrontend = "rlb:health"

var trackedFiles = []struct{ name, path string }{{"rlb-fault", FaultFile}, {"rlb-drain", DrainFile}}

// TracksFiles says whether keepalived tracks FaultFile and DrainFile with a spec. The original's system knows neither.
func TracksFiles(spec *api.LoadBalancerSpec) bool { return spec.Profile == api.Standard }

func (r *renderer) tracksFiles() bool { return TracksFiles(r.spec) }

// trackedFiles renders the files with weight 0: any number but 0 in one of them means FAULT, at once. keepalived makes a
// missing one itself, and leaves one that is there as it is (keepalived.conf(5), track_file).
func (r *renderer) trackedFiles(l *lines) {
	keyword := "vrrp_track_file"
	if r.facts.KeepalivedVersion.atLeast(gates.keepalivedTrackFile) {
		keyword = "track_file"
	}
	for _, f := range trackedFiles {
		l.section(1, "", "%s %s {", keyword, f.name)
		l.add("", `    file "%s"`, f.path)
		l.add("", "    weight 0")
		l.add("", "    init_file 0")
		l.add("", "}")
	}
}

// health renders where HAProxy answers the agent's probe: without a server, and without a log line, since a monitor URI
// is never logged (HAProxy configuration manual §4.2, monitor-uri).
func (r *renderer) health(l *lines) {
	l.section(2, "", "frontend %s", HealthFrontend)
	l.add("", "    mode http")
	l.add("", "    timeout client 1000ms")
	l.add("", "    bind unix@%s mode 600", HealthSocket)
	l.add("", "    monitor-uri /")
}

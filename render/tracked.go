package render

import (
	"fmt"

	"rlb.dev/rlb-agent/api"
)

// The files that keepalived tracks: while one of them holds a number other than 0, this host is in FAULT.
const (
	// FaultFile says whether HAProxy fails to serve on this host. The agent writes it. If no agent runs, a stop and a start
	// of HAProxy write it. A boot removes it.
	FaultFile = "/run/rlb/fault"
	// DrainFile says whether an administrator has drained this host. It survives a boot.
	DrainFile = "/var/lib/rlb/drain"
)

// TrackedText returns the content of a tracked file. out says whether this host must not hold the virtual IPs.
func TrackedText(out bool) string {
	if out {
		return "1\n"
	}
	return "0\n"
}

// tellFault renders a command of sh, to be followed by others. It writes FaultFile if no agent runs, which would write
// it. keepalived creates the file: if the file is missing, keepalived does not track it. tellFault returns "" for the only
// node of a spec, because no other node could take over.
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

// HealthSocket is the socket on which HAProxy answers the agent's health probe. It leads to no server.
const HealthSocket = "/run/haproxy/rlb-health.sock"

// HealthFrontend is the name of the frontend that listens on HealthSocket.
const HealthFrontend = "rlb:health"

var trackedFiles = []struct{ name, path string }{{"rlb-fault", FaultFile}, {"rlb-drain", DrainFile}}

// TracksFiles reports whether keepalived tracks FaultFile and DrainFile with a spec. With the profile classic it does not,
// like the original.
func TracksFiles(spec *api.LoadBalancerSpec) bool { return spec.Profile == api.Standard }

func (r *renderer) tracksFiles() bool { return TracksFiles(r.spec) }

// trackedFiles renders the files with weight 0: any number but 0 in one of them means FAULT at once. keepalived creates a
// missing file, and does not change an existing one (keepalived.conf(5), track_file).
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

// health renders the frontend that answers the agent's probe. It needs no server, and HAProxy never logs requests of a
// monitor URI (HAProxy configuration manual §4.2, monitor-uri).
func (r *renderer) health(l *lines) {
	l.section(2, "", "frontend %s", HealthFrontend)
	l.add("", "    mode http")
	l.add("", "    timeout client 1000ms")
	l.add("", "    bind unix@%s mode 600", HealthSocket)
	l.add("", "    monitor-uri /")
}

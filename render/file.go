// Package render renders the files of a host from a spec and the facts of the host: keepalived.conf, haproxy.cfg, the
// firewall rules, and the units that go with them. The package is pure: the same spec and facts give the same bytes, and
// it reads and writes nothing on the host.
package render

import (
	"io/fs"
	"strings"

	"rlb.dev/rlb-agent/api"
)

// File is one rendered file.
type File struct {
	Path string      // absolute path on the host
	Data []byte      // whole content; ends with a newline
	Mode fs.FileMode // permission bits; owner and group are root
	Kind Kind        // which program reads it

	origins []origin              // for each line of Data
	spec    *api.LoadBalancerSpec // for Causes; only haproxy.cfg has it
}

// Kind is the purpose of a file.
type Kind int

// The kinds of files.
const (
	HAProxyConfig    Kind = iota // read by haproxy
	KeepalivedConfig             // read by keepalived
	FirewallRules                // read by iptables-restore
	HandoverRules                // read by nft
	HandoverRoutes               // read by ip
	SystemdUnit                  // read by systemd: a unit or a drop-in
)

// mode returns the permission bits of a file of this kind. systemd expects units that everyone can read. Only root can
// read the other files.
func (k Kind) mode() fs.FileMode {
	if k == SystemdUnit {
		return 0o644
	}
	return 0o640
}

// Origin returns the path of the spec's field that a line of the file (from 1) comes from, or "" if it comes from none.
func (f File) Origin(line int) string {
	if line < 1 || line > len(f.origins) {
		return ""
	}
	return f.origins[line-1].String()
}

// LinesBut returns the lines of the file, each with its newline, without the lines for whose origin leave returns true.
func (f File) LinesBut(leave func(origin string) bool) (rest []string) {
	number := 0
	for line := range strings.Lines(string(f.Data)) {
		if number++; !leave(f.Origin(number)) {
			rest = append(rest, line)
		}
	}
	return rest
}

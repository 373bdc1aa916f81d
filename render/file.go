// Package render turns a spec and the facts of one host into the files that the host is to have: keepalived.conf,
// haproxy.cfg, the firewall's rules and what belongs to them. It is pure: the same spec and facts give the same
// bytes, and nothing of the host is read or written here.
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
	Kind Kind        // who reads it

	origins []origin              // for each line of Data
	spec    *api.LoadBalancerSpec // of haproxy.cfg, to tell what of a line a program refuses
}

// Kind says what a file is for.
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

// mode is the permission of a file of this kind. systemd wants its units readable for all; the rest is root's alone.
func (k Kind) mode() fs.FileMode {
	if k == SystemdUnit {
		return 0o644
	}
	return 0o640
}

// Origin is the path of the spec's field that a line of the file (from 1) stems from, or "" where it stems from none.
func (f File) Origin(line int) string {
	if line < 1 || line > len(f.origins) {
		return ""
	}
	return f.origins[line-1].String()
}

// LinesBut are the lines of the file, each with its newline, but those of whose origin leave says so.
func (f File) LinesBut(leave func(origin string) bool) (rest []string) {
	number := 0
	for line := range strings.Lines(string(f.Data)) {
		if number++; !leave(f.Origin(number)) {
			rest = append(rest, line)
		}
	}
	return rest
}

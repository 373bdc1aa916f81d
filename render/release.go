package render

import "strings"

// Release is a release of a distribution, and the versions of the programs that it offers.
type Release struct {
	Name       string // for messages
	HAProxy    Version
	Keepalived Version
}

// VersionOf returns the version of haproxy or keepalived.
func (r *Release) VersionOf(program string) *Version {
	if program == "haproxy" {
		return &r.HAProxy
	}
	return &r.Keepalived
}

// knownReleases are the releases on which the agent is tested, by ID and VERSION_ID of os-release(5), the newest of each
// distribution last. A version matters only for the gates: no update within a release changes their result.
var knownReleases = []struct {
	id, version string
	Release
}{
	{"ubuntu", "22.04", Release{"Ubuntu 22.04", "2.4.30", "1:2.2.4"}},
	{"ubuntu", "24.04", Release{"Ubuntu 24.04", "2.8.30", "1:2.2.8"}},
	{"debian", "11", Release{"Debian 11", "2.2.9", "1:2.1.5"}},
	{"debian", "12", Release{"Debian 12", "2.6.12", "1:2.2.7"}},
	{"debian", "13", Release{"Debian 13", "3.0.11", "1:2.3.3"}},
}

// ReleaseOf returns the release of an os-release(5), or the newest Debian if the release is not known.
func ReleaseOf(osRelease []byte) Release {
	fields := map[string]string{}
	for line := range strings.Lines(string(osRelease)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		fields[name] = strings.Trim(value, `"'`)
	}
	id := strings.Replace(fields["ID"], "raspbian", "debian", 1)
	for _, r := range knownReleases {
		if r.id == id && r.version == fields["VERSION_ID"] {
			return r.Release
		}
	}
	return knownReleases[len(knownReleases)-1].Release
}

package e2e

import "strings"

// Footprint returns everything that a run without changes must not touch: processes, start times, files with their
// times, rules.
func (h *Host) Footprint() string {
	return h.Shell(`
		for unit in haproxy keepalived; do systemctl show -p MainPID,InvocationID,ActiveEnterTimestampMonotonic,NRestarts $unit; done
		pgrep -x haproxy; pgrep -x keepalived
		find /etc /var/lib/rlb /run/rlb/loaded.json -type f -printf '%p %T@ %C@ %i %m\n' | grep -v -e /etc/mtab -e /etc/rlb/ | sort
		iptables-save | sed 's/\[.*//; /^#/d'; ip6tables-save | sed 's/\[.*//; /^#/d'`)
}

// InOrder reports whether the text has these words, one after the other.
func InOrder(text string, words ...string) bool {
	for _, word := range words {
		_, after, found := strings.Cut(text, word)
		if !found {
			return false
		}
		text = after
	}
	return true
}

// State returns everything that the agent changes on a host whose packages stay, without times and process IDs.
func (h *Host) State() string {
	h.World.Helper()
	return h.Shell(`
		for unit in haproxy keepalived rlb-firewall rlb-agent; do echo $unit $(systemctl is-active $unit) $(systemctl is-enabled $unit 2>/dev/null); done
		find /etc /var/lib/rlb -printf '%p %y %m %U:%G %l\n' | grep -v -e /etc/mtab -e /etc/rlb/ -e /etc/iproute2 | sort
		find /etc -type f -exec sha256sum {} + | grep -v -e /etc/rlb/ -e /etc/iproute2 | sort -k 2
		iptables -S; ip6tables -S; apt-mark showhold; dpkg --get-selections`)
}

// Difference returns the lines that only one of the two texts has.
func Difference(before, after string) string {
	count := map[string]int{}
	for line := range strings.Lines(before) {
		count[line]--
	}
	for line := range strings.Lines(after) {
		count[line]++
	}
	var b strings.Builder
	for line := range strings.Lines(before + after) {
		switch n := count[line]; {
		case n < 0:
			b.WriteString("- " + line)
		case n > 0:
			b.WriteString("+ " + line)
		}
		delete(count, line)
	}
	return b.String()
}

// volatile has the files that change on Debian by themselves, or whenever apt or dpkg run for any reason. After a
// teardown all other files must be as before.
var volatile = []string{
	"/etc/mtab",                             // the kernel's
	"/etc/rlb", "/usr/local/sbin/rlb-agent", // the spec and the program belong to the administrator: they stay
	"/etc/iproute2",                           // keepalived 2.3 makes a file there at its start, and leaves it
	"/var/lib/haproxy",                        // systemd's, for haproxy.service; because of it a purge leaves the directory
	"/etc/ld.so.cache", "/var/cache/ldconfig", // ldconfig runs when libraries are installed or removed
	"/etc/passwd-", "/etc/shadow-", "/etc/group-", "/etc/gshadow-", "/etc/subuid-", "/etc/subgid-", "/etc/.pwd.lock", // copies that adduser leaves
	"/var/cache/apt", "/var/cache/debconf", "/var/lib/apt", // records of apt and debconf
	"/var/lib/dpkg/available", "/var/lib/dpkg/status", "/var/lib/dpkg/diversions", "/var/lib/dpkg/lock", "/var/lib/dpkg/triggers",
	"/var/log", "/var/tmp", "/var/backups", "/var/lib/private",
	"/var/lib/systemd/random-seed", "/var/lib/systemd/timers", "/var/lib/systemd/catalog", "/var/lib/systemd/coredump",
	"/var/lib/systemd/deb-systemd-helper-enabled", "/var/lib/systemd/deb-systemd-helper-masked", // empty directories that stay
	"/usr/share/man", "/usr/lib/udev/hwdb.bin",
}

// Snapshot describes the whole host: every file with its owner, mode and content (below /usr its size and time), rules,
// units and packages.
func (h *Host) Snapshot() string {
	h.World.Helper()
	prune := ""
	for _, path := range volatile {
		prune += " -path " + path + " -prune -o -path '" + path + "-old' -prune -o"
	}
	return h.Shell(`
		find /usr -xdev` + prune + ` -type d -printf '%p %y %m %U:%G\n' -o -printf '%p %y %m %U:%G %s %T@ %l\n' | sort
		find /etc /var /root /opt /srv /home -xdev` + prune + ` -printf '%p %y %m %U:%G %l\n' | sort
		find /etc /var /root -xdev` + prune + ` -type f -print0 | xargs -0 sha256sum | sort -k 2
		iptables -S; ip6tables -S
		systemctl list-unit-files --no-legend --plain | grep -v -e transient -e generated
		systemctl list-units --all --no-legend --plain --type=service,socket,timer,path | grep -v -e not-found -e transient -e apt-daily -e systemd-tmpfiles-clean -e user@ -e user-runtime -e modprobe@ | sed 's/  */ /g' | cut -d ' ' -f 1-4
		dpkg --get-selections; apt-mark showmanual; getent passwd; getent group`)
}

package lab

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// HostOptions tell how to make a host.
type HostOptions struct {
	Addr  netip.Prefix // of eth0, from 198.51.100.0/24
	Addr6 netip.Prefix // a second address from 2001:db8::/64; optional
	Files []File       // written before the first boot
	// Installed starts the host as after apt-get install haproxy keepalived, which saves the seconds that this takes.
	Installed bool
	// SSH is Installed with a running SSH server.
	SSH bool
	// Login is a bare host with sudo and a running SSH server.
	Login bool
	// Managers is Installed with other programs that manage a host's firewall, network, upgrades and restarts. None of
	// them is enabled.
	Managers bool
	// UpgradeTo is Installed with a repository in /srv/next of the packages for the upgrade to this release.
	UpgradeTo Release
}

// A File is written to a host or to the tree of a check.
type File struct {
	Path string
	Data []byte
	Mode fs.FileMode // 0 means 0644
}

// A Host is a booted Debian. Its methods are safe for concurrent use.
type Host struct {
	*port
	lab     *Lab
	release Release
	dir     string // holds its disk: upper, work, and root, the overlay of these and the base

	mu      sync.Mutex // held while the host goes up or down
	gone    bool       // the lab has ended
	current atomic.Pointer[boot]
}

// AddHost makes a host and boots it; it returns when the systemd inside has finished starting.
func (l *Lab) AddHost(ctx context.Context, name string, release Release, opts HostOptions) (*Host, error) {
	addrs := []netip.Prefix{opts.Addr}
	if opts.Addr6.IsValid() {
		addrs = append(addrs, opts.Addr6)
	}
	if err := checkStation(name, addrs); err != nil {
		return nil, err
	}
	build := baseTree
	switch {
	case opts.SSH:
		build = extraTree("ssh")
	case opts.Login:
		build = extraTree("login")
	case opts.Managers:
		build = extraTree("managers")
	case opts.UpgradeTo != "":
		build = upgradeTree(opts.UpgradeTo)
	case opts.Installed:
		build = programTree
	}
	base, err := build(ctx, release, l.log)
	if err != nil {
		return nil, err
	}
	if err := l.claim(name); err != nil {
		return nil, err
	}
	h := &Host{port: &port{name: name, addrs: addrs}, lab: l, release: release, dir: filepath.Join(runDir, name)}
	if err := h.makeDisk(base, opts.Files); err != nil {
		l.forget(name)
		return nil, errors.Join(fmt.Errorf("cannot make the disk of %s: %w", name, err), h.removeDisk())
	}
	// From here on Close ends the host, even while it boots.
	if err := l.adoptHost(h); err != nil {
		return nil, errors.Join(err, h.removeDisk())
	}
	if err := h.Start(ctx); err != nil {
		return nil, err
	}
	return h, nil
}

// makeDisk mounts an overlay of the release's base, which all hosts share, and a directory for this host's changes.
func (h *Host) makeDisk(base string, files []File) error {
	upper, work := filepath.Join(h.dir, "upper"), filepath.Join(h.dir, "work")
	for _, dir := range []string{upper, work, h.root()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	// volatile: the data need not survive the machine, so nothing is synced to the disk.
	opts := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,volatile", base, upper, work)
	if err := unix.Mount("overlay", h.root(), "overlay", 0, opts); err != nil {
		return err
	}
	var hosts strings.Builder
	hosts.WriteString("127.0.0.1 localhost\n::1 localhost\n")
	for _, a := range h.addrs {
		fmt.Fprintf(&hosts, "%s %s\n", a.Addr(), h.name)
	}
	id := sha256.Sum256([]byte(h.name)) // like a real host, it has the same ID at each boot
	own := []File{
		{Path: "/etc/hostname", Data: []byte(h.name + "\n")},
		{Path: "/etc/hosts", Data: []byte(hosts.String())},
		{Path: "/etc/machine-id", Data: fmt.Appendf(nil, "%x\n", id[:16]), Mode: 0o444},
		// newer than /usr: the first boot does not repeat what apt has done, making caches and users (systemd.unit(5),
		// ConditionNeedsUpdate)
		{Path: "/etc/.updated"}, {Path: "/var/.updated"},
	}
	for _, f := range append(own, files...) {
		if err := writeFile(h.root(), f); err != nil {
			return err
		}
	}
	return maskGenerators(h.root())
}

// usedGenerators are systemd's generators that a host of the lab needs: for services without a unit, as in some
// packages, and for /etc/rc.local.
var usedGenerators = []string{"systemd-sysv-generator", "systemd-rc-local-generator"}

// maskGenerators masks all other generators of systemd: they look for disks, a console and a TPM, and take a third of
// the CPU time of each daemon-reload.
func maskGenerators(root string) error {
	all, err := os.ReadDir(filepath.Join(root, "usr/lib/systemd/system-generators"))
	if err != nil {
		return err
	}
	masked := filepath.Join(root, "etc/systemd/system-generators")
	if err := os.MkdirAll(masked, 0o755); err != nil {
		return err
	}
	for _, g := range all {
		if !strings.HasPrefix(g.Name(), "systemd-") || slices.Contains(usedGenerators, g.Name()) {
			continue
		}
		if err := os.Symlink("/dev/null", filepath.Join(masked, g.Name())); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

func (h *Host) removeDisk() error {
	_ = unix.Unmount(h.root(), unix.MNT_DETACH)
	if left := mountsBelow(h.dir); len(left) > 0 {
		return fmt.Errorf("cannot unmount %v", left)
	}
	return os.RemoveAll(h.dir)
}

// root is the path of the host's disk on the machine.
func (h *Host) root() string { return filepath.Join(h.dir, "root") }

// Name returns the host's name.
func (h *Host) Name() string { return h.name }

// Release returns the host's Debian release.
func (h *Host) Release() Release { return h.release }

// Addr returns the host's first own address.
func (h *Host) Addr() netip.Addr { return h.addrs[0].Addr() }

// Pid returns the PID of the host's process 1 on the machine; 0 if the host is down.
func (h *Host) Pid() int {
	if b := h.running(); b != nil {
		return b.pid
	}
	return 0
}

package lab

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const cacheDir = "/var/cache/rlb-lab"

const (
	// basePackages are the packages of each host from the start, in addition to the essential ones.
	basePackages = "systemd,systemd-sysv,dbus,iproute2,iptables,nftables,procps"
	// repoPackages and all their dependencies are in each host's own repository, not yet installed.
	repoPackages = "haproxy keepalived"
	// stampFile inside a tree identifies the recipe that it was built from.
	stampFile = "etc/rlb-lab-stamp"
)

// fetchScript runs inside a new base while its package source is still the archive, and fills /srv/repo.
const fetchScript = fetchLists + `
apt-get install -qy --download-only --no-install-recommends ` + repoPackages + keepFetched

const (
	fetchLists = `
apt-get update -q
apt-get clean`
	keepFetched = `
mkdir -p /srv/repo
mv /var/cache/apt/archives/*.deb /srv/repo/
`
)

// The archive of unstable releases is sometimes older than its own Valid-Until.
const bearStale = `
echo 'Acquire::Check-Valid-Until "false";' >/etc/apt/apt.conf.d/rlb-lab-stale`

// fetchScripts are the scripts of releases that need another one: only HAProxy and its dependencies come from Debian's
// experimental.
var fetchScripts = map[Release]string{
	Sid: bearStale + fetchScript,
	Experimental: bearStale + `
sed 's/ sid / experimental /' /etc/apt/sources.list >/etc/apt/sources.list.d/experimental.list` + fetchLists + `
apt-get install -qy --download-only --no-install-recommends haproxy/experimental keepalived` + keepFetched,
}

// settleScript runs inside the base after that: the only package source of a host is its own disk. Units that would
// only disturb measurements do not run, and the journal stays in memory.
const settleScript = `
rm -rf /etc/apt/sources.list.d/* /var/lib/apt/lists/* /var/log/*.log
echo 'deb [trusted=yes] file:/srv/repo ./' >/etc/apt/sources.list
apt-get update -q
apt-get clean
mkdir -p /etc/dpkg/dpkg.cfg.d /etc/systemd/journald.conf.d
echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/rlb-lab
printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=32M\nRateLimitBurst=0\n' >/etc/systemd/journald.conf.d/rlb-lab.conf
cd /etc/systemd/system
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer console-getty.service nftables.service; do
	ln -sf /dev/null $unit
done
rm -f /etc/resolv.conf /etc/hostname
`

// programScript installs the programs as on a host, but starts none of them in the tree.
const programScript = `
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt-get install -qy --no-install-recommends ` + repoPackages + `
rm /usr/sbin/policy-rc.d
`

// extraPackages are further packages of other trees, by the trees' names: in addition to the programs, or to the base
// for "login".
var extraPackages = map[string]string{
	"ssh":      "openssh-server",
	"login":    "openssh-server sudo",
	"managers": "ufw firewalld needrestart netplan.io unattended-upgrades apparmor",
}

// extraScript installs packages from the archive that are not in the hosts' own repository. The first %s is the
// release, the second one the packages.
const extraScript = `
cp /etc/apt/sources.list /root/sources.list
echo 'deb http://deb.debian.org/debian %s main' >/etc/apt/sources.list
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt-get update -q
apt-get install -qy --no-install-recommends %s
rm -f /usr/sbin/policy-rc.d /etc/resolv.conf
mv /root/sources.list /etc/apt/sources.list
rm -rf /var/lib/apt/lists/*
apt-get update -q
apt-get clean
`

// fetch returns the script that fills /srv/repo in a base of the release.
func (r Release) fetch() string {
	if script, ok := fetchScripts[r]; ok {
		return script
	}
	return fetchScript
}

// baseRecipe is everything that a base is made from: if it changes, the cached ones are outdated.
func (r Release) baseRecipe() string { return basePackages + r.fetch() + settleScript }

// EnsureCaches builds the missing trees of the releases, or of all of them, one after the other. If an unstable release
// is not available, it logs that and goes on.
func EnsureCaches(ctx context.Context, opts Options, releases ...Release) error {
	if err := Available(); err != nil {
		return err
	}
	if len(releases) == 0 {
		releases = Releases()
	}
	for _, r := range releases {
		switch _, err := programTree(ctx, r, opts.log); {
		case err == nil:
		case r.Stable() || ctx.Err() != nil:
			return err
		default:
			opts.log("SKIPPED: nothing is tried on %s, which is not available today: %v", r, err)
		}
	}
	return nil
}

// ProgramTree returns the root directory of a release with haproxy and keepalived installed, to run the real programs
// without a host. It is shared: do not write to it.
func ProgramTree(ctx context.Context, r Release) (string, error) {
	if err := Available(); err != nil {
		return "", err
	}
	return programTree(ctx, r, Options{}.log)
}

// baseTree returns the tree from which the release's hosts start.
func baseTree(ctx context.Context, r Release, log logFunc) (string, error) {
	return tree(ctx, r, "base", r.baseRecipe(), log, func(dir string) error {
		// Without a mirror, debootstrap uses its default.
		if _, err := run(ctx, "debootstrap", "--variant=minbase", "--include="+basePackages, r.suite(), dir); err != nil {
			return err
		}
		if err := inTree(ctx, dir, r.fetch()); err != nil {
			return err
		}
		if err := index(ctx, filepath.Join(dir, "srv/repo")); err != nil {
			return err
		}
		return inTree(ctx, dir, settleScript)
	})
}

func programTree(ctx context.Context, r Release, log logFunc) (string, error) {
	base, err := baseTree(ctx, r, log)
	if err != nil {
		return "", err
	}
	return tree(ctx, r, "programs", r.baseRecipe()+programScript, log, func(dir string) error {
		if _, err := run(ctx, "cp", "-a", "--reflink=auto", base, dir); err != nil {
			return err
		}
		return inTree(ctx, dir, programScript)
	})
}

// extraTree builds programTree, or baseTree for "login", with the packages of extraPackages. No service that filters
// packets or configures the network starts at boot.
func extraTree(kind string) func(context.Context, Release, logFunc) (string, error) {
	return func(ctx context.Context, r Release, log logFunc) (string, error) {
		build, recipe := programTree, r.baseRecipe()+programScript
		if kind == "login" {
			build, recipe = baseTree, r.baseRecipe()
		}
		under, err := build(ctx, r, log)
		if err != nil {
			return "", err
		}
		script := fmt.Sprintf(extraScript, r.suite(), extraPackages[kind])
		if kind == "managers" {
			script += "systemctl disable ufw firewalld\n"
		}
		return tree(ctx, r, kind, recipe+script, log, func(dir string) error {
			if _, err := run(ctx, "cp", "-a", "--reflink=auto", under, dir); err != nil {
				return err
			}
			if _, err := run(ctx, "cp", "--dereference", "/etc/resolv.conf", filepath.Join(dir, "etc/resolv.conf")); err != nil {
				return err
			}
			return inTree(ctx, dir, script)
		})
	}
}

// upgradeScript fetches the packages of a full-upgrade to another release into /srv/next. The first %s is that release.
const upgradeScript = `
cp /etc/apt/sources.list /root/sources.list
echo 'deb http://deb.debian.org/debian %s main' >/etc/apt/sources.list` + fetchLists + `
apt-get full-upgrade -qy --download-only
apt-mark hold ` + repoPackages + `
apt-get full-upgrade -qy --download-only
apt-mark unhold ` + repoPackages + `
mkdir -p /srv/next
mv /var/cache/apt/archives/*.deb /srv/next/
rm -f /etc/resolv.conf
mv /root/sources.list /etc/apt/sources.list
rm -rf /var/lib/apt/lists/*
apt-get update -q
`

// upgradeTree builds programTree with a repository in /srv/next of the packages for the upgrade to the next release.
func upgradeTree(next Release) func(context.Context, Release, logFunc) (string, error) {
	return func(ctx context.Context, r Release, log logFunc) (string, error) {
		programs, err := programTree(ctx, r, log)
		if err != nil {
			return "", err
		}
		script := fmt.Sprintf(upgradeScript, next.suite())
		return tree(ctx, r, "to-"+string(next), r.baseRecipe()+programScript+script, log, func(dir string) error {
			if _, err := run(ctx, "cp", "-a", "--reflink=auto", programs, dir); err != nil {
				return err
			}
			if _, err := run(ctx, "cp", "--dereference", "/etc/resolv.conf", filepath.Join(dir, "etc/resolv.conf")); err != nil {
				return err
			}
			if err := inTree(ctx, dir, script); err != nil {
				return err
			}
			return index(ctx, filepath.Join(dir, "srv/next"))
		})
	}
}

// tree returns a cached directory. It is built under another name and then renamed, so it is complete or absent, and it
// is built again when its recipe has changed.
func tree(ctx context.Context, r Release, kind, recipe string, log logFunc, build func(dir string) error) (string, error) {
	dir := filepath.Join(cacheDir, string(r), kind)
	stamp := fmt.Sprintf("%x\n", sha256.Sum256([]byte(recipe)))
	fresh := func() bool {
		found, err := os.ReadFile(filepath.Join(dir, stampFile))
		return err == nil && string(found) == stamp
	}
	if fresh() {
		return dir, nil
	}
	unlock, err := lockFile(ctx, filepath.Join(cacheDir, string(r), "lock"), log)
	if err != nil {
		return "", err
	}
	defer unlock()
	if fresh() { // another process has built it meanwhile
		return dir, nil
	}
	log("building %s", dir)
	begin := time.Now()
	if err := replaceTree(dir, stamp, build); err != nil {
		return "", fmt.Errorf("cannot build %s: %w", dir, err)
	}
	log("built %s in %s", dir, time.Since(begin).Round(time.Second))
	return dir, nil
}

func replaceTree(dir, stamp string, build func(dir string) error) error {
	building, old := dir+".new", dir+".old"
	if err := errors.Join(os.RemoveAll(building), os.RemoveAll(old)); err != nil {
		return err
	}
	if err := build(building); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(building, stampFile), []byte(stamp), 0o644); err != nil {
		return err
	}
	if err := os.Rename(dir, old); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Rename(building, dir); err != nil {
		return err
	}
	return os.RemoveAll(old)
}

// inTree runs a shell script with the tree as its root. Its mounts end with it.
func inTree(ctx context.Context, dir, script string) error {
	_, err := run(ctx, "unshare", "--mount", "--pid", "--fork", "--kill-child", "chroot", dir, "sh", "-ec", `
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
mount -t proc proc /proc
`+script)
	return err
}

// index writes the list of packages that apt reads.
func index(ctx context.Context, repo string) error {
	cmd := command(ctx, "dpkg-scanpackages", "--multiversion", ".")
	cmd.Dir = repo
	list, err := output(ctx, cmd, cmd.Args)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(repo, "Packages"), []byte(list), 0o644)
}

// lockFile locks a file against all processes of the machine, and returns the function that unlocks it. If another
// process holds the lock, it logs that it waits.
func lockFile(ctx context.Context, path string, log logFunc) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("cannot lock: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock: %w", err)
	}
	for said := false; ; {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("cannot lock %s: %w", path, err)
		}
		if !said {
			log("waiting for %s: another process has a lab of this lane, or builds the tree", path)
			said = true
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("cannot lock %s: %w", path, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

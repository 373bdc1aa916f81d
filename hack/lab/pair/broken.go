package pair

// HoldDpkg holds dpkg's lock, as another apt does; FreeDpkg releases it.
const (
	HoldDpkg = `cat > /root/locker <<'END'
use Fcntl;
open F, "+>>", "/var/lib/dpkg/lock-frontend" or die;
my $lock = pack("ssx4qqix4", F_WRLCK, 0, 0, 0, 0);
fcntl(F, F_SETLK, $lock) or die;
open G, ">", "/run/locked";
sleep 600;
END
	systemd-run --quiet --collect --unit=locker perl /root/locker
	timeout 10 sh -c "until test -e /run/locked; do sleep 0.05; done"`
	FreeDpkg = `systemctl stop locker; rm -f /run/locked`
)

// LockTables makes iptables-restore fail as if another program held the lock. The real lock exists only in the legacy
// variant: the nf_tables variant, which Debian has, ignores it. FreeTables ends this.
const (
	LockTables = `mkdir -p /root/real; cp $(readlink -f /usr/sbin/iptables) /root/real/multi
	for verb in save restore; do for p in iptables ip6tables; do ln -sf multi /root/real/$p-$verb; done; done; ln -sf multi /root/real/iptables; ln -sf multi /root/real/ip6tables
	cat > /root/locked <<'END'
#!/bin/sh
case $0 in
*-restore) echo 'Another app is currently holding the xtables lock. Perhaps you want to use the -w option?' >&2; exit 4;;
esac
exec /root/real/${0##*/} "$@"
END
	chmod 755 /root/locked; mount --bind /root/locked $(readlink -f /usr/sbin/iptables)`
	FreeTables = `umount $(readlink -f /usr/sbin/iptables)`
)

// Full mounts a full file system over a directory.
func Full(dir string) string {
	return `set -e; rm -rf /root/kept; cp -a ` + dir + ` /root/kept; mount -t tmpfs -o size=2m,mode=755 none ` + dir + `; cp -a /root/kept/. ` + dir + `
	head -c 4m /dev/zero > ` + dir + `/filler 2>/dev/null || true`
}

// NotFull undoes Full, and keeps the changes.
func NotFull(dir string) string {
	return `set -e; rm -r ` + dir + `/filler /root/kept; cp -a ` + dir + ` /root/kept; umount ` + dir + `; find ` + dir + ` -mindepth 1 -delete; cp -a /root/kept/. ` + dir + `; rm -r /root/kept`
}

// FullRun shrinks the file system of /run until no other file fits; NotFullRun undoes it.
const (
	FullRun = `set -e; mount -o remount,size=$(($(df -k --output=used /run | tail -1) + 64))k /run
	! head -c 1m /dev/zero > /run/filler 2>/dev/null
	! echo x 2>/dev/null > /run/rlb/filler`
	NotFullRun = `mount -o remount,size=20% /run; rm -f /run/filler /run/rlb/filler`
)

// ReadOnly makes a directory read-only; Writable undoes it.
func ReadOnly(dir string) string {
	return `mount --bind ` + dir + ` ` + dir + ` && mount -o remount,bind,ro ` + dir
}

func Writable(dir string) string { return `umount ` + dir }

// Stall takes all CPUs of the machine away from every process that is not real-time, for 250 ms. The timeout that ends
// it has the higher priority.
const Stall = `for core in $(seq $(nproc)); do chrt -f 3 timeout 0.25 chrt -f 2 sh -c 'while :; do :; done' & done; wait`

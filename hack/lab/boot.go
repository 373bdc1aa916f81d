package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// bootTimeout is much longer than a boot takes, even on a busy machine.
const bootTimeout = 60 * time.Second

// A boot is a run of a host from power on to power off.
type boot struct {
	pid   int // of the host's process 1, in the machine's PID namespace
	group *cgroup
	done  chan struct{} // closed when systemd-nspawn has ended
	err   error         // how it ended

	// lasts ends when the host shuts down or has ended: commands inside are then released.
	lasts context.Context
	over  context.CancelFunc // ends lasts
}

func (b *boot) ended() bool {
	select {
	case <-b.done:
		return true
	default:
		return false
	}
}

// bootHost starts systemd in the host's namespace and waits until it has finished starting.
func bootHost(ctx context.Context, h *Host) (b *boot, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, bootTimeout, errors.New("it did not finish starting in "+bootTimeout.String()))
	defer cancel()
	console, err := os.Create(h.consolePath())
	if err != nil {
		return nil, err
	}
	defer console.Close()
	notify, err := listenNotify(filepath.Join(h.dir, "notify"))
	if err != nil {
		return nil, err
	}
	defer notify.Close()
	group, err := newCgroup(h.name)
	if err != nil {
		return nil, err
	}
	args := group.wrap(nspawnArgs(h)...)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = []string{"PATH=" + hostPath, "NOTIFY_SOCKET=" + filepath.Join(h.dir, "notify"),
		// Like any Debian since 11, the host has control groups of version 2, whatever the machine has.
		"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1",
		// The host may set sysctls of its own network, such as ip_nonlocal_bind, and no others.
		"SYSTEMD_NSPAWN_API_VFS_WRITABLE=network"}
	cmd.Stdout, cmd.Stderr = console, console
	// Ctrl-C at a terminal must reach the program that made the lab, not its hosts.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, group.remove(ctx))
	}
	b = &boot{group: group, done: make(chan struct{})}
	b.lasts, b.over = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		b.err = cmd.Wait()
		close(b.done)
		b.over()
	}()
	if b.pid, err = waitReady(ctx, notify, b); err != nil {
		b.end()
		tail, _ := os.ReadFile(h.consolePath())
		return nil, fmt.Errorf("%w; its console ends with:\n%s", err, tail[max(0, len(tail)-2000):])
	}
	return b, nil
}

func nspawnArgs(h *Host) []string {
	return []string{"systemd-nspawn", "--quiet", "--directory=" + h.root(), "--boot", "--notify-ready=yes",
		"--machine=" + prefix + h.name, "--hostname=" + h.name, "--register=no", "--keep-unit", "--console=pipe",
		"--network-namespace-path=" + filepath.Join(netnsDir, Namespace(h.name)),
		"--resolv-conf=off", "--timezone=off", "--link-journal=no",
		// keepalived and nftables need more than the default; capabilities that affect the machine itself are dropped.
		"--capability=all", "--drop-capability=CAP_SYS_TIME,CAP_SYS_MODULE,CAP_SYS_RAWIO,CAP_SYSLOG"}
}

func listenNotify(path string) (*net.UnixConn, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
}

// waitReady reads the messages of systemd-nspawn: the PID of the host's process 1, and when it has finished starting.
func waitReady(ctx context.Context, notify *net.UnixConn, b *boot) (pid int, err error) {
	stop := make(chan struct{})
	defer close(stop)
	go func() { // ends the reading below
		select {
		case <-ctx.Done():
		case <-b.done:
		case <-stop:
		}
		_ = notify.SetReadDeadline(time.Now())
	}()
	buf := make([]byte, 4096)
	for ready := false; !ready || pid == 0; {
		n, err := notify.Read(buf)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return 0, context.Cause(ctx)
		case b.ended():
			return 0, fmt.Errorf("systemd-nspawn ended: %v", b.err)
		default:
			return 0, err
		}
		for line := range strings.Lines(string(buf[:n])) {
			line = strings.TrimSpace(line)
			if leader, ok := strings.CutPrefix(line, "X_NSPAWN_LEADER_PID="); ok {
				if pid, err = strconv.Atoi(leader); err != nil {
					return 0, err
				}
			}
			ready = ready || line == "READY=1"
		}
	}
	return pid, nil
}

// end kills all of the host and returns when all its processes have ended.
func (b *boot) end() {
	b.group.kill()
	// Until systemd-nspawn is in the group the kill misses it; so the kill is repeated until the process has ended.
	for wait := time.Millisecond; ; wait = 20 * time.Millisecond {
		select {
		case <-b.done:
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			_ = b.group.remove(ctx)
			return
		case <-time.After(wait):
			b.group.kill()
		}
	}
}

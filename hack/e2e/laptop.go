package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"rlb.dev/rlb-agent/hack/lab"
)

// A Laptop is the machine of an administrator: a station of the lab with the agent and ssh, which is no load balancer.
type Laptop struct {
	*lab.Client
	World *World
	// Dir is a directory of its own.
	Dir string
}

// laptopSSH is ssh with a configuration of its own. The file "cut" holds a word: a call with that word in its
// arguments ends before it begins, and the agent that makes it is killed, as on a machine that is closed. The file
// "broken" holds a word too: ssh is killed one second after such a call begins.
const laptopSSH = `#!/bin/sh
if [ -s %[1]s/cut ]; then
	case "$*" in
	*"$(cat %[1]s/cut)"*) kill -9 $PPID; exit 255 ;;
	esac
fi
if [ -s %[1]s/broken ]; then
	case "$*" in
	*"$(cat %[1]s/broken)"*) timeout -s KILL 1 /usr/bin/ssh -F %[1]s/config "$@"; exit 255 ;;
	esac
fi
exec /usr/bin/ssh -F %[1]s/config "$@"
`

// NewLaptop makes a laptop that may log in to the hosts as root, and knows their keys.
func (w *World) NewLaptop(hosts ...*Host) *Laptop {
	w.Helper()
	client, err := w.Lab.AddClient(w.Context(), "laptop", netip.MustParsePrefix("198.51.100.60/24"))
	if err != nil {
		w.Fatal(err)
	}
	l := &Laptop{client, w, w.TempDir()}
	if out, err := exec.CommandContext(w.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(l.Dir, "key")).CombinedOutput(); err != nil {
		w.Fatalf("%v\n%s", err, out)
	}
	public, err := os.ReadFile(filepath.Join(l.Dir, "key.pub"))
	if err != nil {
		w.Fatal(err)
	}
	var known strings.Builder
	for _, h := range hosts {
		h.Shell("mkdir -m 700 -p /root/.ssh")
		if err := h.WriteFile("/root/.ssh/authorized_keys", public, 0o600); err != nil {
			w.Fatal(err)
		}
		fmt.Fprintf(&known, "%s %s", h.Addr(), h.Shell("cat /etc/ssh/ssh_host_ed25519_key.pub"))
	}
	l.Write("known_hosts", known.String())
	l.Write("config", fmt.Sprintf("User root\nIdentityFile %[1]s/key\nIdentitiesOnly yes\nUserKnownHostsFile %[1]s/known_hosts\nStrictHostKeyChecking yes\n", l.Dir))
	l.Write("ssh", fmt.Sprintf(laptopSSH, l.Dir))
	if err := os.Chmod(filepath.Join(l.Dir, "ssh"), 0o755); err != nil {
		w.Fatal(err)
	}
	return l
}

// KnowAs makes the laptop know the host's key at another address too.
func (l *Laptop) KnowAs(h *Host, addr string) {
	l.World.Helper()
	known, err := os.ReadFile(filepath.Join(l.Dir, "known_hosts"))
	if err != nil {
		l.World.Fatal(err)
	}
	l.Write("known_hosts", fmt.Sprintf("%s%s %s", known, addr, h.Shell("cat /etc/ssh/ssh_host_ed25519_key.pub")))
}

// Write writes a file of the laptop and returns its path.
func (l *Laptop) Write(name, text string) string {
	l.World.Helper()
	path := filepath.Join(l.Dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		l.World.Fatal(err)
	}
	return path
}

// Agent prepares a call of the agent on the laptop.
func (l *Laptop) Agent(args ...string) *exec.Cmd {
	cmd := l.Command(l.World.Context(), append([]string{agentBinary}, args...)...)
	cmd.Env = append(os.Environ(), "PATH="+l.Dir+":"+os.Getenv("PATH"), "USER=alice")
	return cmd
}

// RunAgent runs the agent on the laptop and returns its exit code, -1 where it was killed, and all that it wrote.
func (l *Laptop) RunAgent(args ...string) (code int, out string) {
	l.World.Helper()
	cmd := l.Agent(args...)
	all, _ := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		l.World.Fatalf("cannot run the agent on the laptop:\n%s", all)
	}
	return cmd.ProcessState.ExitCode(), string(all)
}

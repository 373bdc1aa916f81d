package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

// A Laptop is the machine of an administrator: a station of the lab with the agent and ssh that is not a load
// balancer.
type Laptop struct {
	*lab.Client
	World *World
	// Dir is the laptop's own directory.
	Dir string
}

// laptopSSH is ssh with a configuration of its own. The file "cut" holds a word: a call with this word in its
// arguments ends before it begins, and the agent that makes it is killed, as if the laptop were closed. The file
// "broken" holds a word too: ssh is killed one second after such a call begins. For the directory "calls" and the file
// "fault" see Record.
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
[ -d %[1]s/calls ] || exec /usr/bin/ssh -F %[1]s/config "$@"
next=
for word; do
	case $next in
	host) host=$word next=program ;;
	program) next=command ;;
	command) command=${word#--} next= ;;
	esac
	case $word in
	--) next=host ;;
	--end) command=end ;;
	esac
done
n=1
while ! mkdir "%[1]s/calls/$host $command $n" 2>/dev/null; do n=$((n + 1)); done
note() { echo "$(date +%%s%%N) $1 $host $command $n" >>%[1]s/log; }
note begins
fault=none
if read -r at <%[1]s/fault && [ "${at%% *}" = "$host $command $n" ]; then fault=${at##* }; fi
case $fault in
before) kill -9 $$ ;;
laptop) kill -9 $PPID; kill -9 $$ ;;
answer) /usr/bin/ssh -F %[1]s/config "$@" >/dev/null 2>&1; kill -9 $$ ;;
midway) timeout -s KILL 0.4 /usr/bin/ssh -F %[1]s/config "$@" >/dev/null 2>&1; kill -9 $$ ;;
wait) touch %[1]s/reached; while [ ! -e %[1]s/go ]; do sleep 0.02; done ;;
esac
/usr/bin/ssh -F %[1]s/config "$@"
code=$?
note ends
exit $code
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

// LogsInFrom lets root on a host log in to the others like the laptop.
func (l *Laptop) LogsInFrom(h *Host) {
	l.World.Helper()
	config := "User root\nIdentityFile /root/.ssh/key\nUserKnownHostsFile /root/.ssh/known\nStrictHostKeyChecking yes\n"
	if err := h.WriteFile("/root/.ssh/config", []byte(config), 0o600); err != nil {
		l.World.Fatal(err)
	}
	for from, to := range map[string]string{"key": "key", "known_hosts": "known"} {
		data, err := os.ReadFile(filepath.Join(l.Dir, from))
		if err == nil {
			err = h.WriteFile("/root/.ssh/"+to, data, 0o600)
		}
		if err != nil {
			l.World.Fatal(err)
		}
	}
}

// KnowAs adds the host's key under another address to the laptop's known hosts.
func (l *Laptop) KnowAs(h *Host, addr string) {
	l.World.Helper()
	known, err := os.ReadFile(filepath.Join(l.Dir, "known_hosts"))
	if err != nil {
		l.World.Fatal(err)
	}
	l.Write("known_hosts", fmt.Sprintf("%s%s %s", known, addr, h.Shell("cat /etc/ssh/ssh_host_ed25519_key.pub")))
}

// Write writes a file on the laptop and returns its path.
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

// RunAgent runs the agent on the laptop and returns its exit code, -1 if it was killed, and its output.
func (l *Laptop) RunAgent(args ...string) (code int, out string) {
	l.World.Helper()
	cmd := l.Agent(args...)
	all, _ := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		l.World.Fatalf("cannot run the agent on the laptop:\n%s", all)
	}
	return cmd.ProcessState.ExitCode(), string(all)
}

// A Call is a call of ssh by an agent on the laptop.
type Call struct {
	Host    string // its address
	Command string // the agent's command on the host: status, validate, once, try, confirm, or end for try --end
	N       int    // number of this call among those of this command to this host, from 1
}

func (c Call) String() string { return fmt.Sprintf("%s %s %d", c.Host, c.Command, c.N) }

// A CallTime is when a call began and ended; it has no end if ssh was killed.
type CallTime struct {
	Call
	Began, Ended time.Time
}

// Record starts a new record of all calls of ssh, and makes one of them fail:
//
//	before  ssh is killed before it reaches the host
//	answer  the host completes the call, but ssh is killed instead of answering
//	midway  ssh is killed 0.4 s after the call began
//	laptop  the agent that made the call is killed, and ssh too
//	wait    the call begins when Proceed is called; Reached reports that it waits
//
// "" is no fault.
func (l *Laptop) Record(at Call, fault string) {
	l.World.Helper()
	for _, name := range []string{"calls", "log", "reached", "go"} {
		if err := os.RemoveAll(filepath.Join(l.Dir, name)); err != nil {
			l.World.Fatal(err)
		}
	}
	l.Write("log", "")
	l.Write("fault", "none\n")
	if fault != "" {
		l.Write("fault", at.String()+" "+fault+"\n")
	}
	if err := os.Mkdir(filepath.Join(l.Dir, "calls"), 0o755); err != nil {
		l.World.Fatal(err)
	}
}

// Reached reports whether the call that needs Proceed is waiting.
func (l *Laptop) Reached() bool {
	_, err := os.Stat(filepath.Join(l.Dir, "reached"))
	return err == nil
}

// Proceed lets the waiting call begin.
func (l *Laptop) Proceed() { l.World.Helper(); l.Write("go", "") }

// Recorded returns the calls since Record, in the order in which they began.
func (l *Laptop) Recorded() (calls []CallTime) {
	l.World.Helper()
	text, err := os.ReadFile(filepath.Join(l.Dir, "log"))
	if err != nil {
		l.World.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var nanoseconds int64
		var what string
		var c CallTime
		if _, err := fmt.Sscan(line, &nanoseconds, &what, &c.Host, &c.Command, &c.N); err != nil {
			l.World.Fatalf("cannot read what the laptop noted: %v\n%s", err, text)
		}
		if what == "begins" {
			c.Began = time.Unix(0, nanoseconds)
			calls = append(calls, c)
			continue
		}
		for i := range calls {
			if calls[i].Call == c.Call {
				calls[i].Ended = time.Unix(0, nanoseconds)
			}
		}
	}
	return calls
}

// Calling reports whether a call of ssh is in progress on the laptop.
func (l *Laptop) Calling() bool {
	return exec.CommandContext(l.World.Context(), "pgrep", "-f", "^/usr/bin/ssh -F "+l.Dir).Run() == nil
}

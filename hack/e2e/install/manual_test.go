package install

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/cmd/rlb-agent/manual"
	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// A manualRun tells how TestManual runs a command of the manual.
type manualRun struct {
	laptop        bool   // on the laptop; else on lb1
	before, after string // scripts on lb1
	wrapped       string // runs a command that asks, or that does not end by itself; %s is the command
	more          string // appended words
	code          int    // its exit code
}

const (
	follow = "timeout --foreground --preserve-status -s INT 2 %s"
	agree  = "echo y | script -qec '%s' /dev/null"
	trial  = "rlb-agent try --detach --timeout 10m tried.yaml"
)

// manualRuns has the commands of the manual that need special treatment; the test runs all others as they are.
var manualRuns = map[string]manualRun{
	"rlb-agent init --vip 192.168.3.240 --server 192.168.3.251,192.168.3.252,192.168.3.253":                       {more: "--spec -"},
	"rlb-agent init --vip 192.168.3.240 --node lb1=192.168.3.11,lb2=192.168.3.12 --server cp1=192.168.3.251:6443": {more: "--spec -"},
	"rlb-agent init --vip 192.168.3.240 --nodes-file nodes.json --spec spec.yaml":                                 {before: "mv spec.yaml kept", after: "mv kept spec.yaml"},
	"rlb-agent import --profile standard --node lb1=192.168.3.241,lb2=192.168.3.242 > spec.yaml":                  {before: "cp spec.yaml kept", after: "mv kept spec.yaml"},
	"rlb-agent status --on lb1,lb2":                                    {laptop: true},
	"rlb-agent status --on root@lb1":                                   {laptop: true},
	"rlb-agent history diff 3":                                         {code: 1},
	"rlb-agent history diff 3 5":                                       {code: 1},
	"rlb-agent push spec.yaml":                                         {laptop: true, wrapped: agree},
	"rlb-agent push --dry-run spec.yaml":                               {laptop: true},
	"rlb-agent push --on root@lb1,root@lb2 --yes spec.yaml":            {laptop: true},
	"rlb-agent drain --on root@lb1":                                    {laptop: true, after: "rlb-agent undrain"},
	"rlb-agent drain --wait 30s":                                       {after: "rlb-agent undrain"},
	"rlb-agent drain --force":                                          {after: "rlb-agent undrain"},
	"rlb-agent events -f":                                              {wrapped: follow},
	"rlb-agent confirm":                                                {before: trial, after: "rlb-agent rollback"},
	"rlb-agent try --end":                                              {before: trial},
	"systemctl stop rlb-agent keepalived":                              {after: "systemctl start keepalived rlb-agent"},
	"rlb-agent push --take-over 02:00:00:00:00:0a spec.yaml":           {laptop: true, wrapped: agree},
	"scp bin/rlb-agent-linux-arm64 root@lb1:/usr/local/sbin/rlb-agent": {laptop: true, before: "systemctl stop rlb-agent", after: "systemctl start rlb-agent"},
	"scp hack/systemd/rlb-agent.service root@lb1:/etc/systemd/system/rlb-agent.service": {laptop: true},
	// the laptop is the third machine and has the programs of this one
	"arping -c 3 -I eth0 192.168.3.240":                                           {laptop: true},
	"ping -c 3 192.168.3.242":                                                     {laptop: true},
	"tcpdump -ni eth0 'ip proto 112 or ip6 proto 112'":                            {laptop: true, wrapped: follow},
	"tcpdump -eni eth0 ether proto 0x88b5":                                        {laptop: true, wrapped: follow},
	`curl -sk -o /dev/null -w '%{http_code}\n' https://192.168.3.251:6443/readyz`: {laptop: true},
}

// manualNotRun has the commands of the manual that TestManual does not run, with the reason: another test runs those
// that name it.
var manualNotRun = map[string]string{
	"rlb-agent":  "the daemon; its unit runs it in TestUnit",
	"make bench": "it makes a lab of its own, for most of an hour",
	"make build": "make test begins with it", "make package": "TestPackage makes one of the packages", "make release": "the programs of three machines take minutes",
	"make repository KEY=packages@example.org": "TestRepository runs its script", "make install": "TestMakeInstall",
	"sha256sum --check --ignore-missing SHA256SUMS":                           "TestPackage, with --strict",
	"kubeadm init --control-plane-endpoint 192.168.3.240:6443 --upload-certs": "no Kubernetes in the lab",
	"k3s server --cluster-init --tls-san 192.168.3.240":                       "no Kubernetes in the lab",
	"k3s server --server https://192.168.3.240:6443 --tls-san 192.168.3.240":  "no Kubernetes in the lab",
	"firewall-cmd --permanent --add-port=9000/tcp":                            "TestManagersOfTheHost runs what doctor names, on hosts with firewalld",
	"firewall-cmd --permanent --add-protocol=vrrp":                            "TestManagersOfTheHost runs what doctor names, on hosts with firewalld",
	"firewall-cmd --reload":                                                   "TestManagersOfTheHost runs what doctor names, on hosts with firewalld",
	"apt-get install ./rlb-agent_*_arm64.deb":                                 "TestReadme",
	"apt-get purge rlb-agent":                                                 "TestReadme",
	"rlb-agent teardown":                                                      "TestReadme, on a terminal",
	"rm /etc/systemd/system/rlb-agent.service /usr/local/sbin/rlb-agent":      "TestPackage", "systemctl reenable rlb-agent": "TestPackage",
	"rm -r /usr/local/sbin/rlb-agent /etc/systemd/system/rlb-agent.service /etc/rlb": "TestManual, after all others",
	"rm -rf /usr/local/share/rlb-agent":                                              "TestManual, after all others",
}

// A typedCommand is a command of a page of the manual, without sudo.
type typedCommand struct{ page, command string }

// asRoot matches a sudo that root does not need.
var asRoot = regexp.MustCompile(`(^|\| )sudo `)

// typedCommands returns all commands of the manual, in the order of its pages.
func typedCommands(t *testing.T) (all []typedCommand) {
	t.Helper()
	for _, topic := range manual.Topics() {
		_, blocks := readBlocks(t, "cmd/rlb-agent/manual/"+topic.Name+".md")
		for _, b := range blocks {
			if b.language != "sh" {
				continue
			}
			for _, line := range b.lines {
				all = append(all, typedCommand{topic.Name, asRoot.ReplaceAllString(line, "$1")})
			}
		}
	}
	return all
}

// manualBlock returns the block of a page that has this command, as root types it.
func manualBlock(t *testing.T, page, command string) string {
	t.Helper()
	_, blocks := readBlocks(t, "cmd/rlb-agent/manual/"+page+".md")
	for _, b := range blocks {
		if slices.Contains(b.lines, command) {
			return strings.ReplaceAll(strings.Join(b.lines, "\n"), "sudo ", "")
		}
	}
	t.Fatalf("the %s page has no command %q", page, command)
	return ""
}

var testName = regexp.MustCompile(`\bTest[A-Z]\w+`)

// TestManualIsKnown: the commands in the tables above exist in the manual, the tests that are said to run them exist, and
// make has the targets that the manual names.
func TestManualIsKnown(t *testing.T) {
	typed := map[string]bool{}
	for _, c := range typedCommands(t) {
		typed[c.command] = true
	}
	var tests strings.Builder
	err := filepath.WalkDir("../..", func(path string, _ os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			var data []byte
			data, err = os.ReadFile(path)
			tests.Write(data)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for command, why := range manualNotRun {
		if _, both := manualRuns[command]; both || !typed[command] {
			t.Errorf("the manual has no command %q, or TestManual runs it too", command)
		}
		if args, ok := strings.CutPrefix(command, "make "); ok {
			if out, err := exec.Command("make", append([]string{"-n", "-C", "../../.."}, strings.Fields(args)...)...).CombinedOutput(); err != nil || strings.Contains(string(out), "Nothing to be done") {
				t.Errorf("%s: %v\n%s", command, err, out)
			}
		}
		for _, name := range testName.FindAllString(why, -1) {
			if !strings.Contains(tests.String(), "func "+name+"(") {
				t.Errorf("%s: there is no %s", command, name)
			}
		}
	}
	for command := range manualRuns {
		if !typed[command] {
			t.Errorf("the manual has no command %q", command)
		}
	}
}

// TestManual: every command of the manual, except those of manualNotRun, runs on a serving pair or on a laptop, as
// often as the manual has it, and ends with the exit code of a healthy pair. The remains of an agent that was installed
// by hand are removed as the install page says.
func TestManual(t *testing.T) {
	w := e2e.New(t)
	hosts := w.SSHHosts(lab.Trixie, lab.Trixie)
	spec := func(retries int) string { return e2e.Spec(pair.Nodes, fmt.Sprintf("proxy: {retries: %d}", retries)) }
	const generations = 5 // history diff 3 5
	for i := range generations {
		for _, h := range hosts {
			h.Apply(spec(i + 1))
		}
	}
	e2e.StartDaemon(hosts...)
	w.Roles(hosts[0], hosts[1])
	h := hosts[0]
	const nodesJSON = `{"items": [{"metadata": {"name": "cp1", "labels": {"node-role.kubernetes.io/control-plane": ""}},
		"status": {"addresses": [{"type": "InternalIP", "address": "198.51.100.21"}]}}]}`
	for name, text := range map[string]string{
		"/root/spec.yaml": spec(generations), "/etc/rlb/new.yaml": spec(generations), "/root/tried.yaml": spec(generations + 1), "/root/nodes.json": nodesJSON,
	} {
		if err := h.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	h.Shell("cp /etc/haproxy/haproxy.cfg /etc/keepalived/keepalived.conf /root")
	laptop := w.NewLaptop(hosts...)
	laptop.Write("spec.yaml", spec(generations))
	config, err := os.ReadFile(filepath.Join(laptop.Dir, "config"))
	if err != nil {
		t.Fatal(err)
	}
	for name, from := range map[string]string{"bin/rlb-agent-linux-arm64": e2e.AgentBinary(), "hack/systemd/rlb-agent.service": "../../systemd/rlb-agent.service"} {
		path := filepath.Join(laptop.Dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("cp", from, path).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	laptop.Write("scp", "#!/bin/sh\nexec /usr/bin/scp -F config \"$@\"\n")
	if err := os.Chmod(filepath.Join(laptop.Dir, "scp"), 0o755); err != nil {
		t.Fatal(err)
	}
	laptop.Write("config", fmt.Sprintf("%sHost lb1\nHostName %s\nHost lb2\nHostName %s\n", config, hosts[0].Addr(), hosts[1].Addr()))

	for _, c := range typedCommands(t) {
		if manualNotRun[c.command] != "" {
			continue
		}
		run := manualRuns[c.command]
		command := strings.TrimSpace(own(c.command) + " " + run.more)
		if run.wrapped != "" {
			command = fmt.Sprintf(run.wrapped, command)
		}
		typed := func(script string) (string, int) { return h.Exit("cd /root; " + script) }
		prepare := func(script string) {
			t.Helper()
			if out, code := typed(script); code != 0 {
				t.Fatalf("%s: %s: exit code %d\n%s", command, script, code, out)
			}
		}
		prepare(run.before)
		began := time.Now()
		var out string
		var code int
		try := func() bool {
			if run.laptop {
				code, out = laptopShell(laptop, command)
			} else {
				out, code = typed(command)
			}
			return code == run.code
		}
		// a host that was just undrained or started is not ready yet
		if !try() && strings.HasPrefix(c.command, "rlb-agent status") {
			_ = lab.Until(t.Context(), 20*time.Second, try)
		}
		t.Logf("%s: %s: %v", c.page, command, time.Since(began).Round(10*time.Millisecond))
		if code != run.code {
			t.Errorf("%s: %s: exit code %d, want %d\n%s", c.page, command, code, run.code, out)
		}
		prepare(run.after)
	}

	h.Shell("rlb-agent teardown --yes")
	h.Shell(strings.Replace(manualBlock(t, "install", "sudo rm -rf /usr/local/share/rlb-agent"), "rlb-agent teardown", "", 1))
	if out := h.Shell("find / -xdev -name '*rlb*' ! -path '/srv/*' ! -path '/proc/*' ! -path '/sys/*' ! -path '/etc/rlb-lab*' | grep -v -e rlb-lab -e faulty; true"); strings.TrimSpace(out) != "" {
		t.Errorf("after the removal by hand the host has: %s", out)
	}
}

// laptopShell runs a script in the laptop's own directory, and returns its exit code and its output.
func laptopShell(l *e2e.Laptop, script string) (code int, out string) {
	l.World.Helper()
	cmd := l.Command(l.World.Context(), "sh", "-c", script)
	cmd.Dir = l.Dir
	cmd.Env = append(os.Environ(), "PATH="+l.Dir+":"+filepath.Dir(e2e.AgentBinary())+":"+os.Getenv("PATH"))
	all, _ := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		l.World.Fatalf("cannot run %s on the laptop:\n%s", script, all)
	}
	return cmd.ProcessState.ExitCode(), string(all)
}

package install

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// readmeBlocks has the test's functions for the commands of README.md, by section. In the sections of onEach the reader
// types the whole block on one host, then on the other; otherwise on the active one, or on a laptop.
var readmeBlocks = map[string]map[string]func(*reader, *e2e.Host, string){
	"Install": {
		"sudo apt-get install ./rlb-agent_*_arm64.deb": (*reader).installs,
	},
	"First pair": {
		"sudo rlb-agent --once --dry-run --spec spec.yaml":    (*reader).looksAhead,
		"sudo install -D -m 644 spec.yaml /etc/rlb/spec.yaml": (*reader).does,
		"sudo rlb-agent status --watch":                       (*reader).watchesTheFirst,
	},
	"Change safely": {
		"rlb-agent validate new.yaml":                   (*reader).validates,
		"rlb-agent push new.yaml":                       (*reader).pushes,
		"sudo rlb-agent try --timeout 120s - <new.yaml": (*reader).tries,
		"sudo rlb-agent confirm":                        (*reader).confirms,
		"sudo rlb-agent history":                        (*reader).readsHistory,
		"sudo rlb-agent rollback":                       (*reader).rollsBack,
	},
	"Operate": {
		"sudo rlb-agent status --watch": (*reader).watches,
		"sudo rlb-agent drain":          (*reader).drains,
		"sudo rlb-agent undrain":        (*reader).undrains,
		"sudo journalctl -u rlb-agent":  (*reader).readsJournal,
	},
	"Undo": {
		"sudo rlb-agent teardown":      (*reader).tearsDown,
		"sudo apt-get purge rlb-agent": (*reader).purges,
	},
}

// readmeNotRun has the commands of README.md that the test does not run, with the reason.
var readmeNotRun = map[string]string{
	"make demo": "it makes a lab of its own, which cannot be inside of one",
	"make test": "this test is a part of it",
}

var onEach = []string{"Install", "First pair", "Undo"}

// A docBlock is a block of a document below a heading.
type docBlock struct {
	section, language string
	lines             []string // without comments
}

// readBlocks reads a document; path is relative to the root of the repository.
func readBlocks(t *testing.T, path string) (text string, blocks []docBlock) {
	t.Helper()
	data, err := os.ReadFile("../../../" + path)
	if err != nil {
		t.Fatal(err)
	}
	var section string
	open := false
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\n")
		language, fence := strings.CutPrefix(strings.TrimSpace(line), "```")
		heading, isHeading := strings.CutPrefix(line, "## ")
		switch {
		case fence && !open:
			blocks, open = append(blocks, docBlock{section: section, language: language}), true
		case fence:
			open = false
		case open:
			b := &blocks[len(blocks)-1]
			if b.language == "sh" {
				line, _, _ = strings.Cut(line, " #")
				line = strings.TrimSpace(line)
			}
			b.lines = append(b.lines, line)
		case isHeading:
			section = heading
		}
	}
	return string(data), blocks
}

// TestReadmeIsKnown: TestReadme runs every command of README.md, except those with a reason, and there is one spec.
func TestReadmeIsKnown(t *testing.T) {
	_, blocks := readBlocks(t, "README.md")
	seen := map[string]bool{}
	var specs int
	for _, b := range blocks {
		switch b.language {
		case "yaml":
			if specs++; b.section != "First pair" {
				t.Errorf("nothing tries the YAML in the section %q", b.section)
			}
		case "sh":
			for _, command := range b.lines {
				seen[b.section+": "+command] = true
				seen[command] = true
				if readmeBlocks[b.section][command] == nil && readmeNotRun[command] == "" {
					t.Errorf("nothing runs the command of the section %q: %s", b.section, command)
				}
			}
		default:
			t.Errorf("nothing runs a block in the language %q", b.language)
		}
	}
	if specs != 1 {
		t.Errorf("%d specs, want one", specs)
	}
	for section, commands := range readmeBlocks {
		for command := range commands {
			if !seen[section+": "+command] {
				t.Errorf("the section %q has no command %s", section, command)
			}
		}
	}
	for command := range readmeNotRun {
		if !seen[command] {
			t.Errorf("the README has no command %s", command)
		}
	}
}

// TestReadme: a newcomer has two bare hosts, the package and README.md. All commands of the README are run in its
// order, typed at a terminal by a user with sudo on the hosts, and have the described results; the pair serves within
// five minutes. Only the addresses and the kind of machine differ from the README.
func TestReadme(t *testing.T) {
	w := e2e.New(t)
	r := &reader{World: w, hosts: w.LoginHosts(lab.Bookworm, lab.Trixie), before: map[*e2e.Host]string{}}
	text, blocks := readBlocks(t, "README.md")
	r.text = text
	agent, err := os.ReadFile(e2e.AgentBinary())
	if err != nil {
		t.Fatal(err)
	}
	deb := packed(t, agent)
	r.laptop = w.NewLaptop(r.hosts...)
	for _, h := range r.hosts {
		h.Shell("rm " + pair.Agent + " " + e2e.Faulty + " /etc/systemd/system/rlb-agent.service; systemctl daemon-reload; apt-get -qq update; " +
			"useradd -m -s /bin/bash ada; echo 'ada ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/ada")
		h.Shell("rm -f /var/lib/ucf/hashfile*")
		r.before[h] = h.Snapshot()
		if err := h.WriteFile(home+"rlb-agent_1.0.0-1_amd64.deb", deb, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, plane := range w.Planes { // the endpoint exists before the first API server
		r.set(plane, lab.Refuse)
	}

	r.began = time.Now()
	for _, b := range blocks {
		if b.language == "yaml" {
			r.spec = own(strings.Join(b.lines, "\n") + "\n")
			r.writes("spec.yaml", r.spec)
			continue
		}
		if readmeBlocks[b.section] == nil {
			continue
		}
		hosts := r.hosts
		stop := func() lab.Report { return lab.Report{} }
		if !slices.Contains(onEach, b.section) {
			active, _ := w.Roles(r.hosts[0], r.hosts[1])
			hosts = []*e2e.Host{active}
			stop = r.steady(b.section)
		}
		for _, h := range hosts {
			for _, command := range b.lines {
				begin := time.Now()
				readmeBlocks[b.section][command](r, h, command)
				t.Logf("%s: %s: %v", h.Name(), command, time.Since(begin).Round(10*time.Millisecond))
			}
		}
		stop()
	}
}

const (
	home          = "/home/ada/"
	readmeService = pair.VIP + ":6443"
)

// A reader does what README.md says.
type reader struct {
	*e2e.World
	hosts  []*e2e.Host
	laptop *e2e.Laptop
	text   string // of the README
	spec   string
	tried  string
	trial  *terminal
	began  time.Time
	before map[*e2e.Host]string
}

// own replaces the documents' addresses by the lab's.
func own(text string) string {
	return strings.NewReplacer("192.168.3.240", pair.VIP, "192.168.3.24", "198.51.100.1", "192.168.3.25", "198.51.100.2", "192.168.3.1", "198.51.100.1").Replace(text)
}

// writes writes a file on both hosts, as their user.
func (r *reader) writes(name, text string) {
	r.Helper()
	for _, h := range r.hosts {
		if err := h.WriteFile(home+name, []byte(text), 0o644); err != nil {
			r.Fatal(err)
		}
		h.Shell("chown ada:ada " + home + name)
	}
}

func (r *reader) set(plane *lab.ControlPlane, mode lab.Mode) {
	r.Helper()
	if err := plane.Set(mode); err != nil {
		r.Fatal(err)
	}
}

// says fails the test unless the README still contains these words, which the test tries.
func (r *reader) says(words string) {
	r.Helper()
	if !strings.Contains(strings.Join(strings.Fields(r.text), " "), words) {
		r.Errorf("the README does not say %q", words)
	}
}

// serves waits until clients reach all control planes through the virtual IP.
func (r *reader) serves() {
	r.Helper()
	seen := map[string]bool{}
	r.Eventually("clients reach all control planes", 30*time.Second, func() bool {
		if name, err := r.Client.Get(r.Context(), readmeService); err == nil {
			seen[name] = true
		}
		return len(seen) == len(r.Planes)
	})
}

// steady is World.Steady for the service of the README.
func (r *reader) steady(what string) (stop func() lab.Report) {
	r.Helper()
	p, err := r.Client.Probe(readmeService, lab.ProbeOptions{Interval: 20 * time.Millisecond, Timeout: time.Second})
	if err != nil {
		r.Fatal(err)
	}
	return func() lab.Report {
		r.Helper()
		report := p.Stop()
		if err := e2e.Lossless(report); err != nil {
			r.Errorf("%s: %v (itself late by %v)", what, err, report.Late)
		}
		return report
	}
}

func (r *reader) peer(h *e2e.Host) *e2e.Host {
	if h == r.hosts[0] {
		return r.hosts[1]
	}
	return r.hosts[0]
}

func (r *reader) installs(h *e2e.Host, command string) {
	r.on(h, strings.Replace(command, "_arm64.deb", "_amd64.deb", 1)).ends(0, "rlb-agent init --vip")
	r.says("The daemon starts and waits for a spec.")
	r.Eventually("the daemon waits for a spec", 10*time.Second, func() bool {
		return h.Is("active", "rlb-agent", "active") && h.Succeeds("journalctl -u rlb-agent | grep -q 'rlb-agent init writes'")
	})
}

func (r *reader) looksAhead(h *e2e.Host, command string) {
	if h == r.hosts[0] { // the other way to get the spec
		r.says("`sudo rlb-agent init --spec spec.yaml` write it from `--vip`, `--node` and `--server`")
		r.on(h, own("sudo rlb-agent init --spec first.yaml --vip 192.168.3.240/24 --node lb1=192.168.3.241,lb2=192.168.3.242 "+
			"--server master1=192.168.3.251,master2=192.168.3.252,master3=192.168.3.253")).ends(0, "first.yaml")
		if out := h.Shell("cd " + home + "; for s in spec first; do rlb-agent render $s.yaml >/root/$s; done; diff /root/spec /root/first; rm first.yaml /root/spec /root/first"); out != "" {
			r.Errorf("init writes another spec than that of the README:\n%s", out)
		}
	}
	before := h.Footprint()
	r.on(h, command).ends(1, "install haproxy, keepalived", "server master2 198.51.100.22:6443")
	if after := h.Footprint(); after != before {
		r.Errorf("%s: the dry run changed the host:\n%s", h.Name(), e2e.Difference(before, after))
	}
}

func (r *reader) does(h *e2e.Host, command string) { r.on(h, command).ends(0) }

func (r *reader) watchesTheFirst(h *e2e.Host, command string) {
	role := "MASTER"
	if h != r.hosts[0] {
		role = "BACKUP"
	}
	r.says("Before the API servers run, the status says `0 of 3 servers up`.")
	watch := r.on(h, command)
	watch.types(role, "")
	watch.types("0 of 3 servers up", "\x03")
	watch.ends(0)
	if h == r.hosts[0] {
		return
	}
	for _, plane := range r.Planes {
		r.set(plane, lab.OK)
	}
	r.serves()
	took := time.Since(r.began)
	r.Logf("from nothing to a serving pair: %v", took.Round(100*time.Millisecond))
	if took > 5*time.Minute {
		r.Errorf("from nothing to a serving pair: %v, want at most 5m", took)
	}
	for _, h := range r.hosts {
		inSync(h)
	}
	active, standby := r.Roles(r.hosts[0], r.hosts[1])
	if err := active.CutLink(); err != nil {
		r.Fatal(err)
	}
	r.Eventually("the other one takes over", 5*time.Second, standby.Active)
	r.serves()
	if err := active.RestoreLink(); err != nil {
		r.Fatal(err)
	}
	r.Roles(r.hosts[0], r.hosts[1])
}

func (r *reader) validates(_ *e2e.Host, command string) {
	const web = "web: {address: '127.0.0.1:8345'}"
	r.says("With `" + web + "` in the spec")
	r.laptop.Write("new.yaml", r.spec+"proxy: {retries: 7}\n"+web+"\n")
	r.onLaptop(command).ends(0, "valid")
}

func (r *reader) pushes(_ *e2e.Host, command string) {
	push := r.onLaptop(command)
	push.types("[y/N]", "y\n")
	push.ends(0, "retries 7", "is in force on ")
	for _, h := range r.hosts {
		r.Eventually("the log of "+h.Name()+" says how to open the page from the desk", 10*time.Second, func() bool {
			return h.Succeeds("journalctl -u rlb-agent | grep -q 'ssh .*8345'")
		})
	}
}

func (r *reader) tries(h *e2e.Host, command string) {
	before := h.Shell("cat " + pair.SpecFile)
	r.tried = strings.Replace(before, "  - {name: master3, address: 198.51.100.23}\n", "", 1)
	r.writes("new.yaml", r.tried)
	for _, confirmed := range []bool{false, true} { // the first one goes back, sooner than in two minutes
		sooner := command
		if !confirmed {
			sooner = strings.Replace(command, "120s", "2s", 1)
		}
		r.trial = r.on(h, sooner)
		r.trial.types("unless: rlb-agent confirm", "")
		if !confirmed {
			r.trial.ends(4, "nobody confirmed")
		}
		if now := h.Succeeds("grep -q master3 /etc/haproxy/haproxy.cfg"); now == confirmed || h.Shell("cat "+pair.SpecFile) != before {
			r.Errorf("the trial that is confirmed (%v): master3 is in HAProxy's configuration: %v", confirmed, now)
		}
	}
}

func (r *reader) confirms(h *e2e.Host, command string) {
	r.on(h, command).ends(0)
	r.trial.ends(0, "confirmed")
	if now := h.Shell("cat " + pair.SpecFile); now != r.tried {
		r.Errorf("the spec that was confirmed is not in force:\n%s", now)
	}
}

func (r *reader) readsHistory(h *e2e.Host, command string) {
	r.on(h, command).ends(0, "in force", "master3: removed")
}

func (r *reader) rollsBack(h *e2e.Host, command string) {
	r.on(h, command).ends(0)
	if now, other := h.Shell("cat "+pair.SpecFile), r.peer(h).Shell("cat "+pair.SpecFile); now != other {
		r.Errorf("the rollback is not to the spec before:\n%s", e2e.Difference(other, now))
	}
}

func (r *reader) watches(h *e2e.Host, command string) {
	watch := r.on(h, command)
	watch.types("MASTER", "\x03")
	watch.ends(0, "lb1", "lb2", "master3")
}

func (r *reader) drains(h *e2e.Host, command string) {
	r.on(h, command).ends(0, "drained")
	if h.Active() || !r.peer(h).Active() {
		r.Errorf("%s is drained, and the peer does not hold the virtual IP", h.Name())
	}
}

func (r *reader) undrains(h *e2e.Host, command string) { r.on(h, command).ends(0, "undrained") }

func (r *reader) readsJournal(h *e2e.Host, command string) { r.on(h, command).ends(0, "undrain") }

func (r *reader) tearsDown(h *e2e.Host, command string) {
	teardown := r.on(h, command)
	teardown.types("[y/N]", "y\n")
	teardown.ends(0, "nothing of rlb-agent is left")
}

func (r *reader) purges(h *e2e.Host, command string) {
	purge := r.on(h, command)
	purge.types("[Y/n]", "y\n")
	purge.ends(0)
	h.Shell("rm -f " + home + "*.yaml " + home + "*.deb")
	if _, err := h.Sh(r.Context(), "rm -f /var/lib/ucf/hashfile*"); err != nil { // ucf keeps a copy at each purge on Debian 12
		r.Error(err)
	}
	if after := h.Snapshot(); after != r.before[h] {
		r.Errorf("%s is not what it was before:\n%s", h.Name(), e2e.Difference(r.before[h], after))
	}
	if h == r.hosts[0] {
		r.serves() // served by the other host
	} else if name, err := r.Client.Get(r.Context(), readmeService); err == nil {
		r.Errorf("%s answers on hosts that are no load balancers", name)
	}
}

// A terminal runs a command.
type terminal struct {
	*reader
	command string
	cmd     *exec.Cmd
	keys    io.Writer
	ended   chan struct{}
	mu      sync.Mutex
	seen    bytes.Buffer
}

// on types a command on a host, as its user in the home directory.
func (r *reader) on(h *e2e.Host, command string) *terminal {
	r.Helper()
	cmd := h.Command(r.Context(), "script", "-qec", "stty cols 150 rows 50; exec runuser -l ada --session-command '"+command+"'", "/dev/null")
	return r.at(cmd, h.Name()+": "+command)
}

// onLaptop types a command on the laptop.
func (r *reader) onLaptop(command string) *terminal {
	r.Helper()
	cmd := r.laptop.Command(r.Context(), "script", "-qec", "stty cols 150 rows 50; "+command, "/dev/null")
	cmd.Dir = r.laptop.Dir
	cmd.Env = append(os.Environ(), "PATH="+r.laptop.Dir+":"+filepath.Dir(e2e.AgentBinary())+":"+os.Getenv("PATH"))
	return r.at(cmd, "laptop: "+command)
}

func (r *reader) at(cmd *exec.Cmd, command string) *terminal {
	r.Helper()
	t := &terminal{reader: r, command: command, cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = t, t
	var err error
	if t.keys, err = cmd.StdinPipe(); err == nil {
		err = cmd.Start()
	}
	if err != nil {
		r.Fatalf("%s: %v", command, err)
	}
	go func() {
		_ = cmd.Wait() // the exit code has the result
		close(t.ended)
	}()
	return t
}

func (t *terminal) Write(data []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seen.Write(data)
}

// text returns the recent output.
func (t *terminal) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := t.seen.String()
	return text[max(0, len(text)-20000):]
}

// types waits until the terminal shows the words, and then presses the keys.
func (t *terminal) types(words, keys string) {
	t.Helper()
	for deadline := time.After(time.Minute); !strings.Contains(t.text(), words); {
		select {
		case <-time.After(20 * time.Millisecond):
			continue
		case <-deadline:
		case <-t.ended:
		}
		if !strings.Contains(t.text(), words) {
			t.Fatalf("%s: it does not show %q:\n%s", t.command, words, t.text())
		}
	}
	if _, err := io.WriteString(t.keys, keys); err != nil {
		t.Fatalf("%s: %v\n%s", t.command, err, t.text())
	}
}

// ends waits for the end, and fails the test if the exit code or the output differs.
func (t *terminal) ends(code int, words ...string) {
	t.Helper()
	select {
	case <-t.ended:
	case <-time.After(time.Minute):
		t.Fatalf("%s: it does not end:\n%s", t.command, t.text())
	}
	text := t.text()
	if got := t.cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("%s: exit code %d, want %d\n%s", t.command, got, code, text)
	}
	for _, words := range words {
		if !strings.Contains(text, words) {
			t.Errorf("%s: it does not show %q:\n%s", t.command, words, text)
		}
	}
}

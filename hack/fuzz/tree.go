package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/specgen"
)

//go:embed preload/forkserver.c
var forkServer string

// patience limits how long a program may take for one file, on a busy machine.
const patience = 2 * time.Minute

// treeScript mounts a scratch overlay over a release's tree, in namespaces that end with it, and starts the programs:
// each stops before it reads its file (preload/forkserver.c). $1 is the tree, $2 the directory that is shared with the
// caller, $3 the interfaces, $4 the names of hosts. Then each line of standard input is a command, which gets the file
// "input".
const treeScript = `
tree=$1 shared=$2 interfaces=$3 hosts=$4
mount -t tmpfs tmpfs "$shared/scratch"
cd "$shared/scratch"
mkdir upper work root
mount -t overlay overlay -o "lowerdir=$tree,upperdir=$PWD/upper,workdir=$PWD/work" root
cd root
mount -t proc proc proc
mount -t tmpfs tmpfs run
mount --rbind /dev dev
mkdir -p run/haproxy run/rlb var/lib/rlb fuzz
mount --bind "$shared" fuzz
cp -r --preserve=mode "$shared/files/." .
echo "127.0.0.1 localhost $hosts" >etc/hosts
echo "hosts: files" >etc/nsswitch.conf
ip link set lo up
n=0
for interface in $interfaces; do
	n=$((n + 1))
	ip link add "$interface" type veth peer name "rlb-peer$n"
	ip link set "$interface" up
	ip link set "rlb-peer$n" up
done
ip addr add 192.168.3.241/24 dev eth0
ip addr add 2001:db8:3::241/64 dev eth0 nodad
exec chroot . env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 LD_BIND_NOW=1 bash -c '
export RLB_FUZZ_FILE RLB_FUZZ_OUT
serve() { LD_PRELOAD=/fuzz/forkserver.so exec "$@" >>/fuzz/started 2>&1 </dev/null; }
RLB_FUZZ_FILE=/fuzz/haproxy.cfg RLB_FUZZ_OUT=/fuzz/out
(exec 5<&- 6<&- 7<&- 8<&-; serve haproxy -c -dW -f /fuzz/haproxy.cfg) &
(exec 3<&5 4>&6 5<&- 6<&- 7<&- 8<&-; serve haproxy -c -f /fuzz/haproxy.cfg) &
RLB_FUZZ_FILE=/fuzz/keepalived.conf
(exec 3<&7 4>&8 5<&- 6<&- 7<&- 8<&-; serve keepalived --config-test --use-file=/fuzz/keepalived.conf) &
exec 3<&- 4<&- 5<&- 6<&- 7<&- 8<&-
while read -r command; do
	$command </fuzz/input >/fuzz/out 2>&1
	echo $?
done'
`

// tree has the programs of a release, started once for all specs.
type tree struct {
	release             lab.Release
	haproxy, keepalived string // Debian's versions
	shared              string // the directory that is /fuzz in the tree
	strict, lax, vrrp   server
	commands            io.Writer
	answers             *bufio.Reader
	stop                func()

	pid int      // of a process in the namespaces of the tree
	net *network // nil until HAProxy is started for the first time
}

// server is a program that judges its file on request.
type server struct{ ask, answer *os.File }

// openTree starts the programs of a release.
func openTree(ctx context.Context, r lab.Release) (*tree, error) {
	root, err := lab.ProgramTree(ctx, r)
	if err != nil {
		return nil, err
	}
	t := &tree{release: r}
	for program, version := range map[string]*string{"haproxy": &t.haproxy, "keepalived": &t.keepalived} {
		out, err := exec.CommandContext(ctx, "dpkg-query", "--admindir="+root+"/var/lib/dpkg", "-W", "-f", "${Version}", program).Output()
		if err != nil {
			return nil, fmt.Errorf("cannot tell the version of %s: %w", program, err)
		}
		*version = string(out)
	}
	if t.shared, err = os.MkdirTemp("", "rlb-fuzz-"); err != nil {
		return nil, err
	}
	if err := t.fill(ctx); err != nil {
		os.RemoveAll(t.shared)
		return nil, err
	}
	return t, t.start(ctx, root)
}

// fill writes the files that the programs need into the shared directory.
func (t *tree) fill(ctx context.Context) error {
	source, object := filepath.Join(t.shared, "forkserver.c"), filepath.Join(t.shared, "forkserver.so")
	files := map[string]string{source: forkServer}
	for _, name := range []string{"haproxy.cfg", "keepalived.conf"} { // HAProxy checks that the file exists before it opens it
		files[filepath.Join(t.shared, name)] = ""
	}
	for _, path := range specgen.CAFiles {
		files[filepath.Join(t.shared, "files", path)] = authority + ownAuthorityPEM()
	}
	for _, path := range specgen.Programs {
		files[filepath.Join(t.shared, "files", path)] = "#!/bin/sh\n"
	}
	if err := os.MkdirAll(filepath.Join(t.shared, "scratch"), 0o755); err != nil {
		return err
	}
	for path, text := range files {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			return err
		}
	}
	if out, err := exec.CommandContext(ctx, "gcc", "-O2", "-shared", "-fPIC", "-o", object, source).CombinedOutput(); err != nil {
		return fmt.Errorf("cannot make %s: %w\n%s", object, err, out)
	}
	return os.Chmod(t.shared, 0o755)
}

func (t *tree) start(ctx context.Context, root string) error {
	// When its time is over, a run finishes the current spec.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "bash", "-ec", treeScript, "bash",
		root, t.shared, strings.Join(specgen.Interfaces, " "), strings.Join(specgen.Names, " "))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var theirs []*os.File
	for _, s := range []*server{&t.strict, &t.lax, &t.vrrp} {
		asked, ask, err := os.Pipe()
		if err != nil {
			return err
		}
		answer, answered, err := os.Pipe()
		if err != nil {
			return err
		}
		*s = server{ask, answer}
		theirs = append(theirs, asked, answered)
	}
	cmd.ExtraFiles = theirs
	cmd.Stderr = os.Stderr
	commands, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	answers, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	t.commands, t.answers = commands, bufio.NewReader(answers)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start the programs of %s: %w", t.release, err)
	}
	for _, f := range theirs {
		f.Close()
	}
	t.pid = cmd.Process.Pid
	t.stop = func() {
		commands.Close()
		for _, s := range []*server{&t.strict, &t.lax, &t.vrrp} {
			s.ask.Close()
			s.answer.Close()
		}
		cmd.Process.Kill()
		cmd.Wait()
		os.RemoveAll(t.shared)
	}
	return nil
}

// judge makes a program read a file, and returns its output and its exit code.
func (t *tree) judge(s server, name string, data []byte) (said string, code int, err error) {
	if err := os.WriteFile(filepath.Join(t.shared, name), data, 0o644); err != nil {
		return "", 0, err
	}
	if _, err := s.ask.Write([]byte{1}); err != nil {
		return "", 0, t.died(err)
	}
	if err := s.answer.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return "", 0, err
	}
	var status [4]byte
	if _, err := io.ReadFull(s.answer, status[:]); err != nil {
		return "", 0, t.died(err)
	}
	out, err := os.ReadFile(filepath.Join(t.shared, "out"))
	if err != nil {
		return "", 0, err
	}
	wait := syscall.WaitStatus(binary.NativeEndian.Uint32(status[:]))
	if wait.Signaled() {
		return string(out), -1, fmt.Errorf("cannot have a verdict: it died of %s\n%s", wait.Signal(), out)
	}
	return string(out), wait.ExitStatus(), nil
}

// died returns an error with what a program wrote at its start.
func (t *tree) died(err error) error {
	said, _ := os.ReadFile(filepath.Join(t.shared, "started"))
	return fmt.Errorf("cannot ask the programs of %s: %w\n%s", t.release, err, said)
}

// run runs a program of the release with an input.
func (t *tree) run(command string, input []byte) (said string, ok bool, err error) {
	if err := os.WriteFile(filepath.Join(t.shared, "input"), input, 0o644); err != nil {
		return "", false, err
	}
	if _, err := fmt.Fprintln(t.commands, command); err != nil {
		return "", false, t.died(err)
	}
	code, err := t.answers.ReadString('\n')
	if err != nil {
		return "", false, t.died(errors.Join(errors.New("it ended"), err))
	}
	out, err := os.ReadFile(filepath.Join(t.shared, "out"))
	return string(out), code == "0\n", err
}

package fields

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/render"
)

// insideOf has the tree of the programs, for the test that runs in the namespaces.
const insideOf = "RLB_FIELDS_TREE"

// treeScript mounts a scratch overlay over a release's tree, in namespaces that end with it: $1 is the tree, $2 an
// empty directory, and the rest is run with the tree in its environment.
const treeScript = `
tree=$1 scratch=$2
shift 2
mount -t tmpfs tmpfs "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
mount -t overlay overlay -o "lowerdir=$tree,upperdir=$scratch/upper,workdir=$scratch/work" "$scratch/root"
mount -t proc proc "$scratch/root/proc"
mount -t tmpfs tmpfs "$scratch/root/run"
mount --rbind /dev "$scratch/root/dev"
ip link set lo up
` + insideOf + `="$scratch/root" exec "$@"
`

// inTrees runs this test once for each release, in namespaces of its own with the release's programs; there it calls
// inside with the tree. It needs no host of the lab.
func inTrees(t *testing.T, inside func(t *testing.T, tree string)) {
	t.Helper()
	forTrees(t, func(*testing.T) {}, inside)
}

// inTreesAtOnce is inTrees for tests that mostly wait for timers: the releases run at the same time.
func inTreesAtOnce(t *testing.T, inside func(t *testing.T, tree string)) {
	t.Helper()
	forTrees(t, (*testing.T).Parallel, inside)
}

func forTrees(t *testing.T, begin func(*testing.T), inside func(t *testing.T, tree string)) {
	t.Helper()
	if tree := os.Getenv(insideOf); tree != "" {
		inside(t, tree)
		return
	}
	for _, r := range lab.Releases() {
		t.Run(string(r), func(t *testing.T) {
			begin(t)
			lab.RequireRelease(t.Context(), t, r)
			tree, err := lab.ProgramTree(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			name, _, _ := strings.Cut(t.Name(), "/")
			cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-ec", treeScript, "sh",
				tree, t.TempDir(), os.Args[0], "-test.run=^"+name+"$", "-test.count=1", "-test.v", "-test.timeout=2m", "-test.parallel=10")
			if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+name+" ") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// start runs a program of the tree until the test ends, or until stop is called.
func start(t *testing.T, tree string, args ...string) (stop func()) {
	t.Helper()
	return run(t, exec.Command("chroot", append([]string{tree}, args...)...))
}

// inTree runs a program of the tree to its end, with this input.
func inTree(t *testing.T, tree, input string, args ...string) {
	t.Helper()
	cmd := exec.Command("chroot", append([]string{tree}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
}

// run runs a command until the test ends, or until stop is called.
func run(t *testing.T, cmd *exec.Cmd) (stop func()) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Setpgid = true // a signal that it sends to its group must not reach the test
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
	})
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			said, _ := os.ReadFile(log.Name())
			t.Logf("%s", said)
		}
	})
	return stop
}

// write writes a file into the tree. An existing link is replaced: a link with an absolute path would lead to this
// machine's own file. A directory that is a link out of the tree is an error.
func write(t *testing.T, tree, path, text string) {
	t.Helper()
	writeMode(t, tree, path, text, 0o644)
}

func writeMode(t *testing.T, tree, path, text string, mode os.FileMode) {
	t.Helper()
	root, err := os.OpenRoot(tree)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	path = strings.TrimPrefix(path, "/")
	if err := root.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := root.Remove(path); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err := root.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := root.Chmod(path, mode); err != nil { // regardless of the umask
		t.Fatal(err)
	}
}

// version returns the version of a package in the tree.
func version(t *testing.T, tree, pkg string) render.Version {
	t.Helper()
	out, err := exec.Command("chroot", tree, "dpkg-query", "-W", "-f", "${Version}", pkg).Output()
	if err != nil {
		t.Fatal(err)
	}
	return render.Version(out)
}

package lab_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"rlb.dev/rlb-agent/hack/lab"
)

// victim makes a lab, reports that, and waits to be killed.
func victim() {
	go func() { // it must not outlive the test and keep the lab's lock
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	ctx := context.Background()
	l, err := lab.New(ctx, lab.Options{})
	if err == nil {
		_, err = l.AddHost(ctx, "victim", lab.Bookworm, lab.HostOptions{Addr: prefix(13)})
	}
	fmt.Println("ready", err)
	select {}
}

func TestSweepAfterKill(t *testing.T) {
	lab.Require(t)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "RLB_LAB_VICTIM=1")
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "ready <nil>\n" {
		t.Errorf("the victim said %q, %v", line, err)
	}
	if err := lab.Sweep(); err == nil {
		t.Error("a living lab was swept")
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if len(leftovers()) == 0 {
		t.Error("a killed lab left nothing, so this test tests nothing")
	}
	// The next lab sweeps. Unlike Sweep, it waits if another process has made a lab first.
	ctx, cancel := contextWithTimeout(t, testTimeout)
	defer cancel()
	l, err := lab.New(ctx, lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range leftovers() {
		if strings.Contains(what, "victim") {
			t.Errorf("not swept: %s", what)
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	checkNothingLeft(t)
}

func checkNothingLeft(t *testing.T) {
	t.Helper()
	lock, err := os.Open(filepath.Join(lab.StateDir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		t.Log("another lab has begun, so what is there now is no leftover")
		return
	}
	for _, what := range leftovers() {
		t.Errorf("left: %s", what)
	}
}

// leftovers lists everything on this machine with the name of a lab of this lane.
func leftovers() (found []string) {
	name := "rlb-lab" + lab.Lane
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		// Compare the mount point only, because this machine may itself be a host of a lab.
		if at := strings.Fields(line)[4]; strings.HasPrefix(at, "/run/netns/"+name+"-") || strings.HasPrefix(at, "/var/lib/"+name+"/") {
			found = append(found, "mount "+line)
		}
	}
	for _, pattern := range []string{"/run/netns/" + name + "-*", "/var/lib/" + name + "/run/*", "/run/systemd/nspawn/*/" + name + "-*"} {
		paths, _ := filepath.Glob(pattern)
		found = append(found, paths...)
	}
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (strings.Contains(path+"/", "/"+name+"/") || strings.Contains(path, "rlblab"+lab.Lane+".slice")) {
			found = append(found, path)
		}
		return nil
	})
	processes, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range processes {
		line, _ := os.ReadFile(path)
		if strings.Contains(string(line), name+"-") {
			found = append(found, path+" "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

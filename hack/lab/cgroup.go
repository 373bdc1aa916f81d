package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const cgroupRoot = "/sys/fs/cgroup"

// A cgroup is the control group of one host, in every hierarchy that the systemd inside may use. Each host has its
// own: by its group all of a host is killed.
type cgroup struct {
	unit string // the scope, if systemd owns the tree
	dirs []string
}

// hierarchies lists the roots of the hierarchies that systemd uses: one for pure version 2, two for a hybrid machine.
func hierarchies() ([]string, error) {
	var st unix.Statfs_t
	if unix.Statfs(cgroupRoot, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
		return []string{cgroupRoot}, nil
	}
	var roots []string
	for _, name := range []string{"unified", "systemd"} {
		root := filepath.Join(cgroupRoot, name)
		if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err == nil {
			roots = append(roots, root)
		}
	}
	if len(roots) == 0 {
		return nil, errors.New("cannot find control groups for systemd below " + cgroupRoot)
	}
	return roots, nil
}

// systemdIsInit reports whether this machine was booted with systemd.
func systemdIsInit() bool {
	_, err := os.Stat("/run/systemd/system")
	return err == nil
}

// newCgroup names the group of one host, and makes it unless systemd-run will.
func newCgroup(name string) (*cgroup, error) {
	roots, err := hierarchies()
	if err != nil {
		return nil, err
	}
	// Each boot has a scope of its own, because systemd forgets the previous one only after a while.
	g := &cgroup{unit: prefix + name + "-" + strconv.FormatInt(time.Now().UnixNano(), 36) + ".scope"}
	for _, root := range roots {
		if systemdIsInit() {
			g.dirs = append(g.dirs, filepath.Join(root, groupSlice, g.unit))
			continue
		}
		dir := filepath.Join(root, groupParent, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("cannot make a control group: %w", err)
		}
		g.dirs = append(g.dirs, dir)
	}
	return g, nil
}

// wrap returns the command that becomes args inside the group, without a process in between.
func (g *cgroup) wrap(args ...string) []string {
	if systemdIsInit() {
		command := []string{"systemd-run", "--scope", "--quiet", "--collect", "--slice=" + groupSlice,
			"--unit=" + g.unit, "--property=Delegate=yes"}
		if Lane != "" {
			command = append(command, "--property=CPUWeight="+laneWeight)
		}
		return append(append(command, "--"), args...)
	}
	var enter strings.Builder
	for _, dir := range append(laneGroup(), g.dirs...) {
		fmt.Fprintf(&enter, "echo $$ >%s/cgroup.procs\n", dir)
	}
	return append([]string{"sh", "-ec", enter.String() + `exec "$@"`, "sh"}, args...)
}

// kill kills every process of the group.
func (g *cgroup) kill() {
	for _, dir := range g.dirs {
		killGroup(dir)
	}
}

// remove removes the group after its processes have ended.
func (g *cgroup) remove(ctx context.Context) error {
	var errs []error
	for _, dir := range g.dirs {
		errs = append(errs, removeGroup(ctx, dir))
	}
	return errors.Join(errs...)
}

func killGroup(dir string) {
	// The kernel can kill a whole subtree in one step; groups of version 1 are walked.
	if os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0) == nil {
		return
	}
	_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Base(path) != "cgroup.procs" {
			return nil
		}
		list, _ := os.ReadFile(path)
		for field := range strings.FieldsSeq(string(list)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		return nil
	})
}

func removeGroup(ctx context.Context, dir string) error {
	for {
		err := removeTree(dir)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		killGroup(dir)
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot remove control group: %w", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// removeTree removes a group and the groups below it; a group's files are removed with it.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return unix.Rmdir(dir)
}

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// sweep removes every host, mount and namespace with this lab's name, whichever process made it. The caller holds
// the lab's lock, so nothing of it is in use.
func sweep(ctx context.Context) error {
	// First the processes: they hold the mounts and the namespaces.
	roots, err := hierarchies()
	if err != nil {
		return err
	}
	var errs []error
	for _, root := range roots {
		for _, name := range []string{groupParent, groupSlice} {
			killGroup(filepath.Join(root, name))
		}
	}
	for _, root := range roots {
		for _, name := range []string{groupParent, groupSlice} {
			errs = append(errs, removeGroup(ctx, filepath.Join(root, name)))
		}
	}
	if Lane != "" {
		_ = os.Remove(filepath.Join(cgroupRoot, "cpu", groupParent)) // it is empty now
	}
	names, _ := filepath.Glob(filepath.Join(netnsDir, prefix+"*"))
	for _, path := range names {
		removeNetns(filepath.Base(path))
	}
	errs = append(errs, sweepDisks())
	// systemd-nspawn leaves these two if it is killed: empty directories, or mounts of one.
	for _, dir := range []string{"propagate", "unix-export"} {
		left, _ := filepath.Glob(filepath.Join("/run/systemd/nspawn", dir, prefix+"*"))
		for _, path := range left {
			_ = unix.Unmount(path, unix.MNT_DETACH)
			_ = os.Remove(path)
		}
	}
	return errors.Join(errs...)
}

// sweepDisks unmounts the hosts' disks and removes them.
func sweepDisks() error {
	for _, path := range mountsBelow(runDir) {
		_ = unix.Unmount(path, unix.MNT_DETACH)
	}
	// Never remove through a mount: the files below it do not belong to the lab.
	if left := mountsBelow(runDir); len(left) > 0 {
		return fmt.Errorf("cannot unmount %s", strings.Join(left, ", "))
	}
	return os.RemoveAll(runDir)
}

// mountsBelow lists the mount points below a directory, the deepest first.
func mountsBelow(dir string) []string {
	table, _ := os.ReadFile("/proc/thread-self/mountinfo")
	var found []string
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			found = append(found, fields[4])
		}
	}
	slices.Reverse(found)
	return found
}

package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// AddRepackaged adds a second version of a package to the host's own repository: the same content with another version.
// The host sees it after its next apt-get update.
func (h *Host) AddRepackaged(ctx context.Context, pkg, version string) error {
	if err := repack(ctx, filepath.Join(h.root(), "srv/repo"), pkg, version); err != nil {
		return fmt.Errorf("cannot offer %s %s on %s: %w", pkg, version, h.name, err)
	}
	return nil
}

// AddFrom adds a package of another release to the host's own repository. The host sees it after its next apt-get
// update.
func (h *Host) AddFrom(ctx context.Context, r Release, pkg string) error {
	base, err := baseTree(ctx, r, h.lab.log)
	if err == nil {
		err = copyPackage(ctx, filepath.Join(base, "srv/repo"), filepath.Join(h.root(), "srv/repo"), pkg)
	}
	if err != nil {
		return fmt.Errorf("cannot offer %s of %s on %s: %w", pkg, r, h.name, err)
	}
	return nil
}

// copyPackage copies a package from one repository to another.
func copyPackage(ctx context.Context, from, to, pkg string) error {
	found, err := filepath.Glob(filepath.Join(from, pkg+"_*.deb"))
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("no such package in %s", from)
	}
	if _, err := run(ctx, append([]string{"cp", "--"}, append(found, to)...)...); err != nil {
		return err
	}
	return index(ctx, to)
}

var versionLine = regexp.MustCompile(`(?m)^Version: .*$`)

func repack(ctx context.Context, repo, pkg, version string) error {
	found, err := filepath.Glob(filepath.Join(repo, pkg+"_*.deb"))
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("no such package in %s", repo)
	}
	temp, err := os.MkdirTemp("", "rlb-lab-repack-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	tree := filepath.Join(temp, "tree")
	if _, err := run(ctx, "dpkg-deb", "--raw-extract", found[0], tree); err != nil {
		return err
	}
	control := filepath.Join(tree, "DEBIAN/control")
	text, err := os.ReadFile(control)
	if err != nil {
		return err
	}
	text = versionLine.ReplaceAll(text, []byte("Version: "+version))
	if err := os.WriteFile(control, text, 0o644); err != nil {
		return err
	}
	// A file name normally has no epoch, but any unique name will do.
	deb := filepath.Join(repo, fmt.Sprintf("%s_%x.deb", pkg, version))
	// Strong compression would cost seconds and gain nothing here.
	if _, err := run(ctx, "dpkg-deb", "-Zgzip", "-z1", "--build", tree, deb); err != nil {
		return err
	}
	return index(ctx, repo)
}

package host

import (
	"context"
	"time"
)

// Package is the state of one Debian package.
type Package struct {
	Name    string
	Version string // installed version; "" if not installed
	Present bool   // some of its files can exist, including configuration files
	Broken  bool   // half installed, unpacked or half configured
	Held    bool   // held against upgrades
}

// Offer is a version of a package that apt would install.
type Offer struct {
	Version  string
	Security bool // from an archive of security updates
}

// PackageReader reads the state of Debian packages.
type PackageReader interface {
	// Packages returns the states of the named packages, in that order.
	Packages(ctx context.Context, names ...string) ([]Package, error)
	// Candidates returns the versions of the named packages that apt would install, without packages that apt does not
	// offer. apt takes up to two seconds to answer.
	Candidates(ctx context.Context, names ...string) (map[string]string, error)
	// Additions returns the packages that an installation would add to the installed ones, including dependencies.
	Additions(ctx context.Context, packages ...string) ([]string, error)
	// Offers returns what apt would install of the named packages if none were held, and when its lists last changed. If
	// lists is not after since, Offers does not ask apt and returns no offers.
	Offers(ctx context.Context, since time.Time, names ...string) (offers map[string]Offer, lists time.Time, err error)
}

// PackageWriter changes packages. None of its methods is interrupted while dpkg works.
type PackageWriter interface {
	// RefreshPackages downloads the package lists (apt-get update).
	RefreshPackages(ctx context.Context) error
	// InstallPackages installs packages, each "name" or "name=version" (glob allowed), without recommended packages. It
	// returns the names of all packages that were not installed before, including dependencies.
	InstallPackages(ctx context.Context, packages ...string) ([]string, error)
	// PurgePackages removes these packages with their configuration, and no others.
	PurgePackages(ctx context.Context, names ...string) error
	// RepairPackages completes what an interrupted dpkg or apt left half done.
	RepairPackages(ctx context.Context) error
	// HoldPackage marks a package as held against upgrades, or removes the mark.
	HoldPackage(ctx context.Context, name string, hold bool) error
}

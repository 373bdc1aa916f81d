package host

import (
	"context"
	"time"
)

// Package is the state of one Debian package.
type Package struct {
	Name    string
	Version string // installed version; "" where not installed
	Present bool   // any of its files may be there, its configuration counted
	Broken  bool   // half installed, unpacked or half configured
	Held    bool   // held against upgrades
}

// Offer is a version of a package that apt would install.
type Offer struct {
	Version  string
	Security bool // from an archive of security updates
}

// PackageReader looks at Debian packages.
type PackageReader interface {
	// Packages are the states of the named packages, in that order.
	Packages(ctx context.Context, names ...string) ([]Package, error)
	// Candidates are the versions that apt would install of the named packages, without those that it does not offer. The
	// answer takes apt up to two seconds.
	Candidates(ctx context.Context, names ...string) (map[string]string, error)
	// Additions are the packages that an installation would bring besides those that are there, dependencies included.
	Additions(ctx context.Context, packages ...string) ([]string, error)
	// Offers are what apt would install of the named packages if nothing held them, and when its lists changed last.
	// Where that is not after since, nobody is asked and there are none.
	Offers(ctx context.Context, since time.Time, names ...string) (offers map[string]Offer, lists time.Time, err error)
}

// PackageWriter changes packages. None of its methods is cut off while dpkg works.
type PackageWriter interface {
	// RefreshPackages fetches the lists of packages (apt-get update).
	RefreshPackages(ctx context.Context) error
	// InstallPackages installs packages, each "name" or "name=version" (glob allowed), without their recommendations.
	// It returns the names of all packages that were not installed before, dependencies included.
	InstallPackages(ctx context.Context, packages ...string) ([]string, error)
	// PurgePackages removes packages with their configuration, and nothing but these.
	PurgePackages(ctx context.Context, names ...string) error
	// RepairPackages finishes what an interrupted dpkg or apt left half done.
	RepairPackages(ctx context.Context) error
	// HoldPackage marks a package as held against upgrades, or takes the mark away.
	HoldPackage(ctx context.Context, name string, hold bool) error
}

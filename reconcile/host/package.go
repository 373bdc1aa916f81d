package host

// Package is the state of one Debian package.
type Package struct {
	Name      string
	Version   string // installed version; "" where not installed
	Present   bool   // any of its files may be there, its configuration counted
	Broken    bool   // half installed, unpacked or half configured
	Held      bool   // held against upgrades
	Candidate string // version that apt would install, "" where none is offered or apt's lists were never fetched
}

// Offer is a version of a package that apt would install.
type Offer struct {
	Version  string
	Security bool // from an archive of security updates
}

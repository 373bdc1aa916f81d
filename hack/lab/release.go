package lab

import (
	"fmt"
	"slices"
)

// Release is a release of Debian that hosts can run.
type Release string

// The releases that the lab boots.
const (
	Bullseye Release = "bullseye" // Debian 11
	Bookworm Release = "bookworm" // Debian 12
	Trixie   Release = "trixie"   // Debian 13

	// In development: they change every day, and on some days they are not available.
	Sid          Release = "sid"          // Debian unstable
	Experimental Release = "experimental" // sid with the HAProxy of Debian experimental
)

// Releases lists every release of the lab, oldest first.
func Releases() []Release { return append(StableReleases(), Sid, Experimental) }

// StableReleases lists the releases that Debian has published, oldest first.
func StableReleases() []Release { return []Release{Bullseye, Bookworm, Trixie} }

// Stable reports whether Debian has published the release.
func (r Release) Stable() bool { return slices.Contains(StableReleases(), r) }

// suite is the name of the release's base in the archive.
func (r Release) suite() string {
	if r == Experimental {
		return string(Sid)
	}
	return string(r)
}

// ParseRelease finds a release by its codename.
func ParseRelease(name string) (Release, error) {
	if r := Release(name); slices.Contains(Releases(), r) {
		return r, nil
	}
	return "", fmt.Errorf("cannot use release %q: the lab has %v", name, Releases())
}

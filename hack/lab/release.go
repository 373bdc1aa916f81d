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
)

// Codename is the release's name in a Debian archive.
func (r Release) Codename() string { return string(r) }

// Releases lists every release of the lab, oldest first.
func Releases() []Release { return []Release{Bullseye, Bookworm, Trixie} }

// ParseRelease finds a release by its codename.
func ParseRelease(name string) (Release, error) {
	if r := Release(name); slices.Contains(Releases(), r) {
		return r, nil
	}
	return "", fmt.Errorf("cannot use release %q: the lab has %v", name, Releases())
}

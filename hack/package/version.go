package main

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// described matches the output of "git describe --tags --always --dirty": a tag, the number of commits since and the
// last of them, or only a commit if there is no tag.
var described = regexp.MustCompile(`^(?:v?([0-9]+\.[0-9]+\.[0-9]+)(?:-([0-9A-Za-z.]+))?(?:-([0-9]+)-g([0-9a-f]+))?|([0-9a-f]+))$`)

// debianVersion converts a version to one that dpkg orders rightly (deb-version(7)): a release candidate before its
// release, commits after a tag between this tag and the next one, and versions without a tag before all others, ordered
// by time.
func debianVersion(version string, commit time.Time) (string, error) {
	clean, dirty := strings.CutSuffix(version, "-dirty")
	m := described.FindStringSubmatch(clean)
	if m == nil {
		return "", fmt.Errorf("cannot take %q as a version: it is a tag as v1.2.3 or v1.2.3-rc.1, or what git describe says", version)
	}
	tag, candidate, commits, id, bare := m[1], m[2], m[3], m[4], m[5]
	if bare != "" {
		tag = "0~" + commit.UTC().Format("20060102150405") + "." + bare
	}
	if candidate != "" {
		tag += "~" + candidate
	}
	if commits != "" {
		tag += "+" + commits + ".g" + id
	}
	if dirty {
		tag += "+dirty"
	}
	return tag, nil
}

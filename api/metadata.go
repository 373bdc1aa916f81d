package api

import (
	"maps"
	"slices"
	"strings"
	"unicode"

	"rlb.dev/rlb-agent/api/textrule"
)

func (r *rules) metadata() {
	r.entries("metadata.labels", r.spec.Metadata.Labels, textrule.IsLabelValue,
		"must be at most 63 letters, digits, . _ or -, as in Kubernetes")
	r.entries("metadata.annotations", r.spec.Metadata.Annotations, func(text string) bool {
		return !strings.ContainsFunc(text, func(c rune) bool { return unicode.IsControl(c) && c != '\n' && c != '\t' })
	}, "must be text without control characters")
}

func (r *rules) entries(path string, all map[string]string, good func(string) bool, rule string) {
	for _, key := range slices.Sorted(maps.Keys(all)) {
		at := path + "[" + key + "]"
		if !textrule.IsLabelKey(key) {
			r.wrong(path, "must have keys as in Kubernetes, such as app or example.com/app, got %q", key)
		} else if !good(all[key]) {
			r.wrong(at, "%s, got %q", rule, all[key])
		}
	}
}

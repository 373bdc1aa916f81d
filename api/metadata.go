package api

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"
)

// Keys and values of labels have the form that Kubernetes gives them ("Labels and Selectors", syntax and character
// set); annotations have the same keys and free text. What is repeated up to 251 times is a large program: it is compiled
// for a spec that has labels, and not at each start.
var (
	metadataKey = onDemand(`^(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)
	labelValue  = onDemand(`^(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$`)
)

// onDemand is a pattern that is compiled when it is first used.
func onDemand(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}

func (r *rules) metadata() {
	r.entries("metadata.labels", r.spec.Metadata.Labels, func(text string) bool { return labelValue().MatchString(text) },
		"must be at most 63 letters, digits, . _ or -, as in Kubernetes")
	r.entries("metadata.annotations", r.spec.Metadata.Annotations, func(text string) bool {
		return !strings.ContainsFunc(text, func(c rune) bool { return unicode.IsControl(c) && c != '\n' && c != '\t' })
	}, "must be text without control characters")
}

func (r *rules) entries(path string, all map[string]string, good func(string) bool, rule string) {
	for _, key := range slices.Sorted(maps.Keys(all)) {
		at := path + "[" + key + "]"
		if !metadataKey().MatchString(key) {
			r.wrong(path, "must have keys as in Kubernetes, such as app or example.com/app, got %q", key)
		} else if !good(all[key]) {
			r.wrong(at, "%s, got %q", rule, all[key])
		}
	}
}

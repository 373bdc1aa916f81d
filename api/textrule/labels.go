package textrule

import (
	"regexp"
	"sync"
)

// Keys and values of labels have the form of Kubernetes ("Labels and Selectors", syntax and character set). Annotations
// have the same keys and free text. A pattern with up to 251 repetitions compiles to a large program, so the patterns are
// compiled only for a spec that has labels, not at each start.
var (
	metadataKey = onDemand(`^(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)
	labelValue  = onDemand(`^(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$`)
)

// onDemand returns a pattern that is compiled at its first use.
func onDemand(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}

// IsLabelKey reports whether a text can be the key of a label or an annotation.
func IsLabelKey(text string) bool { return metadataKey().MatchString(text) }

// IsLabelValue reports whether a text can be the value of a label.
func IsLabelValue(text string) bool { return labelValue().MatchString(text) }

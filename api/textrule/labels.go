package textrule

import (
	"regexp"
	"sync"
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

// IsLabelKey tells whether a text can be the key of a label or an annotation.
func IsLabelKey(text string) bool { return metadataKey().MatchString(text) }

// IsLabelValue tells whether a text can be the value of a label.
func IsLabelValue(text string) bool { return labelValue().MatchString(text) }

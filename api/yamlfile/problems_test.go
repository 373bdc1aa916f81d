package yamlfile

import (
	"strings"
	"testing"
)

// TestWith: of problems at the same place, With keeps those of its receiver.
func TestWith(t *testing.T) {
	ours := Problems{{Line: 5, Column: 1, Message: "ours"}}
	all := ours.With(Problems{{Line: 5, Column: 1, Message: "theirs"}, {Line: 5, Column: 2, Message: "beside"}, {Line: 2, Column: 3, Message: "before"}, {Line: 2, Column: 3, Message: "and more"}})
	var got []string
	for _, p := range all {
		got = append(got, p.Message)
	}
	if want := "before, and more, ours, beside"; strings.Join(got, ", ") != want {
		t.Errorf("got %q, want %s", got, want)
	}
}

package manual

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestTopicsAreAllThePages(t *testing.T) {
	pages, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, page := range pages {
		want = append(want, strings.TrimSuffix(page, ".md"))
	}
	for _, topic := range Topics() {
		got = append(got, topic.Name)
		if !strings.HasPrefix(topic.Text, "# "+topic.Title+"\n") || len(topic.Title) > 60 {
			t.Errorf("%s.md does not begin with a heading of at most 60 characters", topic.Name)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the topics are %q, the pages %q", got, want)
	}
}

func TestUnknownPage(t *testing.T) {
	for _, name := range []string{"", "nonsense", "../main", "spec.md"} {
		if _, ok := Page(name); ok {
			t.Errorf("there is a page %q", name)
		}
	}
}

// TestLinesFitOnATerminal: a terminal shows the pages as they are. Tables and usage blocks cannot
// be wrapped.
func TestLinesFitOnATerminal(t *testing.T) {
	for _, topic := range Topics() {
		for line := range strings.Lines(topic.Text) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 120 && !strings.HasPrefix(line, "|") && !strings.HasPrefix(line, "      -") {
				t.Errorf("%s.md: a line has %d characters, and 120 fit: %s", topic.Name, n, line)
			}
		}
	}
}

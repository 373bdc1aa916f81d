// Package manual holds the pages of the manual: one Markdown file per subject, readable as plain
// text.
package manual

import (
	"embed"
	"strings"
)

// topics lists the pages in reading order.
var topics = []string{"install", "migrate", "spec", "commands", "failover", "comparison", "design", "security", "limits", "troubleshooting"}

//go:embed *.md
var files embed.FS

// Topic is one page.
type Topic struct {
	// Name is the page's name in "rlb-agent help NAME".
	Name string
	// Title is the heading of the page.
	Title string
	// Text is the page, in Markdown. Its first line is the heading.
	Text string
}

// Topics returns all pages in reading order.
func Topics() []Topic {
	all := make([]Topic, 0, len(topics))
	for _, name := range topics {
		if topic, ok := Page(name); ok {
			all = append(all, topic)
		}
	}
	return all
}

// Page returns the page with this name.
func Page(name string) (Topic, bool) {
	data, err := files.ReadFile(name + ".md")
	if err != nil {
		return Topic{}, false
	}
	text := string(data)
	heading, _, _ := strings.Cut(text, "\n")
	return Topic{Name: name, Title: strings.TrimPrefix(heading, "# "), Text: text}, true
}

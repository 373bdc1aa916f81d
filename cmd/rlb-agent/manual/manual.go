// Package manual holds the pages of the manual: one Markdown file a subject, readable as plain text.
package manual

import (
	"embed"
	"strings"
)

// topics are the names of the pages, in the order in which a reader needs them.
var topics = []string{"install", "migrate", "spec", "commands", "failover", "comparison", "design", "security", "limits", "troubleshooting"}

//go:embed *.md
var files embed.FS

// Topic is one page.
type Topic struct {
	// Name is what the reader asks for: "rlb-agent help NAME".
	Name string
	// Title is the heading of the page.
	Title string
	// Text is the page, in Markdown. Its first line is the heading.
	Text string
}

// Topics lists all pages in the order of the manual.
func Topics() []Topic {
	all := make([]Topic, 0, len(topics))
	for _, name := range topics {
		if topic, ok := Page(name); ok {
			all = append(all, topic)
		}
	}
	return all
}

// Page finds a page by its name.
func Page(name string) (Topic, bool) {
	data, err := files.ReadFile(name + ".md")
	if err != nil {
		return Topic{}, false
	}
	text := string(data)
	heading, _, _ := strings.Cut(text, "\n")
	return Topic{Name: name, Title: strings.TrimPrefix(heading, "# "), Text: text}, true
}

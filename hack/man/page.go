package main

import (
	"fmt"
	"strings"

	"github.com/cpuguy83/go-md2man/v2/md2man"

	"rlb.dev/rlb-agent/cmd/rlb-agent/manual"
)

// page is one man page.
type page struct {
	name    string // rlb-agent-drain
	section string // of the manual, man(1): 5 file formats, 7 miscellaneous, 8 administration
	summary string
	body    string // Markdown below the NAME section
}

// sections has the topics that are not in section 7. In addition each command has a page.
var sections = map[string]string{"spec": "5", "commands": "8"}

// program is the name of the agent, and of the page on its command line.
const program = "rlb-agent"

// pages returns the man pages of all topics and commands.
func pages(topics []manual.Topic) []page {
	all := content(topics)
	var others []string // the pages of the topics: each page refers to all of them
	for _, p := range all {
		if _, isTopic := manual.Page(strings.TrimPrefix(p.name, program+"-")); isTopic || p.name == program {
			others = append(others, fmt.Sprintf("**%s**(%s)", p.name, p.section))
		}
	}
	for i := range all {
		all[i].body += "\n## SEE ALSO\n\n" + strings.Join(others, ", ") + "\n"
	}
	return all
}

// content returns the pages without references to others.
func content(topics []manual.Topic) []page {
	var all []page
	for _, topic := range topics {
		_, body, _ := strings.Cut(topic.Text, "\n")
		p := page{name: program + "-" + topic.Name, section: "7", summary: lower(topic.Title), body: "\n## DESCRIPTION\n" + body}
		if section, ok := sections[topic.Name]; ok {
			p.section = section
		}
		if topic.Name != "commands" {
			all = append(all, p)
			continue
		}
		parts := strings.Split(body, "\n## "+program+" ")
		p.name, p.summary, p.body = program, "a redundant load balancer from one spec file", "\n## DESCRIPTION\n"+parts[0]
		p.body = strings.Replace(p.body, "\n## "+program+"\n", "\n## SYNOPSIS\n", 1)
		all = append(all, p)
		for _, part := range parts[1:] {
			all = append(all, commandPage(part))
		}
	}
	return all
}

// commandPage returns the page of a command, from its section of the commands page.
func commandPage(part string) page {
	name, body, _ := strings.Cut(part, "\n")
	synopsis, text, _ := strings.Cut(body, "\n```\n")
	sentence, _, _ := strings.Cut(strings.Join(strings.Fields(text), " "), ". ")
	body = "\n## SYNOPSIS\n" + synopsis + "\n```\n\n## DESCRIPTION\n" + text
	return page{name: program + "-" + name, section: "8", summary: lower(strings.TrimSuffix(sentence, ".")), body: body}
}

func (p page) file() string { return p.name + "." + p.section }

// roff returns the page for man(1). It has no date, so that the same source gives the same bytes.
func (p page) roff(version string) []byte {
	body := strings.ReplaceAll("\n"+p.body, "\n## ", "\n# ")
	head := fmt.Sprintf("%% %q %q \"\" %q \"rlb-agent manual\"\n# NAME\n%s - %s\n", strings.ToUpper(p.name), p.section,
		strings.TrimSpace(program+" "+version), p.name, p.summary)
	return md2man.Render([]byte(head + body))
}

// lower starts a text with a lower-case letter, unless its first word is all capitals or a name.
func lower(text string) string {
	if len(text) < 2 || strings.HasPrefix(text, "HAProxy") || text[1] >= 'A' && text[1] <= 'Z' {
		return text
	}
	return strings.ToLower(text[:1]) + text[1:]
}

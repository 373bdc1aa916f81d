package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// top is the root of the repository.
const top = "../.."

// document is a Markdown file of the project.
type document struct {
	path   string // from the root of the repository
	text   string
	prose  string // the text without its fenced blocks
	blocks []block
}

// block is a fenced block: its language, its first line, and its text.
type block struct {
	language string
	line     int
	text     string
}

// documents returns all documents for users and contributors.
func documents(t *testing.T) []document {
	t.Helper()
	paths, err := filepath.Glob(top + "/cmd/rlb-agent/manual/*.md")
	if err != nil || len(paths) == 0 {
		t.Fatalf("cannot find the manual: %v", err)
	}
	for _, path := range []string{"README.md", "README.ja.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "examples/monitoring/README.md"} {
		paths = append(paths, filepath.Join(top, path))
	}
	var all []document
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name, err := filepath.Rel(top, path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, parseDocument(name, string(data)))
	}
	return all
}

func parseDocument(path, text string) document {
	d := document{path: path, text: text}
	var open *block
	number := 0
	for line := range strings.Lines(text) {
		number++
		fence, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case isFence && open == nil:
			open = &block{language: fence, line: number}
		case isFence:
			d.blocks = append(d.blocks, *open)
			open = nil
		case open != nil:
			open.text += line
		default:
			d.prose += line
		}
	}
	return d
}

// commandTree returns the whole command line, with cobra's own commands.
func commandTree() *cobra.Command {
	a := &app{stdout: new(bytes.Buffer), stderr: new(bytes.Buffer)}
	root := a.command()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

func TestTheReadmeIsShort(t *testing.T) {
	for _, d := range documents(t) {
		if lines := strings.Count(d.text, "\n"); d.path == "README.md" && lines > 150 {
			t.Errorf("README.md has %d lines: at most 150, the rest belongs into the manual", lines)
		}
	}
}

// TestDocsNameTheGoVersion: wherever the documents ask for Go, they name the version that go.mod requires.
func TestDocsNameTheGoVersion(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(top, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(data)
	for _, d := range documents(t) {
		switch d.path {
		case "README.md", "README.ja.md", "CONTRIBUTING.md", "cmd/rlb-agent/manual/install.md":
			if want := "Go " + string(version[1]); !strings.Contains(d.prose, want) {
				t.Errorf("%s does not say that the source needs %s", d.path, want)
			}
		}
	}
}

var (
	mdLink  = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	notSlug = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

func TestLinksResolve(t *testing.T) {
	for _, d := range documents(t) {
		for _, match := range mdLink.FindAllStringSubmatch(d.prose, -1) {
			if problem := brokenLink(d, match[1]); problem != "" {
				t.Errorf("%s: link to %s: %s", d.path, match[1], problem)
			}
		}
	}
}

var codePath = regexp.MustCompile("`((?:api|render|reconcile|cmd|hack|examples)/[^`* ]+)`")

// TestNamedPathsExist: the files and directories that CONTRIBUTING.md names exist.
func TestNamedPathsExist(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(top, "CONTRIBUTING.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := codePath.FindAllStringSubmatch(string(data), -1)
	for _, match := range named {
		if _, err := os.Stat(filepath.Join(top, match[1])); err != nil && !strings.Contains(match[1], "DAY") {
			t.Errorf("CONTRIBUTING.md names %s: %v", match[1], err)
		}
	}
	if len(named) < 40 {
		t.Errorf("only %d paths", len(named))
	}
}

func brokenLink(d document, target string) string {
	if strings.Contains(target, ":") {
		if !strings.HasPrefix(target, "https://") {
			return "neither https nor a file"
		}
		return ""
	}
	path, anchor, _ := strings.Cut(target, "#")
	at := filepath.Join(top, d.path)
	if path != "" {
		at = filepath.Join(filepath.Dir(at), path)
	}
	info, err := os.Stat(at)
	switch {
	case err != nil:
		return err.Error()
	case anchor == "":
		return ""
	case info.IsDir():
		return "a directory has no headings"
	}
	data, err := os.ReadFile(at)
	if err != nil {
		return err.Error()
	}
	for _, match := range heading.FindAllStringSubmatch(parseDocument(path, string(data)).prose, -1) {
		if slug(match[1]) == anchor {
			return ""
		}
	}
	return "no heading of this name"
}

// slug returns GitHub's anchor of a heading.
func slug(heading string) string {
	return strings.ReplaceAll(notSlug.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

func TestBrokenLinksAreFound(t *testing.T) {
	d := document{path: "README.md"}
	for target, broken := range map[string]bool{
		"CONTRIBUTING.md#who-may-import-what": false, "examples/": false, "https://example.org": false,
		"CONTRIBUTING.md#nothing": true, "nothing.md": true, "http://example.org": true, "examples/#x": true,
	} {
		if got := brokenLink(d, target) != ""; got != broken {
			t.Errorf("%s: broken %v, want %v", target, got, broken)
		}
	}
}

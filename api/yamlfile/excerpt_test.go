package yamlfile

import (
	"strings"
	"testing"
)

func TestExcerpt(t *testing.T) {
	long := strings.Repeat("x", 150)
	for name, c := range map[string]struct {
		problem Problem
		want    string
	}{
		"caret":    {Problem{Line: 12, Column: 5, line: "  - adress: 1"}, "12 |   - adress: 1\n   |     ^"},
		"tab":      {Problem{Line: 1, Column: 2, line: "\ta"}, "1 |  a\n  |  ^"},
		"hidden":   {Problem{Line: 1, Column: 1, line: "\x1b[31m\u200b“é”"}, "1 | ·[31m·“é”\n  | ^"},
		"long":     {Problem{Line: 1, Column: 3, line: long}, "1 | " + long[:100] + "…\n  |   ^"},
		"far":      {Problem{Line: 1, Column: 101, line: long}, "1 | …" + long[:90] + "\n  |  " + strings.Repeat(" ", 40) + "^"},
		"behind":   {Problem{Line: 1, Column: 9, line: "abc"}, "1 | abc\n  |    ^"},
		"no line":  {Problem{Line: 1, Column: 1, line: "  "}, ""},
		"at zero":  {Problem{Line: 1, Column: 0, line: "a"}, "1 | a\n  | ^"},
		"too long": {Problem{Line: 1, Column: 1, line: excerptable([]byte(strings.Repeat("x", 5000)))}, ""},
	} {
		if got := c.problem.Excerpt(); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

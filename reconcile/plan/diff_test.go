package plan

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aymanbagabas/go-udiff"

	"rlb.dev/rlb-agent/reconcile/host"
)

// TestUnifiedOfAPart: the diff of the differing part turns the old content into the new one, as the diff of the whole
// content does. Of several equal lines, the two diffs may name different ones as changed.
func TestUnifiedOfAPart(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	words := []string{"a", "b", "c", "", "@@ -1 +1 @@", "d"}
	text := func(n int) []string {
		var lines []string
		for range n {
			lines = append(lines, words[random.IntN(len(words))])
		}
		return lines
	}
	for range 20_000 {
		old := text(random.IntN(30))
		now := slices.Clone(old)
		for range random.IntN(4) {
			at := random.IntN(len(now) + 1)
			now = slices.Concat(now[:at], text(random.IntN(3)), now[min(len(now), at+random.IntN(3)):])
		}
		ends := []string{"\n", ""}
		a, b := strings.Join(old, "\n")+ends[random.IntN(2)], strings.Join(now, "\n")+ends[random.IntN(2)]
		diff := unified(host.File{Path: "f", Exists: true, Data: []byte(a)}, host.File{Path: "f", Data: []byte(b)})
		if patched := patch(a, diff); patched != b {
			t.Fatalf("%q\n%s\ngives %q, not %q", a, diff, patched, b)
		}
		if patched := patch(a, udiff.Unified("f", "f", a, b)); patched != b {
			t.Fatalf("this test reads diffs wrongly: %q, not %q", patched, b)
		}
	}
}

// patch applies a unified diff.
func patch(text, diff string) string {
	old := strings.SplitAfter(text, "\n")
	var out []string
	at, last := 0, byte(0)
	for line := range strings.Lines(diff) {
		content := line[1:]
		switch {
		case strings.HasPrefix(line, "---") || strings.HasPrefix(line, "+++"):
			continue
		case line[0] == '@':
			var start int
			count := 1
			from := strings.Split(strings.TrimPrefix(strings.Fields(line)[1], "-"), ",")
			start, _ = strconv.Atoi(from[0])
			if len(from) > 1 {
				count, _ = strconv.Atoi(from[1])
			}
			if count > 0 {
				start--
			}
			out, at = append(out, old[at:start]...), start
		case line[0] == '-':
			at++
		case line[0] == ' ':
			out, at = append(out, content), at+1
		case line[0] == '+':
			out = append(out, content)
		case last != '-': // "no newline at the end" belongs to the line before
			out[len(out)-1] = strings.TrimSuffix(out[len(out)-1], "\n")
		}
		last = line[0]
	}
	return strings.Join(append(out, old[at:]...), "")
}

func TestUnifiedInTheMiddle(t *testing.T) {
	a := strings.Repeat("x\n", 1000) + "1\n2\n3\nold\n5\n6\n7\n" + strings.Repeat("y\n", 1000)
	b := strings.Replace(a, "old", "new", 1)
	got := unified(host.File{Path: "f", Exists: true, Data: []byte(a)}, host.File{Path: "f", Data: []byte(b)})
	if want := "--- f\n+++ f\n@@ -1001,7 +1001,7 @@\n 1\n 2\n 3\n-old\n+new\n 5\n 6\n 7\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

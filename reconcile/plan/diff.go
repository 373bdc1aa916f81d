package plan

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"rlb.dev/rlb-agent/reconcile/host"
)

// fileDiff shows the change of the content. A change of only the mode or the owner is said in words.
func fileDiff(from, to host.File) string {
	if diff := unified(from, to); diff != "" {
		return diff
	}
	return fmt.Sprintf("%s: mode %04o, owner %d:%d become mode %04o, owner %d:%d\n",
		to.Path, from.Mode, from.UID, from.GID, to.Mode, to.UID, to.GID)
}

// unified is the difference between two states of a file in the format of diff -u, or "" if the content is the same. Only
// the part between the first and the last different line is compared; in a large file that part is nearly always small.
func unified(from, to host.File) string {
	name := from.Path
	if !from.Exists {
		name = "/dev/null"
	}
	before, after, skipped := differing(from.Data, to.Data)
	diff := udiff.Unified(name, to.Path, string(before), string(after))
	if skipped == 0 || diff == "" {
		return diff
	}
	var b strings.Builder
	for line := range strings.Lines(diff) {
		b.WriteString(renumbered(line, skipped))
	}
	return b.String()
}

// differing cuts off the equal lines at both ends, except for the context lines that a diff shows around a change.
func differing(before, after []byte) (cutBefore, cutAfter []byte, skipped int) {
	begin := sameLines(before, after)
	for range udiff.DefaultContextLines {
		begin = bytes.LastIndexByte(before[:max(0, begin-1)], '\n') + 1
	}
	skipped = bytes.Count(before[:begin], []byte("\n"))
	before, after = before[begin:], after[begin:]
	end := sameEnd(before, after)
	for range udiff.DefaultContextLines {
		if next := bytes.IndexByte(before[len(before)-end:], '\n'); next >= 0 {
			end -= next + 1
		} else {
			end = 0 // the last line, which may have no newline
		}
	}
	return before[:len(before)-end], after[:len(after)-end], skipped
}

// sameLines is the length of the whole lines with which both begin.
func sameLines(a, b []byte) int {
	n, same := min(len(a), len(b)), 0
	for same < n && a[same] == b[same] {
		same++
	}
	return bytes.LastIndexByte(a[:same], '\n') + 1
}

// sameEnd is the length of the whole lines with which both end.
func sameEnd(a, b []byte) int {
	n, same := min(len(a), len(b)), 0
	for same < n && a[len(a)-1-same] == b[len(b)-1-same] {
		same++
	}
	if next := bytes.IndexByte(a[len(a)-same:], '\n'); next >= 0 { // the bytes before it may be part of a line
		return same - next - 1
	}
	return 0
}

// renumbered adds by to the line numbers in the header of a hunk: "@@ -12,7 +12,8 @@".
func renumbered(line string, by int) string {
	words := strings.Fields(line)
	if !strings.HasPrefix(line, "@@ ") || len(words) != 4 {
		return line
	}
	for i, word := range words[1:3] {
		start, count, several := strings.Cut(word[1:], ",")
		number, err := strconv.Atoi(start)
		if err != nil {
			return line
		}
		words[1+i] = word[:1] + strconv.Itoa(number+by)
		if several {
			words[1+i] += "," + count
		}
	}
	return strings.Join(words, " ") + "\n"
}

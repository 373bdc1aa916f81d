package page

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	g "maragu.dev/gomponents"
)

// What is shown of a text, and of a list, at most.
const (
	maxName     = 40     // runes
	maxText     = 400    // runes
	maxDiff     = 12_000 // bytes
	maxLines    = 200
	maxServices = 50
	maxServers  = 64 // of a service
	maxHosts    = 8
	maxVIPs     = 6
	maxEvents   = 40
)

// short is at most so many runes of a text on one line. What does not print, as a change of the direction of writing, is
// a space.
func short(text string, most int) string {
	text = strings.ReplaceAll(strings.TrimRight(cut(text, most*utf8.UTFMax*2), "\n"), "\n", "; ")
	text = strings.Map(printable, text)
	if utf8.RuneCountInString(text) > most {
		text = string([]rune(text)[:most-1]) + "…"
	}
	return text
}

// lines are at most so many lines and bytes of a text.
func lines(text string) (all []string) {
	whole := text
	text = cut(text, maxDiff)
	for line := range strings.Lines(text) {
		if len(all) == maxLines {
			return append(all, "…")
		}
		all = append(all, strings.Map(printable, strings.ReplaceAll(strings.TrimRight(line, "\n"), "\t", "    ")))
	}
	if len(text) < len(whole) {
		all = append(all, "…")
	}
	return all
}

func cut(text string, most int) string {
	if len(text) > most {
		text = text[:most]
	}
	return strings.ToValidUTF8(text, "�")
}

func printable(r rune) rune {
	if !unicode.IsPrint(r) {
		return ' '
	}
	return r
}

// say is a text of a View.
func say(text string) g.Node { return plain(short(text, maxText)) }

// age is since when something lasts: "for 3m20s" with the script, else "since 14:02:10". The same moment makes the same
// HTML, whenever the page is asked for.
func age(since time.Time) g.Node { return moment(since, "since ", "for") }

// past is when something happened: "20s ago" with the script.
func past(at time.Time) g.Node { return moment(at, "at ", "ago") }

func moment(at time.Time, before, form string) g.Node {
	if at.IsZero() {
		return g.Group{}
	}
	return el("time", "age", attr("datetime", at.UTC().Format(time.RFC3339)), attr("data-form", form), plain(before+clock(at)))
}

// clock is a time of this host's zone.
func clock(at time.Time) string { return at.Local().Format("2 Jan 15:04:05") }

// el is an element of a class, "" for none.
func el(name, class string, children ...g.Node) g.Node {
	if class != "" {
		children = append([]g.Node{attr("class", class)}, children...)
	}
	return tag(name, children...)
}

// span is how long something lasted, as exactly as people want to know it: 6 ms, 2.80 s, 3 min 20 s, 2 h 5 min, 3 d 4 h.
func span(d time.Duration) string {
	d = max(d, 0)
	pair := func(big, small time.Duration, names [2]string) string {
		text := fmt.Sprintf("%d %s", d/big, names[0])
		if rest := d % big / small; rest > 0 {
			text += fmt.Sprintf(" %d %s", rest, names[1])
		}
		return text
	}
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d < time.Hour:
		return pair(time.Minute, time.Second, [2]string{"min", "s"})
	case d < 24*time.Hour:
		return pair(time.Hour, time.Minute, [2]string{"h", "min"})
	}
	return pair(24*time.Hour, time.Hour, [2]string{"d", "h"})
}

func plural(n int, one, many string) string {
	if n == 1 {
		return fmt.Sprint(n, " ", one)
	}
	return fmt.Sprint(n, " ", many)
}

// These three are not inlined: the compiler would copy the whole of gomponents' closures to each of hundreds of calls,
// 0.3 MB.

// tag is an element.
//
//go:noinline
func tag(name string, children ...g.Node) g.Node { return g.El(name, children...) }

// attr is an attribute, escaped.
//
//go:noinline
func attr(name string, value ...string) g.Node { return g.Attr(name, value...) }

// plain is a text, escaped.
//
//go:noinline
func plain(text string) g.Node { return g.Text(text) }

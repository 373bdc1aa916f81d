package page

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	g "maragu.dev/gomponents"
)

// Limits on the length of texts and lists.
const (
	maxName     = 40     // runes
	maxText     = 400    // runes
	maxDiff     = 12_000 // bytes
	maxLines    = 200
	maxServices = 50
	maxServers  = 64 // per service
	maxHosts    = 8
	maxVIPs     = 6
	maxEvents   = 40
)

// short returns a text on one line, at most "most" runes long. Unprintable characters, such as a change of the writing
// direction, become spaces.
func short(text string, most int) string {
	text = strings.ReplaceAll(strings.TrimRight(cut(text, most*utf8.UTFMax*2), "\n"), "\n", "; ")
	text = strings.Map(printable, text)
	if utf8.RuneCountInString(text) > most {
		text = string([]rune(text)[:most-1]) + "…"
	}
	return text
}

// lines splits a text into lines, at most maxLines and maxDiff bytes.
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

// say renders a text of a View.
func say(text string) g.Node { return plain(short(text, maxText)) }

// age renders how long a state has lasted: "for 3m20s" with the script, else "since 14:02:10". The HTML depends only on
// the time since, not on when the page is requested.
func age(since time.Time) g.Node { return moment(since, "since ", "for") }

// past renders when something happened: "20s ago" with the script.
func past(at time.Time) g.Node { return moment(at, "at ", "ago") }

func moment(at time.Time, before, form string) g.Node {
	if at.IsZero() {
		return g.Group{}
	}
	return el("time", "age", attr("datetime", at.UTC().Format(time.RFC3339)), attr("data-form", form), plain(before+clock(at)))
}

// clock formats a time in this host's time zone.
func clock(at time.Time) string { return at.Local().Format("2 Jan 15:04:05") }

// el returns an element with a class, "" for none.
func el(name, class string, children ...g.Node) g.Node {
	if class != "" {
		children = append([]g.Node{attr("class", class)}, children...)
	}
	return tag(name, children...)
}

// span formats a duration with a suitable precision: 6 ms, 2.80 s, 3 min 20 s, 2 h 5 min, 3 d 4 h.
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

// These three are not inlined: the compiler would copy gomponents' closures into each of hundreds of calls, 0.3 MB.

// tag returns an element.
//
//go:noinline
func tag(name string, children ...g.Node) g.Node { return g.El(name, children...) }

// attr returns an attribute; the value is escaped.
//
//go:noinline
func attr(name string, value ...string) g.Node { return g.Attr(name, value...) }

// plain returns a text node; the text is escaped.
//
//go:noinline
func plain(text string) g.Node { return g.Text(text) }

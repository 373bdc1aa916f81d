package specgen

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// rarely is true once in this many times.
func (g *generator) rarely(times int) bool { return g.IntN(times) == 0 }

// number returns a number in the range; in a quarter of the cases one of the bounds.
func (g *generator) number(least, most int) int {
	switch g.IntN(8) {
	case 0:
		return least
	case 1:
		return most
	case 2, 3:
		return least + g.IntN(min(most-least, 50)+1)
	}
	return least + g.IntN(most-least+1)
}

func (g *generator) between(least, most int) func() any {
	return func() any { return g.number(least, most) }
}

func (g *generator) yes() any { return g.IntN(2) == 0 }

// text returns a function that returns one of the texts.
func (g *generator) text(texts ...string) func() any {
	return func() any { return oneOf(g, texts...) }
}

// duration returns a number of units, in one of Go's notations.
func (g *generator) duration(least, most int, unit time.Duration) string {
	d := time.Duration(g.number(least, most)) * unit
	switch g.IntN(6) {
	case 0:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case 1:
		return strconv.FormatFloat(float64(d.Milliseconds())/1000, 'f', -1, 64) + "s"
	case 2:
		return fmt.Sprintf("%dus", d.Microseconds())
	}
	return d.String()
}

func (g *generator) durations(least, most int, unit time.Duration) func() any {
	return func() any { return g.duration(least, most, unit) }
}

// longest is HAProxy's longest time, in milliseconds.
const longest = 1<<31 - 1

// time returns any time that HAProxy accepts; times that are common in practice more often.
func (g *generator) time() any {
	if g.IntN(3) > 0 {
		return g.duration(1, 600, time.Second)
	}
	return g.duration(1, longest, time.Millisecond)
}

// word makes a word: the first character from first, the others from letters.
func (g *generator) word(first, letters string, least, most int) string {
	var b strings.Builder
	for i := range g.number(least, most) {
		from := letters
		if i == 0 {
			from = first
		}
		b.WriteByte(from[g.IntN(len(from))])
	}
	return b.String()
}

const alphanumeric = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

// name makes a name that fits the rule "name" of the language. Some are keywords of the programs, or names that the
// agent itself uses.
func (g *generator) name(limit int) string {
	if g.IntN(2) == 0 {
		return oneOf(g, "kube-apiserver", "web", "rlb", "MASTER", "GLOBAL", "default", "check", "a.b_c-d", "9", "server1", "0x", "dns", "true", "1e3", "to", "if")
	}
	return g.word(alphanumeric, alphanumeric+"._-", 1, limit)
}

// names makes names that differ in more than their letter case.
func (g *generator) names(n, limit int) (all []string) {
	for i := range n {
		name := g.name(limit)
		if slices.ContainsFunc(all, func(other string) bool { return strings.EqualFold(name, other) }) {
			name = fmt.Sprintf("n%d", i)
		}
		all = append(all, name)
	}
	return all
}

// dnsName makes a DNS name, at times one of the greatest length.
func (g *generator) dnsName() string {
	if g.rarely(20) {
		label := strings.Repeat("a", 63)
		return label + "." + label + "." + label + "." + label[:61]
	}
	var labels []string
	for range 1 + g.IntN(4) {
		labels = append(labels, g.word(alphanumeric, alphanumeric, 1, 12))
	}
	return strings.Join(append(labels, oneOf(g, "org", "example.ORG", "x", "c0m")), ".")
}

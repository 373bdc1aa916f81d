package render

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"rlb.dev/rlb-agent/api"
)

// Causes finds the fields of the spec that cause a program's complaints about a file. HAProxy accepts every line that the
// agent itself generates. A complaint is therefore about a file that the spec names, or about the user's own lines and
// words. HAProxy may report another line than theirs (a second section with the same name, a missing backend).
type Causes struct {
	file     File
	sections []opened
	own      []ownWords
}

// opened is a section of haproxy.cfg.
type opened struct {
	name string
	line int // the line that opens it
}

// ownWords are the user's own words in a section.
type ownWords struct {
	field   string // with the index of the line if the field is a list of lines
	list    string // without the index
	section int
	words   []string
}

// Causes reads the file and returns its sections and the user's own words.
func (f File) Causes() *Causes {
	c := &Causes{file: f}
	number := 0
	for line := range strings.Lines(string(f.Data)) {
		number++
		words := strings.Fields(line)
		if len(words) > 0 && api.IsSection(words[0]) {
			c.sections = append(c.sections, opened{strings.Join(words[1:min(2, len(words))], ""), number})
		}
		if number > len(f.origins) { // the file was not rendered, so nothing has an origin
			break
		}
		at := f.origins[number-1]
		own := ownWords{field: at.String(), list: at.path, section: len(c.sections) - 1, words: words}
		if at.server > 0 {
			own.list, own.words = "", nil
			if extra := f.service(at.path).ExtraServer; extra != "" {
				own.list, own.words = at.path+".extraServer", strings.Fields(extra)
			}
			own.field = own.list
			if last := len(c.own) - 1; last >= 0 && c.own[last].field == own.field && c.own[last].section == own.section {
				continue // the same words as the server before
			}
		}
		if len(own.words) > 0 && (at.raw > 0 || at.server > 0) {
			c.own = append(c.own, own)
		}
	}
	return c
}

// service returns the service at a path.
func (f File) service(path string) *api.Service {
	i, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(path, "services["), "]"))
	if err != nil || f.spec == nil || i >= len(f.spec.Services) {
		return new(api.Service)
	}
	return &f.spec.Services[i]
}

// Of returns the field that causes a complaint, or "" if it cannot be found. line is the line that the program names, or
// 0. said is the text of the complaint.
func (c *Causes) Of(line int, said string) string {
	if c.file.Kind != HAProxyConfig || c.isRaw(line) {
		return c.file.Origin(line)
	}
	if field := c.namedFile(said); field != "" {
		return field
	}
	if field := cmp.Or(c.OfOwn(line, said), c.hear(said).best(c.own)); field != "" {
		return field
	}
	near := c.near(append(c.linesNamed(said), line), said)
	here := slices.DeleteFunc(slices.Clone(near), func(own ownWords) bool { return !OnEachServer(own.list) || !c.isServer(line) })
	for _, candidates := range [][]ownWords{here, near} {
		if field := only(candidates); field != "" {
			return field
		}
	}
	if line == 0 { // the cause may be the machine: its memory, or something that it lacks
		return ""
	}
	return cmp.Or(only(c.own), c.file.Origin(line))
}

// OfOwn returns the field of the user's own lines and words that a complaint is about: a line that the complaint names,
// or words near that line that the complaint repeats. It returns "" if there is none, as for a cause in the machine.
func (c *Causes) OfOwn(line int, said string) string {
	lines := append([]int{line}, c.linesNamed(said)...)
	for _, n := range lines {
		if c.isRaw(n) {
			return c.file.Origin(n)
		}
	}
	return c.hear(said).best(c.near(lines, said))
}

// OnEachServer reports whether the words of a field are part of the line of each server of its service.
func OnEachServer(field string) bool {
	return strings.HasSuffix(field, ".extraServer") || strings.HasSuffix(field, ".healthCheck.caFile")
}

func (c *Causes) isRaw(line int) bool {
	return line > 0 && line <= len(c.file.origins) && c.file.origins[line-1].raw > 0
}

func (c *Causes) isServer(line int) bool {
	return line > 0 && line <= len(c.file.origins) && c.file.origins[line-1].server > 0
}

// namedFile returns the field of the certificate file that a complaint names, or "".
func (c *Causes) namedFile(said string) string {
	if c.file.spec == nil {
		return ""
	}
	for i := range c.file.spec.Services {
		s := &c.file.spec.Services[i]
		if path := s.HealthCheck.CAFile; path != "" && slices.Contains(wordsOf(said), path) && !slices.Contains(strings.Fields(s.ExtraServer), path) {
			return fmt.Sprintf("services[%d].healthCheck.caFile", i)
		}
	}
	return ""
}

// linesNamed returns the other lines that a complaint names: "declared at /etc/haproxy/haproxy.cfg:29", "at line 41".
func (c *Causes) linesNamed(said string) (lines []int) {
	for _, before := range []string{c.file.Path + ":", " line "} {
		for _, after := range strings.Split(said, before)[1:] {
			digits := after[:len(after)-len(strings.TrimLeft(after, "0123456789"))]
			if n, err := strconv.Atoi(digits); err == nil {
				lines = append(lines, n)
			}
		}
	}
	return lines
}

// near returns the user's own words in the sections of these lines, and in the sections that a complaint names.
func (c *Causes) near(lines []int, said string) (near []ownWords) {
	named := map[int]bool{}
	for _, line := range lines {
		after := slices.IndexFunc(c.sections, func(s opened) bool { return s.line > line })
		if after < 0 {
			after = len(c.sections)
		}
		if line > 0 {
			named[after-1] = true
		}
	}
	quoted := quotedIn(said)
	for i, s := range c.sections {
		if slices.Contains(quoted, s.name) && s.name != "" {
			named[i] = true
		}
	}
	for _, own := range c.own {
		if named[own.section] {
			near = append(near, own)
		}
	}
	return near
}

// heard holds the words of a complaint: those that it quotes, except names of sections, and all of its words.
type heard struct{ quoted, words []string }

func (c *Causes) hear(said string) heard {
	quoted := slices.DeleteFunc(quotedIn(said), func(word string) bool {
		return slices.ContainsFunc(c.sections, func(s opened) bool { return s.name == word })
	})
	return heard{quoted, wordsOf(said)}
}

// best returns the field whose words a complaint repeats most, or "" if it repeats none. Quoted words count ten times.
func (h heard) best(candidates []ownWords) (field string) {
	most := 0
	for _, own := range candidates {
		score := 0
		for i, word := range own.words {
			switch {
			case slices.Contains(own.words[:i], word):
			case slices.Contains(h.quoted, word):
				score += 10
			case len(word) > 3 && slices.Contains(h.words, word): // "if" and "to" may be in any sentence
				score++
			}
		}
		if score > most {
			most, field = score, own.field
		}
	}
	return field
}

// only returns the field of all candidates if they have the same one, or "".
func only(candidates []ownWords) string {
	if len(candidates) == 0 || slices.ContainsFunc(candidates, func(o ownWords) bool { return o.list != candidates[0].list }) {
		return ""
	}
	if slices.ContainsFunc(candidates, func(o ownWords) bool { return o.field != candidates[0].field }) {
		return candidates[0].list
	}
	return candidates[0].field
}

var quotation = regexp.MustCompile(`(?:^|[^\pL])'([^']*)'`)

// quotedIn returns the texts in single quotes.
func quotedIn(said string) (quoted []string) {
	for _, m := range quotation.FindAllStringSubmatch(said, -1) {
		quoted = append(quoted, m[1])
	}
	return quoted
}

// wordsOf returns the words of a sentence without punctuation.
func wordsOf(said string) []string {
	words := strings.FieldsFunc(said, func(r rune) bool { return strings.ContainsRune(" '\"()[],;", r) })
	for i := range words {
		words[i] = strings.TrimRight(words[i], ".:!")
	}
	return words
}

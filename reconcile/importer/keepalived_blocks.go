package importer

import (
	"slices"
	"strings"
)

// block is a statement of keepalived.conf with the statements between its braces (keepalived.conf(5)).
type block struct {
	words    []string
	line     int // from 1
	last     int // line of the closing brace; the line of the statement if it has no braces
	children []*block
	braces   bool
}

// word returns a word of the statement, or "".
func (b *block) word(i int) string { return wordAt(b.words, i) }

func wordAt(words []string, i int) string {
	if i < len(words) {
		return words[i]
	}
	return ""
}

// find returns the first child that begins with a word, or nil.
func (b *block) find(word string) *block {
	for _, c := range b.children {
		if c.word(0) == word {
			return c
		}
	}
	return nil
}

// equal says whether two statements have the same words, also between their braces.
func (b *block) equal(other *block) bool {
	return slices.Equal(b.words, other.words) && slices.EqualFunc(b.children, other.children, (*block).equal)
}

// maxDepth is the limit for nested blocks; those of keepalived are three deep.
const maxDepth = 20

// blocks reads keepalived.conf. Statements after an extra closing brace, or in blocks that are nested too deeply, belong to
// the enclosing block.
func blocks(data string) *block {
	root := &block{}
	open := []*block{root}
	number := 0
	for text := range strings.Lines(data) {
		number++
		var now *block
		for _, word := range keepalivedWords(text) {
			top := open[len(open)-1]
			switch word {
			case "{":
				if now == nil && len(top.children) > 0 && !top.children[len(top.children)-1].braces {
					now = top.children[len(top.children)-1] // the brace is on its own line
				}
				if now == nil {
					now = &block{line: number, last: number}
					top.children = append(top.children, now)
				}
				if now.braces = true; len(open) < maxDepth {
					open = append(open, now)
				}
				now = nil
			case "}":
				if top.last = number; len(open) > 1 {
					open = open[:len(open)-1]
				}
				now = nil
			default:
				if now == nil {
					now = &block{line: number, last: number}
					top.children = append(top.children, now)
				}
				now.words = append(now.words, strings.TrimPrefix(word, "\x00"))
			}
		}
	}
	return root
}

// keepalivedWords splits a line into words and braces. "#" and "!" begin a comment. A quoted word gets a NUL in front, so that
// a quoted brace is no brace. It may contain spaces. The braces of a variable, ${NAME}, belong to the word.
func keepalivedWords(text string) (words []string) {
	var word strings.Builder
	quoted, begun, inVariable := false, false, false
	last := ' '
	end := func() {
		if begun {
			words = append(words, word.String())
		}
		word.Reset()
		begun = false
	}
	for _, c := range strings.TrimRight(text, "\r\n") {
		before := last
		last = c
		switch {
		case c == '{' && before == '$' && !quoted, c == '}' && inVariable:
			word.WriteRune(c)
			inVariable = c == '{'
		case c == '"' && !quoted && !begun:
			word.WriteByte(0)
			quoted, begun = true, true
		case c == '"':
			quoted = !quoted
			begun = true
		case quoted:
			word.WriteRune(c)
		case c == '#' || c == '!':
			end()
			return words
		case c == '{' || c == '}':
			end()
			words = append(words, string(c))
		case c == ' ' || c == '\t':
			end()
			inVariable = false
		default:
			word.WriteRune(c)
			begun = true
		}
	}
	end()
	return words
}

package importer

import "strings"

// block is a statement of keepalived.conf with what stands between its braces (keepalived.conf(5)).
type block struct {
	words    []string
	line     int // from 1
	last     int // line of its closing brace; that of the statement where it has none
	children []*block
	braces   bool
}

// word is a word of the statement, or "".
func (b *block) word(i int) string {
	if i < len(b.words) {
		return b.words[i]
	}
	return ""
}

// find is the first child that begins with a word, or nil.
func (b *block) find(word string) *block {
	for _, c := range b.children {
		if c.word(0) == word {
			return c
		}
	}
	return nil
}

// maxDepth is how deep blocks nest; keepalived's own are three deep.
const maxDepth = 20

// blocks reads keepalived.conf. What is behind a brace too many, or within blocks that nest too deep, belongs to the
// block around it.
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
					now = top.children[len(top.children)-1] // the brace has a line of its own
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

// keepalivedWords cuts a line into words and braces. "#" and "!" begin a comment. A quoted word, which may hold spaces
// and is no brace, has a NUL before it. The braces of a variable, ${NAME}, are in its word.
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

package yamlfile

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Text is a file as text, with its lines.
type Text struct {
	data   []byte
	starts []int32 // of the lines
}

// NewText finds the lines of a file.
func NewText(data []byte) Text {
	starts := []int32{0}
	for offset := 0; len(data) <= MaxFileSize; {
		end := bytes.IndexByte(data[offset:], '\n')
		if end < 0 {
			break
		}
		offset += end + 1
		starts = append(starts, int32(offset))
	}
	return Text{data, starts}
}

// line is a line of the file without its end, counted from 1; nil where there is none.
func (s Text) line(number int) []byte {
	if number < 1 || number > len(s.starts) {
		return nil
	}
	line, _, _ := bytes.Cut(s.data[s.starts[number-1]:], []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r"))
}

// RawLineAt is the place of one of the raw lines of a block, by its index in brackets.
func (s Text) RawLineAt(block *Tree, index string) Place {
	i, err := strconv.Atoi(strings.Trim(index, "[]"))
	if err != nil {
		return block.Place
	}
	line := s.line(block.line + 1 + i)
	return Place{block.line + 1 + i, 1 + utf8.RuneCount(line) - utf8.RuneCount(bytes.TrimLeft(line, " "))}
}

package yamlfile

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Text is the text of a file, with the offsets of its lines.
type Text struct {
	data   []byte
	starts []int32 // offsets of the lines
}

// NewText returns the text of a file. If the file is larger than MaxFileSize, only its first line is known.
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

// line returns a line of the file without its line end, counted from 1, or nil if there is no such line.
func (s Text) line(number int) []byte {
	if number < 1 || number > len(s.starts) {
		return nil
	}
	line, _, _ := bytes.Cut(s.data[s.starts[number-1]:], []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r"))
}

// RawLineAt returns the place of a raw line of a literal block. index is its number in brackets, as in "[0]".
func (s Text) RawLineAt(block *Tree, index string) Place {
	i, err := strconv.Atoi(strings.Trim(index, "[]"))
	if err != nil {
		return block.Place
	}
	line := s.line(block.line + 1 + i)
	return Place{block.line + 1 + i, 1 + utf8.RuneCount(line) - utf8.RuneCount(bytes.TrimLeft(line, " "))}
}

package api

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// lineStarts are the offsets of the lines of a file.
func lineStarts(data []byte) []int32 {
	starts := []int32{0}
	for offset := 0; len(data) <= MaxFileSize; {
		end := bytes.IndexByte(data[offset:], '\n')
		if end < 0 {
			break
		}
		offset += end + 1
		starts = append(starts, int32(offset))
	}
	return starts
}

// line is a line of the file without its end, counted from 1; nil where there is none.
func (d *Document) line(number int) []byte {
	if number < 1 || number > len(d.starts) {
		return nil
	}
	line, _, _ := bytes.Cut(d.Data[d.starts[number-1]:], []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r"))
}

// rawLineAt is the place of one of the raw lines of a block, by its index in brackets.
func (d *Document) rawLineAt(block *tree, index string) place {
	i, err := strconv.Atoi(strings.Trim(index, "[]"))
	if err != nil {
		return block.place
	}
	line := d.line(block.line + 1 + i)
	return place{block.line + 1 + i, 1 + utf8.RuneCount(line) - utf8.RuneCount(bytes.TrimLeft(line, " "))}
}

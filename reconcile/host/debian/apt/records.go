package apt

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// readRecords reads the states of the named packages from dpkg's file status, which takes some milliseconds less than to
// run dpkg-query. It does not tell where the file is not all there is: while dpkg works the directory updates has what is
// newer (dpkg(1), FILES). A package that the file does not name is one that dpkg has not heard of.
func (m *Manager) readRecords(names []string) (states map[string]dpkgState, told bool) {
	updates, err := os.ReadDir(filepath.Join(m.dpkg, "updates"))
	if err != nil || len(updates) > 0 {
		return nil, false
	}
	file, err := os.Open(filepath.Join(m.dpkg, "status"))
	if err != nil {
		return nil, false
	}
	defer file.Close() //nolint:errcheck // nothing was written
	states = make(map[string]dpkgState)
	err = readStanzas(file, func(name []byte) bool { return slices.Contains(names, string(name)) }, func(fields map[string]string) error {
		name := fields["Package"]
		want, flag, state := statusWords(fields["Status"])
		_, s, ok := parseDpkg(strings.Join([]string{name, want, state, flag, fields["Version"]}, "\t"))
		if state == "" || !ok {
			return errNoRecord
		}
		if old := states[name]; !old.present { // a second architecture does not hide the first
			states[name] = s
		}
		return nil
	})
	return states, err == nil
}

var errNoRecord = errors.New("no record of dpkg")

// readStanzas calls found with the fields of one line in each stanza of a package that is wanted: one for each of its
// architectures. The file has a megabyte or two: it is never in memory as a whole.
func readStanzas(file io.Reader, wanted func(name []byte) bool, found func(fields map[string]string) error) error {
	reader := bufio.NewReaderSize(file, 16<<10)
	var fields map[string]string // of the stanza that is being read; nil where it is not wanted
	for begins, whole := true, true; ; {
		line, err := reader.ReadSlice('\n')
		name, isName := bytes.CutPrefix(line, []byte("Package: "))
		switch {
		case begins && !isName && len(line) > 0:
			return errNoRecord
		case begins && wanted(bytes.TrimSpace(name)):
			fields = map[string]string{}
		}
		blank := whole && len(bytes.TrimSpace(line)) == 0
		if fields != nil && (blank || errors.Is(err, io.EOF)) {
			if err := found(fields); err != nil {
				return err
			}
			fields = nil
		}
		if field, value, ok := bytes.Cut(line, []byte(":")); ok && fields != nil && whole && line[0] != ' ' {
			fields[string(field)] = string(bytes.TrimSpace(value))
		}
		begins = blank
		whole = !errors.Is(err, bufio.ErrBufferFull) // else the rest of a long line comes next
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && whole {
			return err
		}
	}
}

// statusWords splits "install ok installed" (dpkg(1), INFORMATION ABOUT PACKAGES).
func statusWords(status string) (want, flag, state string) {
	words := strings.Fields(status)
	if len(words) != 3 {
		return "", "", ""
	}
	return words[0], words[1], words[2]
}

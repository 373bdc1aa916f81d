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

// readRecords reads the states of the named packages from dpkg's file status, which saves some milliseconds over
// dpkg-query. complete is false if the file is incomplete: while dpkg works, the directory updates has newer records (dpkg(1),
// FILES). dpkg does not know a package that the file does not name.
func (m *Manager) readRecords(names []string) (states map[string]dpkgState, complete bool) {
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
		if old := states[name]; !old.present { // a second architecture must not hide the first
			states[name] = s
		}
		return nil
	})
	return states, err == nil
}

var errNoRecord = errors.New("no record of dpkg")

// readStanzas calls found with the one-line fields of each stanza of a wanted package; each architecture has its own
// stanza. It never holds the whole file of one or two megabytes in memory.
func readStanzas(file io.Reader, wanted func(name []byte) bool, found func(fields map[string]string) error) error {
	reader := bufio.NewReaderSize(file, 16<<10)
	var fields map[string]string // of the current stanza; nil if it is not wanted
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
		whole = !errors.Is(err, bufio.ErrBufferFull) // otherwise the rest of a long line follows
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && whole {
			return err
		}
	}
}

// statusWords splits a status like "install ok installed" (dpkg(1), INFORMATION ABOUT PACKAGES).
func statusWords(status string) (want, flag, state string) {
	words := strings.Fields(status)
	if len(words) != 3 {
		return "", "", ""
	}
	return words[0], words[1], words[2]
}

package apt

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
)

// readRecords reads the states of the named packages from dpkg's file status, which takes a millisecond where dpkg-query
// takes ten. It does not tell where the file is not all there is: while dpkg works the directory updates has what is
// newer (dpkg(1), FILES). A package that it does not name is one that dpkg has not heard of.
func (m *Manager) readRecords(names []string) (states map[string]dpkgState, told bool) {
	status := filepath.Join(m.dpkg, "status")
	updates, err := os.ReadDir(filepath.Join(m.dpkg, "updates"))
	if err != nil || len(updates) > 0 {
		return nil, false
	}
	data, err := os.ReadFile(status)
	if err != nil || !bytes.HasPrefix(data, []byte("Package: ")) {
		return nil, false
	}
	states = make(map[string]dpkgState)
	for _, name := range names {
		for _, fields := range stanzas(data, name) {
			want, flag, state := statusWords(fields["Status"])
			_, s, ok := parseDpkg(strings.Join([]string{name, want, state, flag, fields["Version"]}, "\t"))
			if state == "" || !ok {
				return nil, false
			}
			if old := states[name]; !old.present { // a second architecture does not hide the first
				states[name] = s
			}
		}
	}
	return states, true
}

// stanzas are the fields of one line in each stanza of a package: one for each of its architectures.
func stanzas(data []byte, name string) (all []map[string]string) {
	head := []byte("Package: " + name + "\n")
	for at := 0; ; {
		found := bytes.Index(data[at:], head)
		if found < 0 {
			return all
		}
		begin := at + found
		at = begin + len(head)
		if begin > 0 && data[begin-1] != '\n' { // within another field
			continue
		}
		stanza, _, _ := bytes.Cut(data[begin:], []byte("\n\n"))
		fields := map[string]string{}
		for line := range strings.Lines(string(stanza)) {
			if field, value, ok := strings.Cut(line, ":"); ok && line[0] != ' ' {
				fields[field] = strings.TrimSpace(value)
			}
		}
		all = append(all, fields)
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

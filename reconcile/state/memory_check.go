package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

var (
	packageName = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]*[a-z0-9+.](:[a-z0-9-]+)?$`) // Debian policy §5.6.1; apt reads a trailing "-" as a removal
	unitName    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9:_.@\\-]*\.service$`)
	digest      = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// decodeMemory reads a memory and refuses content that no agent wrote. A teardown removes, restores and purges what the
// memory names. With a wrong memory it would destroy files that the agent never made, or would not undo its changes.
func decodeMemory(data []byte) (Memory, error) {
	var m Memory
	if err := json.Unmarshal(data, &m); err != nil {
		return Memory{}, err
	}
	if m.Files == nil || m.Units == nil || m.Held == nil {
		return Memory{}, errors.New("it lacks files, units or held")
	}
	return m, errors.Join(m.checkFiles(), m.checkNames(), m.checkRules(), m.checkGenerations())
}

func (m *Memory) checkFiles() error {
	for name, before := range m.Files {
		err := before.check(name, BeforeDir)
		if p := before.Packaged; err == nil && p != nil {
			err = p.check(name, PackagedDir)
		}
		if err != nil {
			return fmt.Errorf("files: %q: %w", name, err)
		}
	}
	return nil
}

// check checks that the file can be restored: its copy is at the path where this agent puts copies, and its digest is
// known.
func (b Before) check(name, dir string) error {
	switch {
	case !path.IsAbs(name) || path.Clean(name) != name || strings.ContainsFunc(name, unicode.IsControl):
		return errors.New("it is no absolute path")
	case !b.Exists && b.Copy != "" || b.Exists && b.Copy != path.Join(dir, name):
		return fmt.Errorf("its copy is not %s", path.Join(dir, name))
	case b.Exists && !digest.MatchString(b.Digest):
		return errors.New("its copy has no digest")
	case b.Mode&^fs.ModePerm != 0 || b.UID < 0 || b.GID < 0:
		return errors.New("its mode, owner or group is none")
	}
	return nil
}

func (m *Memory) checkNames() error {
	for name := range m.Units {
		if !unitName.MatchString(name) {
			return fmt.Errorf("units: %q is no service", name)
		}
	}
	packages := slices.Clone(m.Installed)
	for name := range m.Held {
		packages = append(packages, name)
	}
	for _, name := range packages {
		if !packageName.MatchString(name) {
			return fmt.Errorf("held, installed: %q is no package", name)
		}
	}
	return nil
}

func (m *Memory) checkRules() error {
	for _, rule := range slices.Concat(m.Rules, m.Input) {
		if !strings.HasPrefix(rule, "-A INPUT") || strings.ContainsAny(rule, "\n\r\x00") {
			return fmt.Errorf("rules, input: %q is no rule of INPUT", rule)
		}
	}
	return nil
}

func (m *Memory) checkGenerations() error {
	last := 0
	for _, g := range m.Generations {
		if g.Number <= last || g.Number > m.Generation || !digest.MatchString(g.Digest) {
			return fmt.Errorf("generations: number %d is out of order, or has no digest", g.Number)
		}
		last = g.Number
	}
	return nil
}

package systemd

import (
	"encoding/hex"
	"time"

	godbus "github.com/godbus/dbus/v5"
)

// Properties holds a unit's properties as received by D-Bus. A missing property reads as zero.
type Properties map[string]godbus.Variant

func (p Properties) Text(name string) string { s, _ := p[name].Value().(string); return s }

func (p Properties) Texts(name string) []string { s, _ := p[name].Value().([]string); return s }

func (p Properties) Bool(name string) bool { b, _ := p[name].Value().(bool); return b }

func (p Properties) Int(name string) int { n, _ := p[name].Value().(uint32); return int(n) }

func (p Properties) Hex(name string) string {
	b, _ := p[name].Value().([]byte)
	return hex.EncodeToString(b)
}

func (p Properties) Time(name string) time.Time {
	µs, _ := p[name].Value().(uint64)
	if µs == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(µs))
}

// environmentFiles is of type a(sb): the path, and whether the file may be missing.
func (p Properties) environmentFiles() []environmentFile {
	pairs, _ := p["EnvironmentFiles"].Value().([][]any)
	var files []environmentFile
	for _, pair := range pairs {
		if len(pair) != 2 {
			continue
		}
		path, _ := pair[0].(string)
		optional, _ := pair[1].(bool)
		files = append(files, environmentFile{path: path, optional: optional})
	}
	return files
}

// Environment returns the environment of the unit's processes, see environmentOf. Error: *fs.PathError, for an unreadable
// file.
func (p Properties) Environment() (map[string]string, error) {
	return environmentOf(p.Texts("Environment"), p.environmentFiles())
}

// Commands returns the command lines of ExecStart, ExecReload and the like. Each is of type (sasbttttuii); the second field
// holds the arguments.
func (p Properties) Commands(name string) (all [][]string) {
	commands, _ := p[name].Value().([][]any)
	for _, command := range commands {
		var args []string
		if len(command) > 1 {
			args, _ = command[1].([]string)
		}
		all = append(all, args)
	}
	return all
}

package systemd

import (
	"encoding/hex"
	"time"

	godbus "github.com/godbus/dbus/v5"
)

// Properties are a unit's properties as they come from D-Bus. A property that is not there is zero.
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

// environmentFiles are of type a(sb): path, and whether it may be missing.
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

// Environment is what the unit's processes get, see environmentOf. Error: *fs.PathError, of a file that cannot be read.
func (p Properties) Environment() (map[string]string, error) {
	return environmentOf(p.Texts("Environment"), p.environmentFiles())
}

// Commands are the command lines of ExecStart, ExecReload and the like. Each is of type (sasbttttuii): the arguments come
// second.
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

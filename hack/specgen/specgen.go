// Package specgen makes random valid specs for tests with the real programs. It covers the whole language: a test fails
// if a field of the types is never generated. The same seed makes the same spec.
package specgen

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// Names in the specs that must exist where the specs are checked.
const (
	// CAFile is a file of certificates that health checks name.
	CAFile = "/etc/rlb/kubernetes-ca.crt"
	// Interface is the interface of the virtual IPs if neither the spec nor a node names one.
	Interface = "eth0"
)

var (
	// CAFiles are all files of certificates that health checks name.
	CAFiles = []string{CAFile, "/etc/rlb/a+b@c:1,2=3/ca_.crt"}
	// Interfaces are all interfaces that specs name.
	Interfaces = []string{Interface, "eth1", "br-lan.1_a", "enp3s0f0np0v123"}
	// Programs are the programs that keepalived is to run: executables that only root may write.
	Programs = []string{"/usr/local/sbin/rlb-notify", "/usr/local/sbin/rlb-notify@a+b:c,d=1"}
	// Names are the DNS names of servers, besides localhost.
	Names = []string{"cp1.example.org", "CP2.Example.org", "cp3", "xn--9ca.a-b.example.org"}
)

// Text returns the spec of a seed, in YAML.
func Text(seed uint64) string {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0))}
	var b strings.Builder
	write(&b, g.spec(), "\n")
	return strings.TrimPrefix(b.String(), "\n") + "\n"
}

// generator has a method for each part of the language. Each returns a value that is valid by itself and with the
// others.
type generator struct {
	*rand.Rand
	families string   // of the virtual IPs, that of the main one first
	vips     []string // without prefixes
	classic  bool
	// listening has the addresses in use, by port; "*" is one of them.
	listening map[int][]string
}

// fields is a mapping of the spec.
type fields map[string]any

// maybe sets a field in one of three specs.
func (g *generator) maybe(f fields, name string, value func() any) {
	if g.IntN(3) == 0 {
		f[name] = value()
	}
}

func oneOf[T any](g *generator, values ...T) T { return values[g.IntN(len(values))] }

// write writes a value in YAML: mappings as blocks with sorted keys, each after the text "before".
func write(b *strings.Builder, value any, before string) {
	switch v := value.(type) {
	case fields:
		if len(v) == 0 {
			b.WriteString(" {}")
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			b.WriteString(before + name + ":")
			write(b, v[name], before+"  ")
		}
	case []fields:
		writeList(b, v, before)
	case []any:
		writeList(b, v, before)
	case []string:
		writeList(b, v, before)
	case []int:
		writeList(b, v, before)
	case string:
		quoted, err := json.Marshal(v) // also a double-quoted text in YAML
		if err != nil {
			panic(err)
		}
		b.WriteString(" " + string(quoted))
	default:
		fmt.Fprint(b, " ", v)
	}
}

func writeList[T any](b *strings.Builder, list []T, before string) {
	if len(list) == 0 {
		b.WriteString(" []")
	}
	for _, item := range list {
		b.WriteString(before + "-")
		write(b, item, before+"  ")
	}
}

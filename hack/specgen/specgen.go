// Package specgen makes random specs that are valid, for tests that give them to the real programs. It speaks the whole
// language: a test fails when a field of the types is never generated. The same seed makes the same spec.
package specgen

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// What specs name must be there where they are checked.
const (
	// CAFile is a file with certificates that health checks name.
	CAFile = "/etc/rlb/kubernetes-ca.crt"
	// Interface is that of the virtual IPs where neither the spec nor a node names one.
	Interface = "eth0"
)

var (
	// CAFiles are all files with certificates that health checks name.
	CAFiles = []string{CAFile, "/etc/rlb/a+b@c:1,2=3/ca_.crt"}
	// Interfaces are all that specs name.
	Interfaces = []string{Interface, "eth1", "br-lan.1_a", "enp3s0f0np0v123"}
	// Programs are those that keepalived is to run: executables that only root may write.
	Programs = []string{"/usr/local/sbin/rlb-notify", "/usr/local/sbin/rlb-notify@a+b:c,d=1"}
	// Names are the DNS names of servers, beside localhost.
	Names = []string{"cp1.example.org", "CP2.Example.org", "cp3", "xn--9ca.a-b.example.org"}
)

// Text is the spec of a seed, in YAML.
func Text(seed uint64) string {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0))}
	var b strings.Builder
	write(&b, g.spec(), "\n")
	return strings.TrimPrefix(b.String(), "\n") + "\n"
}

// generator has a method for each part of the language. Each gives a value that is valid by itself and beside the others.
type generator struct {
	*rand.Rand
	families string   // of the virtual IPs, the main one's first
	vips     []string // without prefixes
	classic  bool
	// listening are the addresses that are taken, by port. "*" is one.
	listening map[int][]string
}

// fields is a mapping of the spec.
type fields map[string]any

// maybe gives a field in one of three specs.
func (g *generator) maybe(f fields, name string, value func() any) {
	if g.IntN(3) == 0 {
		f[name] = value()
	}
}

func oneOf[T any](g *generator, values ...T) T { return values[g.IntN(len(values))] }

// write writes a value in YAML: mappings in blocks, with their keys in order, each after the text before.
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
		quoted, err := json.Marshal(v) // which is a text in double quotes in YAML too
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

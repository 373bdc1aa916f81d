package api

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"rlb.dev/rlb-agent/api/yamlfile"
)

// manyServers returns a spec with n servers, 10,000 in each service.
func manyServers(n int) []byte {
	var b strings.Builder
	b.WriteString("apiVersion: rlb.dev/v1\nkind: LoadBalancerSpec\nvirtualIPs: [10.0.0.1]\nservices:\n")
	for i := range n {
		if i%10_000 == 0 {
			fmt.Fprintf(&b, "- name: s%d\n  port: %d\n  servers:\n", i/10_000, 1000+i/10_000)
		}
		fmt.Fprintf(&b, "  - {name: n%d, address: 10.%d.%d.%d, port: 8080}\n", i, 1+i/40_000, i/200%200, i%200+1)
	}
	return []byte(b.String())
}

// bombs make files with n elements that are wrong or costly. With n = 100,000 each file has about the largest size that
// the parser accepts.
var bombs = map[string]func(n int) string{
	"unknown fields":  func(n int) string { return numbered(n, "kindx%d: x\n") },
	"known elsewhere": func(n int) string { return "vrrp:\n" + strings.Repeat("  vrid: 1\n", n) },
	"fields of elsewhere": func(n int) string {
		return base + strings.Repeat("  - {address: 10.0.0.2, timeout_client: 1s}\n", n)
	},
	"wrong items":         func(n int) string { return "virtualIPs: [" + strings.Repeat("1,", 9*n) + "]\n" },
	"wrong texts":         func(n int) string { return base + "firewall: {allowFrom: [" + strings.Repeat("x,", 9*n) + "]}\n" },
	"names given twice":   func(n int) string { return base + "metadata: {labels: {" + strings.Repeat("a: b, ", n) + "}}\n" },
	"labels":              func(n int) string { return base + "metadata: {labels: {" + numbered(n, "'%d ': b, ") + "}}\n" },
	"servers of one name": func(n int) string { return base + strings.Repeat("  - {name: a, address: '!'}\n", n) },
	"nodes": func(n int) string {
		return base + "nodes:\n" + strings.Repeat("- {name: a, addresses: [10.0.0.1]}\n", n)
	},
	"raw sections":       func(n int) string { return base + "  extraBackend: |\n" + strings.Repeat("    listen\n", min(n, 9000)) },
	"long line":          func(n int) string { return base + "nodes: [" + strings.Repeat("{name: '!'},", n) + "]\n" },
	"line ends":          func(n int) string { return base + strings.Repeat("\n", 9*n) + "x: 1\n" },
	"unfilled variables": func(n int) string { return base + strings.Repeat("# ${x}\n", n) + "x: ${y}}: @\n" },
}

func numbered(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// TestBombs: time and memory grow no faster than the size of the file, and the report stays short.
func TestBombs(t *testing.T) {
	for name, bomb := range bombs {
		t.Run(name, func(t *testing.T) {
			small, large := []byte(bomb(4_000)), []byte(bomb(32_000))
			first := cost(t, small)
			second := cost(t, large)
			t.Logf("%d bytes %v, %d bytes %v", len(small), first, len(large), second)
			// Eight times the size; a square would take 64 times as long.
			if second > 30*first+time.Second || second > bombTime {
				t.Errorf("%d bytes took %v, %d bytes %v, at most %v", len(small), first, len(large), second, bombTime)
			}
			if name != "unknown fields" && name != "wrong items" { // these two once took 15 s and more
				return
			}
			if took := cost(t, []byte(bomb(100_000))); took > bombTime {
				t.Errorf("the largest file took %v, at most %v", took, bombTime)
			} else {
				t.Logf("the largest file: %v", took)
			}
		})
	}
}

// bombTime is the most processor time that a bomb may take. A slow and busy machine needs about 2 s.
const bombTime = 6 * time.Second

// TestReadAllStops: of a file without end, ReadAll reads one byte more than allowed, and Parse reports the size.
func TestReadAllStops(t *testing.T) {
	endless := new(zeros)
	data, err := yamlfile.ReadAll(io.LimitReader(endless, 8*yamlfile.MaxFileSize))
	if err != nil || len(data) != yamlfile.MaxFileSize+1 || endless.read > 2*yamlfile.MaxFileSize {
		t.Errorf("%d bytes of %d that were read: %v", len(data), endless.read, err)
	}
	if took := cost(t, data); took > time.Second {
		t.Errorf("it took %v", took)
	}
	if _, err := Parse("f", data); err == nil || err.Error() != "f:1:1: must be at most 8388608 bytes" {
		t.Errorf("got %v", err)
	}
	if data, err := yamlfile.ReadAll(io.LimitReader(endless, yamlfile.MaxFileSize)); err != nil || len(data) != yamlfile.MaxFileSize {
		t.Errorf("of the largest file: %d bytes, %v", len(data), err)
	}
}

// zeros is a file without end. It counts the bytes that are read.
type zeros struct{ read int }

func (z *zeros) Read(b []byte) (int, error) {
	clear(b)
	z.read += len(b)
	return len(b), nil
}

// cost returns the processor time that Parse needs to refuse a file.
func cost(t *testing.T, data []byte) time.Duration {
	t.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := processorTime(t)
	_, err := Parse("f", data)
	took := processorTime(t) - start
	runtime.ReadMemStats(&after)
	var problems yamlfile.Problems
	if !errors.As(err, &problems) || len(problems) > yamlfile.MaxProblems+1 || len(problems.Excerpts()) > 100_000 {
		t.Errorf("%d problems, %d bytes", len(problems), len(problems.Excerpts()))
	}
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 2<<10*uint64(len(data)) && allocated > 700<<20 {
		t.Errorf("%d bytes took %d MiB", len(data), allocated>>20)
	}
	return took
}

func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func TestProblemsBeyond(t *testing.T) {
	for n, more := range map[int]string{100: "", 101: "1", 150: "50", 1_100: "1,000", 125_000: "124,900"} {
		text := numbered(n, "kindx%d: x\n") + "apiVersion: rlb.dev/v1\nkind: LoadBalancerSpec\nvirtualIPs: [10.0.0.1]\nservices: [{name: a, port: 1, servers: [{address: 10.0.0.2}]}]\n"
		_, err := Parse("f", []byte(text))
		lines := strings.Split(fmt.Sprint(err), "\n")
		if want := "f:100:1: kindx99: unknown field"; len(lines) < yamlfile.MaxProblems || lines[yamlfile.MaxProblems-1] != want {
			t.Errorf("%d: got %s, want %s", n, lines[len(lines)-1], want)
		}
		if last := lines[len(lines)-1]; more != "" && (len(lines) != yamlfile.MaxProblems+1 || last != "f:101:1: and "+more+" more") {
			t.Errorf("%d: %d lines, got %s", n, len(lines), last)
		}
	}
}

// TestCountBeyond: problems that are not shown are each counted once.
func TestCountBeyond(t *testing.T) {
	const head = "apiVersion: rlb.dev/v1\nkind: LoadBalancerSpec\nvirtualIPs: [10.0.0.1]\n"
	for name, c := range map[string]struct{ text, want string }{
		"typing errors": {head + "services:\n" + numbered(900, "- {name: s%d, prot: 80, server: [{address: 10.0.0.2}]}\n"), "and 1,700 more"},
		"an alias": {head + "services:\n- &a\n  name: s\n  port: 80\n  servers: &s\n" + strings.Repeat("  - {address: 10.0.0.2, x: 1}\n", 150) +
			numbered(20, "- {name: s%d, port: x, servers: *s}\n"), "and 70 more"},
	} {
		_, err := Parse("f", []byte(c.text))
		if got := fmt.Sprint(err); !strings.HasSuffix(got, ": "+c.want) {
			t.Errorf("%s: got %s, want %s", name, got[strings.LastIndex(got, "\n")+1:], c.want)
		}
	}
}

// BenchmarkParse shows the cost of one server: go test ./api -bench Parse -benchmem.
func BenchmarkParse(b *testing.B) {
	for _, n := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			data := manyServers(n)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				doc, err := Parse("f", data)
				if err != nil {
					b.Fatal(err)
				}
				doc.Warnings(HostFacts{})
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/server")
		})
	}
}

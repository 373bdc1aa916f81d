package fields

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/reconcile/importer"
	"rlb.dev/rlb-agent/render"
)

var (
	serverAt   = regexp.MustCompile(`(?m)^(\s*server\s+\S+\s+)(\S+):(\d+)`)
	clientPort = regexp.MustCompile(`(?m)^\s*bind\s+\S*:(\d+)`)
	interval   = regexp.MustCompile(`inter \d+m?s?\b`)
	limit      = regexp.MustCompile(`(?m)^(\s*maxconn)\s+\d+`)
)

// statsPort is the port of HAProxy's own page in a file.
const statsPort = "8404"

// byHand is a file as people write it: everything in one section, weights, backup servers, another balance.
const byHand = `defaults
    mode tcp
    timeout connect 3s
    timeout client 1m
    timeout server 1m
    option redispatch
    default-server inter 2s fall 2 rise 1
listen api
    bind *:7443
    balance static-rr
    server a 192.0.2.11:6443 check weight 3
    server b 192.0.2.12:6443 check weight 1
frontend web
    bind *:7080
    default_backend pool
backend pool
    option tcp-check
    server a 192.0.2.11:8080 check
    server spare 192.0.2.13:8080 check backup
`

// local moves a haproxy.cfg to the loopback interface: each server gets an address of its own there, and another port,
// because HAProxy has the original ports on every address. Checks are more frequent, to save time, and there are fewer
// connections, as many as a process without privileges may have.
func local(text string) (moved string, servers []string) {
	known := map[string]string{}
	moved = serverAt.ReplaceAllStringFunc(text, func(line string) string {
		m := serverAt.FindStringSubmatch(line)
		if known[m[2]] == "" {
			known[m[2]] = fmt.Sprintf("127.0.1.%d", len(known)+1)
		}
		at := known[m[2]] + ":1" + fmt.Sprintf("%04s", m[3])[max(0, len(m[3])-4):]
		if !slices.Contains(servers, at) {
			servers = append(servers, at)
		}
		return m[1] + at
	})
	return limit.ReplaceAllString(interval.ReplaceAllString(moved, "inter 200ms"), "$1 1000"), servers
}

// answers returns how often each server answered in n connections to a port. It returns an error if a connection fails.
func answers(port string, n int) (map[string]int, error) {
	got := map[string]int{}
	for range n {
		conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 3 * time.Second}, "tcp", "127.0.0.1:"+port, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return got, err
		}
		_ = conn.SetDeadline(time.Now().Add(3 * time.Second))
		_, _ = io.WriteString(conn, "GET /name HTTP/1.0\r\n\r\n")
		said, err := io.ReadAll(conn)
		conn.Close()
		_, name, _ := strings.Cut(string(said), "\r\n\r\n")
		if err != nil || name == "" {
			return got, fmt.Errorf("%q, %v", said, err)
		}
		got[name]++
	}
	return got, nil
}

func machine(at string) string {
	host, _, _ := net.SplitHostPort(at)
	return host
}

// behaviour describes what clients of each port get while all servers are up, and after one of the servers of each port
// has stopped.
func behaviour(t *testing.T, tree, config string, ports, servers []string) map[string]string {
	t.Helper()
	cert, _, err := lab.SelfSigned("server", netip.MustParseAddr("127.0.1.1"))
	if err != nil {
		t.Fatal(err)
	}
	running := map[string][]*http.Server{} // by the machine's address
	for _, at := range servers {
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, at) })}
		go server.Serve(tls.NewListener(l, cert))
		t.Cleanup(func() { server.Close() })
		running[machine(at)] = append(running[machine(at)], server)
	}
	write(t, tree, "etc/haproxy/haproxy.cfg", config)
	write(t, tree, "run/haproxy/.keep", "")
	start(t, tree, "haproxy", "-db", "-f", "/etc/haproxy/haproxy.cfg")
	seen := map[string]string{}
	for _, port := range ports {
		eventually(t, "port "+port+" serves", func() bool { _, err := answers(port, 1); return err == nil })
	}
	time.Sleep(500 * time.Millisecond) // until the first checks are over
	gone := map[string]bool{}
	for _, port := range ports {
		all, err := answers(port, 12)
		if err != nil {
			t.Fatalf("port %s: %v", port, err)
		}
		seen[port] = fmt.Sprint(all)
		if strings.Contains(config, "balance leastconn") { // how often depends on how fast connections end
			seen[port] = fmt.Sprint(slices.Sorted(maps.Keys(all)))
		}
		gone[machine(slices.Min(slices.Collect(maps.Keys(all))))] = true
	}
	for host := range gone {
		for _, server := range running[host] {
			server.Close()
		}
	}
	for _, port := range ports {
		var left map[string]int
		eventually(t, "port "+port+" serves without the server that has gone", func() bool {
			got, err := answers(port, 6)
			left = got
			return err == nil && !slices.ContainsFunc(slices.Collect(maps.Keys(got)), func(at string) bool { return gone[machine(at)] })
		})
		seen[port] += fmt.Sprintf("; then %v", slices.Sorted(maps.Keys(left)))
	}
	return seen
}

// TestImportedFilesServeAlike: with the import and render of a file HAProxy behaves for clients as with the file
// itself: which servers they get, how often, and which after a server has stopped.
func TestImportedFilesServeAlike(t *testing.T) {
	inTrees(t, func(t *testing.T, tree string) {
		if !strings.HasPrefix(string(version(t, tree, "haproxy")), "3.0") {
			return // the guides' files are the same for all releases
		}
		const guides = "../../../reconcile/importer/testdata"
		for _, name := range []string{"original", "kubeadm", "k3s", "rke2", "openshift", "by hand"} {
			t.Run(name, func(t *testing.T) {
				read := func(name, file string) []byte {
					data, err := os.ReadFile(filepath.Join(guides, name, file))
					if err != nil {
						t.Fatal(err)
					}
					return data
				}
				text, keepalived := byHand, read("k3s", "keepalived.conf")
				if name != "by hand" {
					text, keepalived = string(read(name, "haproxy.cfg")), read(name, "keepalived.conf")
				}
				theirs, servers := local(text)
				imported := importer.Import(importer.File{Name: "haproxy.cfg", Data: []byte(theirs)}, importer.File{Name: "keepalived.conf", Data: keepalived}, importer.Options{})
				ours := rendered(t, tree, imported.Text, render.HAProxyConfig)
				var ports []string
				for _, m := range clientPort.FindAllStringSubmatch(theirs, -1) {
					if m[1] != statsPort {
						ports = append(ports, m[1])
					}
				}
				t.Logf("ports %v, servers %v", ports, servers)
				var before map[string]string
				t.Run("theirs", func(t *testing.T) { before = behaviour(t, tree, theirs, ports, servers) })
				t.Run("ours", func(t *testing.T) {
					after := behaviour(t, tree, ours, ports, servers)
					t.Logf("%v", after)
					if !maps.Equal(before, after) {
						t.Errorf("it was\n%v", before)
					}
				})
			})
		}
	})
}

// routers are the files of guides for a first load balancer, and a guide's changes on the second one.
var routers = []struct {
	guide    string
	second   []string // pairs, as for strings.NewReplacer
	vips     []string
	preempts bool
}{
	{"original", nil, []string{"192.168.3.240"}, false},
	{"kubeadm", []string{"state MASTER", "state BACKUP", "priority 101", "priority 100"}, []string{"192.0.2.40"}, true},
	{"k3s", []string{"state MASTER", "state BACKUP", "priority 200", "priority 100"}, []string{"192.0.2.50"}, true},
	{"rke2", nil, []string{"192.0.2.60"}, false},
	{"openshift", []string{"priority 100", "priority 90"}, []string{"192.0.2.70"}, true},
	{"unicast", []string{"state MASTER", "state BACKUP", "priority 255", "priority 100", "src_ip 192.0.2.11", "src_ip 192.0.2.12", "        192.0.2.12", "        192.0.2.11"},
		[]string{"192.0.2.10"}, true},
}

// TestImportedRoutersAreOne: a load balancer with a guide's keepalived.conf and one with its import and render are one
// virtual router: one of them holds the virtual IPs, either takes them over from the other, and they return by priority
// if the guide says so.
func TestImportedRoutersAreOne(t *testing.T) {
	inTrees(t, func(t *testing.T, tree string) {
		if !strings.HasPrefix(string(version(t, tree, "haproxy")), "3.0") {
			return // the guides' files are the same for all releases
		}
		for _, program := range []string{"/usr/bin/systemctl", "/usr/bin/killall", "/usr/bin/pidof", "/etc/keepalived/check_apiserver.sh"} { // they report that HAProxy is up
			writeMode(t, tree, program, "#!/bin/sh\n", 0o755)
		}
		for _, r := range routers {
			t.Run(r.guide, func(t *testing.T) {
				t.Parallel() // each waits for its timers
				data, err := os.ReadFile(filepath.Join("../../../reconcile/importer/testdata", r.guide, "keepalived.conf"))
				if err != nil {
					t.Fatal(err)
				}
				// an address of virtual_ipaddress_excluded is advertised after an import, as the report says
				before, _, found := strings.Cut(string(data), "    virtual_ipaddress_excluded {")
				if found {
					before += "}\n"
				}
				imported := importer.Import(importer.File{Name: "haproxy.cfg", Data: []byte(byHand)},
					importer.File{Name: "keepalived.conf", Data: []byte(strings.NewReplacer(r.second...).Replace(before))}, importer.Options{})
				after := rendered(t, tree, imported.Text, render.KeepalivedConfig)
				link := strings.Fields(before[strings.Index(before, "interface "):])[1]

				theirs, _ := newNetwork(t, tree)
				ours := theirs.neighbour(t, tree, link, []string{"192.0.2.11/24"}, []string{"192.0.2.12/24"})
				holds := func(n network) bool {
					return !slices.ContainsFunc(r.vips, func(vip string) bool { return !n.holds(link, vip) })
				}
				isMaster := func(active, standby network) {
					t.Helper()
					eventually(t, "one of them holds the virtual IPs", func() bool { return holds(active) && !holds(standby) })
					for end := time.Now().Add(4500 * time.Millisecond); time.Now().Before(end); time.Sleep(100 * time.Millisecond) { // three intervals and the skew time
						if !holds(active) || holds(standby) {
							t.Fatalf("the virtual IPs move without cause, or are on both; the imported file is\n%s\nof\n%s", after, imported.Text)
						}
					}
				}
				stop := theirs.keepalived(t, tree, r.guide+"-theirs", before)
				eventually(t, "the guide's load balancer holds the virtual IPs", func() bool { return holds(theirs) })
				stopOurs := ours.keepalived(t, tree, r.guide+"-ours", after)
				isMaster(theirs, ours)
				stop()
				eventually(t, "the imported load balancer takes over", func() bool { return holds(ours) && !holds(theirs) })
				theirs.keepalived(t, tree, r.guide+"-theirs", before)
				if r.preempts {
					isMaster(theirs, ours)
					return
				}
				isMaster(ours, theirs)
				stopOurs()
				eventually(t, "the guide's load balancer takes over", func() bool { return holds(theirs) && !holds(ours) })
			})
		}
	})
}

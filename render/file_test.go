package render

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestOrigin: for each line that a program may complain about, Origin returns the field that the line comes from.
func TestOrigin(t *testing.T) {
	spec := example(t, "full")
	rendered := files(t, spec, factsFor(spec, stable))
	for kind, lines := range map[Kind]map[string]string{
		HAProxyConfig: {
			"    maxconn 4096":             "proxy.maxConnections",
			"    hard-stop-after 4h":       "proxy.hardStopAfter",
			"    nbthread 2":               "proxy.extraGlobal[0]",
			"    timeout tunnel  4h":       "proxy.timeouts.tunnel",
			"    option splice-auto":       "proxy.extraDefaults[0]",
			"    bind *:6443":              "services[0].bind",
			"    option tcp-smart-connect": "services[0].extraBackend[0]",
			"    http-check expect error-status L7OKC status 200,401": "services[0].healthCheck.expectStatus",
			"backend ingress":                       "services[1]",
			"    server server1 192.168.3.71:30443": "services[2].servers[0]",
			"    bind 127.0.0.1:8404":               "proxy.stats.address",
			"    mode tcp":                          "",
		},
		KeepalivedConfig: {
			"    interface eth0":                                  "vrrp.interface",
			"    priority 200":                                    "nodes[0].priority",
			"    advert_int 0.1":                                  "vrrp.advertisementInterval",
			"        192.168.3.242":                               "nodes",
			"        2001:db8:3::240/64":                          "virtualIPs[1]",
			`    notify_fault "/usr/local/sbin/rlb-notify-fault"`: "vrrp.notify.fault",
			"    garp_master_delay 2":                             "vrrp.extraInstance[0]",
			"    state BACKUP":                                    "",
		},
		FirewallRules: {
			"-A RLB-INPUT -d 192.168.3.240/32 -p tcp -m tcp --dport 443 -j DROP": "services[1].port",
			"COMMIT": "",
		},
	} {
		f := fileOf(t, rendered, kind)
		text := strings.Split(string(f.Data), "\n")
		for line, want := range lines {
			found := false
			for i := range text {
				if text[i] == line {
					found = true
					if got := f.Origin(i + 1); got != want {
						t.Errorf("%q stems from %q, want %q", line, got, want)
					}
				}
			}
			if !found {
				t.Errorf("no line %q in %s", line, f.Path)
			}
		}
		for _, line := range []int{-1, 0, len(text), len(text) + 9} {
			if got := f.Origin(line); got != "" {
				t.Errorf("line %d stems from %q", line, got)
			}
		}
	}
}

// TestFiles checks the paths, modes and order of the files.
func TestFiles(t *testing.T) {
	spec := example(t, "minimal")
	facts := factsFor(spec, stable)
	facts.HAProxyConfig, facts.KeepalivedConfig, facts.Systemctl = "/etc/a.cfg", "/etc/b.conf", "/bin/systemctl"
	var got []string
	for _, f := range files(t, spec, facts) {
		got = append(got, f.Mode.String()+" "+f.Path)
		if !bytes.HasPrefix(f.Data, []byte("# Rendered by rlb-agent from /etc/rlb/spec.yaml")) || !bytes.HasSuffix(f.Data, []byte("\n")) {
			t.Errorf("%s:\n%s", f.Path, f.Data)
		}
		if f.Kind == KeepalivedConfig && !bytes.Contains(f.Data, []byte(`"/bin/systemctl is-active haproxy"`)) {
			t.Errorf("%s:\n%s", f.Path, f.Data)
		}
	}
	want := []string{
		"-rw-r----- /etc/b.conf",
		"-rw-r----- /etc/a.cfg",
		"-rw-r--r-- /etc/systemd/system/keepalived.service.d/rlb.conf",
		"-rw-r--r-- /etc/systemd/system/haproxy.service.d/rlb.conf",
		"-rw-r----- /var/lib/rlb/rules.v4",
		"-rw-r----- /var/lib/rlb/rules.v6",
		"-rw-r--r-- /etc/systemd/system/rlb-firewall.service",
		"-rw-r----- /var/lib/rlb/handover.nft",
		"-rw-r----- /var/lib/rlb/handover.routes",
		"-rw-r--r-- /etc/systemd/system/rlb-handover.service",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestDeterminism: the same spec and facts give the same bytes, and Render changes neither.
func TestDeterminism(t *testing.T) {
	for _, name := range examples(t) {
		spec := example(t, name)
		facts := factsFor(spec, stable)
		first := files(t, spec, facts)
		for range 20 {
			if again := files(t, spec, facts); !reflect.DeepEqual(first, again) {
				t.Fatalf("%s: two renderings differ", name)
			}
		}
		if diff := cmp.Diff(example(t, name), spec); diff != "" {
			t.Errorf("%s: rendering changed the spec:\n%s", name, diff)
		}
		if diff := cmp.Diff(factsFor(spec, stable).Interface, facts.Interface); diff != "" {
			t.Errorf("%s: rendering changed the facts:\n%s", name, diff)
		}
	}
}

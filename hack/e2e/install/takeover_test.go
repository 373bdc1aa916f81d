package install

import (
	"os"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// originalScript does the same as the original's build.sh, from installed packages: configuration at the default path
// with the old file as .bk, a rule at the end of INPUT, its line in rc.local, packages on hold.
const originalScript = `set -e
apt-mark hold haproxy keepalived
systemctl stop haproxy keepalived
systemctl enable haproxy keepalived
iptables -A INPUT -p tcp -m tcp --dport 9000 -j ACCEPT
cp /etc/rc.local /etc/rc.local.bk
rm -f /etc/rc.local
touch /etc/rc.local
chmod 755 /etc/rc.local
while read line; do
    if [ "$line" = "exit 0" ]; then
        echo "iptables -A INPUT -p tcp -m tcp --dport 9000 -j ACCEPT" >> /etc/rc.local
        echo >> /etc/rc.local
    fi
    echo $line >> /etc/rc.local
done < /etc/rc.local.bk
if [ -f /etc/haproxy/haproxy.cfg ]; then mv -f /etc/haproxy/haproxy.cfg /etc/haproxy/haproxy.cfg.bk; fi
cp -f /root/keepalived.conf /etc/keepalived/keepalived.conf
cp -f /root/haproxy.cfg /etc/haproxy/haproxy.cfg
systemctl start haproxy keepalived
`

// original builds a host as the original system's scripts do, with the files of its document.
func original(h *e2e.Host) {
	h.World.Helper()
	lab := strings.NewReplacer("192.168.3.240", pair.VIP, "192.168.3.25", "198.51.100.2", "master", "cp")
	for _, name := range []string{"keepalived.conf", "haproxy.cfg"} {
		data, err := os.ReadFile("../../../render/testdata/original/" + name)
		if err != nil {
			h.World.Fatal(err)
		}
		if err := h.WriteFile("/root/"+name, []byte(lab.Replace(string(data))), 0o644); err != nil {
			h.World.Fatal(err)
		}
	}
	if err := h.WriteFile("/etc/rc.local", []byte("#!/bin/sh -e\n\necho started > /run/rc-was-here\nexit 0\n"), 0o755); err != nil {
		h.World.Fatal(err)
	}
	h.Shell(originalScript)
}

// TestTakeover: a pair that the original's scripts built is taken over while it serves.
func TestTakeover(t *testing.T) {
	for _, tt := range []struct {
		name, spec string
		gap        time.Duration // at most a failover of the original; none if the virtual router stays the same
	}{
		{"classic", e2e.Spec(e2e.Classic), time.Second},
		{"standard", e2e.Spec(), 4 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := e2e.New(t)
			hosts := w.Hosts(true, lab.Trixie, lab.Trixie)
			original(hosts[0])
			original(hosts[1])
			active, standby := w.Roles(hosts[0], hosts[1])
			w.Eventually("the original serves", 15*time.Second, func() bool {
				_, err := w.Client.Get(t.Context(), pair.Service)
				return err == nil
			})

			report := w.Probe(2*time.Second, func() {
				standby.Apply(tt.spec)
				active.Apply(tt.spec)
				w.Roles(active, standby)
			})
			if report.Gap > tt.gap {
				t.Errorf("taking over cost %d connections and a gap of %v: %v", report.Failed, report.Gap, report.Errors)
			}
			w.Serves("cp1", "cp2", "cp3")
			for _, h := range hosts {
				rules := h.Must("iptables", "-S")
				if n := strings.Count(rules, "--dport 9000"); n != 1 || !strings.Contains(rules, "-A RLB-INPUT -p tcp -m tcp --dport 9000 -j ACCEPT") {
					t.Errorf("%s: %d rules for the port:\n%s", h.Name(), n, rules)
				}
				if rc := h.Shell("cat /etc/rc.local"); rc != "#!/bin/sh -e\n\necho started > /run/rc-was-here\nexit 0\n" {
					t.Errorf("%s: rc.local:\n%s", h.Name(), rc)
				}
				if out := h.Must(pair.Agent, "--once"); !strings.Contains(out, "nothing to do") {
					t.Errorf("%s: second run: %s", h.Name(), out)
				}
			}
		})
	}
}

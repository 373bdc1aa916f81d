package edit

import (
	"strings"
	"testing"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

// TestRefusals: an impossible request is refused before anything changes, with the exit code and
// the reason.
func TestRefusals(t *testing.T) {
	w := e2e.New(t)
	h := w.Hosts(true, lab.Trixie)[0]
	h.Apply(e2e.Spec())
	w.Serves("cp1", "cp2", "cp3")
	before := h.Footprint()

	hidden := func(target, over string) string {
		return "unshare -m sh -c 'mount " + over + " " + target + "; exec " + pair.Agent + " --once'"
	}
	for _, tt := range []struct {
		name, spec, command string
		code                int
		reason              string
	}{
		{"not root", e2e.Spec(), "setpriv --reuid 1000 --regid 1000 --clear-groups " + pair.Agent + " --once", 2, "root"},
		{"no systemd", e2e.Spec(), hidden("/run/systemd", "-t tmpfs none"), 2, "systemd"},
		{"no apt", e2e.Spec(), hidden("/usr/bin/apt-get", "--bind /dev/null"), 2, "apt-get"},
		{"no spec", "", pair.Agent + " --once --spec /etc/rlb/absent.yaml", 3, "no such file"},
		{"spec that others may write", e2e.Spec(), "chmod o+w " + pair.SpecFile + "; " + pair.Agent + " --once; code=$?; chmod o-w " + pair.SpecFile + "; exit $code", 3, "others than root may write"},
		{"spec of somebody else", e2e.Spec(), "chown 1000 " + pair.SpecFile + "; " + pair.Agent + " --once; code=$?; chown root " + pair.SpecFile + "; exit $code", 3, "belongs to user 1000"},
		{"unknown field", e2e.Spec("proxi: {}"), pair.Agent + " --once", 3, pair.SpecFile + ":11:1: proxi: unknown field, did you mean \"proxy\"?"},
		{"refused by haproxy", e2e.Spec("proxy:", "  extraGlobal: bogus directive"), pair.Agent + " --once", 3, "proxy.extraGlobal: /etc/haproxy/haproxy.cfg:"},
		{"refused by keepalived", e2e.Spec("vrrp:", "  extraInstance: bogus directive"), pair.Agent + " --once", 3, "vrrp.extraInstance: /etc/keepalived/keepalived.conf:"},
		{"script that is not there", e2e.Spec("vrrp:", "  notify: {master: /usr/local/bin/absent}"), pair.Agent + " --once", 3, pair.SpecFile + ":12:20: vrrp.notify.master: there is no file"},
		{"interface that is not there", e2e.Spec("vrrp:", "  interface: eth7"), pair.Agent + " --once", 3, pair.SpecFile + ":12:14: vrrp.interface: cannot find interface eth7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := h.In(t)
			if tt.spec != "" {
				h.WriteSpec(tt.spec)
			}
			out, code := h.Exit(tt.command)
			if code != tt.code || !strings.Contains(out, tt.reason) {
				t.Errorf("exit code %d, want %d with %q:\n%s", code, tt.code, tt.reason, out)
			}
			h.WriteSpec(e2e.Spec())
			if after := h.Footprint(); after != before {
				t.Errorf("the refused run changed the host:\n%s\nbecame\n%s", before, after)
			}
		})
	}
}

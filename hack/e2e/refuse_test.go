package e2e

import (
	"strings"
	"testing"

	"rlb.dev/rlb-agent/hack/lab"
)

// What cannot be done is refused before anything changes, with the exit code and the reason.
func TestRefusals(t *testing.T) {
	w := newWorld(t)
	h := w.hosts(true, lab.Trixie)[0]
	h.apply(specOf())
	w.serves("cp1", "cp2", "cp3")
	before := h.footprint()

	hidden := func(target, over string) string {
		return "unshare -m sh -c 'mount " + over + " " + target + "; exec " + agent + " --once'"
	}
	for _, tt := range []struct {
		name, spec, command string
		code                int
		reason              string
	}{
		{"not root", specOf(), "setpriv --reuid 1000 --regid 1000 --clear-groups " + agent + " --once", 2, "root"},
		{"no systemd", specOf(), hidden("/run/systemd", "-t tmpfs none"), 2, "systemd"},
		{"no apt", specOf(), hidden("/usr/bin/apt-get", "--bind /dev/null"), 2, "apt-get"},
		{"no spec", "", agent + " --once --spec /etc/rlb/absent.yaml", 3, "no such file"},
		{"spec that others may write", specOf(), "chmod o+w " + spec + "; " + agent + " --once; code=$?; chmod o-w " + spec + "; exit $code", 3, "others than root may write"},
		{"spec of somebody else", specOf(), "chown 1000 " + spec + "; " + agent + " --once; code=$?; chown root " + spec + "; exit $code", 3, "belongs to user 1000"},
		{"unknown field", specOf("proxi: {}"), agent + " --once", 3, spec + ":11:1: proxi: unknown field, did you mean \"proxy\"?"},
		{"refused by haproxy", specOf("proxy:", "  extraGlobal: bogus directive"), agent + " --once", 3, "proxy.extraGlobal: /etc/haproxy/haproxy.cfg:"},
		{"refused by keepalived", specOf("vrrp:", "  extraInstance: bogus directive"), agent + " --once", 3, "vrrp.extraInstance: /etc/keepalived/keepalived.conf:"},
		{"script that is not there", specOf("vrrp:", "  notify: {master: /usr/local/bin/absent}"), agent + " --once", 3, spec + ":12:20: vrrp.notify.master: there is no file"},
		{"interface that is not there", specOf("vrrp:", "  interface: eth7"), agent + " --once", 3, spec + ":12:14: vrrp.interface: cannot find interface eth7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.spec != "" {
				h.writeSpec(tt.spec)
			}
			out, code := h.exit(tt.command)
			if code != tt.code || !strings.Contains(out, tt.reason) {
				t.Errorf("exit code %d, want %d with %q:\n%s", code, tt.code, tt.reason, out)
			}
			h.writeSpec(specOf())
			if after := h.footprint(); after != before {
				t.Errorf("the refused run changed the host:\n%s\nbecame\n%s", before, after)
			}
		})
	}
}

// exit runs a shell command and returns what it said and its exit code.
func (h *host) exit(script string) (string, int) {
	out, err := h.Command(h.w.Context(), "sh", "-c", "("+script+") 2>&1; echo EXIT $?").CombinedOutput()
	if err != nil {
		h.w.Fatalf("%v\n%s", err, out)
	}
	text, code, _ := strings.Cut(string(out), "EXIT ")
	n := 0
	for _, digit := range strings.TrimSpace(code) {
		n = 10*n + int(digit-'0')
	}
	return text, n
}

package debian

import (
	"testing"

	godbus "github.com/godbus/dbus/v5"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian/systemd"
	"rlb.dev/rlb-agent/render"
)

// TestPlainReload: only a unit that just checks and signals is reloaded by the signal alone.
func TestPlainReload(t *testing.T) {
	check := []any{"/usr/sbin/haproxy", []string{"/usr/sbin/haproxy", "-Ws", "-f", "$CONFIG", "-c", "-q", "$EXTRAOPTS"}}
	signal := []any{"/bin/kill", []string{"/bin/kill", "-USR2", "$MAINPID"}}
	other := []any{"/usr/local/bin/tell", []string{"/usr/local/bin/tell"}}
	unit := func(reload [][]any, more map[string]any) systemd.Properties {
		p := systemd.Properties{}
		for _, some := range []map[string]any{{"ActiveState": "active", "MainPID": uint32(7), "ExecReload": reload}, more} {
			for name, value := range some {
				p[name] = godbus.MakeVariant(value)
			}
		}
		return p
	}
	for name, test := range map[string]struct {
		unit systemd.Properties
		want bool
	}{
		"Debian's":            {unit([][]any{check, signal}, nil), true},
		"a command more":      {unit([][]any{check, signal, other}, nil), false},
		"another first":       {unit([][]any{other, signal}, nil), false},
		"another last":        {unit([][]any{check, other}, nil), false},
		"the signal alone":    {unit([][]any{signal}, nil), false},
		"none":                {unit(nil, nil), false},
		"it does not run":     {unit([][]any{check, signal}, map[string]any{"ActiveState": "failed"}), false},
		"it has no process":   {unit([][]any{check, signal}, map[string]any{"MainPID": uint32(0)}), false},
		"others reload too":   {unit([][]any{check, signal}, map[string]any{"PropagatesReloadTo": []string{"tell.service"}}), false},
		"it reloads just now": {unit([][]any{check, signal}, map[string]any{"ActiveState": "reloading"}), false},
	} {
		if got := plainReload(test.unit); got != test.want {
			t.Errorf("%s: %t, want %t", name, got, test.want)
		}
	}
}

// TestAccepted: the record of an accepted file holds its path, its content and the other files, but not the candidate's
// name.
func TestAccepted(t *testing.T) {
	h := &Host{}
	h.accept(render.File{Path: "/etc/haproxy/haproxy.cfg", Data: []byte("a\n")}, []string{"-c", "-f", "/run/rlb/x/haproxy.cfg", "-f", "/etc/haproxy/conf.d"}, "/run/rlb/x/haproxy.cfg")
	want := accepted{"/etc/haproxy/haproxy.cfg", host.Digest([]byte("a\n")), argsBut([]string{"-c", "-f", "/etc/haproxy/haproxy.cfg", "-f", "/etc/haproxy/conf.d"}, "/etc/haproxy/haproxy.cfg")}
	if h.accepted != want {
		t.Errorf("got %+v, want %+v", h.accepted, want)
	}
}

package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/render"
)

// fields logs messages with all their fields, except the duration of a step.
type fields struct{ lines }

func (l fields) Handle(_ context.Context, r slog.Record) error {
	text := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "took" && a.Value.String() != "" {
			text += fmt.Sprintf(" | %s=%s", a.Key, a.Value)
		}
		return true
	})
	_, err := l.to.WriteString(text + "\n")
	return err
}

// TestStory: the log says what happened, why, and what was done: each once, in one line, with fields for programs.
func TestStory(t *testing.T) {
	quietly(t, func(t *testing.T) {
		const spec = smallSpec + "  - {name: b, address: 198.51.100.22}\n"
		k := newKept(t, fake.New(), spec)
		log := slog.New(fields{lines{&k.log}})
		k.Log, k.logged.log, k.report.log = log, log, log
		servers := serverTeller{log: log}
		see := func() {
			t.Helper()
			states, err := k.h.Servers(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			servers.look(states)
			servers.look(states)
		}
		k.log.Reset()
		tick := func(why cause) { k.tick(t.Context(), why); k.tick(t.Context(), cause{}) }
		for _, c := range []struct {
			happens string
			do      func()
			told    string
		}{
			{"all is well", see, ""},
			{"a file is edited", func() { k.tamper(); tick(cause{seen: []string{render.DefaultHAProxyConfig}}) }, `
INFO /etc/haproxy/haproxy.cfg was edited by hand: put back | step=write /etc/haproxy/haproxy.cfg | reason=/etc/haproxy/haproxy.cfg was edited by hand
INFO reload haproxy.service | step=reload haproxy.service | reason=/etc/haproxy/haproxy.cfg was edited by hand`},
			{"a file is removed", func() { k.h.Admin(remove(render.DefaultKeepalivedConfig)); tick(cause{asked: true}) }, `
INFO /etc/keepalived/keepalived.conf was removed: put back | step=write /etc/keepalived/keepalived.conf | reason=/etc/keepalived/keepalived.conf was removed
INFO reload keepalived.service | step=reload keepalived.service | reason=/etc/keepalived/keepalived.conf was removed`},
			{"HAProxy crashes", func() { k.h.Crash(host.HAProxyUnit); tick(cause{seen: []string{host.HAProxyUnit}}) }, `
INFO haproxy.service did not run: started | step=start haproxy.service | reason=haproxy.service did not run`},
			{"a unit is disabled", func() {
				k.h.Admin(func(ctx context.Context, h host.Host) error { return h.DisableUnit(ctx, host.KeepalivedUnit) })
				tick(cause{seen: []string{host.KeepalivedUnit}})
			}, `
INFO keepalived.service was disabled: enabled | step=enable keepalived.service | reason=keepalived.service was disabled`},
			{"a spec is wrong", func() { k.spec = strings.Replace(spec, "9000", "90000", 1); tick(cause{seen: []string{specPath}}) }, `
ERROR spec refused: /etc/rlb/spec.yaml:6:9: services[0].port: must be 1 to 65535, got 90000; generation 1 stays in force | why=/etc/rlb/spec.yaml:6:9: services[0].port: must be 1 to 65535, got 90000 | generation=1`},
			{"it is right again", func() { k.spec = spec; tick(cause{seen: []string{specPath}}) }, `
INFO the spec is valid again`},
			{"this host becomes MASTER", func() { k.h.Role = host.RoleMaster; tick(cause{}) }, `
INFO this host is MASTER, it was BACKUP: took over: the other host stopped advertising, or has a lower priority | role=MASTER | was=BACKUP | why=took over: the other host stopped advertising, or has a lower priority`},
			{"and BACKUP again", func() { k.h.Role = host.RoleBackup; tick(cause{}) }, `
INFO this host is BACKUP, it was MASTER: another host took over, with a higher priority or address | role=BACKUP | was=MASTER | why=another host took over, with a higher priority or address`},
			{"a server fails", func() { k.h.Sick = "198.51.100.22"; see() }, `
WARN service web: server b is down: L4CON: connection refused | service=web | server=b | state=DOWN | was=UP | why=L4CON: connection refused`},
			{"all servers fail", func() { k.h.Sick = "198.51.100.2"; see() }, `
WARN service web: server server1 is down: L4CON: connection refused | service=web | server=server1 | state=DOWN | was=UP | why=L4CON: connection refused
ERROR service web: all servers are down | service=web | state=DOWN`},
			{"one is back", func() { k.h.Sick = "198.51.100.22"; see() }, `
INFO service web: server server1 is up: L4OK | service=web | server=server1 | state=UP | was=DOWN | why=L4OK
INFO service web: served again by server1 | service=web | state=UP`},
			{"HAProxy is reloaded, and has not checked it yet", func() { k.h.Sick, k.h.Unchecked = "", "198.51.100.22"; see() }, ""},
			{"both are", func() { k.h.Unchecked = ""; see() }, `
INFO service web: server b is up: L4OK | service=web | server=b | state=UP | was=DOWN | why=L4OK`},
		} {
			k.log.Reset()
			c.do()
			if diff := cmp.Diff(strings.TrimPrefix(c.told, "\n"), strings.TrimSuffix(k.log.String(), "\n")); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.happens, diff)
			}
		}
	})
}

// remove returns a function that removes a file, as a user might.
func remove(path string) func(context.Context, host.Host) error {
	return func(ctx context.Context, h host.Host) error { return h.RemoveFile(ctx, path) }
}

// TestServersAtStart: at its start the daemon logs which servers are down, not which are up. It logs nothing about a
// service that was removed.
func TestServersAtStart(t *testing.T) {
	var told strings.Builder
	servers := serverTeller{log: slog.New(fields{lines{&told}})}
	server := func(service, name, state string) host.ServerState {
		return host.ServerState{Backend: service, Name: name, State: state, Checked: true}
	}
	servers.look([]host.ServerState{
		server("web", "a", "UP"), server("web", "b", "NOLB"), server("dns", "a", "MAINT (resolution)"), server("web:failopen", "a", "DOWN"),
	})
	servers.look(nil)
	servers.look([]host.ServerState{server("web", "a", "UP 1/3"), server("web", "b", "MAINT"), server("dns", "a", "UP")})
	const want = `WARN service dns: server a is down | service=dns | server=a | state=DOWN
ERROR service dns: all servers are down | service=dns | state=DOWN
WARN service web: server b gets no new connections | service=web | server=b | state=NOLB
`
	if diff := cmp.Diff(want, told.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

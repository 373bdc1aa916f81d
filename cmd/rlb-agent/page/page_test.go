package page

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"rlb.dev/rlb-agent/reconcile/events"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/status"
)

// now is the time of the example.
var now = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// example returns a view with content in every part.
func example(t *testing.T) View {
	t.Helper()
	var s status.Status
	data, err := os.ReadFile("../../../reconcile/status/testdata/example.json")
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		t.Fatal(err)
	}
	entry := func(ms int, unit, message string) host.JournalEntry {
		return host.JournalEntry{Time: now.Add(time.Duration(ms) * time.Millisecond), Unit: unit, Message: message, Priority: 6, Fields: map[string]string{}}
	}
	return View{Status: s,
		Events: events.Tell([]host.JournalEntry{
			entry(-9000, host.HAProxyUnit, `Server kube-apiserver/cp1 is DOWN, reason: Layer4 connection problem, info: "Connection refused", check duration: 0ms.`),
			entry(-2000, host.HAProxyUnit, `Server kube-apiserver/cp1 is UP, reason: Layer7 check passed, code: 200, check duration: 2ms.`),
			entry(-6, host.KeepalivedUnit, "(HA-CLUSTER) Backup received priority 0 advertisement"),
			entry(0, host.KeepalivedUnit, "(HA-CLUSTER) Entering MASTER STATE"),
		}),
		Changes: []Change{{Title: "The spec in force, and the one in /etc/rlb/spec.yaml", Diff: "--- in force\n+++ waiting\n@@ -1 +1 @@\n-port: 1\n+port: 2\n"}}}
}

// draw parses a page as a browser does.
func draw(t *testing.T, v View) (all *html.Node, text string) {
	t.Helper()
	data, _ := HTML(v, now)
	all, err := html.Parse(strings.NewReader(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	return all, string(data)
}

// each calls f with every element.
func each(n *html.Node, f func(n *html.Node)) {
	if n.Type == html.ElementNode {
		f(n)
	}
	for c := range n.ChildNodes() {
		each(c, f)
	}
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func TestPage(t *testing.T) {
	_, text := draw(t, example(t))
	for _, want := range []string{"lb1 is MASTER and serves, but generation 4 of the spec is REFUSED", "Needs attention", "lb1 holds the virtual IPs.",
		"198.51.100.100", "1 of 2 servers up", "does not accept connections: Connection refused (L4CON)", "spec.yaml:1:1: a\nspec.yaml:2:1: b", "<ins>+port: 2",
		"down for 7.00 s", "because: another host gave the virtual IPs up", "2.00 s", "Generation 3 stays in force", "2.6.12-2 is available", "SpecValid", `lang="en"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
}

// TestNothingInlineNothingElsewhere: no text can run code in the page: it has no script, style or handler
// except the embedded ones, and refers to no other site.
func TestNothingInlineNothingElsewhere(t *testing.T) {
	v := example(t)
	poison := `"><script>alert(1)</script><img src=x onerror=alert(1)> javascript:alert(1) {{.}} ${x}`
	s := &v.Status
	s.Node, s.RoleReason, s.Metadata.Name, s.Claimed, s.Versions.Agent, s.Versions.HAProxy = poison, poison, poison, poison, poison, poison
	s.Role = host.Role(poison)
	for i := range s.Services {
		s.Services[i].Name = poison
		for j := range s.Services[i].Servers {
			server := &s.Services[i].Servers[j]
			server.Name, server.Address, server.State, server.Reason = poison, poison, poison, poison
		}
	}
	s.Peers = append(s.Peers, status.Peer{Name: poison, Address: poison, Agent: &status.PeerAgent{MAC: poison, Version: poison, Role: host.Role(poison)}})
	s.VirtualIPs = append(s.VirtualIPs, status.VirtualIP{Address: poison})
	s.PendingSpec = &status.PendingSpec{Refused: true, Message: poison}
	for i := range s.Conditions {
		s.Conditions[i].Reason, s.Conditions[i].Message, s.Conditions[i].Type = poison, poison, poison
	}
	s.Pending, s.NotSeen = []string{poison}, []string{poison}
	v.Events = append(v.Events, events.Event{Time: now, Kind: events.Kind(poison), Message: poison, Cause: poison})
	v.Changes = append(v.Changes, Change{Title: poison, Diff: poison, Note: poison})
	all, _ := draw(t, v)
	known := map[string]bool{StylePath: true, ScriptPath: true, "/status.json": true, "/metrics": true, iconPath(Broken): true, iconPath(Attention): true}
	ids := map[string]bool{}
	each(all, func(n *html.Node) {
		switch n.Data {
		case "img", "iframe", "form", "style", "base", "object", "foreignObject":
			t.Errorf("<%s>", n.Data)
		case "script":
			if n.FirstChild != nil || attribute(n, "src") != ScriptPath {
				t.Errorf("a script: %v", n.Attr)
			}
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || (a.Key == "href" || a.Key == "src") && !known[a.Val] {
				t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
			}
			if a.Key == "id" && ids[a.Val] {
				t.Errorf("two elements are %q", a.Val)
			} else if a.Key == "id" {
				ids[a.Val] = true
			}
		}
	})
	each(all, func(n *html.Node) {
		for _, key := range []string{"aria-labelledby", "aria-describedby"} {
			if of := attribute(n, key); of != "" && !ids[of] {
				t.Errorf("<%s> is named by %q, which there is not", n.Data, of)
			}
		}
	})
}

// TestPagesAreBounded: a page stays small, however much text its status has.
func TestPagesAreBounded(t *testing.T) {
	v := example(t)
	long := strings.Repeat("x\u202e\x00\xff ", 100_000)
	s := &v.Status
	s.RoleReason, s.Claimed, s.PendingSpec.Message = long, long, long
	s.NotSeen, s.Pending = nil, nil
	for i := range 3000 {
		s.NotSeen = append(s.NotSeen, fmt.Sprint(i, long[:300]))
		s.Peers = append(s.Peers, status.Peer{Name: long[:300]})
		s.VirtualIPs = append(s.VirtualIPs, status.VirtualIP{Address: long[:300]})
		s.Services = append(s.Services, status.Service{Name: long[:300], Port: i})
		v.Events = append(v.Events, events.Event{Time: now, Message: long[:3000], Cause: long})
	}
	v.Changes[0].Diff = strings.Repeat(long[:300]+"\n", 3000)
	for i := range 10_000 {
		s.Services[0].Servers = append(s.Services[0].Servers, host.ServerState{Name: fmt.Sprint("s", i), State: "UP", Reason: long[:500]})
	}
	_, text := draw(t, v)
	if len(text) > 300_000 {
		t.Errorf("%d bytes", len(text))
	}
	if strings.ContainsAny(text, "\u202e\x00") {
		t.Error("something that does not print is in the page")
	}
	for _, want := range []string{"and 2951 services more", "servers more: rlb-agent status", "hosts more", "addresses more"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
	// servers that are down come first
	if !strings.Contains(text, "second") {
		t.Error("the server that is down is not shown")
	}
}

// TestVersions: the version depends only on the content, not on the time of the request.
func TestVersions(t *testing.T) {
	v := example(t)
	_, first := HTML(v, now)
	if _, again := HTML(v, now.Add(7*time.Second)); again != first {
		t.Error("another version a moment later")
	}
	v.Status.Services[0].Servers[0].State = "DOWN"
	if _, other := HTML(v, now); other == first {
		t.Error("the same version, though a server is down")
	}
}

// TestLevels: words and a shape carry the same information as the color of the verdict.
func TestLevels(t *testing.T) {
	condition := func(kind, is, message string) status.Condition {
		return status.Condition{Type: kind, Status: is, Message: message}
	}
	well := status.Status{Node: "lb1", Role: host.RoleMaster, VirtualIPs: []status.VirtualIP{{Address: "198.51.100.100", Held: true}},
		Conditions: []status.Condition{condition("Ready", "True", ""), condition("Serving", "True", "")}}
	for name, c := range map[string]struct {
		change func(s *status.Status)
		want   Level
		words  string
	}{
		"well":    {func(*status.Status) {}, Well, "All is well"},
		"standby": {func(s *status.Status) { s.Role, s.VirtualIPs[0].Held = host.RoleBackup, false }, Well, "No host that is heard holds the virtual IP."},
		"not redundant": {func(s *status.Status) {
			s.Conditions = append(s.Conditions, condition("Redundant", "False", "lb2 is gone"))
		}, Attention, "lb2 is gone"},
		"no standby is proven": {func(s *status.Status) {
			s.Conditions = append(s.Conditions, status.Condition{Type: "Redundant", Status: "Unknown", Reason: "PeerSilent", Message: "lb2 runs no agent"})
		}, Attention, "no standby is proven: lb2 runs no agent"},
		"one of three is silent": {func(s *status.Status) {
			s.Conditions = append(s.Conditions, status.Condition{Type: "PeerInSync", Status: "Unknown", Reason: "PeerSilent", Message: "lb3 runs no agent"},
				condition("Redundant", "True", "lb2 is ready"))
		}, Attention, "lb1 is MASTER and serves, but lb3 runs no agent"},
		"one of three is in FAULT": {func(s *status.Status) {
			s.Peers = []status.Peer{{Name: "lb2", Agent: &status.PeerAgent{Role: host.RoleBackup, Serving: true}}, {Name: "lb3", Agent: &status.PeerAgent{Role: host.RoleFault}}}
			s.Conditions = append(s.Conditions, condition("Redundant", "True", "lb2 is ready"))
		}, Attention, "lb1 is MASTER and serves, but lb3 cannot serve: it is in FAULT, HAProxy does not serve"},
		"just started": {func(s *status.Status) {
			s.Conditions = append(s.Conditions, status.Condition{Type: "Redundant", Status: "Unknown", Reason: "Listening", Message: "a moment ago"})
		}, Well, "all is well"},
		"once only": {func(s *status.Status) {
			s.Conditions = append(s.Conditions, status.Condition{Type: "Redundant", Status: "Unknown", Reason: "AgentNotRunning", Message: "no daemon"})
		}, Well, "all is well"},
		"refused": {func(s *status.Status) {
			s.Conditions[0].Status, s.PendingSpec = "False", &status.PendingSpec{Generation: 4, Refused: true, Message: "no"}
		}, Attention, "Generation 4 is refused."},
		"drained": {func(s *status.Status) { s.Role, s.Drained = host.RoleFault, true }, Attention, "DRAINED"},
		"fault": {func(s *status.Status) {
			s.Role = host.RoleFault
			s.Conditions = []status.Condition{condition("Ready", "False", ""), condition("Serving", "False", "HAProxy hangs")}
		}, Broken, "HAProxy hangs"},
		"nothing known": {func(s *status.Status) { *s = status.Status{} }, Broken, "Not serving"},
		"tried": {func(s *status.Status) {
			s.Conditions[0].Status, s.Trial = "False", &status.Trial{File: "/root/new.yaml", By: "alice", Deadline: now}
		}, Attention, "A spec is only tried"},
		"split brain": {func(s *status.Status) {
			s.Peers = []status.Peer{{Name: "lb2", Agent: &status.PeerAgent{Role: host.RoleMaster, Serving: true}}}
			s.Conditions = append(s.Conditions, condition("Redundant", "False", "more than one host is MASTER"))
		}, Attention, "lb1 and lb2 both hold the virtual IP."},
	} {
		s := well
		s.Conditions, s.VirtualIPs = append([]status.Condition(nil), well.Conditions...), append([]status.VirtualIP(nil), well.VirtualIPs...)
		c.change(&s)
		_, text := draw(t, View{Status: s})
		if got := LevelOf(s, now); got != c.want || !strings.Contains(text, c.words) || !strings.Contains(text, `class="banner `+string(c.want)) {
			t.Errorf("%s: %s, want %s, %q", name, got, c.want, c.words)
		}
		if _, ok := Icon(iconPath(c.want)); !ok {
			t.Errorf("no icon of %s", c.want)
		}
	}
	if _, ok := Icon("/icon-../x.svg"); ok {
		t.Error("an icon at another path")
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0 ms", 6 * time.Millisecond: "6 ms", 2800 * time.Millisecond: "2.80 s", 200 * time.Second: "3 min 20 s",
		time.Hour: "1 h", 125 * time.Minute: "2 h 5 min", 26 * time.Hour: "1 d 2 h",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%v) = %q, want %q", d, got, want)
		}
	}
}

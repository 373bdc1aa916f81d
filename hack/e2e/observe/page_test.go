package observe

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/e2e"
	"rlb.dev/rlb-agent/hack/lab"
	"rlb.dev/rlb-agent/hack/lab/pair"
)

//go:embed contrast.js
var contrastOfTexts string

// TestPage: the page of a real pair in a real Chromium, through the tunnel from the log, while the virtual IP moves, a
// spec is refused, and the agent stops.
func TestPage(t *testing.T) {
	w := e2e.New(t)
	text := e2e.Spec(pair.Nodes, "web: {address: '127.0.0.1:8345'}")
	hosts := w.SSHHosts(lab.Trixie, lab.Bookworm)
	for _, h := range hosts {
		h.Apply(text)
	}
	active, standby := w.Roles(hosts[0], hosts[1])
	e2e.StartDaemon(active, standby)
	laptop := w.NewLaptop(active, standby)
	const tunnel = "ssh -L 8345:127.0.0.1:8345 "
	w.Eventually("the log tells how to open the page", 10*time.Second, func() bool {
		return strings.Contains(agentLog(standby, "0"), "http://127.0.0.1:8345/; from elsewhere: "+tunnel+standby.Name())
	})
	forward := laptop.Command(w.Context(), filepath.Join(laptop.Dir, "ssh"), "-N", "-o", "ExitOnForwardFailure=yes", "-L", "8345:127.0.0.1:8345", standby.Addr().String())
	if err := forward.Start(); err != nil {
		t.Fatal(err)
	}
	w.Eventually("the tunnel is there", 5*time.Second, func() bool {
		return laptop.Command(w.Context(), "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8345").Run() == nil
	})
	b := laptop.Open("http://127.0.0.1:8345/")
	shots := os.Getenv("RLB_SHOTS") // directory for the pictures
	if shots == "" {
		shots = t.TempDir()
	}
	pictures := func(name string) {
		t.Helper()
		for kind, size := range map[string]struct {
			width, height int
			dark          bool
		}{"light": {1240, 0, false}, "dark": {1240, 0, true}, "phone": {320, 0, false}, "phone-dark": {390, 0, true}} {
			b.Shot(filepath.Join(shots, "page-"+name+"-"+kind+".png"), size.width, size.height, size.dark)
			var beyond float64
			if b.Eval("document.documentElement.scrollWidth - document.documentElement.clientWidth", &beyond); beyond > 0 {
				t.Errorf("%s: %d pixels wide, and %v pixels of the page are beyond the edge", name, size.width, beyond)
			}
			var contrast struct {
				Texts int
				Least float64
				Poor  []string
			}
			if b.Eval(contrastOfTexts, &contrast); contrast.Texts < 20 || len(contrast.Poor) > 0 {
				t.Errorf("%s, %s: of %d texts these have too little contrast: %q", name, kind, contrast.Texts, contrast.Poor)
			}
			t.Logf("%s, %s: %d texts, the least contrast is %.2f", name, kind, contrast.Texts, contrast.Least)
		}
		b.Shot(filepath.Join(shots, "page-"+name+".png"), 1240, 800, false)
	}
	said := func(id, words string) string {
		return fmt.Sprintf("document.getElementById(%q).textContent.includes(%q)", id, words)
	}

	b.Wait(said("live", "live"), 5*time.Second)
	b.Wait(said("pair", active.Name()+" holds the virtual IP."), 15*time.Second)
	b.Wait(said("verdict", standby.Name()+" is BACKUP, ready to take over: all is well"), 15*time.Second)
	b.Eval("window.since = performance.timeOrigin", nil)

	// what a screen reader announces
	var told []string
	for _, n := range b.Tree() {
		told = append(told, n.Role+" "+n.Name)
	}
	all := strings.Join(told, "\n")
	for _, want := range []string{"banner ", "main ", "contentinfo ", "navigation for programs", "heading " + standby.Name(), "heading The pair", "heading Services", "heading What happened", "heading This host",
		"region The pair", "region Services", "region What happened", "region This host", "region verdict", "status ", "image " + active.Name() + " holds the virtual IP.", "list ", "listitem ", "article kube-apiserver"} {
		if !slices.ContainsFunc(told, func(line string) bool { return strings.HasPrefix(line, want) }) {
			t.Errorf("no %q among what a screen reader is told:\n%s", want, all)
		}
	}
	pictures("well")

	// the virtual IP moves while the page is open
	began := time.Now()
	active.Shell("systemctl kill -s KILL haproxy")
	b.Wait(said("pair", standby.Name()+" holds the virtual IP."), 5*time.Second)
	took := time.Since(began)
	b.Wait(said("events", "took the virtual IPs (MASTER)"), 5*time.Second)
	t.Logf("the picture followed after %v, the events after %v", took.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	if took > 2*time.Second {
		t.Errorf("the page followed after %v", took)
	}
	b.Wait(fmt.Sprintf("document.querySelector('#pair svg').getAttribute('aria-label').includes(%q)", active.Name()+" is BACKUP"), 20*time.Second)
	pictures("moved")
	var same bool
	if b.Eval("window.since === performance.timeOrigin && performance.getEntriesByType('navigation').length === 1", &same); !same {
		t.Error("the page was loaded again")
	}

	// a refused spec
	standby.WriteSpec(strings.Replace(text, "port: 9000", "port: 22", 1))
	b.Wait(said("waiting", "is refused"), 10*time.Second)
	b.Wait(said("waiting", "+  port: 22"), 5*time.Second)
	b.Wait("document.querySelector('#verdict .word').textContent === 'Needs attention'", 5*time.Second)
	pictures("refused")
	standby.WriteSpec(text)
	b.Wait("document.getElementById('waiting').hidden", 10*time.Second)

	if troubles := b.Troubles(); len(troubles) > 0 {
		t.Errorf("the page: %s", strings.Join(troubles, "\n"))
	}
	b.Eval("document.body.append(Object.assign(new Image(), {src: 'http://198.51.100.99/x.png'})), true", nil)
	w.Eventually("a foreign picture is refused, and that is seen", 5*time.Second, func() bool {
		return strings.Contains(strings.Join(b.Troubles(), "\n"), "Content Security Policy")
	})

	// without the agent nothing is shown as live; after its restart it is again
	standby.Shell("systemctl stop rlb-agent")
	b.Wait("document.body.classList.contains('stale')", 20*time.Second)
	standby.Shell("systemctl start rlb-agent")
	b.Wait("!document.body.classList.contains('stale')", 40*time.Second)
}

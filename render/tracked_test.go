package render

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/render/vrrp"
)

func TestTakeoverTime(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"":                                      300*time.Millisecond + 100*time.Millisecond*2/256,
		"vrrp: {priority: 100}\n":               300*time.Millisecond + 100*time.Millisecond*156/256,
		"vrrp: {advertisementInterval: 50ms}\n": 150*time.Millisecond + 50*time.Millisecond*2/256,
		"profile: classic\n":                    3*time.Second + time.Second*156/256,
		"profile: classic\nvrrp: {advertisementInterval: 5s, priority: 254}\n":                                   15*time.Second + time.Second*2/256,
		"nodes: [{name: a, addresses: [192.168.3.241], priority: 200}, {name: b, addresses: [192.168.3.242]}]\n": 300*time.Millisecond + 100*time.Millisecond*56/256,
	} {
		if got := vrrp.TakeoverTime(parse(t, shortest+vip4+text+oneService)); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// TestDropIn: systemd starts a killed keepalived again, but only after the peer has taken over.
func TestDropIn(t *testing.T) {
	for text, want := range map[string]string{
		"": "RestartSec=380ms",
		"vrrp: {advertisementInterval: 1s, priority: 100}\n": "RestartSec=3689ms",
	} {
		spec := parse(t, shortest+vip4+text+oneService)
		lines := directives(t, string(fileAt(t, files(t, spec, factsFor(spec, stable)), KeepalivedDropIn).Data))
		for _, line := range []string{want, "Restart=on-failure", "RuntimeDirectory=rlb rlb/keepalived", "Environment=TMPDIR=" + KeepalivedTemp, "RuntimeDirectoryPreserve=yes", "StartLimitIntervalSec=0"} {
			if !strings.Contains("\n"+strings.Join(lines, "\n")+"\n", "\n"+line+"\n") {
				t.Errorf("%q: cannot find %q in:\n%s", text, line, strings.Join(lines, "\n"))
			}
		}
	}
}

// TestHandover: systemd signals a HAProxy that is being stopped only after the peer could take over. A failing sleep does
// not prevent the stop.
func TestHandover(t *testing.T) {
	for text, want := range map[string]string{"": "&& sleep 2.1'", "vrrp: {handover: none}\n": "sleep 0.1'"} {
		spec := parse(t, shortest+vip4+text+oneService)
		lines := directives(t, string(fileAt(t, files(t, spec, factsFor(spec, stable)), HAProxyDropIn).Data))
		if lines[0] != "[Service]" || !strings.HasSuffix(lines[len(lines)-1], want) {
			t.Errorf("%q: %q, want %q at the end", text, lines, want)
		}
	}
}

// TestTellFault: if no agent runs, a stop of HAProxy sets the fault file and a start clears it, unless the spec has only
// one node.
func TestTellFault(t *testing.T) {
	const alone = "nodes: [{name: lb1, addresses: [198.51.100.11]}]\n"
	for text, want := range map[string]bool{"": true, "vrrp: {handover: none}\n": true, alone: false, alone + "vrrp: {handover: none}\n": false} {
		spec := parse(t, shortest+vip4+text+oneService)
		facts := factsFor(spec, stable)
		if text != "" && strings.HasPrefix(text, "nodes") {
			facts.Node = "lb1"
		}
		text := string(fileAt(t, files(t, spec, facts), HAProxyDropIn).Data)
		for line, value := range map[string]string{"ExecStop=-/bin/sh -c '": "1", "ExecStartPost=-/bin/sh -c '": "0"} {
			if has := strings.Contains(text, line+"/bin/systemctl -q is-active rlb-agent || [ ! -e /run/rlb/fault ] || echo "+value+" >/run/rlb/fault; "); has != want {
				t.Errorf("%s: tells keepalived: %t, want %t:\n%s", line, has, want, text)
			}
		}
	}
}

// TestClassicTracksNothing: like the original, the profile classic has no tracked file, health frontend or drop-in.
func TestClassicTracksNothing(t *testing.T) {
	spec := parse(t, shortest+"profile: classic\n"+vip4+oneService)
	if TracksFiles(spec) || spec.Profile != api.Classic {
		t.Error("classic tracks files")
	}
	for _, f := range files(t, spec, factsFor(spec, stable)) {
		if f.Path == KeepalivedDropIn || f.Path == HAProxyDropIn || strings.Contains(string(f.Data), "rlb-fault") || strings.Contains(string(f.Data), "rlb:health") {
			t.Errorf("%s:\n%s", f.Path, f.Data)
		}
	}
}

func fileAt(t *testing.T, rendered []File, path string) File {
	t.Helper()
	at := slices.IndexFunc(rendered, func(f File) bool { return f.Path == path })
	if at < 0 {
		t.Fatalf("%s is not rendered", path)
	}
	return rendered[at]
}

// TestHandoverUnitRunsFewPrograms: the number of programs in the unit does not grow with the virtual IPs, because each
// program takes systemd about 20 ms.
func TestHandoverUnitRunsFewPrograms(t *testing.T) {
	spec := example(t, "full")
	for i := range 10 {
		spec.VirtualIPs = append(spec.VirtualIPs, api.VirtualIP{Address: fmt.Sprintf("192.168.3.%d", 150+i)})
	}
	all, err := Render(spec, factsFor(spec, stable))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all.Files {
		if path.Base(f.Path) == HandoverUnit {
			for _, setting := range []string{"\nExecStart=", "\nExecReload="} {
				if n := strings.Count(string(f.Data), setting); n > 4 {
					t.Errorf("%d programs for %s\n%s", n, setting, f.Data)
				}
			}
			return
		}
	}
	t.Error("no unit")
}

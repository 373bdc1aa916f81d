package debian

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian/program"
	"rlb.dev/rlb-agent/reconcile/host/debian/program/recorded"
	"rlb.dev/rlb-agent/render"
)

const (
	haproxyPath    = "/etc/haproxy/haproxy.cfg"
	keepalivedPath = "/etc/keepalived/keepalived.conf"
)

// candidates returns files to check. The recorded answers refer to a candidate as @.
func candidates() []render.File {
	return []render.File{
		{Path: haproxyPath, Data: []byte("listen a\n"), Kind: render.HAProxyConfig},
		{Path: keepalivedPath, Data: []byte("vrrp_instance a {\n}\n"), Kind: render.KeepalivedConfig},
		{Path: "/etc/systemd/system/x.service", Data: []byte("x\n"), Kind: render.SystemdUnit},
	}
}

// Recorded from the programs of the Debian releases.
const (
	haproxy22 = `[NOTICE] 326/040510 (17) : haproxy version is 2.2.9-2+deb11u6
[NOTICE] 326/040510 (17) : path to executable is /usr/sbin/haproxy
[ALERT] 326/040510 (17) : parsing [@:3] : unknown keyword 'maxcon' in 'global' section
[ALERT] 326/041629 (12) : Proxy 'fe': unable to find required default_backend: 'nope'.
[WARNING] 326/041629 (12) : config : missing timeouts for backend 'b'.
   | While not properly invalid, you will certainly encounter various problems
[ALERT] 326/041629 (12) : Proxy 'b', server 's1' [@:13] verify is enabled by default but no CA file specified.
[ALERT] 326/040510 (17) : Error(s) found in configuration file : @
[ALERT] 326/040510 (17) : Fatal errors found in configuration.
`
	haproxy26 = `[NOTICE]   (12) : haproxy version is 2.6.12-1+deb12u3
[WARNING]  (12) : config : parsing [@:11] : 'srvtcpka' ignored because frontend 'fe' has no backend capability.
[ALERT]    (12) : config : Proxy 'fe': unable to find required default_backend: 'nope'.
[ALERT]    (17) : config : parsing [@:7] : 'bind' : invalid port '99999'
[ALERT]    (25) : config : parsing [@:4]: Missing LF on last line, file might have been truncated at position 21.
[ALERT]    (12) : config : [@:13] : 'server b/s1' : verify is enabled by default but no CA file specified.
[ALERT]    (12) : config : Fatal errors found in configuration.
`
	keepalived22 = `(Line 3) Unknown keyword 'nosuchkeyword'
There are 1 missing '}'s or extra '{'s
There are 1 missing '}'s or extra '{'s
(@: Line 11) (VI_1): VRID '511' not valid - must be between 1 & 255
(VI_1) the virtual router id must be set
`
)

// speaking is a fake whose haproxy and keepalived refer to the file that they are given.
type speaking struct {
	*recorded.System
	haproxy, keepalived program.Output
}

func (s speaking) Run(ctx context.Context, c program.Command) (program.Output, error) {
	out := s.haproxy
	switch {
	case len(c.Args) != 3:
		return s.System.Run(ctx, c)
	case c.Name == "keepalived":
		out = s.keepalived
	}
	if data, err := os.ReadFile(c.Args[2]); err != nil || len(data) == 0 {
		return program.Output{}, errors.New("no candidate")
	}
	out.Stderr = strings.ReplaceAll(out.Stderr, "@", c.Args[2])
	return out, nil
}

// checkWith checks the files with programs that give these answers. The candidate's path replaces "@".
func checkWith(t *testing.T, haproxy, keepalived program.Output, others ...recorded.Answer) ([]string, error) {
	t.Helper()
	h, f := newFake(t, others...)
	h.programs.System = speaking{System: f, haproxy: haproxy, keepalived: keepalived}
	unchecked, err := h.Check(t.Context(), candidates())
	if left := names(t, h.run); len(left) > 0 {
		t.Errorf("left %q", left)
	}
	return unchecked, err
}

func TestCheckTakes(t *testing.T) {
	unchecked, err := checkWith(t, program.Output{Stdout: "Warnings were found.\nConfiguration file is valid\n",
		Stderr: "[WARNING]  (12) : config : missing timeouts for proxy 'a'.\n"}, program.Output{})
	if err != nil || unchecked != nil {
		t.Errorf("%q, %v", unchecked, err)
	}
}

// TestCheckAllWarns: HAProxy 2.2 to 3.4's messages about the user's own lines in an accepted file are returned, alerts too,
// and no others.
func TestCheckAllWarns(t *testing.T) {
	doc, err := api.Parse("spec.yaml", []byte(`apiVersion: rlb.dev/v1
kind: LoadBalancerSpec
virtualIPs: [10.0.0.9]
proxy:
  extraGlobal: [nbthread 2, maxconn 5]
services:
- {name: web, port: 80, servers: [{address: 10.0.0.1}], extraBackend: timeout check 9s}
`))
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := render.Render(&doc.Spec, render.Facts{
		Interface: "eth0", HAProxyVersion: "3.0.11", KeepalivedVersion: "2.3.3", Subnets: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")},
	})
	if err != nil {
		t.Fatal(err)
	}
	var file render.File
	for _, f := range rendered.Files {
		if f.Kind == render.HAProxyConfig {
			file = f
		}
	}
	number := func(has string) int {
		before, _, _ := strings.Cut(string(file.Data), has)
		return 1 + strings.Count(before, "\n")
	}
	global, check := number("maxconn 5"), number("timeout check 9s")
	h, f := newFake(t)
	h.programs.System = speaking{System: f, haproxy: program.Output{Stdout: "Warnings were found.\nConfiguration file is valid\n", Stderr: fmt.Sprintf(
		`[NOTICE]   (819) : path to executable is /usr/sbin/haproxy
[ALERT]    (815) : config : parsing [@:%d] : 'maxconn' already specified. Continuing.
[WARNING] 330/092625 (808) : parsing [@:%d] : overwriting 'timeout check' which was already specified
[WARNING]  (815) : config : parsing [@:%[2]d] : something else of it
[WARNING]  (815) : config : parsing [@:2] : 'log' is of our own
[WARNING]  (815) : config : parsing [/etc/haproxy/other.cfg:%[1]d] : of another file
`, global, check)}}
	warned, _, err := h.CheckAll(t.Context(), []render.File{file})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range warned {
		got = append(got, v.Warning("haproxy", doc).String())
	}
	want := []string{
		fmt.Sprintf("spec.yaml:5:29: warning: proxy.extraGlobal: haproxy warns: /etc/haproxy/haproxy.cfg:%d: 'maxconn' already specified. Continuing.", global),
		fmt.Sprintf("spec.yaml:7:71: warning: services[0].extraBackend: haproxy warns: /etc/haproxy/haproxy.cfg:%d: overwriting 'timeout check' which was already specified", check),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCheckRefuses(t *testing.T) {
	line := func(path string, n int, text string) host.Verdict {
		return host.Verdict{Path: path, Line: n, Text: text}
	}
	for _, test := range []struct {
		name                string
		haproxy, keepalived program.Output
		want                host.Refusal
	}{
		{"haproxy 2.2", program.Output{Code: 1, Stderr: haproxy22}, program.Output{}, host.Refusal{Program: "haproxy", Lines: []host.Verdict{
			line(haproxyPath, 3, "unknown keyword 'maxcon' in 'global' section"),
			line("", 0, "Proxy 'fe': unable to find required default_backend: 'nope'."),
			line(haproxyPath, 13, "Proxy 'b', server 's1' ["+haproxyPath+":13] verify is enabled by default but no CA file specified."),
		}}},
		{"haproxy 2.6", program.Output{Code: 1, Stderr: haproxy26}, program.Output{}, host.Refusal{Program: "haproxy", Lines: []host.Verdict{
			line("", 0, "Proxy 'fe': unable to find required default_backend: 'nope'."),
			line(haproxyPath, 7, "'bind' : invalid port '99999'"),
			line(haproxyPath, 4, "Missing LF on last line, file might have been truncated at position 21."),
			line(haproxyPath, 13, "'server b/s1' : verify is enabled by default but no CA file specified."),
		}}},
		{"haproxy without a listener", program.Output{Code: 2, Stdout: "Configuration file has no error but will not start (no listener) => exit(2).\n"}, program.Output{},
			host.Refusal{Program: "haproxy", Lines: []host.Verdict{
				line("", 0, "Configuration file has no error but will not start (no listener) => exit(2)."),
			}}},
		{"haproxy that says nothing", program.Output{Code: 1}, program.Output{}, host.Refusal{Program: "haproxy", Lines: []host.Verdict{
			line("", 0, "haproxy ended with status 1 and printed nothing"),
		}}},
		{"keepalived", program.Output{}, program.Output{Code: 5, Stderr: keepalived22}, keepalivedRefusal},
		{"keepalived that named lines and died", program.Output{}, program.Output{Code: -1, Signal: syscall.SIGSEGV, Stderr: keepalived22}, keepalivedRefusal},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := checkWith(t, test.haproxy, test.keepalived)
			r, ok := errors.AsType[*host.Refusal](err)
			if !ok {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(test.want, *r, cmpopts.IgnoreUnexported(host.Verdict{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

var keepalivedRefusal = host.Refusal{Program: "keepalived", Lines: []host.Verdict{
	{Path: keepalivedPath, Line: 3, Text: "Unknown keyword 'nosuchkeyword'"},
	{Text: "There are 1 missing '}'s or extra '{'s"},
	{Path: keepalivedPath, Line: 11, Text: "(VI_1): VRID '511' not valid - must be between 1 & 255"},
	{Text: "(VI_1) the virtual router id must be set"},
}}

func TestCheckOldKeepalived(t *testing.T) {
	complaint := program.Output{Stderr: "(VI_1) the virtual router id must be set\n"} // with status 0
	for version, refuses := range map[string]bool{"2.0.10": true, "2.1.5": true, "2.2.7": false, "2.3.3": false} {
		_, err := checkWith(t, program.Output{}, complaint, recorded.Answer{Words: "keepalived -v", Out: program.Output{Stderr: "Keepalived v" + version + " (07/13,2020)\n"}})
		if (err != nil) != refuses {
			t.Errorf("%s: %v", version, err)
		}
	}
	harmless := program.Output{Stderr: "(VI_1) VRRPv3 advertisement interval 32.549999s must be in units of 10ms - rounding\n"}
	if _, err := checkWith(t, program.Output{}, harmless, recorded.Answer{Words: "keepalived -v", Out: program.Output{Stderr: "Keepalived v2.1.5 (07/13,2020)\n"}}); err != nil {
		t.Errorf("of 32.55s: %v", err)
	}
}

func TestCheckBothRefuse(t *testing.T) {
	_, err := checkWith(t, program.Output{Code: 1, Stderr: haproxy26}, program.Output{Code: 5, Stderr: keepalived22})
	if err == nil || !strings.Contains(err.Error(), "haproxy refuses") || !strings.Contains(err.Error(), "keepalived refuses") {
		t.Errorf("error %v", err)
	}
}

func TestCheckNoVerdict(t *testing.T) {
	unchecked, err := checkWith(t, program.Output{}, program.Output{Code: -1, Signal: syscall.SIGTERM})
	if err != nil || !cmp.Equal(unchecked, []string{"keepalived"}) {
		t.Errorf("%q, %v", unchecked, err)
	}
	h, f := newFake(t)
	f.Absent = []string{"haproxy", "keepalived"}
	unchecked, err = h.Check(t.Context(), candidates())
	if err != nil || !cmp.Equal(unchecked, []string{"haproxy", "keepalived"}) {
		t.Errorf("%q, %v", unchecked, err)
	}
}

func TestCheckKeepalivedWithoutInstance(t *testing.T) {
	h, _ := newFake(t)
	_, err := h.Check(t.Context(), []render.File{{Path: keepalivedPath, Kind: render.KeepalivedConfig}})
	recorded.WantError(t, err, "keepalived refuses its configuration:\n  "+keepalivedPath+":1: the file has no vrrp_instance: keepalived would run and do nothing")
}

func TestProgramVersion(t *testing.T) {
	h, _ := newFake(t,
		recorded.Answer{Words: "haproxy -v", Out: program.Output{Stdout: "HA-Proxy version 2.2.9-2+deb11u6 2023/12/23 - https://haproxy.org/\n"}, Once: true},
		recorded.Answer{Words: "haproxy -v", Out: program.Output{Stdout: "HAProxy version 2.6.12-1+deb12u3 2025/10/03 - https://haproxy.org/\nStatus: x\n"}},
		recorded.Answer{Words: "keepalived -v", Out: program.Output{Stderr: "Keepalived v2.2.7 (01/16,2022)\n\nCopyright(C) 2001-2022 Alexandre Cassen\n"}})
	for _, test := range []struct{ program, want string }{
		{"haproxy", "2.2.9-2+deb11u6"}, {"haproxy", "2.6.12-1+deb12u3"}, {"keepalived", "2.2.7"},
	} {
		if got, err := h.ProgramVersion(t.Context(), test.program); err != nil || got != test.want {
			t.Errorf("%s: %q, %v", test.program, got, err)
		}
	}
}

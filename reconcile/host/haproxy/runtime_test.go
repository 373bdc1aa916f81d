package haproxy

import (
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rlb.dev/rlb-agent/reconcile/host"
)

// Recorded: a server with its check switched off, one in maintenance, one whose name does not resolve, one drained. The
// further columns of HAProxy's statistics are left out.
const (
	running22 = `1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord
2 web 1 a 127.0.0.1 0 0 5 5 1 8 2 0 2 0 0 0 - 7001 -
2 web 2 b ::1 0 1 1 1 0 8 2 0 14 0 0 0 - 7002 -
2 web 3 c - 0 32 1 1 1 1 0 0 14 0 0 0 cp.example 7003 -
2 web 4 d 127.0.0.1 2 8 1 1 0 1 0 2 0 0 0 0 - 7004 -
4 MASTER 1 cur-1 - 2 0 0 0 1 1 0 0 0 0 0 0 - 0 -

` + runningStat
	running26 = `1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port
2 web 1 a 127.0.0.1 0 0 5 5 1 8 2 0 2 0 0 0 - 7001 - 0 0 - - 0
2 web 2 b ::1 0 1 1 1 0 8 2 0 14 0 0 0 - 7002 - 0 0 - - 0
2 web 3 c - 0 32 1 1 1 1 0 0 14 0 0 0 cp.example 7003 - 0 0 - - 0
2 web 4 d 127.0.0.1 2 8 1 1 0 1 0 2 0 0 0 0 - 7004 - 0 0 - - 0

` + runningStat
	runningStat = `# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,status,weight,act,bck,
web,a,0,0,0,0,100,0,0,0,,0,,0,0,0,0,DOWN,5,1,0,
web,b,0,0,0,0,,0,0,0,,0,,0,0,0,0,MAINT,1,1,0,
web,c,0,0,0,0,,0,0,0,,0,,0,0,0,0,MAINT (resolution),1,1,0,
web,d,0,0,2,2,,2,0,0,,0,,0,0,0,0,DRAIN,1,1,0,

`
)

func TestParseServers(t *testing.T) {
	at := netip.MustParseAddrPort
	want := []host.RunningServer{
		{Backend: "web", Name: "a", Addr: at("127.0.0.1:7001"), Weight: 5, MaxConnections: 100, Admin: host.AdminReady, CheckOff: true},
		{Backend: "web", Name: "b", Addr: at("[::1]:7002"), Weight: 1, Admin: host.AdminMaint},
		{Backend: "web", Name: "c", Weight: 1, Admin: host.AdminReady},
		{Backend: "web", Name: "d", Addr: at("127.0.0.1:7004"), Weight: 1, Admin: host.AdminDrain, Sessions: 2},
	}
	for version, answer := range map[string]string{"2.2": running22, "2.6, 3.0": running26} {
		got, err := parseServers(answer)
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" || err != nil {
			t.Errorf("HAProxy %s: %v (-want +got):\n%s", version, err, diff)
		}
	}
	for _, bad := range []string{"", "Permission denied\n\n", "1\n# a b\n1 2\n\n" + runningStat} {
		if got, err := parseServers(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

// TestRefusedBy uses answers of HAProxy 2.2, 2.6 and 3.0.
func TestRefusedBy(t *testing.T) {
	for _, test := range []struct{ answer, want string }{
		{"\n\n", ""},
		{"\n[4]: IP changed from '127.0.0.1' to '127.0.0.2', port changed from '7001' to '3' by 'stats socket command'\n\n", ""},
		{"\n[4]: no need to change the addr, no need to change the port by 'stats socket command'\n\n", ""},
		{"\n[4]: nothing changed\n\n", ""},
		{"\n[6]: New server registered.\n\n", ""},
		{"\n[6]: Server deleted.\n", ""},
		{"\n[3]: Already exists a server with the same name in backend.\n\n", "Already exists a server with the same name in backend."},
		{"\n[3]: 'ca-file' : unable to load /nonexistent.\n", "'ca-file' : unable to load /nonexistent."},
		{"\n[6]: Unknown command. Please enter one of the following commands only :\n  help           : this message\n", "this version of HAProxy does not know it"},
		{"\n[6]: Unknown command: 'bogus', but maybe one of the following ones is a better match:\n  add map\n", "this version of HAProxy does not know it"},
		{"\nPermission denied\n", "Permission denied"},
	} {
		got := ""
		if err := refusedBy(test.answer); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%q: %q, want %q", test.answer, got, test.want)
		}
	}
}

func TestRuntimeTakesOneCommand(t *testing.T) {
	for _, command := range []string{"set server a/b weight 1; shutdown sessions server a/b", "set server a/b weight 1\ndel server a/b", `set server a/b\ weight 1`} {
		if err := Runtime(t.Context(), command); err == nil || !strings.Contains(err.Error(), "more than one") {
			t.Errorf("%q: %v", command, err)
		}
	}
}

// Recorded: the sessions of an old worker.
const recordedSessions = `
0x7fef7f455c00: proto=tcpv4 src=127.0.0.1:54426 fe=f be=b srv=a ts=00 epoch=0 age=2s calls=3 rate=1 cpu=0 lat=0 exp=1m38s rc=0 c_exp=
0x7fef7f456000: proto=tcpv4 src=127.0.0.1:54444 fe=f be=b srv=ab ts=00 epoch=0 age=2s calls=3
0x55c54d885c40: proto=tcpv4 src=127.0.0.1:54915 fe=f be=b:failopen srv=a ts=00 age=2s calls=3
0x55c54d885d40: proto=tcpv4 src=127.0.0.1:54914 fe=f be=b srv=a ts=00 age=2s calls=3 rate=1
0x55c54d885e40: proto=unix_stream src=unix:2 fe=GLOBAL be=<NONE> srv=<none> ts=00 age=0s calls=1

`

func TestSessionsWith(t *testing.T) {
	for backend, want := range map[string][]string{"b": {"0x7fef7f455c00", "0x55c54d885d40"}, "b:failopen": {"0x55c54d885c40"}, "c": nil} {
		if diff := cmp.Diff(want, sessionsWith(recordedSessions, []string{backend + "/a", "x/y"})); diff != "" {
			t.Errorf("%s: %s", backend, diff)
		}
	}
}

// TestCutOldSessions: the sessions of an old worker with the given servers are closed one by one, other sessions stay, and
// the current worker is not asked.
func TestCutOldSessions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.sock")
	var mutex sync.Mutex
	var told []string
	listener(t, path, func(conn net.Conn) {
		defer conn.Close()
		question, _ := io.ReadAll(conn)
		mutex.Lock()
		defer mutex.Unlock()
		switch string(question) {
		case "show proc\n":
			_, _ = io.WriteString(conn, proc26)
		case "@!20 show sess\n":
			_, _ = io.WriteString(conn, recordedSessions)
		default:
			told = append(told, string(question))
		}
	})
	cut, err := CutOldSessions(t.Context(), path, []string{"b/ab", "b:failopen/a", "c/a"})
	want := []string{"@!20 shutdown session 0x7fef7f456000\n@!20 shutdown session 0x55c54d885c40\n"}
	mutex.Lock()
	defer mutex.Unlock()
	if diff := cmp.Diff(want, told); cut != 2 || err != nil || diff != "" {
		t.Errorf("cut %d, %v\n%s", cut, err, diff)
	}
}

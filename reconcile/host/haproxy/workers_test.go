package haproxy

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rlb.dev/rlb-agent/reconcile/host"
)

// Recorded from the HAProxy of each Debian release; 3.0's is written after its source code, because it lists programs.
const (
	proc22 = `#<PID>          <type>          <relative PID>  <reloads>       <uptime>        <version>      
18              master          0               1               0d00h00m01s     2.2.9-2+deb11u6
# workers
23              worker          1               0               0d00h00m00s     2.2.9-2+deb11u6
# old workers
20              worker          [was: 1]        1               0d00h00m01s     2.2.9-2+deb11u6
# programs

`
	proc22Failed = `#<PID>          <type>          <relative PID>  <reloads>       <uptime>        <version>      
18              master          0               3               0d00h00m05s     2.2.9-2+deb11u6
# workers
# old workers
23              worker          [was: 1]        2               0d00h00m04s     2.2.9-2+deb11u6
20              worker          [was: 1]        3               0d00h00m05s     2.2.9-2+deb11u6
# programs

`
	proc26 = `#<PID>          <type>          <reloads>       <uptime>        <version>      
18              master          2 [failed: 1]   0d00h00m06s     2.6.12-1+deb12u3
# workers
24              worker          1               0d00h00m05s     2.6.12-1+deb12u3
# old workers
20              worker          2               0d00h00m06s     2.6.12-1+deb12u3
# programs

`
	proc30 = `#<PID>          <type>          <reloads>       <uptime>        <version>      
17              master          0 [failed: 0]   0d00h00m01s     3.0.11-1+deb13u3
# workers
20              worker          0               0d00h00m01s     3.0.11-1+deb13u3
# programs
1244            cmd             0               0d00h00m00s     -
# old programs
1255            cmd             1               0d00h00m00s     -

`
	proc32Failed = `#<PID>          <type>          <reloads>       <uptime>        <version>      
11              master          2 [failed: 1]   0d00h00m05s     3.2.26-1       
# workers
# old workers
14              worker          2               0d00h00m05s     3.2.26-1       

`
	proc34 = `#<PID>          <type>          <reloads>       <uptime>        <version>      
12              master          1 [failed: 0]   0d00h00m03s     3.4.7-1        
# workers
21              worker          0               0d00h00m02s     3.4.7-1        
# old workers
15              worker          1               0d00h00m03s     3.4.7-1        

`
	proc34Failed = `#<PID>          <type>          <reloads>       <uptime>        <version>      
12              master          2 [failed: 1]   0d00h00m06s     3.4.7-1        
# workers
# old workers
21              worker          1               0d00h00m05s     3.4.7-1        
15              worker          2               0d00h00m06s     3.4.7-1        

`
)

func TestParseProc(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       host.Workers
	}{
		{"2.2", proc22, host.Workers{Current: []int{23}, Old: []int{20}}},
		{"2.2 after a failed reload", proc22Failed, host.Workers{Current: []int{23}, Old: []int{20}, Failed: 1}},
		{"2.6 after a failed reload", proc26, host.Workers{Current: []int{24}, Old: []int{20}, Failed: 1}},
		{"3.0 with programs", proc30, host.Workers{Current: []int{20}}},
		{"3.2 after a failed reload", proc32Failed, host.Workers{Current: []int{14}, Old: []int{}, Failed: 1}},
		{"3.4", proc34, host.Workers{Current: []int{21}, Old: []int{15}}},
		{"3.4 after a failed reload", proc34Failed, host.Workers{Current: []int{21}, Old: []int{15}, Failed: 1}},
	} {
		got, ok := parseProc(test.text)
		if diff := cmp.Diff(test.want, got); !ok || diff != "" {
			t.Errorf("%s: %v\n%s", test.name, ok, diff)
		}
	}
	for _, text := range []string{"", "Unknown command: 'show proc'\n", "# workers\n"} {
		if _, ok := parseProc(text); ok {
			t.Errorf("%q passes for an answer", text)
		}
	}
}

// serve answers on a socket like the master of HAProxy 2.2: the connection stays open until the client closes its half.
func serve(t *testing.T, l net.Listener, answer string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		question, _ := bufio.NewReader(conn).ReadString('\n')
		if question == "show proc\n" {
			_, _ = io.WriteString(conn, answer)
		}
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	}
}

func TestWorkers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.sock")
	_, err := Workers(t.Context(), path)
	if !errors.Is(err, host.ErrUnavailable) {
		t.Errorf("no socket: %v", err)
	}

	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := l.Close(); err != nil { // like a restarting master: the socket file exists, nothing listens
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() {
		again, err := net.ListenUnix("unix", &net.UnixAddr{Name: path + ".new", Net: "unix"})
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { _ = again.Close() })
		if err := os.Rename(path+".new", path); err != nil {
			t.Error(err)
		}
		serve(t, again, proc26)
	})
	got, err := Workers(t.Context(), path)
	if diff := cmp.Diff(host.Workers{Current: []int{24}, Old: []int{20}, Failed: 1}, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

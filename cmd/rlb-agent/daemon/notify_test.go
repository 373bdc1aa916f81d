package daemon

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/status"
)

// TestSystemdGetsEachStep: the daemon reports each step to systemd; the status shows the
// progress of the first run from it.
func TestSystemdGetsEachStep(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	told := make(chan string)
	go func() {
		var all strings.Builder
		buffer := make([]byte, 4096)
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				told <- all.String()
				return
			}
			all.WriteString(string(buffer[:n]) + "\n")
		}
	}()
	quietly(t, func(t *testing.T) { newKept(t, fake.New(), smallSpec) })
	if err := conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	const begins = "STATUS=" + status.Reconciling
	if all := <-told; !strings.HasPrefix(all, begins+"\n"+begins+": ") || !strings.Contains(all, "\n"+begins+": start haproxy.service\n") || !strings.HasSuffix(all, "STATUS=in sync with "+specPath+"\n") {
		t.Errorf("told:\n%s", all)
	}
}

package debian

import (
	"bufio"
	"context"
	"encoding/binary"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	godbus "github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian/systemd"
)

// fakeSystemd answers like systemd: it counts connections and queries, and answers each method with a fixed value.
type fakeSystemd struct {
	answers     map[string]any
	silent      atomic.Bool // it answers no GetAll
	busy        atomic.Bool // it closes the next connection at once
	slow        bool        // it processes a query only when more data arrives, as systemd 252 sometimes does
	connections atomic.Int64
	asked       atomic.Int64
}

// listen connects h to it.
func (s *fakeSystemd) listen(t *testing.T, h *Host) {
	path := filepath.Join(t.TempDir(), "private")
	socket, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	go func() {
		for {
			conn, err := socket.Accept()
			if err != nil {
				return
			}
			s.connections.Add(1)
			if s.busy.Swap(false) {
				conn.Close()
				continue
			}
			go s.serve(conn)
		}
	}()
	h.systemd = systemd.New(func() (*godbus.Conn, error) {
		conn, err := godbus.Dial("unix:path=" + path)
		if err != nil {
			return nil, err
		}
		return conn, conn.Auth([]godbus.Auth{godbus.AuthExternal("0")})
	})
	t.Cleanup(func() { _ = h.Close() })
}

// serve accepts every client (D-Bus specification, "Authentication Protocol"), and answers its queries.
func (s *fakeSystemd) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	_, _ = in.ReadByte()
	for line := ""; line != "BEGIN\r\n"; {
		var err error
		if line, err = in.ReadString('\n'); err != nil {
			return
		}
		answer, known := map[string]string{"AUTH": "REJECTED EXTERNAL", "AUTH EXTERNAL": "DATA", "DATA": "OK 0", "NEGOTIATE_UNIX_FD": "ERROR"}[strings.TrimSpace(line)]
		if known {
			_, _ = conn.Write([]byte(answer + "\r\n"))
		}
	}
	for {
		question, err := godbus.DecodeMessage(in)
		if err != nil {
			return
		}
		s.asked.Add(1)
		if s.slow && !strings.HasPrefix(question.Headers[godbus.FieldMember].Value().(string), "AddMatch") {
			if _, err := in.Peek(1); err != nil {
				return
			}
		}
		if s.silent.Load() && question.Headers[godbus.FieldMember].Value() == "GetAll" {
			continue
		}
		if question.Flags&godbus.FlagNoReplyExpected != 0 {
			continue
		}
		body := s.answers[question.Headers[godbus.FieldMember].Value().(string)]
		answer := &godbus.Message{Type: godbus.TypeMethodReply, Body: []any{body}, Headers: map[godbus.HeaderField]godbus.Variant{
			godbus.FieldReplySerial: godbus.MakeVariant(question.Serial()),
			godbus.FieldSignature:   godbus.MakeVariant(godbus.SignatureOf(body)),
		}}
		if answer.EncodeTo(conn, binary.LittleEndian) != nil {
			return
		}
	}
}

// TestUnit: the state of a unit comes from one answer of systemd, so all of it is of the same moment. All queries share a
// connection.
func TestUnit(t *testing.T) {
	since := time.Unix(1_700_000_000, 0)
	s := &fakeSystemd{answers: map[string]any{
		"AddMatch": "", "Get": godbus.MakeVariant("running"),
		"GetAll": map[string]godbus.Variant{
			"LoadState": godbus.MakeVariant("loaded"), "ActiveState": godbus.MakeVariant("active"), "SubState": godbus.MakeVariant("running"),
			"StatusText": godbus.MakeVariant("Ready."), "UnitFileState": godbus.MakeVariant("enabled"), "NeedDaemonReload": godbus.MakeVariant(true), "MainPID": godbus.MakeVariant(uint32(7)),
			"InvocationID": godbus.MakeVariant([]byte{0xab, 1}), "ActiveEnterTimestamp": godbus.MakeVariant(uint64(since.UnixMicro())),
			"Environment": godbus.MakeVariant([]string{"CONFIG=/etc/haproxy/haproxy.cfg"}), "EnvironmentFiles": godbus.MakeVariant([][]any{}),
		}}}
	h, _ := newFake(t)
	s.listen(t, h)
	want := host.Unit{
		Name: host.HAProxyUnit, LoadState: "loaded", ActiveState: "active", SubState: "running", Says: "Ready.", UnitFileState: "enabled", NeedDaemonReload: true,
		MainPID: 7, InvocationID: "ab01", ActiveSince: since, Environment: map[string]string{"CONFIG": "/etc/haproxy/haproxy.cfg"},
	}
	if h.goingDown(t.Context()) {
		t.Error("a system that is running is going down")
	}
	const units = 4
	var asked sync.WaitGroup
	for range units {
		asked.Go(func() {
			unit, err := h.Unit(t.Context(), host.HAProxyUnit)
			if diff := cmp.Diff(want, unit); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
	asked.Wait()
	if n, q := s.connections.Load(), s.asked.Load(); n != 1 || q != 1+units {
		t.Errorf("%d questions on %d connections, want %d on 1", q, n, 1+units)
	}
}

// TestUnitOfASlowSystemd: a query is answered even if systemd processes it only when more data arrives.
func TestUnitOfASlowSystemd(t *testing.T) {
	s := &fakeSystemd{slow: true, answers: map[string]any{"AddMatch": "", "GetAll": map[string]godbus.Variant{"ActiveState": godbus.MakeVariant("active")}}}
	h, _ := newFake(t)
	s.listen(t, h)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if unit, err := h.Unit(ctx, host.HAProxyUnit); err != nil || !unit.Active() {
		t.Errorf("%+v, %v", unit, err)
	}
}

// TestUnitOfASilentSystemd: a query without an answer fails after ten seconds. The next query uses another connection; jobs
// keep theirs.
func TestUnitOfASilentSystemd(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for ten seconds")
	}
	t.Parallel()
	s := &fakeSystemd{answers: map[string]any{"AddMatch": "", "GetAll": map[string]godbus.Variant{"ActiveState": godbus.MakeVariant("active")}}}
	h, _ := newFake(t)
	s.listen(t, h)
	jobs, err := h.systemd.Jobs()
	if err != nil {
		t.Fatal(err)
	}
	s.silent.Store(true)
	if unit, err := h.Unit(t.Context(), host.HAProxyUnit); err == nil || err.Error() != "cannot look at haproxy.service: systemd does not answer within 10s" {
		t.Errorf("%+v, %v", unit, err)
	}
	if !jobs.Connected() {
		t.Error("a question without an answer ended the connection for jobs")
	}
	s.silent.Store(false)
	if unit, err := h.Unit(t.Context(), host.HAProxyUnit); err != nil || !unit.Active() {
		t.Errorf("afterwards: %+v, %v", unit, err)
	}
}

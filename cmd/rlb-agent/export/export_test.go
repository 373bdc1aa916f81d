package export

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/host/rootpath"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/status"
)

const shownSpec = `apiVersion: rlb.dev/v1
kind: LoadBalancerSpec
virtualIPs: [198.51.100.10]
services:
- name: web
  port: 9000
  servers:
  - address: 198.51.100.21
`

// shown is a fake host with a spec in force, and its exporter.
type shown struct {
	*Exporter
	t    *testing.T
	host *fake.Host
	log  *strings.Builder
}

func newShown(t *testing.T) *shown {
	log, h := new(strings.Builder), fake.New()
	e := New(Config{Host: h, Status: statusFile{h, h}, Story: noStory, Spec: "/etc/rlb/spec.yaml", ReadSpec: func() (*api.Document, error) { return nil, errors.New("no spec") }, Log: slog.New(slog.NewTextHandler(log, nil)), Version: "v1"})
	e.paths = rootpath.Within(filepath.Dir(filepath.Dir(t.TempDir())))
	t.Cleanup(e.close)
	return &shown{e, t, h, log}
}

func noStory(context.Context, time.Time, int) ([]host.JournalEntry, error) { return nil, nil }

// statusFile is the status file of a fake host.
type statusFile struct {
	host.Host
	seen host.Observer // read by Refresh instead of the host
}

func (f statusFile) Follow(ctx context.Context, doc *api.Document) (status.Status, error) {
	return status.Follow(ctx, f.Host, doc, nil)
}

func (f statusFile) Refresh(ctx context.Context, doc *api.Document, s status.Status) (status.Status, error) {
	return status.Refresh(ctx, f.seen, doc, s, nil)
}

// run reconciles with a spec and updates the endpoints.
func (s *shown) run(more string) {
	s.t.Helper()
	doc, err := api.Parse("spec.yaml", []byte(shownSpec+more))
	if err != nil {
		s.t.Fatal(err)
	}
	r := reconcile.Reconciler{Host: s.host, Log: slog.New(slog.DiscardHandler)}
	result, err := r.Once(s.t.Context(), doc)
	if err != nil {
		s.t.Fatal(err)
	}
	status, err := status.Write(s.t.Context(), s.host, status.Report{Doc: doc, Result: result, Agent: "v1"})
	if err != nil {
		s.t.Fatal(err)
	}
	s.RunEnded(status, result)
	s.follow(s.t.Context())
}

// age makes the status too old to be shown.
func (s *shown) age() {
	s.current.mutex.Lock()
	defer s.current.mutex.Unlock()
	s.current.at = time.Time{}
}

func (s *shown) get(address, path string) (int, string) {
	s.t.Helper()
	network, at := "tcp", address
	if path, unix := strings.CutPrefix(address, "unix:"); unix {
		network, at = "unix", path
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial(network, at) }}}
	response, err := client.Get("http://localhost" + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// free returns an unused address on loopback.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestEndpointsFollowTheSpec: addresses are opened and closed to match the spec in force, and show
// the state of the host.
func TestEndpointsFollowTheSpec(t *testing.T) {
	s := newShown(t)
	metrics, web, other := free(t), "unix:"+filepath.Join(t.TempDir(), "web.sock"), free(t)
	s.run("")
	if len(s.listeners) > 0 {
		t.Fatalf("open without a word in the spec: %v", s.listeners)
	}
	s.run("metrics: {address: '" + metrics + "'}\nweb: {address: '" + web + "'}\n")
	code, text := s.get(metrics, "/metrics")
	got := scraped(t, text)
	if code != 200 || got[`rlb_server_up{service="web",server="server1"}`] != 1 || got[`rlb_role{role="BACKUP"}`] != 1 ||
		got[`rlb_reconciles_total{result="Changed"}`] != 1 || got[`rlb_reconciles_total{result="Converged"}`] != 1 || got["rlb_spec_observed_generation{}"] != 2 {
		t.Errorf("%d, %s", code, text)
	}
	code, text = s.get(web, "/")
	for _, want := range []string{" BACKUP</title>", `http-equiv="refresh"`, "198.51.100.10", "1 of 1 servers up"} {
		if code != 200 || !strings.Contains(text, want) {
			t.Errorf("page: %d, no %q in %s", code, want, text)
		}
	}
	code, text = s.get(web, "/status.json")
	var status status.Status
	if err := json.Unmarshal([]byte(text), &status); code != 200 || err != nil || status.Kind != "LoadBalancerStatus" || !status.Is("Ready") {
		t.Errorf("status.json: %d, %v, %s", code, err, text)
	}
	if said := s.log.String(); !strings.Contains(said, "ssh -L 8345:"+strings.TrimPrefix(web, "unix:")) {
		t.Errorf("the log does not say how to open the page: %s", said)
	}
	if code, _ := s.get(web, "/metrics"); code != 200 {
		t.Errorf("metrics on the page's address: %d", code)
	}
	if code, _ := s.get(metrics, "/status.json"); code != 404 {
		t.Errorf("status on the metrics' address: %d", code)
	}

	s.run("metrics: {address: '" + other + "'}\n") // the metrics moved, and the page is closed
	if code, _ := s.get(other, "/metrics"); code != 200 {
		t.Errorf("moved: %d", code)
	}
	if conn, err := net.Dial("tcp", metrics); err == nil {
		conn.Close()
		t.Error("the old address is open still")
	}
	if _, err := os.Lstat(strings.TrimPrefix(web, "unix:")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is there still: %v", err)
	}
}

// TestScrapesAreLive: a scrape shows the present state without asking keepalived or running a
// command.
func TestScrapesAreLive(t *testing.T) {
	s := newShown(t)
	address := free(t)
	s.run("metrics: {address: '" + address + "'}\n")
	for _, method := range []string{"VRRP", "Packages", "Firewall", "Offers", "Neighbours"} {
		s.host.FailMethod(method, errors.New("must not be asked"))
	}
	s.host.Sick = "198.51.100.21"
	_, text := s.get(address, "/metrics")
	if up := scraped(t, text)[`rlb_server_up{service="web",server="server1"}`]; up != 1 {
		t.Error("asked again within a second")
	}
	s.age()
	_, text = s.get(address, "/metrics")
	got := scraped(t, text)
	if got[`rlb_server_up{service="web",server="server1"}`] != 0 || got[`rlb_condition{status="False",type="Serving"}`] != 1 {
		t.Error(text)
	}
}

// TestTakenAddress: an address in use is logged once and tried again.
func TestTakenAddress(t *testing.T) {
	s := newShown(t)
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := taken.Addr().String()
	s.run("metrics: {address: '" + address + "'}\n")
	if again := s.follow(t.Context()); again != relisten {
		t.Errorf("tried again after %v", again)
	}
	if text := s.log.String(); strings.Count(text, "metrics.address: nothing is served there yet: cannot listen on "+address+": address already in use") != 1 {
		t.Errorf("said: %s", text)
	}
	_ = taken.Close()
	if again := s.follow(t.Context()); again != 0 {
		t.Errorf("again after %v", again)
	}
	if code, _ := s.get(address, "/metrics"); code != 200 {
		t.Errorf("after that: %d", code)
	}
}

// TestServerStartsAgain: a server that has ended is restarted.
func TestServerStartsAgain(t *testing.T) {
	s := newShown(t)
	address := free(t)
	s.run("metrics: {address: '" + address + "'}\n")
	<-s.wake // from the run
	_ = s.listeners["metrics.address"].server.Close()
	select {
	case <-s.wake:
	case <-time.After(5 * time.Second):
		t.Fatal("the loop is not told")
	}
	if again := s.follow(t.Context()); again != 0 {
		t.Errorf("again after %v", again)
	}
	if code, _ := s.get(address, "/metrics"); code != 200 {
		t.Errorf("after that: %d", code)
	}
}

// overtaken is a status file of which a newer status arrives while an older one is being returned.
type overtaken struct {
	statusFile
	meanwhile func()
}

func (o overtaken) Follow(ctx context.Context, doc *api.Document) (status.Status, error) {
	s, err := o.statusFile.Follow(ctx, doc)
	o.meanwhile()
	return s, err
}

// TestOlderStatus: a status that follows the records does not replace a newer one of a run, and the records are followed
// again, because they may have changed after it.
func TestOlderStatus(t *testing.T) {
	s := newShown(t)
	s.run("")
	s.Status = overtaken{statusFile{s.host, s.host}, func() {
		newer, _, _ := s.current.get()
		newer.RoleReason = "the newer one"
		s.StatusChanged(newer)
	}}
	s.followRecords(t.Context())
	if now, _, _ := s.current.get(); now.RoleReason != "the newer one" {
		t.Errorf("an older status is shown: %+v", now)
	}
	select {
	case <-s.changed:
	default:
		t.Error("the records are not followed again")
	}
}

// TestStatusFollowsTheRecords: the status file follows the files of the daemon's watchers without a
// run.
func TestStatusFollowsTheRecords(t *testing.T) {
	s := newShown(t)
	s.run("")
	s.host.Role = host.RoleFault
	guard := state.GuardRecord{Fault: true, Reason: "HAProxy hangs", HAProxy: host.HAProxyHung}
	if err := guard.Write(t.Context(), s.host); err != nil {
		t.Fatal(err)
	}
	s.followRecords(t.Context())
	status, err := status.Last(t.Context(), s.host)
	if err != nil || status.Role != host.RoleFault || status.RoleReason != "HAProxy hangs" || status.LastReconcile == nil || status.Versions.Agent != "v1" {
		t.Errorf("%v, %+v", err, status)
	}
	if role, err := state.ReadRole(t.Context(), s.host); err != nil || role.Role != host.RoleFault || role.Transitions != 1 || role.Reason != "HAProxy hangs" {
		t.Errorf("%v, %+v", err, role)
	}
}

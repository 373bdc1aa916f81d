package daemon

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
	"rlb.dev/rlb-agent/reconcile/peers"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/reconcile/status"
)

// wire is a link: each host receives what the others send.
type wire struct {
	mutex sync.Mutex
	hosts []*wired
	sent  int
}

// safeLog can be read while others write.
type safeLog struct {
	mutex sync.Mutex
	text  strings.Builder
}

func (l *safeLog) WriteString(s string) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.text.WriteString(s)
}

func (l *safeLog) String() string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.text.String()
}

// wired is a host on a link.
type wired struct {
	*fake.Host
	*peering
	wire     *wire
	mac      string
	heardBy  func(mac string, message host.AgentMessage) // nil while the host does not listen
	routers  []host.Router
	listened int
	tables   []peers.Table // the published tables
	log      safeLog
	waits    []string // which peer's wait began or ended, as reported to servesOn
	stop     func()
}

func (h *wired) published(t peers.Table) {
	h.wire.mutex.Lock()
	defer h.wire.mutex.Unlock()
	h.tables = append(h.tables, t)
}

// lastPublished returns the last published table and the number of tables.
func (h *wired) lastPublished() (last peers.Table, n int) {
	synctest.Wait()
	h.wire.mutex.Lock()
	defer h.wire.mutex.Unlock()
	return h.tables[len(h.tables)-1], len(h.tables)
}

func (h *wired) TalkToAgents(ctx context.Context, _ string, say <-chan host.AgentMessage, heard func(string, host.AgentMessage)) error {
	h.hear(heard)
	defer h.hear(nil)
	for {
		select {
		case m := <-say:
			h.wire.send(h.mac, m)
			continue
		case <-ctx.Done():
		}
		select {
		case m := <-say:
			h.wire.send(h.mac, m)
		default:
		}
		return nil
	}
}

func (h *wired) hear(heard func(string, host.AgentMessage)) {
	h.wire.mutex.Lock()
	defer h.wire.mutex.Unlock()
	h.heardBy = heard
}

func (h *wired) Routers(ctx context.Context, _ string, listen time.Duration) ([]host.Router, error) {
	select {
	case <-ctx.Done():
	case <-time.After(listen):
	}
	h.wire.mutex.Lock()
	defer h.wire.mutex.Unlock()
	h.listened++
	return h.routers, nil
}

// fake.Host is not safe for concurrent use.

func (h *wired) File(ctx context.Context, path string) (host.File, error) {
	h.wire.mutex.Lock()
	defer h.wire.mutex.Unlock()
	return h.Host.File(ctx, path)
}

func (h *wired) WriteFile(ctx context.Context, path string, data []byte, mode fs.FileMode, uid, gid int) error {
	h.wire.mutex.Lock()
	defer h.wire.mutex.Unlock()
	return h.Host.WriteFile(ctx, path, data, mode, uid, gid)
}

func (h *wired) RemoveFile(ctx context.Context, path string) error {
	h.wire.mutex.Lock()
	defer h.wire.mutex.Unlock()
	return h.Host.RemoveFile(ctx, path)
}

func (h *wired) hears(routers ...host.Router) {
	h.wire.mutex.Lock()
	defer h.wire.mutex.Unlock()
	h.routers = routers
}

func (w *wire) send(mac string, m host.AgentMessage) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.sent++
	for _, h := range w.hosts {
		if h.mac != mac && h.heardBy != nil {
			go h.heardBy(mac, m)
		}
	}
}

// reports returns how many reports were sent.
func (w *wire) reports() int {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.sent
}

const wiredNodes = "nodes:\n- {name: lb1, addresses: [198.51.100.11]}\n- {name: lb2, addresses: [198.51.100.12]}\n"

// join adds a host with its agent to the link.
func (w *wire) join(t *testing.T, node string, role host.Role, spec string) *wired {
	t.Helper()
	h := &wired{Host: fake.New(), wire: w, mac: "02:00:00:00:00:0" + string('a'+rune(len(w.hosts)))}
	w.mutex.Lock()
	w.hosts = append(w.hosts, h)
	w.mutex.Unlock()
	h.peering = newPeering(h, "v1", slog.New(lines{&h.log}), h.published)
	h.servesOn = func(mac string, on bool) {
		if told := fmt.Sprint(mac, " ", on); len(h.waits) == 0 || h.waits[len(h.waits)-1] != told {
			h.waits = append(h.waits, told)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); h.run(ctx) }()
	h.stop = func() { cancel(); <-done }
	h.apply(t, node, spec)
	h.is(role, false)
	return h
}

func (h *wired) apply(t *testing.T, node, spec string) {
	t.Helper()
	doc, err := api.Parse(specPath, []byte(spec))
	if err != nil {
		t.Fatal(err)
	}
	self := peers.SelfOf(&doc.Spec, node)
	self.Spec.Digest = doc.Digest
	h.applySpec("eth0", self)
}

func (h *wired) is(role host.Role, drained bool) {
	h.hostIs(status.Status{Role: role, Drained: drained, HAProxy: &status.HAProxy{State: host.HAProxyAnswers}})
}

// says returns the verdicts of the file and of the last status, which must agree.
func (h *wired) says(t *testing.T) string {
	t.Helper()
	synctest.Wait()
	text := func(table peers.Table) string {
		return table.InSync(time.Now()).Status + " " + table.Redundant(time.Now()).Status
	}
	table, err := state.ReadPeers(t.Context(), h)
	if err != nil || len(h.tables) == 0 {
		t.Fatalf("%v, %d tables", err, len(h.tables))
	}
	last := h.tables[len(h.tables)-1]
	last.Written = time.Now() // status reads the time from the file
	if file, told := text(table), text(last); file != told {
		t.Errorf("the file says %s, the status was told %s", file, told)
	}
	return text(table)
}

// TestPeeringReportsYields: a peer that goes from MASTER to BACKUP has yielded, also if its keepalived does not answer in
// between. One that goes to FAULT or stops, or was BACKUP before, has not.
func TestPeeringReportsYields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		a, b := w.join(t, "lb1", host.RoleBackup, smallSpec+wiredNodes), w.join(t, "lb2", host.RoleBackup, smallSpec+wiredNodes)
		var yields []time.Time
		a.yielded = func(since time.Time) { yields = append(yields, since) }
		time.Sleep(10 * time.Second)
		for _, role := range []host.Role{host.RoleMaster, host.RoleFault, host.RoleBackup, host.RoleMaster, host.RoleStopped, host.RoleBackup} {
			b.is(role, false)
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if len(yields) > 0 {
			t.Errorf("yielded %v", yields)
		}
		for n, over := range []host.Role{host.RoleBackup, host.RoleUnknown} {
			master := time.Now()
			b.is(host.RoleMaster, false)
			time.Sleep(time.Minute)
			b.is(over, false)
			time.Sleep(time.Second)
			b.is(host.RoleBackup, false)
			time.Sleep(time.Second)
			synctest.Wait()
			if len(yields) != n+1 || yields[n].Sub(master).Abs() > time.Second {
				t.Errorf("yielded %v, and was MASTER since %v", yields, master)
			}
		}
		a.stop()
		b.stop()
		if len(a.masters) > 0 {
			t.Errorf("remembers %v", a.masters)
		}
	})
}

func TestPeering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := smallSpec + wiredNodes
		w := &wire{}
		a, b := w.join(t, "lb1", host.RoleMaster, spec), w.join(t, "lb2", host.RoleBackup, spec)
		both := func(want, when string, after time.Duration) {
			t.Helper()
			time.Sleep(after)
			if sayA, sayB := a.says(t), b.says(t); sayA != want || sayB != want {
				t.Errorf("%s: %s and %s, want %s\n%s%s", when, sayA, sayB, want, a.log.String(), b.log.String())
			}
		}
		both("True True", "at rest", 7*time.Second)
		if !strings.Contains(a.log.String(), "redundant: lb2 is ready to take over from this host") {
			t.Errorf("log: %s", a.log.String())
		}
		sent, told, listened := w.reports(), len(a.tables), a.listened
		time.Sleep(time.Minute)
		synctest.Wait()
		if w.reports()-sent > 25 || len(a.tables) > told || a.listened > listened {
			t.Errorf("in an idle minute %d reports, %d changes of the status, %d times listened to VRRP", w.reports()-sent, len(a.tables)-told, a.listened-listened)
		}

		// one host edited alone: at once in the status, once in the log
		b.apply(t, "lb2", strings.Replace(spec, "[198.51.100.10]", "[198.51.100.10, 198.51.100.101]", 1))
		both("False False", "edited", 2*time.Second)
		time.Sleep(time.Minute)
		synctest.Wait()
		const differ = "the specs of the hosts differ: lb2 has 2 addresses, this spec has 1 (missing here: 198.51.100.101): rlb-agent push or copy the spec"
		if n := strings.Count(a.log.String(), differ); n != 1 {
			t.Errorf("logged %d times: %s", n, a.log.String())
		}
		b.apply(t, "lb2", spec)
		both("True True", "as before", 2*time.Second)

		// a short difference is not logged
		before := len(a.log.String())
		b.apply(t, "lb2", smallSpec+"proxy: {retries: 7}\n"+wiredNodes)
		time.Sleep(3 * time.Second)
		a.apply(t, "lb1", smallSpec+"proxy: {retries: 7}\n"+wiredNodes)
		both("True True", "both edited", 10*time.Second)
		if log := a.log.String()[before:]; strings.Contains(log, "differ") {
			t.Errorf("logged: %s", log)
		}

		b.is(host.RoleFault, true)
		both("True False", "drained", 2*time.Second)
		b.is(host.RoleBackup, false)
		both("True True", "undrained", 2*time.Second)

		b.stop()
		time.Sleep(2 * time.Second)
		if got := a.says(t); got != "Unknown False" {
			t.Errorf("after the goodbye: %s", got)
		}
		if f, _ := b.File(t.Context(), state.PeersFile); f.Exists {
			t.Error("nobody keeps the file any more")
		}
		time.Sleep(time.Hour)
		if got := a.says(t); got != "Unknown False" {
			t.Errorf("long after the goodbye: %s", got)
		}
		if a.listened < 100 {
			t.Errorf("listened to VRRP %d times in an hour without the peer's agent", a.listened)
		}
		a.stop()
	})
}

// TestPeeringTellsOfWaits: the end of a wait is reported at once, even right after another report. Otherwise the new
// holder would treat it as the death of the former one. Only reports of peers count, and the stop of an agent does not
// end a wait.
func TestPeeringTellsOfWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := smallSpec + wiredNodes
		w := &wire{}
		a, b := w.join(t, "lb1", host.RoleMaster, spec), w.join(t, "lb2", host.RoleBackup, spec)
		stranger := w.join(t, "lb9", host.RoleBackup, spec)
		time.Sleep(10 * time.Second)
		on := state.Waiting{Wait: state.Wait{Began: time.Now(), Until: time.Now().Add(time.Minute)}, Left: 2}
		stranger.drains(on)
		b.drains(on)
		time.Sleep(time.Second)
		on.Left = 1
		b.drains(on)
		time.Sleep(10 * time.Millisecond)
		b.drains(state.Waiting{})
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		if got, want := strings.Join(a.waits, ", "), b.mac+" false, "+b.mac+" true, "+b.mac+" false"; got != want {
			t.Errorf("told %s, want %s", got, want)
		}
		time.Sleep(time.Second)
		b.drains(on)
		time.Sleep(time.Second)
		b.stop()
		time.Sleep(time.Second)
		synctest.Wait()
		if last := a.waits[len(a.waits)-1]; last != b.mac+" true" {
			t.Errorf("after its agent was stopped: %s", last)
		}
		a.stop()
		stranger.stop()
	})
}

// TestForwards: a host whose kernel or nft refuses the rules of planned moves does not report that it forwards. A peer that
// waited for its connections would lose them.
func TestForwards(t *testing.T) {
	for refused, want := range map[string]bool{"": true, "cannot use the hand-over rules: they need nft 1.0": false} {
		h := fake.New()
		h.NoHandover = refused
		doc, err := api.Parse(specPath, []byte(smallSpec))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (&reconcile.Reconciler{Host: h, Log: slog.New(slog.DiscardHandler)}).Once(t.Context(), doc); err != nil {
			t.Fatal(err)
		}
		force, err := state.ReadInForce(t.Context(), h)
		if err != nil {
			t.Fatal(err)
		}
		if got := selfOf(t.Context(), h, force).Forwards; got != want {
			t.Errorf("rules refused with %q: it reports that it forwards: %t", refused, got)
		}
	}
}

// TestPeeringListensFirst: a daemon that has just started does not treat silence as an answer; later the status reports
// it.
func TestPeeringListensFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		a := w.join(t, "lb1", host.RoleMaster, smallSpec+wiredNodes)
		time.Sleep(9 * time.Second)
		first, before := a.lastPublished()
		if got := first.Redundant(time.Now()).Reason; got != peers.Listening {
			t.Errorf("after 9 s: %s", got)
		}
		time.Sleep(7 * time.Second)
		last, n := a.lastPublished()
		if got := last.Redundant(time.Now()).Reason; got != "PeerSilent" || n == before {
			t.Errorf("after 16 s: %s, the status was told %d times", got, n-before)
		}
		a.stop()
	})
}

// TestPeeringByAdverts: if the peer's agent is silent, its advertisements are used.
func TestPeeringByAdverts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		a := w.join(t, "lb1", host.RoleBackup, smallSpec+wiredNodes)
		a.hears(host.Router{Version: 3, RouterID: 10, From: netip.MustParseAddr("198.51.100.12"), MAC: "02:00:00:00:00:0c", Priority: 254,
			Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.10"), netip.MustParseAddr("198.51.100.11")}, Interval: 100 * time.Millisecond})
		time.Sleep(11 * time.Second)
		synctest.Wait()
		table, _ := state.ReadPeers(t.Context(), a)
		if got := table.InSync(time.Now()); got.Status != "False" || !strings.HasPrefix(got.Message, "lb2 advertises 2 addresses, this spec has 1") {
			t.Errorf("%+v", got)
		}
		a.hears()
		time.Sleep(41 * time.Second)
		if got := a.says(t); got != "Unknown Unknown" {
			t.Errorf("after it fell silent: %s", got)
		}
		a.stop()
	})
}

// TestPeeringFlood: whatever arrives from the link, the status is rewritten at most once a second, and little is
// logged.
func TestPeeringFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		a := w.join(t, "a", host.RoleMaster, smallSpec)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		told := len(a.tables)
		r := a.table.Self.Report
		for i := range 2000 { // as many as the link lets through in 100 s
			r.Node, r.Role, r.Drained = fmt.Sprintf("b%d", i%100), []host.Role{host.RoleBackup, host.RoleFault}[i/100%2], i/100%2 == 0
			for _, m := range [][]byte{r.Message(), r.Message()[:40], slices.Repeat([]byte{0xff}, 1000)} {
				w.send(fmt.Sprintf("02:00:00:00:01:%02x", i%100), host.AgentMessage{Body: m})
			}
			time.Sleep(50 * time.Millisecond)
		}
		synctest.Wait()
		if n := len(a.tables) - told; n > 101 || n < 10 {
			t.Errorf("the status was made anew %d times in 100 s", n)
		}
		if n := strings.Count(a.log.String(), "\n"); n > 6 {
			t.Errorf("%d lines of log: %s", n, a.log.String())
		}
		a.stop()
	})
}

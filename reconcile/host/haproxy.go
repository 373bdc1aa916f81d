package host

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"rlb.dev/rlb-agent/render"
)

// Workers are HAProxy's processes.
type Workers struct {
	Current []int // pids of the workers that accept connections
	Old     []int // pids of the workers that finish their connections after a reload
	Failed  int   // reloads that failed since the last successful one; 0 if HAProxy does not report it (before 2.6)
}

// HAProxyState is the result of the probe of the local HAProxy.
type HAProxyState string

// The states of HAProxy. A full HAProxy is not hung: at its connection limit it serves its existing connections.
const (
	HAProxyAnswers HAProxyState = "answers"
	HAProxyFull    HAProxyState = "full" // at maxconn: the health frontend does not answer, the stats socket does
	HAProxyHung    HAProxyState = "hung" // its process runs and answers nothing
	HAProxyStopped HAProxyState = "stopped"
	HAProxyUnknown HAProxyState = "unknown"
)

// RunningServer is a server as HAProxy runs it. It can differ from the configuration file, because the runtime API can
// change it.
type RunningServer struct {
	Backend, Name  string
	Addr           netip.AddrPort // not valid while HAProxy has no address for the server's DNS name
	Weight         int            // 0 to 256
	MaxConnections int            // 0: no limit
	Admin          AdminState
	CheckOff       bool // its health check is configured, and was switched off at runtime
	Sessions       int  // current connections
}

// AdminState is the administrative state of a server, not the result of its check (HAProxy's management guide §9.3, "set
// server state").
type AdminState string

// The administrative states.
const (
	AdminReady AdminState = "ready"
	AdminDrain AdminState = "drain" // no new connections; existing ones stay
	AdminMaint AdminState = "maint" // not used, not checked; with on-marked-down its connections were closed
)

// SinceRounding is how much later than ServerState.Since the state of a server can have changed: HAProxy reports whole
// seconds of its clock (management guide, show stat, lastchg), and Since is the current time minus these, in whole seconds.
const SinceRounding = 2 * time.Second

// ServerState is the state of one server as HAProxy reports it.
type ServerState struct {
	Backend    string    `json:"-"`
	Name       string    `json:"name"`
	Address    string    `json:"address"`
	State      string    `json:"state"`                // UP, DOWN, NOLB, MAINT, "no check" …, HAProxy's own words; UNKNOWN if HAProxy reports none
	Reason     string    `json:"reason,omitempty"`     // the result of the last check, in words and with HAProxy's code
	Since      time.Time `json:"since,omitzero"`       // up to SinceRounding too early
	HTTPStatus int       `json:"httpStatus,omitempty"` // HTTP status of the last check, 100 to 599; absent if there was none
	CutAt      time.Time `json:"cutAt,omitzero"`       // when the connections of a draining server are or were closed; absent if never
	Checking   bool      `json:"-"`                    // a further check runs, so HAProxy reports no details of the last one
	Checked    bool      `json:"-"`                    // the state is the result of a check, or the server has no check
	Weight     int       `json:"-"`                    // current weight, 0 to 256
}

// Up says whether the server gets connections. A server that answers its check with a wrong status (NOLB) keeps its
// connections and gets no new ones.
func (s ServerState) Up() bool {
	for _, not := range []string{"DOWN", "NOLB", "MAINT", ServerUnknown} {
		if strings.HasPrefix(s.State, not) {
			return false
		}
	}
	return true
}

// ServerUnknown is the state of a server that HAProxy does not report.
const ServerUnknown = "UNKNOWN"

// Drained says whether the server gets no new connections, by its weight or by an administrator's command.
func (s ServerState) Drained() bool { return strings.HasPrefix(s.State, "DRAIN") }

// HAProxyReader queries the running HAProxy, and a temporary one beside it.
type HAProxyReader interface {
	// Workers returns HAProxy's processes as the master reports them on its socket (management guide §9.4, "show proc").
	Workers(ctx context.Context, masterSocket string) (Workers, error)
	// Servers returns the states of the servers of all backends.
	Servers(ctx context.Context) ([]ServerState, error)
	// RunningServers returns the servers of all backends as HAProxy runs them.
	RunningServers(ctx context.Context) ([]RunningServer, error)
	// Rehearse runs a temporary HAProxy with the servers of a rendered file and leaves the real HAProxy alone. It passes
	// their states to seen until seen returns true. The error says why no more states are available.
	Rehearse(ctx context.Context, file render.File, seen func([]ServerState) (enough bool)) error
}

// HAProxyWriter changes the running HAProxy.
type HAProxyWriter interface {
	// Runtime sends the running HAProxy one command of its runtime API that changes something. Unlike other writers it can
	// return an error, in HAProxy's words, if the change was already made.
	Runtime(ctx context.Context, command string) error
	// CutSessions closes the connections between HAProxy and a server, also those of old workers.
	CutSessions(ctx context.Context, backend, server string) error
	// CutOldSessions closes the connections between HAProxy's old workers and these servers ("backend/server"), and returns
	// their number.
	CutOldSessions(ctx context.Context, servers []string) (cut int, err error)
}

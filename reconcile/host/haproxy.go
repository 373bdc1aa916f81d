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
	Old     []int // pids of the workers that finish theirs after a reload
	Failed  int   // reloads that failed since the last good one; 0 where HAProxy does not tell (before 2.6)
}

// HAProxyState is what the probe of the local HAProxy found.
type HAProxyState string

// The states of HAProxy. Full is not hung: at its limit of connections it serves those that it has.
const (
	HAProxyAnswers HAProxyState = "answers"
	HAProxyFull    HAProxyState = "full" // at maxconn: the health frontend does not answer, the stats socket does
	HAProxyHung    HAProxyState = "hung" // its process is there and answers nothing
	HAProxyStopped HAProxyState = "stopped"
	HAProxyUnknown HAProxyState = "unknown"
)

// RunningServer is a server as HAProxy runs it, whatever its file says: its runtime API can have changed it since.
type RunningServer struct {
	Backend, Name  string
	Addr           netip.AddrPort // not valid where HAProxy has no address for its name yet
	Weight         int            // 0 to 256
	MaxConnections int            // 0: no limit
	Admin          AdminState
	CheckOff       bool // it has a health check, and somebody switched that off
	Sessions       int  // connections that it has
}

// AdminState is what people, not health checks, say of a server (HAProxy's management guide §9.3, "set server state").
type AdminState string

// The administrative states.
const (
	AdminReady AdminState = "ready"
	AdminDrain AdminState = "drain" // no new connections; those that are there stay
	AdminMaint AdminState = "maint" // not used, not checked; with on-marked-down its connections were cut
)

// SinceRounding is by how much a server may be younger in its state than ServerState says: HAProxy counts in whole seconds of
// its clock (management guide, show stat, lastchg), and these are taken off a time in whole seconds.
const SinceRounding = 2 * time.Second

// ServerState is one server as HAProxy sees it.
type ServerState struct {
	Backend    string    `json:"-"`
	Name       string    `json:"name"`
	Address    string    `json:"address"`
	State      string    `json:"state"`                // UP, DOWN, NOLB, MAINT, "no check" …, HAProxy's own words; UNKNOWN where it does not tell
	Reason     string    `json:"reason,omitempty"`     // what the last check found, in words and with HAProxy's code
	Since      time.Time `json:"since,omitzero"`       // up to SinceRounding earlier than it was
	HTTPStatus int       `json:"httpStatus,omitempty"` // of the answer to the last check, 100 to 599; absent where there was none
	CutAt      time.Time `json:"cutAt,omitzero"`       // when the connections of a server that drains are cut, or were; absent where nobody cuts them
	Checking   bool      `json:"-"`                    // a further check is under way, so HAProxy tells no details of the last one
	Checked    bool      `json:"-"`                    // the state is the outcome of a check, or there is no check
	Weight     int       `json:"-"`                    // as it is now, 0 to 256
}

// Up says whether the server gets connections. One that answers its check with a wrong status (NOLB) keeps those that it
// has, and gets no new ones.
func (s ServerState) Up() bool {
	for _, not := range []string{"DOWN", "NOLB", "MAINT", ServerUnknown} {
		if strings.HasPrefix(s.State, not) {
			return false
		}
	}
	return true
}

// ServerUnknown is the state of a server that HAProxy says nothing of.
const ServerUnknown = "UNKNOWN"

// Drained says whether the server gets no new connections, by its weight or by somebody's word.
func (s ServerState) Drained() bool { return strings.HasPrefix(s.State, "DRAIN") }

// HAProxyReader asks the running HAProxy, and one beside it.
type HAProxyReader interface {
	// Workers are HAProxy's processes as its master tells them on the socket (management guide §9.4, "show proc").
	Workers(ctx context.Context, masterSocket string) (Workers, error)
	// Servers is what HAProxy says of the servers of its backends.
	Servers(ctx context.Context) ([]ServerState, error)
	// RunningServers are the servers of all backends as HAProxy runs them.
	RunningServers(ctx context.Context) ([]RunningServer, error)
	// Rehearse runs HAProxy with the servers of a rendered file beside the real one, which it leaves alone, and shows
	// their states until seen has enough. The error says why there is no more to see.
	Rehearse(ctx context.Context, file render.File, seen func([]ServerState) (enough bool)) error
}

// HAProxyWriter changes the running HAProxy.
type HAProxyWriter interface {
	// Runtime gives the running HAProxy one command of its runtime API that changes something. Unlike other writers it
	// may be refused, in HAProxy's words, where all is done already.
	Runtime(ctx context.Context, command string) error
	// CutSessions ends the connections that HAProxy has with a server, those of its old workers too.
	CutSessions(ctx context.Context, backend, server string) error
	// CutOldSessions ends the connections that HAProxy's old workers have with these servers ("backend/server"), and
	// returns how many these were.
	CutOldSessions(ctx context.Context, servers []string) (cut int, err error)
}

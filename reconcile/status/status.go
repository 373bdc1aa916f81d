package status

import (
	"time"

	"rlb.dev/rlb-agent/reconcile/events"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

// Status is what "rlb-agent status" shows, in the style of Kubernetes. An absent field is not known.
type Status struct {
	APIVersion         string            `json:"apiVersion"`
	Kind               string            `json:"kind"`
	Metadata           Metadata          `json:"metadata,omitzero"`
	Node               string            `json:"node,omitempty"` // from the spec; "" if the spec has no nodes
	Host               string            `json:"host,omitempty"` // hostname of the machine
	Generation         int               `json:"generation,omitempty"`
	ObservedGeneration int               `json:"observedGeneration,omitempty"`
	SpecDigest         string            `json:"specDigest,omitempty"`
	Role               host.Role         `json:"role"`
	RoleSince          time.Time         `json:"roleSince,omitzero"`
	RoleReason         string            `json:"roleReason,omitempty"` // why it has this role, in words
	RoleSeen           time.Time         `json:"roleSeen,omitzero"`    // time of keepalived's last answer
	Drained            bool              `json:"drained"`              // an administrator took this host out
	DrainedSince       time.Time         `json:"drainedSince,omitzero"`
	DrainedBy          string            `json:"drainedBy,omitempty"`
	Draining           *Draining         `json:"draining,omitempty"` // absent if no connections from before a drain are left
	VirtualIPs         []VirtualIP       `json:"virtualIPs,omitempty"`
	Claimed            string            `json:"claimed,omitempty"`  // the device that answers for a virtual IP without serving it; nothing is done about it
	Peers              []Peer            `json:"peers,omitempty"`    // the other nodes of the spec; without nodes, the hosts whose agents are heard
	Headroom           *Headroom         `json:"headroom,omitempty"` // absent if no daemon measures it
	Services           []Service         `json:"services,omitempty"`
	HAProxy            *HAProxy          `json:"haproxy,omitempty"`
	Agent              *Agent            `json:"agent,omitempty"`       // its unit; absent if it is not installed
	PendingSpec        *PendingSpec      `json:"pendingSpec,omitempty"` // the spec of the file, if it is not in force
	FirstRun           string            `json:"firstRun,omitempty"`    // what the daemon does now to apply the first spec of this host
	Trial              *Trial            `json:"trial,omitempty"`       // the spec on trial; specDigest is still the digest of the spec file
	Drift              state.DriftRecord `json:"drift"`
	LastReconcile      *Run              `json:"lastReconcile,omitempty"`
	Conditions         []Condition       `json:"conditions,omitempty"`
	Pending            []string          `json:"pending,omitempty"` // changes that wait for another event, and for which one
	Versions           Versions          `json:"versions,omitzero"`
	Updates            *Updates          `json:"updates,omitempty"`
	Events             []events.Event    `json:"events,omitempty"`        // the last events, the newest last; only in "rlb-agent status", not in the file
	EventsNotSeen      string            `json:"eventsNotSeen,omitempty"` // why the events could not be read
	NotSeen            []string          `json:"notSeen,omitempty"`       // what could not be looked at, and why
	Partial            bool              `json:"partial,omitempty"`       // an ordinary user looked: what only root can see is missing
	FromFile           bool              `json:"fromFile,omitempty"`      // the spec in force could not be read: virtual IPs, services and peers are those of the spec file
}

// Draining describes a host that still serves connections from before it gave up the virtual IPs (drain --wait).
type Draining struct {
	Connections int       `json:"connections"` // connections that are left
	Deadline    time.Time `json:"deadline"`    // when they are closed
}

// Metadata repeats the spec's name.
type Metadata struct {
	Name string `json:"name,omitempty"`
}

// Agent is the agent's unit.
type Agent struct {
	Running bool      `json:"running"`
	Enabled bool      `json:"enabled"` // it starts at boot
	Since   time.Time `json:"since,omitzero"`
}

// PendingSpec is the spec of the file while it is not in force.
type PendingSpec struct {
	Generation int    `json:"generation"`       // the generation that it would become
	Digest     string `json:"digest,omitempty"` // "" if it cannot be parsed
	Refused    bool   `json:"refused"`          // false: it was not applied yet
	Reason     string `json:"reason,omitempty"` // the reason of the condition SpecValid
	Message    string `json:"message,omitempty"`
}

// Trial is a spec that is in force until its deadline, unless confirmed.
type Trial struct {
	ID         string    `json:"id,omitempty"` // chosen by the caller that began it
	File       string    `json:"file"`         // path from which it was read
	SpecDigest string    `json:"specDigest"`
	By         string    `json:"by,omitempty"` // user who began it
	Since      time.Time `json:"since,omitzero"`
	Deadline   time.Time `json:"deadline"`
}

// VirtualIP says whether this host now holds the address.
type VirtualIP struct {
	Address string `json:"address"`
	Held    bool   `json:"held"`
}

// Peer is another node of the spec. If the spec has no nodes, it is a host whose agent is heard.
type Peer struct {
	Name    string     `json:"name"`
	Address string     `json:"address"` // "" if the spec has no nodes
	State   PeerState  `json:"state"`
	Agent   *PeerAgent `json:"agent,omitempty"` // nil if no agent is heard
}

// PeerState says whether a peer is reachable.
type PeerState string

// The states of a peer.
const (
	PeerSeen    PeerState = "Seen" // its advertisements or its agent's messages arrive, or its address answers
	PeerNotSeen PeerState = "NotSeen"
	PeerUnknown PeerState = "Unknown" // this host could not look
)

// HAProxy is the local HAProxy.
type HAProxy struct {
	State      host.HAProxyState `json:"state"`
	OldWorkers int               `json:"oldWorkers"` // processes that finish their connections after a reload
}

// Updates says which packages are held back from an update.
type Updates struct {
	Lists     time.Time         `json:"lists"`     // when apt's lists last changed, as of this answer
	Installed map[string]string `json:"installed"` // versions of the held packages, as of this answer
	HeldBack  []HeldUpdate      `json:"heldBack,omitempty"`
}

// HeldUpdate is a newer version that a hold keeps away.
type HeldUpdate struct {
	Package   string `json:"package"`
	Version   string `json:"version"`   // installed version
	Candidate string `json:"candidate"` // version that apt would install
	Security  bool   `json:"security"`  // it comes from an archive of security updates
}

// Service is one service and its servers.
type Service struct {
	Name      string             `json:"name"`
	Port      int                `json:"port"`
	Listening bool               `json:"listening"`
	NotSeen   bool               `json:"notSeen,omitempty"`  // it could not be read whether the service listens
	FailOpen  bool               `json:"failOpen,omitempty"` // all servers fail, and new connections go to all of them
	Servers   []host.ServerState `json:"servers,omitempty"`
}

// ServersUp returns how many servers of the service are up.
func (s Service) ServersUp() (up int) {
	for _, server := range s.Servers {
		if server.Up() {
			up++
		}
	}
	return up
}

// Outcome is how a run ended.
type Outcome string

// The outcomes.
const (
	Converged  Outcome = "Converged"  // there was nothing to do
	Changed    Outcome = "Changed"    // the host was changed and is in sync with the spec
	Refused    Outcome = "Refused"    // the spec was refused; nothing was touched
	RolledBack Outcome = "RolledBack" // the change failed; the previous state is in force
	Failed     Outcome = "Failed"     // manual intervention may be required
)

// Run is one run of the reconciler.
type Run struct {
	Time     time.Time `json:"time"`
	Duration string    `json:"duration"` // in the form of Go: "45ms"
	Result   Outcome   `json:"result"`
	// SpecDigest is the digest of the spec of this run, "" if the spec cannot be parsed.
	SpecDigest string   `json:"specDigest,omitempty"`
	Passing    bool     `json:"passing,omitempty"` // of a refusal: its cause is on this host and may pass
	Steps      []string `json:"steps,omitempty"`
	Error      string   `json:"error,omitempty"`
}

// Condition has the form of a condition in Kubernetes.
type Condition struct {
	Type               string    `json:"type"`   // Ready, SpecValid, InSync, Serving, PeerInSync, Redundant or AgentRunning
	Status             string    `json:"status"` // True, False or Unknown
	Reason             string    `json:"reason"`
	Message            string    `json:"message,omitempty"`
	LastTransitionTime time.Time `json:"lastTransitionTime"`
	ObservedGeneration int       `json:"observedGeneration,omitempty"`
}

// Versions of the programs.
type Versions struct {
	Agent      string `json:"agent,omitempty"`
	HAProxy    string `json:"haproxy,omitempty"`
	Keepalived string `json:"keepalived,omitempty"`
}

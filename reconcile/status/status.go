package status

import (
	"time"

	"rlb.dev/rlb-agent/reconcile/events"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/state"
)

// Status is what "rlb-agent status" tells, in Kubernetes' style. Absent means not known yet.
type Status struct {
	APIVersion         string            `json:"apiVersion"`
	Kind               string            `json:"kind"`
	Metadata           Metadata          `json:"metadata,omitzero"`
	Node               string            `json:"node,omitempty"` // of the spec; "" where it has none
	Host               string            `json:"host,omitempty"` // the name of the machine
	Generation         int               `json:"generation,omitempty"`
	ObservedGeneration int               `json:"observedGeneration,omitempty"`
	SpecDigest         string            `json:"specDigest,omitempty"`
	Role               host.Role         `json:"role"`
	RoleSince          time.Time         `json:"roleSince,omitzero"`
	RoleReason         string            `json:"roleReason,omitempty"` // why it is that, in words
	RoleSeen           time.Time         `json:"roleSeen,omitzero"`    // when keepalived told it
	Drained            bool              `json:"drained"`              // an administrator took this host out
	DrainedSince       time.Time         `json:"drainedSince,omitzero"`
	DrainedBy          string            `json:"drainedBy,omitempty"`
	Draining           *Draining         `json:"draining,omitempty"` // absent where nothing from before a drain is served any more
	VirtualIPs         []VirtualIP       `json:"virtualIPs,omitempty"`
	Claimed            string            `json:"claimed,omitempty"`  // which device answers for a virtual IP without serving it; nothing is done about it
	Peers              []Peer            `json:"peers,omitempty"`    // the spec's other nodes; without nodes the hosts whose agents are heard
	Headroom           *Headroom         `json:"headroom,omitempty"` // absent where no daemon measures it
	Services           []Service         `json:"services,omitempty"`
	HAProxy            *HAProxy          `json:"haproxy,omitempty"`
	Agent              *Agent            `json:"agent,omitempty"`       // its unit; absent where it is not installed
	PendingSpec        *PendingSpec      `json:"pendingSpec,omitempty"` // the spec file's, where another one is in force, or none
	FirstRun           string            `json:"firstRun,omitempty"`    // what the daemon does now to bring the first spec of this host into force
	Trial              *Trial            `json:"trial,omitempty"`       // what is tried now; specDigest is still the spec file's
	Drift              state.DriftRecord `json:"drift"`
	LastReconcile      *Run              `json:"lastReconcile,omitempty"`
	Conditions         []Condition       `json:"conditions,omitempty"`
	Pending            []string          `json:"pending,omitempty"` // what waits for something else to happen, and for what
	Versions           Versions          `json:"versions,omitzero"`
	Updates            *Updates          `json:"updates,omitempty"`
	Events             []events.Event    `json:"events,omitempty"`        // the last ones, the newest last; rlb-agent status alone has them, not the file
	EventsNotSeen      string            `json:"eventsNotSeen,omitempty"` // why they could not be read
	NotSeen            []string          `json:"notSeen,omitempty"`       // what could not be looked at, and why
	Partial            bool              `json:"partial,omitempty"`       // an ordinary user looked: what only root sees is missing
	FromFile           bool              `json:"fromFile,omitempty"`      // what is in force could not be read: virtual IPs, services and peers are the spec file's
}

// Draining is that a host serves the connections that it had when it gave the virtual IPs up (drain --wait).
type Draining struct {
	Connections int       `json:"connections"` // that are left
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
	Generation int    `json:"generation"`       // that it would be
	Digest     string `json:"digest,omitempty"` // "" where it cannot be parsed
	Refused    bool   `json:"refused"`          // else nobody applied it yet
	Reason     string `json:"reason,omitempty"` // as that of SpecValid
	Message    string `json:"message,omitempty"`
}

// Trial is a spec that is in force until its deadline, unless confirmed.
type Trial struct {
	ID         string    `json:"id,omitempty"` // given by who began it
	File       string    `json:"file"`         // where it was read
	SpecDigest string    `json:"specDigest"`
	By         string    `json:"by,omitempty"` // who began it
	Since      time.Time `json:"since,omitzero"`
	Deadline   time.Time `json:"deadline"`
}

// VirtualIP says whether this host holds the address now.
type VirtualIP struct {
	Address string `json:"address"`
	Held    bool   `json:"held"`
}

// Peer is another node of the spec, or where that names none a host whose agent is heard.
type Peer struct {
	Name    string     `json:"name"`
	Address string     `json:"address"` // "" without nodes
	State   PeerState  `json:"state"`
	Agent   *PeerAgent `json:"agent,omitempty"` // nil where no agent is heard
}

// PeerState is whether a peer is there.
type PeerState string

// The states of a peer.
const (
	PeerSeen    PeerState = "Seen" // its advertisements come, or its address answers
	PeerNotSeen PeerState = "NotSeen"
	PeerUnknown PeerState = "Unknown" // nobody could look
)

// HAProxy is the local HAProxy.
type HAProxy struct {
	State      host.HAProxyState `json:"state"`
	OldWorkers int               `json:"oldWorkers"` // processes that finish their connections after a reload
}

// Updates says which packages are held back from an update.
type Updates struct {
	Lists     time.Time         `json:"lists"`     // when apt's lists changed that tell it
	Installed map[string]string `json:"installed"` // versions of the held packages, that it is told of
	HeldBack  []HeldUpdate      `json:"heldBack,omitempty"`
}

// HeldUpdate is a newer version that a hold keeps away.
type HeldUpdate struct {
	Package   string `json:"package"`
	Version   string `json:"version"`   // that is installed
	Candidate string `json:"candidate"` // that apt would install
	Security  bool   `json:"security"`  // it comes from an archive of security updates
}

// Service is one service and its servers.
type Service struct {
	Name      string             `json:"name"`
	Port      int                `json:"port"`
	Listening bool               `json:"listening"`
	NotSeen   bool               `json:"notSeen,omitempty"`  // nobody could look whether it listens
	FailOpen  bool               `json:"failOpen,omitempty"` // all servers fail, and new connections go to all of them
	Servers   []host.ServerState `json:"servers,omitempty"`
}

// Outcome is how a run ended.
type Outcome string

// The outcomes.
const (
	Converged  Outcome = "Converged"  // there was nothing to do
	Changed    Outcome = "Changed"    // the host was changed and is as wanted
	Refused    Outcome = "Refused"    // the spec was refused; nothing was touched
	RolledBack Outcome = "RolledBack" // the change did not work; what was before is in force
	Failed     Outcome = "Failed"     // a person may be needed
)

// Run is one run of the reconciler.
type Run struct {
	Time     time.Time `json:"time"`
	Duration string    `json:"duration"` // as Go writes it: "45ms"
	Result   Outcome   `json:"result"`
	// SpecDigest is the spec's that it was about, "" where that could not even be parsed.
	SpecDigest string   `json:"specDigest,omitempty"`
	Passing    bool     `json:"passing,omitempty"` // of a refusal: its cause is on this host, and may go
	Steps      []string `json:"steps,omitempty"`
	Error      string   `json:"error,omitempty"`
}

// Condition is as in Kubernetes.
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

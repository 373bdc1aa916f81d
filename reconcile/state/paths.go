package state

import (
	"io/fs"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/render"
)

// Files of the agent. Paths has all of them.
const (
	MemoryFile     = host.StateDir + "/memory.json"  // a Memory
	BeforeDir      = host.StateDir + "/before"       // files from before the first run, under their paths
	PackagedDir    = host.StateDir + "/packaged"     // files as a package installed them, under their paths
	GenerationsDir = host.StateDir + "/generations"  // specs that were in force, by number
	TrialFile      = host.StateDir + "/trial.json"   // a Trial
	TrialSpecFile  = host.StateDir + "/trial.yaml"   // the spec on trial
	StatusFile     = host.RunDir + "/status.json"    // a status.Status
	LoadedFile     = host.RunDir + "/loaded.json"    // a Loaded for each unit
	GuardFile      = host.RunDir + "/guard.json"     // a GuardRecord
	DriftFile      = host.RunDir + "/drift.json"     // a DriftRecord
	RoleFile       = host.RunDir + "/role.json"      // a RoleRecord
	FormerFile     = host.RunDir + "/former.json"    // a FormerRouter
	RefusedFile    = host.RunDir + "/refused.json"   // a Refusal
	DrainedFile    = host.StateDir + "/drained.json" // a DrainRecord
	SocketFile     = host.StateDir + "/socket.json"  // a Socket
	PeersFile      = host.RunDir + "/peers.json"     // a peers.Table
	HeadroomFile   = host.RunDir + "/headroom.json"  // a headroom.Record
	WaitFile       = host.RunDir + "/wait.json"      // a Wait
	WaitingFile    = host.RunDir + "/waiting.json"   // a Waiting
)

// Life says how long a file lasts and what its loss means.
type Life string

const (
	Durable Life = "durable" // survives a boot; its content cannot be derived from anything else
	Rebuilt Life = "rebuilt" // survives a boot; each run writes it again if it differs from the spec
	Derived Life = "derived" // lost at a boot; made again if it is missing or damaged
)

// Path is a file or a directory of the agent.
type Path struct {
	Path   string // ends in a slash for a directory
	Mode   fs.FileMode
	Life   Life
	Writer string // writer of the file
	Holds  string // content of the file

	form     func() any // for derived JSON files: returns a value to decode the content into
	optional bool       // the absence of the file is information too, so a removed file is not restored
}

// Paths lists all paths under /var/lib/rlb and /run/rlb, like the install page of the manual. The two directories
// themselves have mode 0755.
var Paths = []Path{
	{Path: MemoryFile, Mode: 0o600, Life: Durable, Writer: "every change", Holds: "what was there before the first run, and what the agent added"},
	{Path: copyOf(MemoryFile), Mode: 0o600, Life: Durable, Writer: "every change", Holds: "a copy, used where `memory.json` is garbled or gone"},
	{Path: BeforeDir + "/", Mode: 0o600, Life: Durable, Writer: "the first change of a file", Holds: "the files from before the first run"},
	{Path: PackagedDir + "/", Mode: 0o600, Life: Durable, Writer: "the first change of a file", Holds: "the files as the packages installed them"},
	{Path: GenerationsDir + "/", Mode: 0o600, Life: Durable, Writer: "every spec that comes into force", Holds: "the last ten specs that were in force, with their rendered files"},
	{Path: TrialFile, Mode: 0o600, Life: Durable, Writer: "`try`", Holds: "only during `rlb-agent try`: when the trial ends"},
	{Path: copyOf(TrialFile), Mode: 0o600, Life: Durable, Writer: "`try`", Holds: "a copy, used where `trial.json` is garbled or gone"},
	{Path: TrialSpecFile, Mode: 0o600, Life: Durable, Writer: "`try`", Holds: "only during `rlb-agent try`: the spec that is tried"},
	{Path: render.DrainFile, Mode: 0o644, Life: Durable, Writer: "`drain`, `undrain`, keepalived", Holds: "tracked by keepalived: 1 while this host is drained"},
	{Path: DrainedFile, Mode: 0o600, Life: Durable, Writer: "`drain`, `undrain`", Holds: "only while this host is drained: the time of the drain, and the user"},
	{Path: SocketFile, Mode: 0o600, Life: Durable, Writer: "the daemon", Holds: "the socket that it made for `web.address`: it replaces no other"},
	{Path: host.StateDir + "/rules.v4", Mode: 0o640, Life: Rebuilt, Writer: "every change of the rules", Holds: "the IPv4 firewall rules"},
	{Path: host.StateDir + "/rules.v6", Mode: 0o640, Life: Rebuilt, Writer: "every change of the rules", Holds: "the IPv6 firewall rules"},
	{Path: render.HandoverRulesFile, Mode: 0o640, Life: Rebuilt, Writer: "every change of the rules", Holds: "the nftables rules of planned moves"},
	{Path: render.HandoverRoutesFile, Mode: 0o640, Life: Rebuilt, Writer: "every change of the virtual IPs", Holds: "the local routes of planned moves"},
	{Path: host.RunDir + "/lock", Mode: 0o600, Life: Derived, Writer: "every change", Holds: "locked by the one agent that changes the host"},
	{Path: host.RunDir + "/keepalived.lock", Mode: 0o600, Life: Derived, Writer: "`status`, every change, the daemon", Holds: "locked by the one process that asks keepalived for its state"},
	{Path: host.RunDir + "/keepalived.signal", Mode: 0o600, Life: Derived, Writer: "`status`, every change, the daemon", Holds: "the signal that makes the installed keepalived tell its state"},
	{Path: StatusFile, Mode: 0o600, Life: Derived, Writer: "every run, the daemon", Holds: "the status, kept current by the daemon", form: form[statusHead]},
	{Path: LoadedFile, Mode: 0o600, Life: Derived, Writer: "every reload", Holds: "which configuration each service has loaded", form: form[map[string]Loaded]},
	{Path: GuardFile, Mode: 0o600, Life: Derived, Writer: "the daemon", Holds: "whether HAProxy serves on this host, and why not", form: form[GuardRecord]},
	{Path: DriftFile, Mode: 0o600, Life: Derived, Writer: "the daemon", Holds: "how often this host differed from the spec, and the last time", form: form[DriftRecord]},
	{Path: RoleFile, Mode: 0o600, Life: Derived, Writer: "every run, the daemon", Holds: "the last change of the role, and why", form: form[RoleRecord]},
	{Path: FormerFile, Mode: 0o600, Life: Derived, Writer: "a change of the virtual router", Holds: "the virtual router that this host left, until its peer leaves it", form: form[FormerRouter], optional: true},
	{Path: RefusedFile, Mode: 0o600, Life: Derived, Writer: "the daemon", Holds: "the spec that was refused, and why", form: form[Refusal], optional: true},
	{Path: PeersFile, Mode: 0o600, Life: Derived, Writer: "the daemon", Holds: "what the agents of the peers said last, written again every 10 s"},
	{Path: HeadroomFile, Mode: 0o600, Life: Derived, Writer: "the daemon", Holds: "how late advertisements and timers were in the last hour, written again every minute"},
	{Path: WaitFile, Mode: 0o600, Life: Derived, Writer: "`drain --wait`, `upgrade`", Holds: "until when this host serves what it has after a drain", form: form[Wait], optional: true},
	{Path: WaitingFile, Mode: 0o600, Life: Derived, Writer: "the daemon", Holds: "how many of those connections are left, or how that ended"},
	{Path: render.FaultFile, Mode: 0o644, Life: Derived, Writer: "the daemon, keepalived", Holds: "tracked by keepalived: 1 while HAProxy does not serve on this host"},
	{Path: render.KeepalivedTemp + "/", Mode: 0o600, Life: Derived, Writer: "keepalived", Holds: "keepalived's state, written when the agent asks for it"},
	{Path: host.RunDir + "/apt.log", Mode: 0o640, Life: Derived, Writer: "every installation", Holds: "what apt printed last"},
}

func form[T any]() any { return new(T) }

// statusHead is the part of a status that this package reads.
type statusHead struct {
	Kind string `json:"kind"`
}

package host

import (
	"context"
	"time"

	"rlb.dev/rlb-agent/api"
)

// Link describes a network interface without its addresses.
type Link struct {
	Name     string
	Index    int
	MAC      string // "02:00:00:00:00:0a"; "" if the interface has none
	Up       bool   // set up by the administrator (IFF_UP)
	Carrier  bool   // a cable, or its virtual counterpart, is connected
	Loopback bool
}

// FilterChain is a packet filter chain that sees incoming packets, whichever program created it.
type FilterChain struct {
	Tool   string // "iptables", "iptables-legacy" or "nft"
	Family string // "ip", "ip6" or "inet"
	Table  string
	Name   string
	Input  bool   // the kernel passes incoming packets to it; otherwise other chains do
	Policy string // of a base chain: "accept" or "drop"
	Rules  []FilterRule
}

// FilterRule is a rule of a chain.
type FilterRule struct {
	Text    string        // as the tool prints it
	Matches []FilterMatch // all of them must hold
	Verdict string        // "accept", "drop", "reject", "jump", "goto", "return", or "" for none
	Chain   string        // the target of a jump or goto
}

// FilterMatch is a condition of a rule.
type FilterMatch struct {
	Field  string   // "interface", "protocol", "port", "state", "source", or "" if the agent does not understand the condition
	Not    bool     // matches if none of the values does
	Values []string // one must match; port "9000" or "9000-9010", source a prefix, interface "eth0" or "eth*"
}

// UnitFiles lists the files that define a unit.
type UnitFiles struct {
	Fragment    string   // the unit's own file; "" if there is none
	DropIns     []string // files that change it
	Descriptors uint64   // the limit of open files of its processes (systemd.exec(5), LimitNOFILE); 0 is not known
}

// ServerQuestion is a request to a server: at most what the health check sends.
type ServerQuestion struct {
	Address          string // an address or a DNS name
	Port             int
	Type             api.HealthCheckType // CheckTCP and CheckNone only connect
	Method, Path     string
	Host             string
	CA               []byte // PEM certificates to verify the server's certificate with; nil for no verification
	StatusNotAskable bool   // only connect, whatever the type
}

// ServerAnswer is a server's answer.
type ServerAnswer struct {
	Status    int       // HTTP status; 0 if no HTTP request was sent
	Expires   time.Time // when the server's certificate expires; zero if it sent none
	Untrusted string    // why its certificate is not trusted; "" if it is trusted or was not verified
}

// Diagnosis reads what a diagnosis needs and an Observer does not offer. It changes nothing.
type Diagnosis interface {
	// Links returns the network interfaces of the host.
	Links(ctx context.Context) ([]Link, error)
	// FilterChains returns the packet filter chains for incoming packets. notes name the parts that could not be read.
	FilterChains(ctx context.Context) (chains []FilterChain, notes []string, err error)
	// UnitFiles returns the files that define a unit.
	UnitFiles(ctx context.Context, name string) (UnitFiles, error)
	// Glob returns the paths that match a pattern (filepath.Match), sorted.
	Glob(ctx context.Context, pattern string) ([]string, error)
	// Memory returns the memory of the host in bytes.
	Memory(ctx context.Context) (uint64, error)
	// AskServer connects to a server and sends the request of its health check. The error says why the server does not
	// answer.
	AskServer(ctx context.Context, q ServerQuestion) (ServerAnswer, error)
}

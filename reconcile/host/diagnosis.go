package host

import (
	"context"
	"time"

	"rlb.dev/rlb-agent/api"
)

// Link is how a network interface is, without its addresses.
type Link struct {
	Name     string
	Index    int
	MAC      string // "02:00:00:00:00:0a"; "" where it has none
	Up       bool   // its administrator wants it up
	Carrier  bool   // a cable, or whatever it is, is connected
	Loopback bool
}

// FilterChain is a chain of the packet filter that sees incoming packets, whichever program made it.
type FilterChain struct {
	Tool   string // "iptables", "iptables-legacy" or "nft"
	Family string // "ip", "ip6" or "inet"
	Table  string
	Name   string
	Input  bool   // the kernel hands incoming packets to it; else other chains do
	Policy string // of such a chain: "accept" or "drop"
	Rules  []FilterRule
}

// FilterRule is a rule of a chain.
type FilterRule struct {
	Text    string        // as its program shows it
	Matches []FilterMatch // all of which must hold
	Verdict string        // "accept", "drop", "reject", "jump", "goto", "return", or "" for none
	Chain   string        // to which it jumps
}

// FilterMatch is a condition of a rule.
type FilterMatch struct {
	Field  string   // "interface", "protocol", "port", "state", "source", or "" for what is not understood
	Not    bool     // none of the values
	Values []string // any of them; of a port "9000" or "9000-9010", of a source a prefix, of an interface "eth0" or "eth*"
}

// UnitFiles is where a unit comes from.
type UnitFiles struct {
	Fragment    string   // its own file; "" where there is none
	DropIns     []string // files that change it
	Descriptors uint64   // how many files its processes may have open (systemd.exec(5), LimitNOFILE); 0 is not known
}

// ServerQuestion is what a server is asked: no more than the health check asks.
type ServerQuestion struct {
	Address          string // an address or a DNS name
	Port             int
	Type             api.HealthCheckType // CheckTCP and CheckNone only connect
	Method, Path     string
	Host             string
	CA               []byte // certificates in PEM with which the server's is verified; nil for no verification
	StatusNotAskable bool   // only connect, whatever the type
}

// ServerAnswer is what a server answered.
type ServerAnswer struct {
	Status    int       // of HTTP; 0 where it was not asked for
	Expires   time.Time // of the certificate that it showed; zero where it showed none
	Untrusted string    // why its certificate is not trusted; "" where it is, or where that is not asked for
}

// Diagnosis looks at what a diagnosis needs beyond an Observer. It changes nothing.
type Diagnosis interface {
	// Links are the network interfaces of the host.
	Links(ctx context.Context) ([]Link, error)
	// FilterChains are the chains of the packet filter for incoming packets. notes says what could not be read.
	FilterChains(ctx context.Context) (chains []FilterChain, notes []string, err error)
	// UnitFiles is where a unit comes from.
	UnitFiles(ctx context.Context, name string) (UnitFiles, error)
	// Glob are the paths that match a pattern (filepath.Match), sorted.
	Glob(ctx context.Context, pattern string) ([]string, error)
	// Memory of the host, in bytes.
	Memory(ctx context.Context) (uint64, error)
	// AskServer connects to a server, and asks what its health check asks. The error says why it does not answer.
	AskServer(ctx context.Context, q ServerQuestion) (ServerAnswer, error)
}

package api

// Proxy holds the settings of HAProxy as a whole.
type Proxy struct {
	// MaxConnections at a time of the whole process, 1 to 10,000,000 (HAProxy configuration manual, maxconn).
	// Default: 4096; classic: not written.
	// Example: 20000
	MaxConnections *int `json:"maxConnections,omitempty" validate:"omitempty,min=1,max=10000000"`
	// Retries of a failed connection to a server, 0 to 100.
	// Default: 6.
	// Example: 3
	Retries *int `json:"retries,omitempty" validate:"omitempty,min=0,max=100"`
	// Timeouts of connections.
	Timeouts Timeouts `json:"timeouts,omitzero"`
	// HardStopAfter is how long an old process may live after a reload, 1ms to 24 days.
	// Default: 4h; classic: not written.
	// Example: 1h
	HardStopAfter *Duration `json:"hardStopAfter,omitempty"`
	// Stats is HAProxy's own page and exporter.
	Stats Stats `json:"stats,omitzero"`
	// ExtraGlobal are raw lines for the global section (HAProxy configuration manual).
	// Default: none.
	// Example: ["tune.ssl.default-dh-param 2048"]
	ExtraGlobal Lines `json:"extraGlobal,omitempty"`
	// ExtraDefaults are raw lines for the defaults section (HAProxy configuration manual).
	// Default: none.
	// Example: ["option dontlog-normal"]
	ExtraDefaults Lines `json:"extraDefaults,omitempty"`
}

// Timeouts are those of HAProxy (configuration manual, timeout …), each 1ms to 24 days. A service without one of its
// own has that of proxy.timeouts.
type Timeouts struct {
	// Connect is how long a connection to a server may take to be established.
	// Default: 3s.
	// Example: 5s
	Connect *Duration `json:"connect,omitempty"`
	// Client is how long a client may be silent; where a tunnel timeout is set, that one holds once the connection to
	// the server is established.
	// Default: 30s; classic: 3s.
	// Example: 5m
	Client *Duration `json:"client,omitempty"`
	// Server is how long a server may be silent; where a tunnel timeout is set, that one holds once the connection is
	// established.
	// Default: 30s; classic: 60s.
	// Example: 5m
	Server *Duration `json:"server,omitempty"`
	// Tunnel is how long an established connection may be silent in both directions.
	// Default: 4h; classic: not written.
	// Example: 24h
	Tunnel *Duration `json:"tunnel,omitempty"`
}

// Stats is HAProxy's stats page and its own Prometheus exporter.
type Stats struct {
	// Address and port where HAProxy serves the page (/) and the exporter (/metrics).
	// Default: off.
	// Example: 127.0.0.1:9000
	Address string `json:"address,omitempty" validate:"omitempty,addrport"`
}

// Packages says how the Debian packages haproxy and keepalived are kept.
type Packages struct {
	// Manage installs the packages.
	// Default: true.
	// Example: false
	Manage *bool `json:"manage,omitempty"`
	// Hold keeps upgrades away from them.
	// Default: true.
	// Example: false
	Hold *bool `json:"hold,omitempty"`
	// HAProxy is the package haproxy.
	HAProxy Package `json:"haproxy,omitzero"`
	// Keepalived is the package keepalived.
	Keepalived Package `json:"keepalived,omitzero"`
}

// Package is one Debian package.
type Package struct {
	// Version is exact ("2.6.12-1+deb12u4") or a glob ("2.6.*"), with the epoch where the package has one ("1:2.2.*").
	// Default: any that is installed, else the newest offered.
	// Example: 2.6.*
	Version string `json:"version,omitempty" validate:"omitempty,debversion"`
}

// Firewall is what the agent opens and closes.
type Firewall struct {
	// Manage opens the ports of the services, and VRRP (IP protocol 112) from the peers.
	// Default: true.
	// Example: false
	Manage *bool `json:"manage,omitempty"`
	// AllowFrom are CIDRs that may reach the services, and the ports of proxy.stats and metrics where those are not on
	// loopback. The addresses of nodes always may. All other sources are dropped on those ports.
	// Default: everyone.
	// Example: [10.0.0.0/8, "2001:db8::/32"]
	AllowFrom []string `json:"allowFrom,omitempty" validate:"omitempty,max=1000,dive,cidr"`
}

// Drift is what the agent does where the host differs from the spec.
type Drift string

// The ways with drift.
const (
	Repair Drift = "repair"
	Report Drift = "report"
)

// Reconcile is how the host is kept.
type Reconcile struct {
	// Interval at which the host is compared without an event, 1s to 24h.
	// Default: 60s.
	// Example: 5m
	Interval *Duration `json:"interval,omitempty"`
	// Drift is repair, or report: differences are then only logged and shown.
	// Default: repair.
	// Example: report
	Drift Drift `json:"drift,omitempty" validate:"omitempty,oneof=repair report"`
}

// Metrics is where the agent's own Prometheus metrics are found.
type Metrics struct {
	// Address and port where the agent serves them. A request must name the host by an IP address, by a name without a
	// dot, by its host name or a node's name, or by a name in its /etc/hosts.
	// Default: off.
	// Example: 127.0.0.1:9345
	Address string `json:"address,omitempty" validate:"omitempty,addrport"`
	// Textfile is the absolute path of a file for node_exporter's textfile collector, ending in ".prom".
	// The directory may be anybody's. Those above it must be root's, or one other user's alone, as those of Debian's package
	// prometheus-node-exporter: below that user's, no links are followed. For another directory, start node_exporter with
	// --collector.textfile.directory.
	// Default: off.
	// Example: /var/lib/prometheus/node-exporter/rlb.prom
	Textfile string `json:"textfile,omitempty" validate:"omitempty,path,endswith=.prom"`
}

// Web is where the agent's read-only status page is found.
type Web struct {
	// Address is a loopback address and port, or unix: and the absolute path of a socket in a directory that only root
	// may write. The agent's log says how to open the page from another machine, through ssh.
	// Default: off.
	// Example: unix:/run/rlb/web.sock
	Address string `json:"address,omitempty" validate:"omitempty,webaddress"`
}

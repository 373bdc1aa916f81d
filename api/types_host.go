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

// Timeouts are HAProxy's timeouts (configuration manual, timeout …), each 1ms to 24 days. If a service has no timeout of
// its own, that of proxy.timeouts applies.
type Timeouts struct {
	// Connect is how long a connection to a server may take to be established.
	// Default: 3s.
	// Example: 5s
	Connect *Duration `json:"connect,omitempty"`
	// Client is how long a client may be silent. If a tunnel timeout is set, it replaces this one once the connection to
	// the server is established.
	// Default: 30s; classic: 3s.
	// Example: 5m
	Client *Duration `json:"client,omitempty"`
	// Server is how long a server may be silent. If a tunnel timeout is set, it replaces this one once the connection is
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

// Packages says how the agent manages the Debian packages haproxy and keepalived.
type Packages struct {
	// Manage installs the packages.
	// Default: true.
	// Example: false
	Manage *bool `json:"manage,omitempty"`
	// Hold prevents upgrades of the packages.
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
	// Version is exact ("2.6.12-1+deb12u4") or a glob ("2.6.*"), with the epoch if the package has one ("1:2.2.*").
	// Default: the installed version, else the newest that apt offers.
	// Example: 2.6.*
	Version string `json:"version,omitempty" validate:"omitempty,debversion"`
}

// Firewall is how the agent opens and closes ports.
type Firewall struct {
	// Manage opens the ports of the services, and VRRP (IP protocol 112) from the peers.
	// Default: true.
	// Example: false
	Manage *bool `json:"manage,omitempty"`
	// AllowFrom are CIDRs that may reach the services, and the ports of proxy.stats and metrics if these are not on
	// loopback. The addresses of nodes may always reach them. Packets from all other sources to these ports are dropped.
	// Default: everyone.
	// Example: [10.0.0.0/8, "2001:db8::/32"]
	AllowFrom []string `json:"allowFrom,omitempty" validate:"omitempty,max=1000,dive,cidr"`
}

// Drift is what the agent does if the host differs from the spec.
type Drift string

// The values of reconcile.drift.
const (
	Repair Drift = "repair"
	Report Drift = "report"
)

// Reconcile is how the agent keeps the host in sync with the spec.
type Reconcile struct {
	// Interval at which the agent compares the host with the spec when no event occurs, 1s to 24h.
	// Default: 60s.
	// Example: 5m
	Interval *Duration `json:"interval,omitempty"`
	// Drift is repair, or report: with report, differences are only logged and shown.
	// Default: repair.
	// Example: report
	Drift Drift `json:"drift,omitempty" validate:"omitempty,oneof=repair report"`
}

// Metrics is where the agent serves or writes its own Prometheus metrics.
type Metrics struct {
	// Address and port where the agent serves the metrics. A request must name the host by an IP address, by a name
	// without a dot, by its host name or a node's name, or by a name in its /etc/hosts.
	// Default: off.
	// Example: 127.0.0.1:9345
	Address string `json:"address,omitempty" validate:"omitempty,addrport"`
	// Textfile is the absolute path of a file for node_exporter's textfile collector, ending in ".prom".
	// Any user may own its directory. The directories above that must belong to root, or to one other user who alone may
	// write them, as in Debian's package prometheus-node-exporter. Below the directory of another user the agent follows no
	// links. node_exporter's flag --collector.textfile.directory names another directory.
	// Default: off.
	// Example: /var/lib/prometheus/node-exporter/rlb.prom
	Textfile string `json:"textfile,omitempty" validate:"omitempty,path,endswith=.prom"`
}

// Web is where the agent serves its read-only status page.
type Web struct {
	// Address is a loopback address and port, or unix: and the absolute path of a socket in a directory that only root
	// may write. The agent logs how to open the page from another machine through ssh.
	// Default: off.
	// Example: unix:/run/rlb/web.sock
	Address string `json:"address,omitempty" validate:"omitempty,webaddress"`
}

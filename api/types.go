package api

import (
	"net/netip"
	"strings"
)

// The two constants that open every spec.
const (
	APIVersion = "rlb.dev/v1"
	Kind       = "LoadBalancerSpec"
)

// LoadBalancerSpec is one spec file: everything that a pair of load balancers is to be. The same file lies on
// every node of the pair.
//
// Optional fields are pointers where their zero value means something of its own. After Parse a pointer is nil
// only where the profile leaves a directive out altogether ("not written" in the reference).
type LoadBalancerSpec struct {
	// APIVersion is always "rlb.dev/v1".
	APIVersion string `json:"apiVersion" validate:"required,eq=rlb.dev/v1"`
	// Kind is always "LoadBalancerSpec".
	Kind string `json:"kind" validate:"required,eq=LoadBalancerSpec"`
	// Metadata names the load balancer in status, logs and metrics.
	Metadata Metadata `json:"metadata,omitzero"`
	// Profile is the set of defaults: "standard" (the default) or "classic", the original system. Every other
	// field can be given beside it.
	Profile Profile `json:"profile,omitempty" validate:"omitempty,oneof=standard classic"`
	// VirtualIPs are the addresses that clients use: 1 to 20 of either family, without duplicates. The first is the main one.
	VirtualIPs []VirtualIP `json:"virtualIPs" validate:"required,min=1,max=20,dive,virtualip"`
	// Nodes are the load balancers that share this file. Without them VRRP is multicast and the peers are unknown.
	Nodes []Node `json:"nodes,omitempty" validate:"omitempty,dive"`
	// VRRP says how the nodes agree on who holds the virtual IPs.
	VRRP VRRP `json:"vrrp,omitzero"`
	// Services are what is balanced: 1 to 1000, names unique, no two on the same address and port.
	Services []Service `json:"services" validate:"required,min=1,max=1000,dive"`
	// Proxy holds the settings of HAProxy as a whole.
	Proxy Proxy `json:"proxy,omitzero"`
	// Packages says which Debian packages are installed, and how.
	Packages Packages `json:"packages,omitzero"`
	// Firewall says what the agent opens and closes.
	Firewall Firewall `json:"firewall,omitzero"`
	// Reconcile says how the agent keeps the host as this file says.
	Reconcile Reconcile `json:"reconcile,omitzero"`
	// Metrics says where the agent's own Prometheus metrics are found.
	Metrics Metrics `json:"metrics,omitzero"`
	// Web says where the agent's read-only status page is found.
	Web Web `json:"web,omitzero"`
}

// Metadata is as in Kubernetes.
type Metadata struct {
	// Name is shown in status, logs and metrics. Letters, digits, ". _ -", at most 253 characters.
	Name string `json:"name,omitempty" validate:"omitempty,name=253"`
	// Labels are free for the user's own tools.
	Labels map[string]string `json:"labels,omitempty"`
	// Annotations are free for the user's own tools.
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Profile is a named set of defaults.
type Profile string

// The profiles.
const (
	Standard Profile = "standard"
	Classic  Profile = "classic"
)

// VirtualIP is an IPv4 or IPv6 address with an optional prefix length, as written: "192.168.3.240", "2001:db8::10/64".
type VirtualIP string

// Addr is the address without its prefix. It is the zero Addr for text that is no address.
func (v VirtualIP) Addr() netip.Addr {
	text, _, _ := strings.Cut(string(v), "/")
	addr, _ := netip.ParseAddr(text)
	return addr
}

// Node is one of the load balancers that share the file. A node finds itself by an address that it holds.
type Node struct {
	// Name of the node, unique. Letters, digits, ". _ -".
	Name string `json:"name" validate:"required,name"`
	// Addresses of the node that VRRP is sent from: one, or one per family. No virtual IP, and on one node only.
	Addresses []string `json:"addresses" validate:"required,min=1,max=2,dive,unicast"`
	// Interface of the virtual IPs on this node, in place of vrrp.interface.
	Interface string `json:"interface,omitempty" validate:"omitempty,ifname"`
	// Priority of this node, 1 to 254, in place of vrrp.priority.
	Priority *int `json:"priority,omitempty" validate:"omitempty,min=1,max=254"`
}

// Transport is how advertisements travel.
type Transport string

// The transports.
const (
	Multicast Transport = "multicast"
	Unicast   Transport = "unicast"
)

// VRRP is the virtual router (RFC 9568; RFC 3768 for version 2).
type VRRP struct {
	// Interface of the virtual IPs. Default: the one whose subnet holds the main virtual IP; classic: eth0.
	Interface string `json:"interface,omitempty" validate:"omitempty,ifname"`
	// RouterID is the virtual router identifier, 1 to 255 (RFC 9568 §5.2.3), unique on the network segment.
	// Default: the last byte of the main virtual IP, 1 where that is 0; classic: 1.
	RouterID *int `json:"routerID,omitempty" validate:"omitempty,min=1,max=255"`
	// Priority in the election, 1 to 254 (RFC 9568 §5.2.4), the same on all nodes unless a node has its own.
	// Default: 254, for the shortest skew time; classic: 100.
	Priority *int `json:"priority,omitempty" validate:"omitempty,min=1,max=254"`
	// AdvertisementInterval is the time between two advertisements, 10ms to 40.95s (RFC 9568 §5.2.7); below 1s, and
	// parts of a second, only with version 3. In whole steps of 10ms. Default: 100ms; with version 2 and in classic: 1s.
	AdvertisementInterval *Duration `json:"advertisementInterval,omitempty"`
	// Version of the protocol, 2 or 3. IPv6 is always version 3. Default: 3; classic: 2.
	Version *int `json:"version,omitempty" validate:"omitempty,oneof=2 3"`
	// Preempt lets a node with a higher priority take the virtual IPs back. Default: false.
	Preempt *bool `json:"preempt,omitempty"`
	// Transport is multicast (the default) or unicast, which needs nodes.
	Transport Transport `json:"transport,omitempty" validate:"omitempty,oneof=multicast unicast"`
	// InstanceName is the name of the vrrp_instance. Default: HA-CLUSTER.
	InstanceName string `json:"instanceName,omitempty" validate:"omitempty,name"`
	// Notify are programs that keepalived runs when the role changes.
	Notify Notify `json:"notify,omitzero"`
	// Check is how keepalived polls the local HAProxy.
	Check Check `json:"check,omitzero"`
	// ExtraInstance are raw lines for every vrrp_instance.
	ExtraInstance Lines `json:"extraInstance,omitempty"`
}

// Notify holds absolute paths of executables that only root may write (keepalived.conf(5), notify_master …).
type Notify struct {
	// Master is run when this node takes the virtual IPs.
	Master string `json:"master,omitempty" validate:"omitempty,path"`
	// Backup is run when this node stands by.
	Backup string `json:"backup,omitempty" validate:"omitempty,path"`
	// Fault is run when this node must not hold the virtual IPs.
	Fault string `json:"fault,omitempty" validate:"omitempty,path"`
	// Stop is run when keepalived stops.
	Stop string `json:"stop,omitempty" validate:"omitempty,path"`
}

// Check is keepalived's vrrp_script.
type Check struct {
	// Interval between two checks, whole seconds from 1s to 1h. Default: 1s.
	Interval *Duration `json:"interval,omitempty"`
	// Rise is how many good checks in a row make HAProxy healthy, 1 to 1000. Default: 2.
	Rise *int `json:"rise,omitempty" validate:"omitempty,min=1,max=1000"`
	// Fall is how many failed checks in a row put the node in FAULT, 1 to 1000. Default: 3.
	Fall *int `json:"fall,omitempty" validate:"omitempty,min=1,max=1000"`
}

// Service is one balanced port: a frontend and a backend of the same name.
type Service struct {
	// Name of the frontend and the backend, unique. Letters, digits, ". _ -".
	Name string `json:"name" validate:"required,name"`
	// Bind is "*" (the default: every address, in the families of the virtual IPs), an address of the node, or a
	// virtual IP, which works on the standby too.
	Bind string `json:"bind,omitempty" validate:"omitempty,bind"`
	// Port that clients connect to, 1 to 65535.
	Port *int `json:"port" validate:"required,min=1,max=65535"`
	// Balance is the algorithm: roundrobin (the default), leastconn, source, static-rr or first (HAProxy configuration manual §4.2, balance).
	Balance string `json:"balance,omitempty" validate:"omitempty,oneof=roundrobin leastconn source static-rr first"`
	// Servers that the service is balanced over, 1 to 10,000.
	Servers []Server `json:"servers" validate:"required,min=1,max=10000,dive"`
	// HealthCheck says when a server gets traffic.
	HealthCheck HealthCheck `json:"healthCheck,omitzero"`
	// ExtraFrontend are raw lines for the frontend.
	ExtraFrontend Lines `json:"extraFrontend,omitempty"`
	// ExtraBackend are raw lines for the backend.
	ExtraBackend Lines `json:"extraBackend,omitempty"`
}

// Server is one target of a service, a control plane for example.
type Server struct {
	// Name, unique in its service. Letters, digits, ". _ -". Default: server1, server2 … by place.
	Name string `json:"name,omitempty" validate:"omitempty,name"`
	// Address is an IPv4 or IPv6 address, or a DNS name. A name is never needed for the start and is resolved while running.
	Address string `json:"address" validate:"required,host"`
	// Port of the server, 1 to 65535. Default: the service's.
	Port *int `json:"port,omitempty" validate:"omitempty,min=1,max=65535"`
	// Weight, 0 to 256, relative to the other servers; 0 gets no new connections. Default: HAProxy's, 1.
	Weight *int `json:"weight,omitempty" validate:"omitempty,min=0,max=256"`
	// Backup servers get traffic only when all others are down.
	Backup bool `json:"backup,omitempty"`
	// MaxConnections at a time to this server, 1 to 1,000,000. Default: no limit.
	MaxConnections *int `json:"maxConnections,omitempty" validate:"omitempty,min=1,max=1000000"`
}

// HealthCheckType is what a health check does.
type HealthCheckType string

// The types of health checks.
const (
	CheckTCP   HealthCheckType = "tcp"
	CheckHTTP  HealthCheckType = "http"
	CheckHTTPS HealthCheckType = "https"
	CheckNone  HealthCheckType = "none"
)

// HealthCheck is how HAProxy judges the servers of a service.
type HealthCheck struct {
	// Type is tcp (connects), http, https (also judge the answer) or none. Default: https where every server's port
	// is 6443, else tcp; classic: tcp.
	Type HealthCheckType `json:"type,omitempty" validate:"omitempty,oneof=tcp http https none"`
	// Path that is asked for, for http and https. Default: /readyz.
	Path string `json:"path,omitempty" validate:"omitempty,urlpath"`
	// ExpectStatus are the HTTP statuses that count as healthy, 100 to 599. Default: 200.
	ExpectStatus []int `json:"expectStatus,omitempty" validate:"omitempty,min=1,max=100,dive,min=100,max=599"`
	// CAFile is the path of a PEM file that the server's certificate is verified with, for https. Default: not verified.
	CAFile string `json:"caFile,omitempty" validate:"omitempty,path"`
	// Interval between two checks, 1ms to 24 days. Default: 2s; classic: 3s.
	Interval *Duration `json:"interval,omitempty"`
	// Timeout of one check. Default: 2s; classic: not written (HAProxy then bounds only the connect).
	Timeout *Duration `json:"timeout,omitempty"`
	// Rise is how many good checks in a row bring a server back, 1 to 1000. Default: 2; classic: 30.
	Rise *int `json:"rise,omitempty" validate:"omitempty,min=1,max=1000"`
	// Fall is how many failed checks in a row take a server out, 1 to 1000. Default: 3.
	Fall *int `json:"fall,omitempty" validate:"omitempty,min=1,max=1000"`
}

// Proxy holds the settings of HAProxy as a whole.
type Proxy struct {
	// MaxConnections at a time of the whole process (HAProxy configuration manual §3.2, maxconn), 1 to 10,000,000.
	// Default: 4096; classic: not written.
	MaxConnections *int `json:"maxConnections,omitempty" validate:"omitempty,min=1,max=10000000"`
	// Retries of a failed connection to a server, 0 to 100. Default: 6.
	Retries *int `json:"retries,omitempty" validate:"omitempty,min=0,max=100"`
	// Timeouts of connections.
	Timeouts Timeouts `json:"timeouts,omitzero"`
	// HardStopAfter is how long an old process may live after a reload. Default: 4h; classic: not written.
	HardStopAfter *Duration `json:"hardStopAfter,omitempty"`
	// Stats is HAProxy's own page and exporter.
	Stats Stats `json:"stats,omitzero"`
	// ExtraGlobal are raw lines for the global section.
	ExtraGlobal Lines `json:"extraGlobal,omitempty"`
	// ExtraDefaults are raw lines for the defaults section.
	ExtraDefaults Lines `json:"extraDefaults,omitempty"`
}

// Timeouts are HAProxy's (configuration manual §4.2, timeout …), each 1ms to 24 days.
type Timeouts struct {
	// Connect to a server. Default: 3s.
	Connect *Duration `json:"connect,omitempty"`
	// Client is how long a client may be silent before the connection is established. Default: 30s; classic: 3s, always.
	Client *Duration `json:"client,omitempty"`
	// Server is how long a server may be silent before the connection is established. Default: 30s; classic: 60s, always.
	Server *Duration `json:"server,omitempty"`
	// Tunnel is how long an established connection may be silent both ways. Default: 4h; classic: not written.
	Tunnel *Duration `json:"tunnel,omitempty"`
}

// Stats is HAProxy's stats page and its own Prometheus exporter.
type Stats struct {
	// Address, "ip:port", where HAProxy serves the page (/) and the exporter (/metrics). Default: off.
	Address string `json:"address,omitempty" validate:"omitempty,addrport"`
}

// Packages says how the Debian packages are kept.
type Packages struct {
	// Manage installs the packages. Default: true.
	Manage *bool `json:"manage,omitempty"`
	// Hold keeps upgrades away from them. Default: true.
	Hold *bool `json:"hold,omitempty"`
	// HAProxy is the package haproxy.
	HAProxy Package `json:"haproxy,omitzero"`
	// Keepalived is the package keepalived.
	Keepalived Package `json:"keepalived,omitzero"`
}

// Package is one Debian package.
type Package struct {
	// Version, exact ("2.6.12-1+deb12u4") or a glob ("2.6.*", "1:2.2.*": with the epoch). Default: any that is installed, else the newest offered.
	Version string `json:"version,omitempty" validate:"omitempty,debversion"`
}

// Firewall says what is opened and closed.
type Firewall struct {
	// Manage opens the services' ports, and VRRP (protocol 112) from the peers. Default: true.
	Manage *bool `json:"manage,omitempty"`
	// AllowFrom are the CIDRs that may reach the services; every other source is dropped on their ports. Default: everyone.
	AllowFrom []string `json:"allowFrom,omitempty" validate:"omitempty,dive,cidr"`
}

// Drift is what the agent does about a host that is not as the spec says.
type Drift string

// The ways with drift.
const (
	Repair Drift = "repair"
	Report Drift = "report"
)

// Reconcile says how the host is kept.
type Reconcile struct {
	// Interval at which the host is compared without an event, 1s to 24h. Default: 60s.
	Interval *Duration `json:"interval,omitempty"`
	// Drift is repair (the default) or report.
	Drift Drift `json:"drift,omitempty" validate:"omitempty,oneof=repair report"`
}

// Metrics says where the agent's own Prometheus metrics are found. Both are off by default.
type Metrics struct {
	// Address, "ip:port", where the agent serves them. A request must name the host by an IP address, by a name without
	// a dot, by its host name or a node's name, or by a name in its /etc/hosts.
	Address string `json:"address,omitempty" validate:"omitempty,addrport"`
	// Textfile is the absolute path of a file for node_exporter's textfile collector, ending in ".prom".
	// The directory may be another user's, those above it must be root's.
	Textfile string `json:"textfile,omitempty" validate:"omitempty,path,endswith=.prom"`
}

// Web says where the agent's read-only status page is found.
type Web struct {
	// Address is a loopback "ip:port" or "unix:/absolute/path", in a directory that only root may write. Default: off.
	Address string `json:"address,omitempty" validate:"omitempty,webaddress"`
}

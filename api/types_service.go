package api

// ProxyProtocol is a version of the PROXY protocol.
type ProxyProtocol string

// The versions of the PROXY protocol.
const (
	ProxyNone ProxyProtocol = "none"
	ProxyV1   ProxyProtocol = "v1"
	ProxyV2   ProxyProtocol = "v2"
)

// Service is one balanced port: a frontend and a backend.
type Service struct {
	// Name of the service, unique; it names the frontend and the backend. Letters, digits, ".", "_" and "-".
	// Example: kube-apiserver
	Name string `json:"name" validate:"required,name"`
	// Bind is where the service listens: "*" (every address, in the families of the virtual IPs), an address of the
	// node, or a virtual IP. The service listens on a virtual IP on the standby too. One, or a list of 1 to 50.
	// Default: "*".
	// Example: [192.168.3.240, 127.0.0.1]
	Bind Strings `json:"bind,omitempty" validate:"omitempty,min=1,max=50,dive,bind"`
	// SNI are TLS server names that distinguish services on one address and port, 1 to 100: a DNS name, or "*." and a
	// DNS name for all names beneath it. At most one of these services has no sni: it gets all other connections. The
	// services form one frontend, so their bind, allowFrom, acceptProxyProtocol and timeouts.client must be equal.
	// Default: none.
	// Example: [api.a.example.org, "*.a.example.org"]
	SNI []string `json:"sni,omitempty" validate:"omitempty,min=1,max=100,dive,sni"`
	// Port that clients connect to, 1 to 65535.
	// Example: 6443
	Port *int `json:"port" validate:"required,min=1,max=65535"`
	// AcceptProxyProtocol says that clients (another balancer) speak the PROXY protocol. Clients that do not are refused.
	// Default: false.
	// Example: true
	AcceptProxyProtocol bool `json:"acceptProxyProtocol,omitempty"`
	// SendProxyProtocol is how HAProxy tells the servers the client's address: none, or the PROXY protocol in version v1
	// or v2. A health check on the port of the server uses the PROXY protocol too.
	// Default: none.
	// Example: v2
	SendProxyProtocol ProxyProtocol `json:"sendProxyProtocol,omitempty" validate:"omitempty,oneof=none v1 v2"`
	// AllowFrom are CIDRs that may reach this service, 1 to 1000. Packets from all other sources are dropped.
	// Default: the value of firewall.allowFrom.
	// Example: [10.0.0.0/8, "2001:db8::/32"]
	AllowFrom []string `json:"allowFrom,omitempty" validate:"omitempty,min=1,max=1000,dive,cidr"`
	// Balance is the algorithm: roundrobin, leastconn, source, static-rr or first (HAProxy configuration manual, balance).
	// Default: roundrobin.
	// Example: leastconn
	Balance string `json:"balance,omitempty" validate:"omitempty,oneof=roundrobin leastconn source static-rr first"`
	// Servers that the service is balanced over, 1 to 10,000.
	// Example: [{name: master1, address: 192.168.3.251, port: 6443}]
	Servers []Server `json:"servers" validate:"required,min=1,max=10000,dive"`
	// HealthCheck is how HAProxy decides whether a server gets traffic.
	HealthCheck HealthCheck `json:"healthCheck,omitzero"`
	// FailOpen is what happens when every server fails its check: with true, new connections go to all servers; with
	// false, they are refused. True needs a health check.
	// Default: true for https checks of /readyz, else false; classic: false.
	// Example: false
	FailOpen *bool `json:"failOpen,omitempty"`
	// Timeouts of this service, each in place of the one of proxy.timeouts.
	Timeouts Timeouts `json:"timeouts,omitzero"`
	// ExtraFrontend are raw lines for the frontend (HAProxy configuration manual).
	// Default: none.
	// Example: ["option dontlog-normal"]
	ExtraFrontend Lines `json:"extraFrontend,omitempty"`
	// ExtraBackend are raw lines for the backend, rendered before the http-check and server lines.
	// Default: none.
	// Example: ["stick-table type ip size 200k expire 30m", "stick on src"]
	ExtraBackend Lines `json:"extraBackend,omitempty"`
	// ExtraServer are raw words at the end of every server line, at most 1024 characters.
	// Default: none.
	// Example: slowstart 30s
	ExtraServer string `json:"extraServer,omitempty" validate:"omitempty,words"`
}

// Server is one target of a service, a control plane for example.
type Server struct {
	// Name, unique in its service. Letters, digits, ".", "_" and "-".
	// Default: server1, server2 … by place.
	// Example: master1
	Name string `json:"name,omitempty" validate:"omitempty,name"`
	// Address is an IPv4 or IPv6 address, or a DNS name. HAProxy starts even if the name cannot be resolved, and
	// resolves it while it runs.
	// Example: 192.168.3.251
	Address string `json:"address" validate:"required,host"`
	// Port of the server, 1 to 65535.
	// Default: the port of the service.
	// Example: 6443
	Port *int `json:"port,omitempty" validate:"omitempty,min=1,max=65535"`
	// Weight, 0 to 256, relative to the other servers; a server with 0 gets no new connections.
	// Default: 1, as in HAProxy.
	// Example: 10
	Weight *int `json:"weight,omitempty" validate:"omitempty,min=0,max=256"`
	// Backup servers get traffic only when all others are down.
	// Default: false.
	// Example: true
	Backup bool `json:"backup,omitempty"`
	// MaxConnections at a time to this server, 1 to 1,000,000. With failOpen up to twice as many: connections that were
	// opened while all servers failed are counted separately.
	// Default: no limit.
	// Example: 100
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

// HTTP reports whether the check requests a path and judges the answer.
func (t HealthCheckType) HTTP() bool { return t == CheckHTTP || t == CheckHTTPS }

// HealthCheck is how HAProxy judges the servers of a service.
type HealthCheck struct {
	// Type is tcp (connects), http, https (both also judge the answer) or none.
	// Default: https if the port of every server is 6443 or 16443, as with kube-apiservers, else tcp; classic: tcp.
	// Example: https
	Type HealthCheckType `json:"type,omitempty" validate:"omitempty,oneof=tcp http https none"`
	// Port that the check connects to, 1 to 65535, if it is not the server's own port.
	// Default: the port of the server.
	// Example: 8008
	Port *int `json:"port,omitempty" validate:"omitempty,min=1,max=65535"`
	// Method of the request, for http and https: GET, HEAD or OPTIONS.
	// Default: GET.
	// Example: OPTIONS
	Method string `json:"method,omitempty" validate:"omitempty,oneof=GET HEAD OPTIONS"`
	// Host is a DNS name, for http and https: the Host header of the request, and the TLS server name (SNI) of an https
	// check.
	// Default: none.
	// Example: rancher.example.org
	Host string `json:"host,omitempty" validate:"omitempty,dnsname"`
	// Path that the check requests, for http and https.
	// Default: /readyz.
	// Example: /healthz
	Path string `json:"path,omitempty" validate:"omitempty,urlpath"`
	// ExpectStatus are the HTTP statuses that count as healthy, for http and https: 1 to 100 of 100 to 599.
	// Default: 200 for http; 200 and 401 for https, since a kube-apiserver without anonymous access answers 401; classic: 200.
	// Example: [200, 204]
	ExpectStatus []int `json:"expectStatus,omitempty" validate:"omitempty,min=1,max=100,dive,min=100,max=599"`
	// CAFile is the path of a PEM file of CAs that verify the server's certificate, for https.
	// Default: none, the certificate is not verified.
	// Example: /etc/kubernetes/pki/ca.crt
	CAFile string `json:"caFile,omitempty" validate:"omitempty,path"`
	// CutAfter is how long a server that answers with an unexpected status (a kube-apiserver that shuts down) keeps its
	// established connections, for http and https: 0s to 24 days. The server gets no new connections from the first
	// wrong status until the first right one. rise and fall count only for a server that refuses or does not answer: its
	// connections are cut after fall failures. With 0s a wrong status counts as a failure too. After cutAfter the daemon
	// cuts the connections: if the daemon does not run, they stay.
	// Default: 60s for https checks of /readyz, else 0s; classic: 0s.
	// Example: 2m
	CutAfter *Duration `json:"cutAfter,omitempty"`
	// Interval between two checks, 1ms to 24 days.
	// Default: 2s; classic: 3s.
	// Example: 5s
	Interval *Duration `json:"interval,omitempty"`
	// Timeout of one check, 1ms to 24 days.
	// Default: 2s; classic: not written (HAProxy then bounds only the connect).
	// Example: 1s
	Timeout *Duration `json:"timeout,omitempty"`
	// Rise is how many good checks in a row bring a server back, 1 to 1000.
	// Default: 2; classic: 30.
	// Example: 3
	Rise *int `json:"rise,omitempty" validate:"omitempty,min=1,max=1000"`
	// Fall is how many failed checks in a row take a server out, 1 to 1000.
	// Default: 3.
	// Example: 2
	Fall *int `json:"fall,omitempty" validate:"omitempty,min=1,max=1000"`
}

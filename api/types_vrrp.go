package api

// Transport is how advertisements travel.
type Transport string

// The transports.
const (
	Multicast Transport = "multicast"
	Unicast   Transport = "unicast"
)

// Handover is what happens to connections in a planned move of the virtual IPs.
type Handover string

// The kinds of handover.
const (
	HandoverForward Handover = "forward"
	HandoverNone    Handover = "none"
)

// VRRP is the virtual router (RFC 9568; RFC 3768 for version 2).
type VRRP struct {
	// Interface of the virtual IPs.
	// Default: the interface whose subnet holds the main virtual IP; classic: eth0.
	// Example: eth0
	Interface string `json:"interface,omitempty" validate:"omitempty,ifname"`
	// RouterID is the virtual router identifier, 1 to 255 (RFC 9568 §5.2.3), unique on the network segment.
	// Default: the last byte of the main virtual IP, or 1 if that byte is 0; classic: 1.
	// Example: 51
	RouterID *int `json:"routerID,omitempty" validate:"omitempty,min=1,max=255"`
	// Priority in the election, 1 to 254 (RFC 9568 §5.2.4), the same on all nodes unless a node has its own.
	// Default: 254, for the shortest skew time; classic: 100.
	// Example: 200
	Priority *int `json:"priority,omitempty" validate:"omitempty,min=1,max=254"`
	// AdvertisementInterval is the time between two advertisements, 10ms to 40.95s in steps of 10ms (RFC 9568 §5.2.7).
	// With version 2 it is 1s to 255s in whole seconds, and 1s to 40s with an IPv6 virtual IP, because IPv6 is always
	// version 3. A standby replaces a silent master after three intervals and the skew time. Intervals below 20ms are
	// not supported. The status shows the shortest interval that suits the hosts and the network.
	// Default: 100ms; with version 2, and classic: 1s.
	// Example: 1s
	AdvertisementInterval *Duration `json:"advertisementInterval,omitempty"`
	// Version of the protocol, 2 or 3. IPv6 is always version 3.
	// Default: 3; classic: 2.
	// Example: 3
	Version *int `json:"version,omitempty" validate:"omitempty,oneof=2 3"`
	// Preempt lets a node with a higher priority take the virtual IPs back from one with a lower one.
	// Default: false.
	// Example: true
	Preempt *bool `json:"preempt,omitempty"`
	// PreemptDelay is how long a node with a higher priority waits before it takes the virtual IPs back: 0s to 1000s in
	// whole seconds (keepalived.conf(5), preempt_delay). It needs preempt.
	// Default: 0s.
	// Example: 5m
	PreemptDelay *Duration `json:"preemptDelay,omitempty"`
	// Transport is multicast, or unicast, which needs nodes.
	// Default: multicast.
	// Example: unicast
	Transport Transport `json:"transport,omitempty" validate:"omitempty,oneof=multicast unicast"`
	// Handover is forward or none. With forward, for 2 s after a planned move of the virtual IPs (drain, a stop) the new
	// MASTER forwards the packets of connections that began on the former MASTER. Connections that are just being opened
	// then do not fail. After the 2 s, connections that are still open are reset, so that their clients notice. A stop of
	// HAProxy that moves the virtual IPs takes 2.3 s. Forward needs the profile standard, nft 1.0, and the kernel's
	// nft_socket and nft_dup. Use none if the network forbids it.
	// Default: forward; classic: none.
	// Example: none
	Handover Handover `json:"handover,omitempty" validate:"omitempty,oneof=forward none"`
	// InstanceName is the name of the vrrp_instance. Letters, digits, ".", "_" and "-".
	// Default: HA-CLUSTER.
	// Example: VI_1
	InstanceName string `json:"instanceName,omitempty" validate:"omitempty,name"`
	// Notify are programs that keepalived runs when the role of this node changes.
	Notify Notify `json:"notify,omitzero"`
	// Check is how keepalived polls the local HAProxy.
	Check Check `json:"check,omitzero"`
	// ExtraInstance are raw lines for every vrrp_instance (keepalived.conf(5)).
	// Default: none.
	// Example: ["garp_master_delay 1"]
	ExtraInstance Lines `json:"extraInstance,omitempty"`
}

// Notify are programs that keepalived runs on a change of role (keepalived.conf(5), notify_master …). Each is the
// absolute path of an executable that only root may write, or a list of that path and its arguments.
type Notify struct {
	// Master is run when this node takes the virtual IPs.
	// Default: none.
	// Example: [/usr/local/bin/assign-ip, master]
	Master Command `json:"master,omitempty" validate:"omitempty,min=1,max=20"`
	// Backup is run when this node becomes standby.
	// Default: none.
	// Example: [/usr/local/bin/assign-ip, backup]
	Backup Command `json:"backup,omitempty" validate:"omitempty,min=1,max=20"`
	// Fault is run when this node must not hold the virtual IPs.
	// Default: none.
	// Example: /usr/local/bin/on-fault
	Fault Command `json:"fault,omitempty" validate:"omitempty,min=1,max=20"`
	// Stop is run when keepalived stops.
	// Default: none.
	// Example: /usr/local/bin/on-stop
	Stop Command `json:"stop,omitempty" validate:"omitempty,min=1,max=20"`
}

// Check is keepalived's vrrp_script (keepalived.conf(5)).
type Check struct {
	// Interval between two checks, 1s to 1h in whole seconds.
	// Default: 1s.
	// Example: 2s
	Interval *Duration `json:"interval,omitempty"`
	// Rise is how many good checks in a row make HAProxy healthy, 1 to 1000.
	// Default: 2.
	// Example: 3
	Rise *int `json:"rise,omitempty" validate:"omitempty,min=1,max=1000"`
	// Fall is how many failed checks in a row put the node in FAULT, 1 to 1000.
	// Default: 3.
	// Example: 2
	Fall *int `json:"fall,omitempty" validate:"omitempty,min=1,max=1000"`
}

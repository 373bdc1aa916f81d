// Package api defines the spec language of rlb-agent: its types, its defaults and its rules.
//
// [Parse] reads the bytes of a spec file. It returns a [LoadBalancerSpec] with every default filled in and every rule
// checked, or it returns all [yamlfile.Problems] at once, each with its place in the file. Code that gets a
// LoadBalancerSpec from Parse does not check it again.
package api

// The two constants that open every spec.
const (
	APIVersion = "rlb.dev/v1"
	Kind       = "LoadBalancerSpec"
)

// LoadBalancerSpec is one spec file. It describes a pair of load balancers. Every node has the same file.
//
// An optional field is a pointer if its zero value has a meaning of its own. After Parse a pointer is nil only if no
// directive is written for it ("not written" in a default), or if the value of another field applies.
type LoadBalancerSpec struct {
	// APIVersion is always "rlb.dev/v1".
	// Example: rlb.dev/v1
	APIVersion string `json:"apiVersion" validate:"required,eq=rlb.dev/v1"`
	// Kind is always "LoadBalancerSpec".
	// Example: LoadBalancerSpec
	Kind string `json:"kind" validate:"required,eq=LoadBalancerSpec"`
	// Metadata names the load balancer in status, logs and metrics.
	Metadata Metadata `json:"metadata,omitzero"`
	// Profile is a set of defaults: standard, or classic, the original system. Every other field can be given with
	// either profile.
	// Default: standard.
	// Example: classic
	Profile Profile `json:"profile,omitempty" validate:"omitempty,oneof=standard classic"`
	// VirtualIPs are the addresses that clients use: 1 to 20 of either family, no address twice. The first is the
	// main one. Virtual IPs of two families make two VRRP instances, which keepalived keeps on the same node.
	// Example: [192.168.3.240, "2001:db8::10/64", {address: 203.0.113.10/24, interface: eth1}]
	VirtualIPs []VirtualIP `json:"virtualIPs" validate:"required,min=1,max=20,dive"`
	// Nodes are the load balancers that share this file. A node finds its own entry by an address that it holds.
	// Default: none. VRRP is then multicast, accepted from the subnet of the interface, and the peers are unknown.
	// Example: [{name: lb1, addresses: [192.168.3.11]}, {name: lb2, addresses: [192.168.3.12]}]
	Nodes []Node `json:"nodes,omitempty" validate:"omitempty,dive"`
	// VRRP is how the nodes agree on which of them holds the virtual IPs.
	VRRP VRRP `json:"vrrp,omitzero"`
	// Services are the balanced ports: 1 to 1000. Names are unique, and no two services listen on the same address and
	// port, unless sni distinguishes them.
	// Example: [{name: kube-apiserver, port: 9000, servers: [{address: 192.168.3.251, port: 6443}]}]
	Services []Service `json:"services" validate:"required,min=1,max=1000,dive"`
	// Proxy holds the settings of HAProxy as a whole.
	Proxy Proxy `json:"proxy,omitzero"`
	// Packages are the Debian packages haproxy and keepalived.
	Packages Packages `json:"packages,omitzero"`
	// Firewall is how the agent opens and closes ports.
	Firewall Firewall `json:"firewall,omitzero"`
	// Reconcile is how the agent keeps the host in sync with this file.
	Reconcile Reconcile `json:"reconcile,omitzero"`
	// Metrics is where the agent serves or writes its own Prometheus metrics.
	Metrics Metrics `json:"metrics,omitzero"`
	// Web is where the agent serves its read-only status page.
	Web Web `json:"web,omitzero"`
}

// Metadata has the fields name, labels and annotations of Kubernetes.
type Metadata struct {
	// Name is shown in status, logs and metrics. Letters, digits, ".", "_" and "-", at most 253 characters.
	// Default: none.
	// Example: k8s-api
	Name string `json:"name,omitempty" validate:"omitempty,name=253"`
	// Labels are free for the user's own tools. Keys and values have the form of Kubernetes' labels.
	// Default: none.
	// Example: {example.com/site: home}
	Labels map[string]string `json:"labels,omitempty"`
	// Annotations are free for the user's own tools. Keys have the form of Kubernetes' labels, values are text.
	// Default: none.
	// Example: {note: "changed by hand on Monday"}
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Profile is a named set of defaults.
type Profile string

// The profiles.
const (
	Standard Profile = "standard"
	Classic  Profile = "classic"
)

// VirtualIP is an address that clients use. In a file it is a mapping, or the address alone.
type VirtualIP struct {
	// Address is an IPv4 or IPv6 address with an optional prefix length.
	// Example: 192.168.3.240/24
	Address string `json:"address" validate:"required,virtualip"`
	// Interface of the node that holds the address, if it is not vrrp.interface. The loss of its link is a FAULT too.
	// Default: the value of vrrp.interface, or the node's interface.
	// Example: eth1
	Interface string `json:"interface,omitempty" validate:"omitempty,ifname"`
}

// Node is one of the load balancers that share the file.
type Node struct {
	// Name of the node, unique. Letters, digits, ".", "_" and "-".
	// Example: lb1
	Name string `json:"name" validate:"required,name"`
	// Addresses that the node sends VRRP from: one, or one per family. An address belongs to one node and is not a
	// virtual IP.
	// Example: [192.168.3.11, "2001:db8::11"]
	Addresses []string `json:"addresses" validate:"required,min=1,max=2,dive,unicast"`
	// Interface of the virtual IPs on this node.
	// Default: the value of vrrp.interface.
	// Example: enp3s0
	Interface string `json:"interface,omitempty" validate:"omitempty,ifname"`
	// Priority of this node in the election, 1 to 254.
	// Default: the value of vrrp.priority.
	// Example: 200
	Priority *int `json:"priority,omitempty" validate:"omitempty,min=1,max=254"`
}

// Package firstspec writes the text of a first spec from the command line: virtual IPs, kube-apiservers and load
// balancers.
package firstspec

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"rlb.dev/rlb-agent/api"
)

// APIServerPort is the default port of a kube-apiserver: that of kubeadm, k3s and RKE2.
const APIServerPort = 6443

// otherPort is the service's port if a load balancer is a control plane too, and its kube-apiserver has port 6443.
const otherPort = 8443

// Member is a kube-apiserver or a load balancer.
type Member struct {
	Name    string // "" for none
	Address string // an IP address or a DNS name
	Port    int    // 0 for none
}

// Wishes is the content of the spec.
type Wishes struct {
	VirtualIPs []string
	Servers    []Member
	Nodes      []Member // Port is ignored
	Interface  string   // "": the agent chooses
	Service    string   // name of the service
	Port       int      // of the service; 0: the default
	Schema     string   // path of the JSON Schema; "" for api.DefaultSchema
}

// ParseMember reads "address", "address:port", "[v6]:port" or "name=" before one of these.
func ParseMember(text string) (Member, error) {
	m := Member{}
	if name, rest, named := strings.Cut(text, "="); named {
		m.Name, text = name, rest
	}
	address := text
	if _, err := netip.ParseAddr(text); err != nil { // an IPv6 address contains colons
		if at := strings.LastIndexByte(text, ':'); at >= 0 && !strings.HasSuffix(text, "]") {
			port := text[at+1:]
			address = text[:at]
			number, err := strconv.Atoi(port)
			if err != nil || number < 1 || number > 65535 {
				return Member{}, fmt.Errorf("%q is no port: it is 1 to 65535", port)
			}
			m.Port = number
		}
	}
	m.Address = strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")
	if m.Address == "" {
		return Member{}, fmt.Errorf("%q has no address: it is ADDRESS, ADDRESS:PORT or NAME=ADDRESS:PORT", text)
	}
	return m, nil
}

// Text returns the spec, and a sentence for each assumption.
func (w Wishes) Text() (spec string, assumed []string) {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("%s", api.Modeline(cmp.Or(w.Schema, api.DefaultSchema)))
	line("# Redundant load balancers before the kube-apiservers. All fields: rlb-agent help spec")
	line("apiVersion: rlb.dev/v1")
	line("kind: LoadBalancerSpec")
	line("virtualIPs: [%s]", strings.Join(quoted(w.VirtualIPs), ", "))
	if len(w.Nodes) > 0 {
		line("")
		line("# The load balancers. This file is the same on all of them.")
		line("nodes:")
		for i, n := range w.Nodes {
			if n.Name == "" {
				n.Name = fmt.Sprintf("lb%d", i+1)
			}
			line("- {name: %s, addresses: [%s]}", api.Scalar(n.Name), api.Scalar(n.Address))
		}
	} else {
		assumed = append(assumed, "no --node is given: the load balancers find each other by multicast, and VRRP is accepted from the whole subnet")
	}
	if w.Interface != "" {
		line("")
		line("vrrp:")
		line("  interface: %s", api.Scalar(w.Interface))
	}
	port := w.Port
	if port == 0 {
		port = APIServerPort
		if w.stacked() {
			port = otherPort
			assumed = append(assumed, fmt.Sprintf("a load balancer is a control plane too, and its kube-apiserver has port %d: the service listens on port %d (--port changes it)", APIServerPort, port))
		} else {
			assumed = append(assumed, fmt.Sprintf("the service listens on port %d, as the kube-apiservers do (--port changes it)", port))
		}
	}
	line("")
	line("services:")
	line("- name: %s", api.Scalar(w.Service))
	line("  port: %d", port)
	line("  servers:")
	defaulted := false
	for _, s := range w.Servers {
		if s.Port == 0 {
			s.Port, defaulted = APIServerPort, true
		}
		name := ""
		if s.Name != "" {
			name = "name: " + api.Scalar(s.Name) + ", "
		}
		line("  - {%saddress: %s, port: %d}", name, api.Scalar(s.Address), s.Port)
	}
	if defaulted {
		assumed = append(assumed, fmt.Sprintf("kube-apiservers without a port have port %d", APIServerPort))
	}
	return b.String(), assumed
}

// stacked reports whether a kube-apiserver on the default port runs on a load balancer.
func (w Wishes) stacked() bool {
	return slices.ContainsFunc(w.Servers, func(s Member) bool {
		return (s.Port == 0 || s.Port == APIServerPort) && slices.ContainsFunc(w.Nodes, func(n Member) bool { return n.Address == s.Address })
	})
}

func quoted(all []string) []string {
	texts := make([]string, len(all))
	for i, text := range all {
		texts[i] = api.Scalar(text)
	}
	return texts
}

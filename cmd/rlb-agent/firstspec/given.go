package firstspec

import (
	"errors"
	"fmt"
)

// Given holds the flags of the command line.
type Given struct {
	VirtualIPs []string
	Servers    []string // in the form of ParseMember
	Nodes      []string // in the form of ParseMember, without a port
	Kubeconfig string   // file whose current context has a further server; "" for none
	NodesFile  string   // output of kubectl get nodes -o json with further servers, its control planes; "" for none
	Interface  string   // see Wishes
	Service    string   // see Wishes
	Port       int      // see Wishes
}

// Wishes returns the content of the spec. notes has a sentence for each unusual control plane. input reads a file.
func (g Given) Wishes(input func(path string) ([]byte, error)) (w Wishes, notes []string, err error) {
	w = Wishes{VirtualIPs: g.VirtualIPs, Interface: g.Interface, Service: g.Service, Port: g.Port}
	for _, text := range g.Servers {
		m, err := ParseMember(text)
		if err != nil {
			return w, nil, fmt.Errorf("cannot understand --server %q: %w", text, err)
		}
		w.Servers = append(w.Servers, m)
	}
	for _, text := range g.Nodes {
		m, err := ParseMember(text)
		if err == nil && m.Port != 0 {
			err = errors.New("a load balancer has no port")
		}
		if err != nil {
			return w, nil, fmt.Errorf("cannot understand --node %q: %w", text, err)
		}
		w.Nodes = append(w.Nodes, m)
	}
	if g.Kubeconfig != "" {
		data, err := input(g.Kubeconfig)
		if err != nil {
			return w, nil, fmt.Errorf("cannot read the kubeconfig: %w", err)
		}
		m, err := FromKubeconfig(data)
		if err != nil {
			return w, nil, fmt.Errorf("cannot take a server from %s: %w", g.Kubeconfig, err)
		}
		w.Servers = append(w.Servers, m)
	}
	if g.NodesFile != "" {
		data, err := input(g.NodesFile)
		if err != nil {
			return w, nil, fmt.Errorf("cannot read the list of nodes: %w", err)
		}
		members, left, err := FromNodes(data)
		if err != nil {
			return w, nil, fmt.Errorf("cannot take servers from %s: %w", g.NodesFile, err)
		}
		notes = left
		w.Servers = append(w.Servers, members...)
	}
	switch {
	case len(w.VirtualIPs) == 0:
		return w, nil, errors.New("cannot write a spec without a virtual IP: give --vip, an unused address of the load balancers' subnet")
	case len(w.Servers) == 0:
		return w, nil, errors.New("cannot write a spec without servers: give --server, --nodes-file or --kubeconfig")
	}
	return w, notes, nil
}

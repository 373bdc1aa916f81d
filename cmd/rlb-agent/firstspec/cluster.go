package firstspec

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"

	"sigs.k8s.io/yaml"
)

// FromKubeconfig returns the kube-apiserver of a kubeconfig's current context, or of its only cluster.
func FromKubeconfig(data []byte) (Member, error) {
	var config struct {
		Current  string `json:"current-context"`
		Contexts []struct {
			Name    string `json:"name"`
			Context struct {
				Cluster string `json:"cluster"`
			} `json:"context"`
		} `json:"contexts"`
		Clusters []struct {
			Name    string `json:"name"`
			Cluster struct {
				Server string `json:"server"`
			} `json:"cluster"`
		} `json:"clusters"`
	}
	if err := yaml.Unmarshal(data, &config); err != nil {
		return Member{}, fmt.Errorf("it is no kubeconfig: %w", err)
	}
	cluster := ""
	for _, c := range config.Contexts {
		if c.Name == config.Current {
			cluster = c.Context.Cluster
		}
	}
	for _, c := range config.Clusters {
		if c.Name != cluster && !(cluster == "" && len(config.Clusters) == 1) {
			continue
		}
		at, err := url.Parse(c.Cluster.Server)
		if err != nil || at.Hostname() == "" {
			return Member{}, fmt.Errorf("the server of cluster %q is no URL: %q", c.Name, c.Cluster.Server)
		}
		port := 443
		if at.Port() != "" {
			if port, err = strconv.Atoi(at.Port()); err != nil {
				return Member{}, fmt.Errorf("the server of cluster %q has no valid port: %q", c.Name, c.Cluster.Server)
			}
		}
		return Member{Address: at.Hostname(), Port: port}, nil
	}
	return Member{}, errors.New("it names no cluster for its current context")
}

// controlPlaneLabels mark the nodes that run a kube-apiserver: kubeadm, k3s and RKE2 set the first, old versions the second.
var controlPlaneLabels = []string{"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"}

// addressTypes are the address types that reach a control plane from its network, best first.
var addressTypes = []string{"InternalIP", "InternalDNS", "Hostname"}

// FromNodes returns the control planes in the output of "kubectl get nodes -o json", with their first internal address,
// else their name. notes has a sentence for each unusual one.
func FromNodes(data []byte) (members []Member, notes []string, err error) {
	var list struct {
		Items []struct {
			Metadata struct {
				Name   string            `json:"name"`
				Labels map[string]string `json:"labels"`
			} `json:"metadata"`
			Status struct {
				Addresses []struct {
					Type    string `json:"type"`
					Address string `json:"address"`
				} `json:"addresses"`
			} `json:"status"`
		} `json:"items"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, nil, fmt.Errorf("it is not the output of kubectl get nodes -o json: %w", err)
	}
	for _, node := range list.Items {
		if !slices.ContainsFunc(controlPlaneLabels, func(label string) bool { _, has := node.Metadata.Labels[label]; return has }) {
			continue
		}
		m := Member{Name: node.Metadata.Name}
		for _, kind := range addressTypes {
			for _, a := range node.Status.Addresses {
				if a.Type == kind && a.Address != "" && m.Address == "" {
					m.Address = a.Address
					if kind != addressTypes[0] {
						notes = append(notes, fmt.Sprintf("control plane %s has no internal IP address: its server is the name %s, which the load balancers must resolve", m.Name, m.Address))
					}
				}
			}
		}
		if m.Address == "" {
			notes = append(notes, fmt.Sprintf("control plane %s has no internal address and no name: it is left out", m.Name))
			continue
		}
		members = append(members, m)
	}
	if len(members) == 0 {
		return nil, nil, errors.New("it has no control plane with an internal address or a name")
	}
	return members, notes, nil
}

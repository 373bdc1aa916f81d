package render

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const twoNodes = `nodes:
- {name: lb1, addresses: [192.168.3.241, "2001:db8:3::241"], priority: 7, interface: eth1}
- {name: lb2, addresses: ["2001:db8:3::242", 192.168.3.242]}
`

// TestTwoFamilies: two instances share one role. Only the group tracks scripts and runs programs.
func TestTwoFamilies(t *testing.T) {
	text := rendered(t, KeepalivedConfig, "virtualIPs: [\"2001:db8:3::240\", 192.168.3.240/24, \"2001:db8:3::239/64\"]\n"+
		"vrrp: {version: 2, priority: 9, instanceName: X, routerID: 3, notify: {master: /bin/m, stop: /bin/s}}\n"+oneService)
	want := `vrrp_instance X {
    state BACKUP
    nopreempt
    interface eth0
    virtual_router_id 3
    priority 9
    advert_int 1
    version 3
    virtual_ipaddress {
        2001:db8:3::240
        2001:db8:3::239/64
    }
}

vrrp_instance X-IPv4 {
    state BACKUP
    nopreempt
    interface eth0
    virtual_router_id 3
    priority 9
    advert_int 1
    virtual_ipaddress {
        192.168.3.240/24
    }
}

vrrp_sync_group X-GROUP {
    group {
        X
        X-IPv4
    }
    track_script {
        chk_haproxy
    }
    track_file {
        rlb-fault
        rlb-drain
    }
    notify_master "/bin/m"
    notify_stop "/bin/s"
}
`
	if diff := cmp.Diff(want, text[strings.Index(text, "vrrp_instance"):]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOneFamily(t *testing.T) {
	text := rendered(t, KeepalivedConfig, "virtualIPs: [192.168.3.240]\nvrrp: {preempt: true, notify: {master: /bin/m, backup: /bin/b, fault: /bin/f, stop: /bin/s}}\n"+oneService)
	want := `vrrp_instance HA-CLUSTER {
    state BACKUP
    interface eth0
    virtual_router_id 240
    priority 254
    advert_int 0.1
    version 3
    virtual_ipaddress {
        192.168.3.240
    }
    track_script {
        chk_haproxy
    }
    track_file {
        rlb-fault
        rlb-drain
    }
    notify_master "/bin/m"
    notify_backup "/bin/b"
    notify_fault "/bin/f"
    notify_stop "/bin/s"
}
`
	if diff := cmp.Diff(want, text[strings.Index(text, "vrrp_instance"):]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestNodes renders the same spec on either node.
func TestNodes(t *testing.T) {
	spec := parse(t, shortest+"virtualIPs: [192.168.3.240, \"2001:db8:3::240\"]\n"+twoNodes+"vrrp: {transport: unicast}\n"+oneService)
	for node, want := range map[string][]string{
		"lb1": {"priority 7", "unicast_src_ip 192.168.3.241", "192.168.3.242", "priority 7", "unicast_src_ip 2001:db8:3::241", "2001:db8:3::242"},
		"lb2": {"priority 254", "unicast_src_ip 192.168.3.242", "192.168.3.241", "priority 254", "unicast_src_ip 2001:db8:3::242", "2001:db8:3::241"},
	} {
		facts := factsFor(spec, stable)
		facts.Node, facts.Interface = node, "eth7"
		var got []string
		lines := directives(t, string(fileOf(t, files(t, spec, facts), KeepalivedConfig).Data))
		for i, line := range lines {
			if strings.HasPrefix(line, "priority") || strings.HasPrefix(line, "unicast_src_ip") || i > 0 && lines[i-1] == "unicast_peer {" {
				got = append(got, line)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", node, diff)
		}
	}
}

// TestManyNodes: of three and of seven nodes, each sends to all others and has its own place in the order of takeover.
func TestManyNodes(t *testing.T) {
	for _, count := range []int{3, 7} {
		nodes := "nodes:\n"
		for i := range count {
			nodes += fmt.Sprintf("- {name: lb%d, addresses: [192.168.3.%d], priority: %d}\n", i, 200+i, 250-10*i)
		}
		spec := parse(t, shortest+vip4+nodes+"vrrp: {transport: unicast}\n"+oneService)
		for self := range count {
			facts := factsFor(spec, stable)
			facts.Node = fmt.Sprintf("lb%d", self)
			text := string(fileOf(t, files(t, spec, facts), KeepalivedConfig).Data)
			want := fmt.Sprintf("    priority %d\n", 250-10*self)
			peers := fmt.Sprintf("    unicast_src_ip 192.168.3.%d\n    unicast_peer {\n", 200+self)
			for i := range count {
				if i != self {
					peers += fmt.Sprintf("        192.168.3.%d\n", 200+i)
				}
			}
			if !strings.Contains(text, want) || !strings.Contains(text, peers+"    }\n") {
				t.Errorf("%d nodes, lb%d: want %q and %q in\n%s", count, self, want, peers, text)
			}
		}
	}
}

// TestMulticastSource: advertisements come from the address that the peers' firewalls accept.
func TestMulticastSource(t *testing.T) {
	const vips = "virtualIPs: [192.168.3.240, \"2001:db8:3::240\"]\n"
	for yaml, want := range map[string][]string{
		vips + oneService:                                   nil,
		vips + twoNodes + oneService:                        {"mcast_src_ip 192.168.3.241"}, // IPv6: the link-local address
		"profile: classic\n" + vips + twoNodes + oneService: nil,                            // as the original
	} {
		if diff := cmp.Diff(want, linesOf(rendered(t, KeepalivedConfig, yaml), "mcast_src_ip")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", yaml, diff)
		}
	}
}

// TestOtherInterface: a virtual IP may have an interface of its own. The loss of that interface is a FAULT of the node.
func TestOtherInterface(t *testing.T) {
	const yaml = `virtualIPs: [{address: 192.168.3.240/24, interface: eth0}, {address: 203.0.113.10/24, interface: eth1}, {address: 203.0.113.11, interface: eth1}]
vrrp: {preempt: true, preemptDelay: 5m, notify: {master: [/bin/m, eth0, "50%"]}}
`
	text := rendered(t, KeepalivedConfig, yaml+oneService)
	want := `vrrp_instance HA-CLUSTER {
    state BACKUP
    preempt_delay 300
    interface eth0
    virtual_router_id 240
    priority 254
    advert_int 0.1
    version 3
    virtual_ipaddress {
        192.168.3.240/24
        203.0.113.10/24 dev eth1
        203.0.113.11 dev eth1
    }
    track_script {
        chk_haproxy
    }
    track_interface {
        eth1
    }
    track_file {
        rlb-fault
        rlb-drain
    }
    notify_master "/bin/m eth0 50%"
}
`
	if diff := cmp.Diff(want, text[strings.Index(text, "vrrp_instance"):]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

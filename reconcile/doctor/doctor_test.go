package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/fake"
)

// TestHealthy: a healthy host has no findings, before the first run and after it.
func TestHealthy(t *testing.T) {
	for name, m := range map[string]*machine{"standby": healthy(t), "master": healthy(t)} {
		if name == "master" {
			m.Role, m.routers = host.RoleMaster, nil
			delete(m.Answers, vip)
			m.Net[1].Prefixes = append(m.Net[1].Prefixes, netip.PrefixFrom(vip, 32))
		}
		r := m.examine(t)
		for _, c := range r.Checks {
			if c.Result != Passed {
				t.Errorf("%s: %+v", name, c)
			}
		}
		if len(r.Findings) > 0 {
			t.Errorf("%s:\n%s", name, text(r))
		}
	}
}

// TestFindings makes each finding true on a healthy host, and checks that it is the only one.
func TestFindings(t *testing.T) {
	drop := func(rules ...host.FilterRule) []host.FilterChain {
		return []host.FilterChain{{Tool: "nft", Family: "inet", Table: "filter", Name: "input", Input: true, Policy: "drop", Rules: rules}}
	}
	accept := func(field, value string) host.FilterRule {
		return host.FilterRule{Verdict: "accept", Matches: []host.FilterMatch{{Field: field, Values: []string{value}}}}
	}
	router := func(change func(*host.Router)) func(*machine) {
		return func(m *machine) { change(&m.routers[0]) }
	}
	for _, c := range []struct {
		name   string
		breaks func(*machine)
		check  string
		title  string
		says   string // part of the message
		fix    string
	}{
		{"port taken", func(m *machine) {
			m.sockets = []host.Socket{{Addr: netip.MustParseAddrPort("0.0.0.0:9000"), PID: 4711, Program: "nginx"}}
		}, "ports", "port 9000 is taken", "nginx (pid 4711) listens on 0.0.0.0:9000", "systemctl status 4711"},
		{"VIP of a stranger", func(m *machine) { m.Answers[vip] = stranger }, "virtual-ips", "198.51.100.100 is answered by an unknown machine", stranger, "give that machine another address"},
		{"VIP held twice", func(m *machine) { m.Net[1].Prefixes = append(m.Net[1].Prefixes, netip.PrefixFrom(vip, 32)) }, "virtual-ips", "198.51.100.100 is held by two hosts", "lb2 (MAC " + peerMAC, "IP protocol 112"},
		{"router id of a stranger", func(m *machine) {
			r := peerRouter()
			r.From, r.MAC, r.Addresses = other, stranger, []netip.Addr{other}
			m.routers = append(m.routers, r)
		}, "router-id", "router id 100 is used by another virtual router", stranger, "vrrp.routerID: 101"},
		{"VIP advertised by a stranger", func(m *machine) {
			r := peerRouter()
			r.From, r.MAC, r.RouterID = other, stranger, 7
			m.routers = append(m.routers, r)
		}, "router-id", "an unknown router advertises the virtual IPs", "it is no node of the spec", "stop keepalived on 198.51.100.50"},
		{"peer away", func(m *machine) { clear(m.Answers) }, "peer", "peer lb2 does not answer", "198.51.100.12", "start lb2"},
		{"firewall drops VRRP", router(func(r *host.Router) { r.Admitted = false }), "peer", "the firewall here drops the advertisements of lb2", "do not reach keepalived", "protocol 112 from 198.51.100.12"},
		{"VRRP version", router(func(r *host.Router) { r.Version = 2 }), "peer", "lb2 has another VRRP version", "2, this spec has 3", "same spec"},
		{"number of VIPs", router(func(r *host.Router) { r.Addresses = append(r.Addresses, other) }), "peer", "lb2 has another number of virtual IPs", "2, this spec has 1", "same spec"},
		{"other VIP", router(func(r *host.Router) { r.Addresses = []netip.Addr{other} }), "peer", "lb2 has another set of virtual IPs", "198.51.100.50, this spec", "same spec"},
		{"interval", router(func(r *host.Router) { r.Interval = time.Second }), "peer", "lb2 has another advertisement interval", "1s, this spec has 100ms", "same spec"},
		{"router id of the peer", router(func(r *host.Router) { r.RouterID = 51 }), "peer", "lb2 has another router id", "51, this spec has 100", "same spec"},
		{"transport", router(func(r *host.Router) { r.Unicast = true }), "peer", "lb2 has another transport", "unicast, this spec has multicast", "same spec"},
		{"two masters", func(m *machine) { m.Role = host.RoleMaster; delete(m.Answers, vip) }, "peer", "two hosts are MASTER", "does not hear this host", "on lb2"},
		{"multicast does not arrive", func(m *machine) { m.routers = nil }, "peer", "advertisements of lb2 do not arrive", "no VRRP advertisement came", "vrrp.transport: unicast"},
		{"interface down", func(m *machine) { m.links[1].Up = false }, "interface", "interface eth0 is down", own, "ip link set eth0 up"},
		{"no carrier", func(m *machine) { m.links[1].Carrier = false }, "interface", "interface eth0 has no link", "no carrier", "cable"},
		{"no subnet", func(m *machine) {
			m.Net[1].Prefixes = []netip.Prefix{netip.MustParsePrefix("198.51.100.11/28")}
			m.spec = strings.Replace(spec, "services:", "vrrp: {interface: eth0}\nservices:", 1)
		}, "interface", "virtualIPs[0] does not fit this host", "in no subnet of eth0", "in the subnet of 198.51.100.100"},
		{"networkd", func(m *machine) {
			m.managed["systemd-networkd.service"] = host.Unit{ActiveState: "active"}
			m.files["/run/systemd/netif/links/2"] = "ADMIN_STATE=configured\nNETWORK_FILE=/etc/systemd/network/10-eth0.network\n"
			m.files["/etc/systemd/network/10-eth0.network"] = "[Network]\nDHCP=yes\n"
		}, "network-manager", "systemd-networkd would remove the virtual IPs", "10-eth0.network", "KeepConfiguration=static"},
		{"netplan on networkd", func(m *machine) {
			m.managed["systemd-networkd.service"] = host.Unit{ActiveState: "active"}
			m.files["/run/systemd/netif/links/2"] = "NETWORK_FILE=/run/systemd/network/10-netplan-eth0.network\n"
			m.files["/run/systemd/network/10-netplan-eth0.network"] = "[Match]\nName=eth0\n\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=ipv6\n"
		}, "network-manager", "systemd-networkd would remove the virtual IPs", "(written by netplan)", "/etc/systemd/network/10-netplan-eth0.network.d/rlb.conf, which netplan leaves alone"},
		{"netplan on NetworkManager", func(m *machine) {
			m.managed["NetworkManager.service"] = host.Unit{ActiveState: "active"}
			m.files["/run/NetworkManager/devices/2"] = "[device]\nmanaged=true\n"
			m.files["/etc/netplan/01-network-manager-all.yaml"] = "network:\n  renderer: NetworkManager\n"
		}, "network-manager", "NetworkManager may remove the virtual IPs", "manages eth0", "renderer: networkd for eth0 in /etc/netplan/01-network-manager-all.yaml"},
		{"needrestart", func(m *machine) {
			m.files["/usr/sbin/needrestart"] = "#!/usr/bin/perl\n"
			m.files["/etc/needrestart/needrestart.conf"] = "#$nrconf{restart} = 'l';\n$nrconf{override_rc} = {\n    qr(^keepalived) => 0,\n    # qr(^haproxy) => 0,\n};\n"
		}, "restarts", "needrestart restarts the programs", "offers to restart haproxy (on Ubuntu it does not ask):", needrestartRule},
		{"needrestart by itself", func(m *machine) {
			m.files["/usr/sbin/needrestart"] = "#!/usr/bin/perl\n"
			m.files["/etc/needrestart/conf.d/50-auto.conf"] = "$nrconf{restart} = 'a';\n"
		}, "restarts", "needrestart restarts the programs", "restarts haproxy and keepalived without asking", "/etc/needrestart/conf.d/rlb.conf"},
		{"reboot", func(m *machine) {
			m.files["/etc/apt/apt.conf.d/20auto-upgrades"] = "APT::Periodic::Unattended-Upgrade \"1\";\n"
			m.files["/etc/apt/apt.conf.d/50unattended-upgrades"] = "//Unattended-Upgrade::Automatic-Reboot-Time \"02:00\";\nUnattended-Upgrade::Automatic-Reboot \"true\";\n"
		}, "restarts", "unattended-upgrades may reboot both hosts at once", "right after an upgrade that needs a reboot", "Automatic-Reboot-Time"},
		{"AppArmor", func(m *machine) {
			m.files[loadedProfiles] = "/usr/sbin/haproxy (complain)\nkeepalived (enforce)\nkeepalived//systemctl (enforce)\n"
		}, "apparmor", "AppArmor confines keepalived", "keepalived is in enforce mode", "/run/rlb/** rw"},
		{"NetworkManager", func(m *machine) {
			m.managed["NetworkManager.service"] = host.Unit{ActiveState: "active"}
			m.files["/run/NetworkManager/devices/2"] = "[device]\nmanaged=true\n"
		}, "network-manager", "NetworkManager may remove the virtual IPs", "manages eth0", "unmanaged-devices=interface-name:eth0"},
		{"policy drop", func(m *machine) { m.chains = drop(accept("protocol", "112")) }, "firewall", "the firewall drops connections to port 9000 (IPv4)", "policy drop", "nft insert rule inet filter input tcp dport 9000 accept"},
		{"policy drop of VRRP", func(m *machine) { m.chains = drop(accept("port", "9000")) }, "firewall", "the firewall drops VRRP of the peers (IPv4)", "policy drop", "meta l4proto 112 accept"},
		{"iptables drops", func(m *machine) {
			m.chains = []host.FilterChain{{Tool: "iptables", Family: "ip", Table: "filter", Name: "INPUT", Input: true, Policy: "accept", Rules: []host.FilterRule{
				{Text: "-A INPUT -p tcp -j DROP", Verdict: "drop", Matches: []host.FilterMatch{{Field: "protocol", Values: []string{"tcp"}}}}}}}
		}, "firewall", "the firewall drops connections to port 9000 (IPv4)", "-A INPUT -p tcp -j DROP", "iptables -I INPUT -p tcp --dport 9000 -j ACCEPT"},
		{"ufw drops", func(m *machine) {
			m.chains = []host.FilterChain{{Tool: "iptables", Family: "ip", Table: "filter", Name: "INPUT", Input: true, Policy: "drop", Rules: []host.FilterRule{
				{Verdict: "accept", Matches: []host.FilterMatch{{Field: "port", Values: []string{"9000"}}}}}},
				{Tool: "iptables", Family: "ip", Table: "filter", Name: "ufw-before-input"}}
		}, "firewall", "the firewall drops VRRP of the peers (IPv4)", "policy drop", "ufw allow proto vrrp from 198.51.100.12, or firewall.manage: true"},
		{"legacy tables", func(m *machine) {
			m.chains = []host.FilterChain{{Tool: "iptables-legacy", Family: "ip", Table: "filter", Name: "INPUT", Input: true, Policy: "accept", Rules: []host.FilterRule{{}}}}
		}, "iptables", "iptables-legacy and nftables are mixed", "1 rules", "iptables-legacy -F"},
		{"rp_filter", func(m *machine) {
			m.files["/proc/sys/net/ipv4/conf/eth0/rp_filter"] = "1\n"
			m.links = append(m.links, host.Link{Name: "eth1", Index: 3, Up: true, Carrier: true})
			m.Net = append(m.Net, host.Interface{Name: "eth1", Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.1/24")}})
		}, "sysctl", "rp_filter drops clients whose return route is another interface", "eth1 has addresses too", "net.ipv4.conf.eth0.rp_filter=2"},
		{"raw bind on a virtual IP", func(m *machine) {
			m.spec = strings.Replace(spec, "services:", "vrrp: {handover: none}\nservices:", 1) + "  extraFrontend: bind 198.51.100.100:90\n"
			m.files["/proc/sys/net/ipv4/ip_nonlocal_bind"] = "0\n"
			m.reapply = true
		}, "sysctl", "HAProxy does not start without 198.51.100.100", "services[0].extraFrontend[0] (bind 198.51.100.100:90)", "add transparent to the line; or sysctl -w net.ipv4.ip_nonlocal_bind=1"},
		{"old nft", func(m *machine) {
			m.FlushHandover()
			m.NoHandover = "cannot use the hand-over rules: they need nft 1.0"
			m.reapply = true
		}, "handover", "planned moves end connections", "they need nft 1.0", "vrrp.handover: none"},
		{"memory", func(m *machine) { m.memory = 64 << 20 }, "limits", "not enough memory for maxConnections", "the host has 64 MiB", "proxy.maxConnections"},
		{"descriptors", func(m *machine) {
			m.units[host.HAProxyUnit] = host.UnitFiles{Fragment: "/lib/systemd/system/haproxy.service", Descriptors: 1024}
		}, "limits", "not enough descriptors for maxConnections", "HAProxy may have 1024", "LimitNOFILE="},
		{"server away", func(m *machine) { m.refuse["198.51.100.21"] = true }, "servers", "server cp1 of service api is unreachable", "connection refused", "ip route get 198.51.100.21"},
		{"server answers 500", func(m *machine) { m.answers["198.51.100.21"] = host.ServerAnswer{Status: 500} }, "servers", "server cp1 of service api answers 500", "GET /readyz", "https://198.51.100.21:6443/readyz"},
		{"server answers 401", func(m *machine) {
			m.answers["198.51.100.21"] = host.ServerAnswer{Status: 401}
			m.spec = spec + "  healthCheck: {expectStatus: [200]}\n"
			m.reapply = true
		}, "servers", "server cp1 of service api answers 401", "takes [200]", "healthCheck.expectStatus"},
		{"certificate expires", func(m *machine) {
			m.answers["198.51.100.21"] = host.ServerAnswer{Status: 200, Expires: now.AddDate(0, 0, 10)}
		}, "servers", "the certificate of server cp1 of service api expires in 10 days", "2026-01-11", "kubeadm certs renew"},
		{"certificate expired", func(m *machine) {
			m.answers["198.51.100.21"] = host.ServerAnswer{Status: 200, Expires: now.AddDate(0, 0, -1)}
		}, "servers", "the certificate of server cp1 of service api has expired", "2025-12-31", "kubeadm certs renew"},
		{"certificate untrusted", func(m *machine) {
			m.answers["198.51.100.21"] = host.ServerAnswer{Status: 200, Expires: now.AddDate(1, 0, 0), Untrusted: "unknown authority"}
		}, "servers", "server cp1 of service api has a certificate that caFile does not verify", "unknown authority", "authority"},
		{"no CA", func(m *machine) {
			m.spec = strings.Replace(spec, ", port: 6443}\n  - {name: cp2, address: 198.51.100.22, port: 6443}", ", port: 6443}", 1) + "  healthCheck: {caFile: /etc/rlb/ca.pem}\n"
			m.reapply = true
		}, "servers", "server cp1 of service api has a certificate that caFile does not verify", "/etc/rlb/ca.pem: it does not exist", "give /etc/rlb/ca.pem"},
		{"unit masked", func(m *machine) {
			m.managed[host.AgentUnit] = host.Unit{ActiveState: "active", UnitFileState: "masked"}
		}, "units", "rlb-agent.service is masked", "masked", "systemctl unmask rlb-agent.service"},
		{"drop-in", func(m *machine) {
			m.units[host.KeepalivedUnit] = host.UnitFiles{DropIns: []string{"/etc/systemd/system/keepalived.service.d/override.conf"}}
		}, "units", "keepalived.service is changed by another drop-in", "override.conf", "systemctl cat keepalived.service"},
		{"unit overridden", func(m *machine) {
			m.units[host.KeepalivedUnit] = host.UnitFiles{Fragment: "/etc/systemd/system/keepalived.service"}
		}, "units", "keepalived.service is overridden", "replaces the package", "rm /etc/systemd/system/keepalived.service && systemctl daemon-reload"},
		{"old agent", func(m *machine) {
			m.managed[host.AgentUnit] = host.Unit{ActiveState: "reloading", UnitFileState: "enabled", Replaced: true}
		}, "units", "rlb-agent.service runs an old program", "replaced by an upgrade", "systemctl restart rlb-agent.service"},
		{"policy-rc.d", func(m *machine) { m.files["/usr/sbin/policy-rc.d"] = "#!/bin/sh\nexit 101\n" }, "units", "policy-rc.d keeps services from starting", "policy-rc.d", "rm /usr/sbin/policy-rc.d"},
		{"security update", func(m *machine) {
			m.files["/run/rlb/status.json"] = strings.TrimSuffix(m.files["/run/rlb/status.json"], "}") + `, "updates": {"heldBack": [{"package": "haproxy", "version": "1", "candidate": "2", "security": true}]}}`
		}, "packages", "a security update of haproxy is held back", "1 is installed, 2 is offered", "on the standby first: rlb-agent upgrade haproxy"},
		{"old lists", func(m *machine) { m.ListsTime = now.AddDate(0, -3, 0) }, "packages", "apt's lists are old", "days ago", "apt-get update"},
		{"agent stopped", func(m *machine) { m.managed[host.AgentUnit] = host.Unit{ActiveState: "inactive"} }, "agent", "the agent does not run", "inactive", "systemctl enable --now"},
		{"last run failed", func(m *machine) {
			m.files["/run/rlb/status.json"] = fmt.Sprintf(`{"lastReconcile": {"time": %q, "result": "Failed", "error": "disk full"}}`, now.Add(-time.Hour).Format(time.RFC3339))
		}, "agent", "the last reconcile did not succeed", "Failed 1h0m0s ago: disk full", "rlb-agent --once"},
		{"drift", func(m *machine) { m.Put("/etc/haproxy/haproxy.cfg", "# by hand\n", 0o644) }, "agent", "this host is not in sync with the spec", "steps are left", "rlb-agent --once --dry-run"},
		{"spec of others", func(m *machine) { m.Shared = []string{"/etc/rlb"} }, "spec-file", "users other than root can change the spec file", "others than root", "chmod 0644 /etc/rlb/spec.yaml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := healthy(t)
			c.breaks(m)
			if m.reapply {
				m.apply(t)
			}
			r := m.examine(t)
			if len(r.Findings) != 1 {
				t.Fatalf("%d findings:\n%s", len(r.Findings), text(r))
			}
			f := r.Findings[0]
			if f.Check != c.check || f.Title != c.title || !strings.Contains(f.Message, c.says) || !strings.Contains(f.Fix, c.fix) {
				t.Errorf("found:\n%s", text(r))
			}
			for _, place := range []string{"/tmp", "/home", "/root", "~"} {
				if strings.Contains(f.Fix, place) {
					t.Errorf("the fix names %s: %s", place, f.Fix)
				}
			}
		})
	}
}

// TestFixNamesSpec: --once would apply the spec file of the daemon, not the one that is examined.
func TestFixNamesSpec(t *testing.T) {
	m := healthy(t)
	doc, err := api.Parse("/etc/rlb/new.yaml", []byte(strings.Replace(spec, "9000", "9001", 1)))
	if err != nil {
		t.Fatal(err)
	}
	r := Examine(t.Context(), m, Options{Doc: doc, Listen: time.Second, Now: now})
	if !strings.Contains(text(r), "fix: rlb-agent --once --dry-run --spec /etc/rlb/new.yaml shows the steps, rlb-agent try --timeout 120s /etc/rlb/new.yaml makes them") {
		t.Error(text(r))
	}
}

// TestFixNamesVLAN: sysctl takes a dot for the end of a name, so that the one in the name of a VLAN is a slash.
func TestFixNamesVLAN(t *testing.T) {
	m := healthy(t)
	m.Net[1].Name, m.links[1].Name = "eth0.100", "eth0.100"
	m.files["/proc/sys/net/ipv4/conf/eth0.100/rp_filter"] = "1\n"
	m.links = append(m.links, host.Link{Name: "eth1", Index: 3, Up: true, Carrier: true})
	m.Net = append(m.Net, host.Interface{Name: "eth1", Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.1/24")}})
	if r := m.examine(t); !strings.Contains(text(r), "sysctl -w net.ipv4.conf.eth0/100.rp_filter=2, and the line net.ipv4.conf.eth0/100.rp_filter=2 in") {
		t.Error(text(r))
	}
}

// TestFixOfUnicast: what the spec has already is no fix.
func TestFixOfUnicast(t *testing.T) {
	m := healthy(t)
	m.routers, m.spec = nil, strings.Replace(spec, "services:", "vrrp: {transport: unicast}\nservices:", 1)
	r := m.examine(t)
	if !strings.Contains(text(r), "let IP protocol 112 pass between the hosts") || strings.Contains(text(r), "vrrp.transport: unicast") {
		t.Error(text(r))
	}
}

// TestFixOfVirtualIP: the fix is for the virtual IP that does not fit, not for the first one.
func TestFixOfVirtualIP(t *testing.T) {
	for virtualIPs, want := range map[string]string{
		"[198.51.100.100, 203.0.113.100]":                             "fix: {address: 203.0.113.100, interface: eth1} in virtualIPs: eth1 has the subnet of it\n",
		"[198.51.100.100, {address: 203.0.113.100, interface: eth7}]": "fix: {address: 203.0.113.100, interface: eth1} in virtualIPs: eth1 has the subnet of it\n",
		"[198.51.100.100, 192.0.2.100]":                               "fix: give the interface an address in the subnet of 192.0.2.100, or name another one in virtualIPs\n",
	} {
		m := healthy(t)
		m.spec = strings.Replace(spec, "[198.51.100.100]", virtualIPs, 1)
		m.links = append(m.links, host.Link{Name: "eth1", Index: 3, Up: true, Carrier: true})
		m.Net = append(m.Net, host.Interface{Name: "eth1", Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.11/24")}})
		if r := m.examine(t); !strings.Contains(text(r), want) || strings.Contains(text(r), "fix: vrrp.interface") {
			t.Errorf("%s: no %s in\n%s", virtualIPs, want, text(r))
		}
	}
}

// TestOwnAddress: the fix for an address of this host in virtualIPs is another address, not another interface.
func TestOwnAddress(t *testing.T) {
	m := healthy(t)
	m.Host = fake.New()
	m.spec = spec[:strings.Index(spec, "nodes:")] + spec[strings.Index(spec, "services:"):]
	m.spec = strings.Replace(m.spec, "198.51.100.100", "198.51.100.11", 1)
	if r := m.examine(t); !strings.Contains(text(r), "is this host's own address on eth0") || !strings.Contains(text(r), "fix: in virtualIPs, an address that no machine has\n") {
		t.Error(text(r))
	}
}

// TestOtherInterface: a peer has another MAC on another interface; it holds the virtual IP there that it advertises.
func TestOtherInterface(t *testing.T) {
	second := netip.MustParseAddr("203.0.113.100")
	m := healthy(t)
	m.spec = strings.Replace(spec, "[198.51.100.100]", "[198.51.100.100, {address: 203.0.113.100, interface: eth1}]", 1)
	m.links = append(m.links, host.Link{Name: "eth1", Index: 3, Up: true, Carrier: true})
	m.Net = append(m.Net, host.Interface{Name: "eth1", Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.11/24")}})
	m.Answers[second] = "02:00:cb:00:71:0c"
	m.routers[0].Addresses = []netip.Addr{vip, second}
	m.OnLink = m.routers
	m.apply(t)
	if r := m.examine(t); len(r.Findings) > 0 {
		t.Error(text(r))
	}
	m.routers[0].Addresses = []netip.Addr{vip}
	if r := m.examine(t); !strings.Contains(text(r), "203.0.113.100 is answered by an unknown machine: a machine with MAC 02:00:cb:00:71:0c answers for the virtual IP 203.0.113.100 on eth1,") {
		t.Error(text(r))
	}
}

// TestRawBindOfRoute: a raw bind line to a virtual IP is no finding if planned moves add a local route for the virtual IP.
func TestRawBindOfRoute(t *testing.T) {
	m := healthy(t)
	m.spec = spec + "  extraFrontend: bind 198.51.100.100:90\n"
	m.apply(t)
	if r := m.examine(t); len(r.Findings) > 0 {
		t.Error(text(r))
	}
}

// TestNeedsVIP: only a bind line to a virtual IP without transparent requires that the host holds the virtual IP.
func TestNeedsVIP(t *testing.T) {
	doc, err := api.Parse("/etc/rlb/spec.yaml", []byte(strings.Replace(spec, "["+vip.String()+"]", "["+vip.String()+", '2001:db8::100']", 1)))
	if err != nil {
		t.Fatal(err)
	}
	e := exam{spec: &doc.Spec}
	for line, want := range map[string]string{
		"bind 198.51.100.100:80":                                "198.51.100.100",
		"  bind ipv4@198.51.100.11:80,198.51.100.100:80-81 ssl": "198.51.100.100",
		"bind [2001:db8::100]:80":                               "2001:db8::100",
		"bind ipv6@2001:db8::100:80":                            "2001:db8::100",
		"bind 198.51.100.100:80 transparent":                    "",
		"bind 198.51.100.11:80":                                 "",
		"bind :80":                                              "",
		"bind *:80":                                             "",
		"bind /run/socket":                                      "",
		"tcp-request connection accept if { dst 198.51.100.100 }": "",
	} {
		if got, _ := netip.ParseAddr(want); e.needsVIP(line) != got {
			t.Errorf("%s: %v, want %v", line, e.needsVIP(line), got)
		}
	}
}

// TestRefusedFacts: facts of the host that do not fit the spec are findings, also before the first run.
func TestRefusedFacts(t *testing.T) {
	m := healthy(t)
	m.Net[1] = host.Interface{Name: "ens3", Prefixes: []netip.Prefix{netip.MustParsePrefix("198.51.100.11/24")}}
	m.links[1].Name = "ens3"
	m.spec = strings.Replace(spec, "services:", "vrrp: {interface: eth0}\nservices:", 1)
	r := m.examine(t)
	if !strings.Contains(text(r), "interface: no interface eth0: ") || !strings.Contains(text(r), "vrrp.interface: ens3") {
		t.Error(text(r))
	}
	m.spec = strings.Replace(spec, "198.51.100.11", "198.51.100.77", 1)
	if r := m.examine(t); !strings.Contains(text(r), "cannot tell which of the spec's nodes this is") && !strings.Contains(text(r), "this host does not match the spec") {
		t.Log(text(r))
	}
}

// TestUnattendedUpgrades: unattended-upgrades is a finding only if the packages are not on hold.
func TestUnattendedUpgrades(t *testing.T) {
	m := healthy(t)
	m.Archive["unattended-upgrades"] = []string{"2.9"}
	m.Admin(func(ctx context.Context, h host.Host) error {
		_, err := h.InstallPackages(ctx, "unattended-upgrades")
		return err
	})
	m.files["/etc/apt/apt.conf.d/20auto-upgrades"] = "APT::Periodic::Unattended-Upgrade \"1\";\n"
	if r := m.examine(t); len(r.Findings) > 0 {
		t.Errorf("held:\n%s", text(r))
	}
	m.spec = spec + "packages: {hold: false}\n"
	m.apply(t)
	if r := m.examine(t); len(r.Findings) != 1 || r.Findings[0].Fix != "packages.hold: true in the spec" {
		t.Errorf("not held:\n%s", text(r))
	}
}

// TestFixed: a program that may restart, reboot or confine is no finding once its fix is applied. The note names the
// firewall manager.
func TestFixed(t *testing.T) {
	m := healthy(t)
	m.files["/usr/sbin/needrestart"] = "#!/usr/bin/perl\n"
	m.files["/etc/needrestart/conf.d/rlb.conf"] = needrestartRule + "\n"
	m.files["/etc/apt/apt.conf.d/20auto-upgrades"] = "APT::Periodic::Unattended-Upgrade \"1\";\n"
	m.files["/etc/apt/apt.conf.d/50unattended-upgrades"] = "Unattended-Upgrade::Automatic-Reboot \"true\";\nUnattended-Upgrade::Automatic-Reboot-Time \"03:00\";\n"
	m.files[loadedProfiles] = "/usr/sbin/haproxy (enforce)\nkeepalived (enforce)\nlibvirtd (enforce)\n"
	m.files["/etc/apparmor.d/local/usr.sbin.haproxy"] = "/run/rlb/** r,\n"
	m.files["/etc/apparmor.d/local/keepalived"] = "/run/rlb/** rw,\n"
	m.chains = []host.FilterChain{{Tool: "nft", Family: "inet", Table: "firewalld", Name: "filter_INPUT", Input: true, Policy: "accept"}}
	r := m.examine(t)
	if len(r.Findings) > 0 {
		t.Errorf("%s", text(r))
	}
	for _, note := range []string{"firewalld is on", "reboots this host at 03:00"} {
		if !strings.Contains(text(r), note) {
			t.Errorf("no note %q: %s", note, text(r))
		}
	}
}

// TestRenamed: a renamed interface is recognized by its subnet.
func TestRenamed(t *testing.T) {
	m := healthy(t)
	m.Net[1].Name, m.links[1].Name = "ens3", "ens3"
	if r := m.examine(t); !strings.Contains(text(r), "interface eth0 was renamed") {
		t.Error(text(r))
	}
}

// TestWithoutRoot: a check that needs root is skipped with a reason, and gives no finding.
func TestWithoutRoot(t *testing.T) {
	m := healthy(t)
	m.locked = fmt.Errorf("cannot look: this needs root: %w", host.ErrUnavailable)
	r := m.examine(t)
	if len(r.Findings) > 0 {
		t.Error(text(r))
	}
	skipped := map[string]bool{}
	for _, c := range r.Checks {
		if skipped[c.Check] = c.Result == Skipped; skipped[c.Check] && !strings.Contains(c.Reason, "root") {
			t.Errorf("no reason: %+v", c)
		}
	}
	for _, name := range []string{"peer", "router-id", "firewall", "iptables"} {
		if !skipped[name] {
			t.Errorf("%s is not skipped", name)
		}
	}
}

// TestManyNodes: with three nodes and with seven, each missing peer is found, and any of the nodes may hold the virtual IP.
func TestManyNodes(t *testing.T) {
	for _, count := range []int{3, 7} {
		m := healthy(t)
		nodes := ""
		for i := 3; i <= count; i++ {
			nodes += fmt.Sprintf("- {name: lb%d, addresses: [198.51.100.%d]}\n", i, 10+i)
		}
		m.spec = strings.Replace(m.spec, "- {name: lb2, addresses: [198.51.100.12]}\n", "- {name: lb2, addresses: [198.51.100.12]}\n"+nodes, 1)
		m.apply(t)
		last := netip.AddrFrom4([4]byte{198, 51, 100, byte(10 + count)})
		m.Answers = map[netip.Addr]string{vip: stranger, last: stranger}
		m.routers[0].From, m.routers[0].MAC = last, stranger
		r := m.examine(t)
		for i, f := range r.Findings {
			if want := fmt.Sprintf("peer lb%d does not answer", 2+i); f.Title != want {
				t.Errorf("%d nodes: %q, want %q", count, f.Title, want)
			}
		}
		if len(r.Findings) != count-2 {
			t.Errorf("%d nodes: %s", count, text(r))
		}
	}
}

// TestWithoutNodes: without nodes, a host in the same virtual router counts as the peer.
func TestWithoutNodes(t *testing.T) {
	m := healthy(t)
	m.spec = strings.Replace(spec, "nodes:\n- {name: lb1, addresses: [198.51.100.11]}\n- {name: lb2, addresses: [198.51.100.12]}\n", "", 1)
	m.apply(t)
	if r := m.examine(t); len(r.Findings) > 0 {
		t.Error(text(r))
	}
	m.Answers[vip] = stranger
	if r := m.examine(t); len(r.Findings) != 1 || r.Findings[0].Check != "virtual-ips" {
		t.Error(text(r))
	}
}

// TestFirewallIsCertain: rules that may let a packet in give no finding. Only a certain drop does.
func TestFirewallIsCertain(t *testing.T) {
	in := func(policy string, rules ...host.FilterRule) host.FilterChain {
		return host.FilterChain{Tool: "nft", Family: "ip", Table: "filter", Name: "input", Input: true, Policy: policy, Rules: rules}
	}
	rule := func(verdict string, matches ...host.FilterMatch) host.FilterRule {
		return host.FilterRule{Verdict: verdict, Chain: "services", Matches: matches}
	}
	services := host.FilterChain{Tool: "nft", Family: "ip", Table: "filter", Name: "services", Rules: []host.FilterRule{rule("accept", host.FilterMatch{Field: "port", Values: []string{"8000-9999"}})}}
	perhapsBack := host.FilterChain{Tool: "nft", Family: "ip", Table: "filter", Name: "filter", Rules: []host.FilterRule{rule("return", host.FilterMatch{}), rule("drop")}}
	p := packet{family: api.IPv4, iface: "eth0", proto: "tcp", port: 9000}
	for name, c := range map[string]struct {
		chain host.FilterChain
		want  outcome
	}{
		"unknown condition accepts":      {in("drop", rule("accept", host.FilterMatch{})), accepted},
		"some sources accepted":          {in("drop", rule("accept", host.FilterMatch{Field: "source", Values: []string{"10.0.0.0/8"}})), accepted},
		"some sources dropped":           {in("accept", rule("drop", host.FilterMatch{Field: "source", Values: []string{"10.0.0.0/8"}})), passes},
		"another interface":              {in("drop", rule("accept", host.FilterMatch{Field: "interface", Values: []string{"eth1"}})), dropped},
		"established only":               {in("drop", rule("accept", host.FilterMatch{Field: "state", Values: []string{"established", "related"}})), dropped},
		"jump that accepts":              {in("drop", rule("jump")), accepted},
		"not the port":                   {in("drop", rule("accept", host.FilterMatch{Field: "port", Not: true, Values: []string{"9000"}})), dropped},
		"all dropped":                    {in("accept", rule("reject")), dropped},
		"perhaps back, else dropped":     {in("drop", host.FilterRule{Verdict: "jump", Chain: "filter"}), dropped},
		"perhaps back from the base":     {in("drop", rule("return", host.FilterMatch{}), rule("drop")), dropped},
		"perhaps back, else accepted":    {in("drop", rule("return", host.FilterMatch{}), rule("accept")), accepted},
		"perhaps back, the rest decides": {in("accept", host.FilterRule{Verdict: "jump", Chain: "filter"}, rule("accept")), accepted},
		"loopback only":                  {in("drop", rule("accept", host.FilterMatch{Field: "interface", Values: []string{"lo"}})), dropped},
	} {
		if got, why := (filter{[]host.FilterChain{c.chain, services, perhapsBack}, p}).walk(c.chain, 0); got != c.want {
			t.Errorf("%s: %v (%s), want %v", name, got, why, c.want)
		}
	}
}

// TestFindingsAmongOthers checks findings that come together with others, because the agent reports the same problem as drift.
func TestFindingsAmongOthers(t *testing.T) {
	for title, breaks := range map[string]func(*machine){
		"package haproxy is half installed": func(m *machine) { m.Break("haproxy") },
		"rlb-agent.service has failed":      func(m *machine) { m.managed[host.AgentUnit] = host.Unit{ActiveState: "failed"} },
		"haproxy.service is masked":         func(m *machine) { m.MaskForGood(host.HAProxyUnit) },
		"interface eth0 was renamed":        func(m *machine) { m.Net[1].Name, m.links[1].Name = "ens3", "ens3" },
		"the firewall drops VRRP of the peers (IPv4)": func(m *machine) {
			m.chains = []host.FilterChain{{Tool: "iptables", Family: "ip", Table: "filter", Name: "INPUT", Input: true, Policy: "drop"}}
		},
	} {
		m := healthy(t)
		breaks(m)
		if r := m.examine(t); !strings.Contains(text(r), title+": ") {
			t.Errorf("no finding %q:\n%s", title, text(r))
		}
	}
}

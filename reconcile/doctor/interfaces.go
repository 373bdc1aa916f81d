package doctor

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/api/yamlfile"
	"rlb.dev/rlb-agent/reconcile/host"
)

// interfaces checks that the interfaces of the virtual IPs exist, are up, have a carrier, and have the subnet.
func interfaces(_ context.Context, e *exam) (found []Finding, note string, err error) {
	if e.refused != nil {
		title := "this host does not match the spec"
		if e.lookErr == nil && e.link(e.iface()) == nil {
			title = "no interface " + e.iface()
		}
		found = append(found, errorf(title, e.refusedFix(), "%v", e.refused))
	}
	if e.lookErr != nil {
		return found, "", e.lookErr
	}
	names := []string{e.iface()}
	for _, v := range e.spec.VirtualIPs {
		if v.Interface != "" && !slices.Contains(names, v.Interface) {
			names = append(names, v.Interface)
		}
	}
	for _, name := range names {
		link := e.link(name)
		switch {
		case link == nil && e.refused != nil: // already a finding
		case link == nil:
			found = append(found, errorf("no interface "+name, e.interfaceFix(name),
				"the spec puts virtual IPs on %s, and this host has only %s", name, e.linkNames()))
		case !link.Up:
			found = append(found, errorf("interface "+name+" is down", "ip link set "+name+" up, and make it come up at boot", "%s (MAC %s) is administratively down", name, link.MAC))
		case !link.Carrier:
			found = append(found, errorf("interface "+name+" has no link", "plug the cable in, or enable the port of the switch", "%s (MAC %s) is up and has no carrier", name, link.MAC))
		}
	}
	if was := e.memory.Facts.Interface; e.applied() && was != "" && was != e.iface() && e.link(was) == nil {
		found = append(found, warningf("interface "+was+" was renamed", "vrrp.interface: "+e.iface()+" in the spec, or a .link file for systemd-udevd that gives it a fixed name",
			"the last run found the virtual IPs' subnet on %s, now it is on %s", was, e.iface()))
	}
	if e.refused == nil {
		found = append(found, e.specWarnings("virtualIPs")...)
	}
	return found, strings.Join(names, ", "), nil
}

// refusedFix returns the fix for facts of the host that do not fit the spec.
func (e *exam) refusedFix() string {
	switch field := e.refused.Field; {
	case field == "nodes":
		return "add this host's address to nodes in the spec, or give it the address that nodes names"
	case strings.HasPrefix(field, "virtualIPs"), strings.HasSuffix(field, "interface"):
		return e.interfaceFix(field)
	}
	return "change " + e.refused.Field + " in the spec"
}

// interfaceFix returns a fix that names the interface with the subnet of a virtual IP: the one of this field or on this
// interface, or the first one.
func (e *exam) interfaceFix(of string) string {
	at := 0
	for i, v := range e.spec.VirtualIPs {
		if yamlfile.Index("virtualIPs", i) == of || v.Interface == of {
			at = i
		}
	}
	v := &e.spec.VirtualIPs[at]
	addr := v.Addr()
	name, _ := host.Holder(e.network, addr)
	switch main := at == 0 && v.Interface == ""; {
	case name != "" && e.refused != nil && strings.HasPrefix(of, "virtualIPs"):
		return "in virtualIPs, an address that no machine has"
	case name != "" && main:
		return fmt.Sprintf("vrrp.interface: %s in the spec, which has the subnet of %s", name, addr)
	case name != "":
		return fmt.Sprintf("{address: %s, interface: %s} in virtualIPs: %[2]s has the subnet of it", v.Address, name)
	case main:
		return fmt.Sprintf("give an interface an address in the subnet of %s, or name one as vrrp.interface in the spec", addr)
	}
	return fmt.Sprintf("give the interface an address in the subnet of %s, or name another one in virtualIPs", addr)
}

func (e *exam) linkNames() string {
	var names []string
	for _, l := range e.links {
		if !l.Loopback {
			names = append(names, l.Name)
		}
	}
	return strings.Join(names, ", ")
}

// specWarnings returns the warnings about a field of the spec that depend on the facts of this host.
func (e *exam) specWarnings(field string) (found []Finding) {
	facts := api.HostFacts{Interface: e.iface(), Subnets: host.Subnets(e.network, e.spec.VirtualIPs)}
	for _, w := range e.Doc.Warnings(facts) {
		if strings.HasPrefix(w.Path, field) {
			found = append(found, warningf(w.Path+" does not fit this host", e.interfaceFix(w.Path), "%s", w.Message))
		}
	}
	return found
}

// networkManagers checks that no program that manages the interface removes the virtual IPs when it restarts.
func networkManagers(ctx context.Context, e *exam) (found []Finding, note string, err error) {
	if e.lookErr != nil {
		return nil, "", e.lookErr
	}
	link := e.link(e.iface())
	if link == nil {
		return nil, "", fmt.Errorf("interface %s is not on this host", e.iface())
	}
	networkd, err := e.host.Unit(ctx, "systemd-networkd.service")
	if err != nil {
		return nil, "", err
	}
	if networkd.Active() {
		f, err := e.networkd(ctx, link.Name, link.Index)
		if err != nil {
			return nil, "", err
		}
		found = append(found, f...)
	}
	manager, err := e.host.Unit(ctx, "NetworkManager.service")
	if err != nil || !manager.Active() {
		return found, "", err
	}
	device, err := e.host.File(ctx, fmt.Sprintf("/run/NetworkManager/devices/%d", link.Index))
	if value := setting(string(device.Data), "managed"); err == nil && (value == "true" || value == "1") {
		fix := fmt.Sprintf("configure %[1]s with ifupdown or systemd-networkd, and write to /etc/NetworkManager/conf.d/rlb.conf: [keyfile] unmanaged-devices=interface-name:%[1]s", link.Name)
		if plans, err := e.host.Glob(ctx, "/etc/netplan/*.yaml"); err == nil && len(plans) > 0 {
			fix = fmt.Sprintf("renderer: networkd for %s in %s; then netplan apply, and rlb-agent doctor once more", link.Name, strings.Join(plans, " or "))
		}
		found = append(found, warningf("NetworkManager may remove the virtual IPs", fix,
			"NetworkManager manages %s: when it activates the connection again, it removes addresses that are not its own", link.Name))
	}
	return found, "", err
}

// networkd reads how systemd-networkd configures the interface (systemd.network(5), KeepConfiguration=).
func (e *exam) networkd(ctx context.Context, iface string, index int) ([]Finding, error) {
	run, err := e.host.File(ctx, fmt.Sprintf("/run/systemd/netif/links/%d", index))
	network := setting(string(run.Data), "NETWORK_FILE")
	if err != nil || network == "" { // systemd-networkd does not manage the interface
		return nil, err
	}
	files := []string{network}
	for _, dir := range []string{"/usr/lib/systemd/network", "/run/systemd/network", "/etc/systemd/network"} {
		dropIns, err := e.host.Glob(ctx, path.Join(dir, path.Base(network)+".d", "*.conf"))
		if err != nil {
			return nil, err
		}
		files = append(files, dropIns...)
	}
	keep := ""
	for _, name := range files {
		f, err := e.host.File(ctx, name)
		if err != nil {
			return nil, err
		}
		if value := setting(string(f.Data), "KeepConfiguration"); value != "" {
			keep = value
		}
	}
	if keep == "yes" || keep == "static" || keep == "true" || keep == "1" {
		return nil, nil
	}
	dropIn := "/etc/systemd/network/" + path.Base(network) + ".d/rlb.conf"
	configures, leaves := "configures", ""
	if strings.HasPrefix(network, "/run/systemd/network/") && strings.Contains(path.Base(network), "netplan-") {
		configures, leaves = "(written by netplan) configures", ", which netplan leaves alone"
	}
	return []Finding{warningf("systemd-networkd would remove the virtual IPs", "write to "+dropIn+leaves+": [Network] KeepConfiguration=static; then networkctl reload",
		"%s %s %s without KeepConfiguration=static: a restart of systemd-networkd removes the virtual IPs", network, configures, iface)}, nil
}

// setting returns the value of the last "NAME=value" line, or "".
func setting(text, name string) (value string) {
	for line := range strings.Lines(text) {
		if key, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok && strings.TrimSpace(key) == name {
			value = strings.TrimSpace(v)
		}
	}
	return value
}

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jsimonetti/rtnetlink/v2"
	"github.com/jsimonetti/rtnetlink/v2/driver"
	"github.com/mdlayher/netlink"
)

const partition = "partition" // the packet filter's table in the switch that partitions hosts

// The only networks that the lab may use.
var (
	net4 = netip.MustParsePrefix("198.51.100.0/24")
	net6 = netip.MustParsePrefix("2001:db8::/64")
)

// A port is a cable to the switch: the bridge's end has the station's name, the other end is eth0 in the station's
// namespace.
type port struct {
	name  string
	addrs []netip.Prefix
	ns    atomic.Pointer[netns] // nil while a host is down
}

// makeSwitch makes the bridge that joins all stations, in a namespace of its own.
func makeSwitch(ctx context.Context) error {
	if _, err := run(ctx, "ip", "netns", "add", switchNS); err != nil {
		return err
	}
	return feed(ctx, `link add switch type bridge stp_state 0 forward_delay 0 mcast_snooping 0
link set switch addrgenmode none up
`, "ip", "-n", switchNS, "-batch", "-")
}

// checkStation refuses invalid interface names, and addresses outside the lab's networks.
func checkStation(name string, addrs []netip.Prefix) error {
	if len(name) == 0 || len(name) > 12 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || name == "switch" {
		return fmt.Errorf("cannot use name %q: 1 to 12 of a-z, 0-9 and -", name)
	}
	if len(addrs) == 0 {
		return fmt.Errorf("cannot attach %s without an address", name)
	}
	for _, a := range addrs {
		if !net4.Contains(a.Addr()) && !net6.Contains(a.Addr()) {
			return fmt.Errorf("cannot use address %s: the lab has only %s and %s", a, net4, net6)
		}
	}
	return nil
}

// plug makes the station's namespace and its cable to the switch, and sets the addresses.
func (p *port) plug(ctx context.Context) (err error) {
	ns, err := openNetns(ctx, Namespace(p.name))
	if err != nil {
		return err
	}
	p.ns.Store(ns)
	defer func() {
		if err != nil {
			p.unplug()
		}
	}()
	// A real network card keeps its MAC over reboots, so the MAC is made from the station's address.
	a := p.addrs[0].Addr().As16()
	if err := feed(ctx, fmt.Sprintf(`link add %[1]s type veth peer name eth0 address 02:00:%02[3]x:%02[4]x:%02[5]x:%02[6]x netns %[2]s
link set %[1]s addrgenmode none master switch up
`, p.name, ns.name, a[12], a[13], a[14], a[15]), "ip", "-n", switchNS, "-batch", "-"); err != nil {
		return err
	}
	var batch strings.Builder
	batch.WriteString("link set lo up\nlink set eth0 up\n")
	for _, a := range p.addrs {
		fmt.Fprintf(&batch, "addr add %s dev eth0", a)
		if a.Addr().Is6() {
			batch.WriteString(" nodad")
		}
		batch.WriteString("\n")
	}
	return feed(ctx, batch.String(), "ip", "-n", ns.name, "-batch", "-")
}

// unplug removes the station's namespace and, with it, the cable.
func (p *port) unplug() {
	ns := p.ns.Swap(nil)
	if ns == nil {
		return
	}
	// A namespace is removed late, after its last process; the cable must be removed now, because its name may be used
	// again.
	_, _ = run(context.Background(), "ip", "-n", switchNS, "link", "delete", p.name)
	ns.close()
}

// addresses lists the station's present addresses, without loopback.
func (p *port) addresses() (found []netip.Prefix, err error) {
	ns := p.ns.Load()
	if ns == nil {
		return nil, nil
	}
	err = ns.do(func() error {
		list, err := net.InterfaceAddrs()
		if err != nil {
			return err
		}
		for _, a := range list {
			if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLoopback() {
				found = append(found, p)
			}
		}
		return nil
	})
	return found, err
}

// CutLink pulls the cable: the switch's end goes down, and eth0 loses its carrier.
func (p *port) CutLink() error { return p.setLink("down") }

// RestoreLink puts the cable back.
func (p *port) RestoreLink() error { return p.setLink("up") }

func (p *port) setLink(state string) error {
	_, err := run(context.Background(), "ip", "-n", switchNS, "link", "set", p.name, state)
	return err
}

// Partition drops all frames between a and b in the switch; both still reach all other stations. Partitions add up
// until Heal.
func (l *Lab) Partition(a, b *Host) error {
	return feed(context.Background(), fmt.Sprintf(`table bridge %[1]s {
	chain forward {
		type filter hook forward priority 0
		iifname "%[2]s" oifname "%[3]s" drop
		iifname "%[3]s" oifname "%[2]s" drop
	}
}
`, partition, a.Name(), b.Name()), "ip", "netns", "exec", switchNS, "nft", "-f", "-")
}

// Heal ends every partition.
func (l *Lab) Heal() error {
	return feed(context.Background(), fmt.Sprintf("table bridge %[1]s\ndelete table bridge %[1]s\n", partition),
		"ip", "netns", "exec", switchNS, "nft", "-f", "-")
}

// PartitionFor drops all frames between a and b in the switch for a short time, and returns for how long it did so at most.
// Unlike Partition it starts no program, which would take as long as a short partition. Two such partitions at the same time
// would also part the hosts of one from those of the other.
func (l *Lab) PartitionFor(d time.Duration, a, b *Host) (took time.Duration, err error) {
	ns, err := os.Open(filepath.Join(netnsDir, switchNS))
	if err != nil {
		return 0, err
	}
	defer ns.Close()
	conn, err := rtnetlink.Dial(&netlink.Config{NetNS: int(ns.Fd())})
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	ports, err := portsOf(conn, a, b)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err = isolate(conn, ports, driver.BridgeEnableEnabled); err == nil {
		time.Sleep(d)
	}
	err = errors.Join(err, isolate(conn, ports, driver.BridgeEnableDisabled))
	return time.Since(began), err
}

// portsOf returns the indexes of the hosts' ports at the switch.
func portsOf(conn *rtnetlink.Conn, hosts ...*Host) (ports []uint32, err error) {
	links, err := conn.Link.List()
	for _, link := range links {
		if slices.ContainsFunc(hosts, func(h *Host) bool { return link.Attributes.Name == h.Name() }) {
			ports = append(ports, link.Index)
		}
	}
	if err == nil && len(ports) != len(hosts) {
		err = errors.New("cannot find the port of a host that is down")
	}
	return ports, err
}

// isolate sets whether ports of the switch pass no frames to other isolated ports (bridge(8), isolated).
func isolate(conn *rtnetlink.Conn, ports []uint32, isolated driver.BridgeEnable) (err error) {
	info := &rtnetlink.LinkInfo{Kind: "veth", SlaveKind: "bridge", SlaveData: &driver.BridgePort{Isolated: &isolated}}
	for _, port := range ports {
		err = errors.Join(err, conn.Link.Set(&rtnetlink.LinkMessage{Index: port, Attributes: &rtnetlink.LinkAttributes{Info: info}}))
	}
	return err
}

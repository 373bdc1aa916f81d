package specgen

import (
	"fmt"
	"strings"
	"time"
)

// prefix returns a prefix length, at times one of its bounds.
func (g *generator) prefix(least, bits int) int { return g.number(least, bits) }

// virtualIPs makes virtual IPs in networks of different kinds, most often that of the nodes.
func (g *generator) virtualIPs() (all []any) {
	most := 3
	if g.rarely(20) {
		most = 20 / len(g.families)
	}
	for _, family := range g.families {
		for i := range 1 + g.IntN(most) {
			n := 101 + 4*i + g.IntN(4) // neither the first nor the last address of any network shorter than /32
			address, prefix := fmt.Sprintf("%s.%d", oneOf(g, "192.168.3", "192.168.3", "192.168.3", "10.255.0", "169.254.7", "1.0.0", "223.255.255"), n), 24
			if family == '6' {
				form := oneOf(g, "2001:db8:3::%x", "2001:db8:3::%x", "2001:DB8:3:0:0:0:0:%X", "fd00::a:%04x", "fe80::%x", "2001:db8:3::192.168.3.%d")
				address, prefix = fmt.Sprintf(form, n), 64
			}
			g.vips = append(g.vips, address)
			if g.IntN(3) == 0 {
				if g.rarely(4) {
					prefix = oneOf(g, 1, 8, prefix-1, map[rune]int{'4': 32, '6': 128}[family])
				}
				address += fmt.Sprintf("/%d", prefix)
			}
			var vip any = address
			if g.rarely(5) {
				mapping := fields{"address": address}
				g.maybe(mapping, "interface", g.text(Interfaces...))
				vip = mapping
			}
			all = append(all, vip)
		}
	}
	return all
}

// nodes makes nodes with addresses of both families, or of those that the virtual IPs need.
func (g *generator) nodes() any {
	var all []fields
	count := oneOf(g, 1, 2, 2, 2, 3, 3, 12)
	own := g.yes().(bool)
	for i, name := range g.names(count, 128) {
		four, six := fmt.Sprintf("192.168.3.%d", 241+i), fmt.Sprintf("2001:db8:3::%x", 0x241+i)
		addresses := []string{four, six}
		switch {
		case !own:
		case g.families == "4":
			addresses = []string{four}
		case g.families == "6":
			addresses = []string{six}
		case g.IntN(2) == 0:
			addresses = []string{six, four}
		}
		node := fields{"name": name, "addresses": addresses}
		g.maybe(node, "priority", g.between(1, 254))
		if g.rarely(6) {
			node["interface"] = oneOf(g, Interfaces...)
		}
		all = append(all, node)
	}
	return all
}

func (g *generator) vrrp() any {
	f := fields{}
	g.maybe(f, "interface", g.text(Interfaces...))
	g.maybe(f, "routerID", g.between(1, 255))
	g.maybe(f, "priority", g.between(1, 254))
	g.maybe(f, "transport", g.text("multicast"))
	g.maybe(f, "handover", g.text("forward", "none"))
	g.maybe(f, "instanceName", func() any { return oneOf(g, "VI_1", "a.b-c", g.name(128)) })
	g.maybe(f, "check", func() any {
		check := fields{}
		g.maybe(check, "interval", g.durations(1, 60*60, time.Second))
		g.maybe(check, "rise", g.between(1, 1000))
		g.maybe(check, "fall", g.between(1, 1000))
		return check
	})
	g.maybe(f, "preempt", func() any {
		preempt := g.yes().(bool)
		if preempt {
			g.maybe(f, "preemptDelay", g.durations(0, 1000, time.Second))
		}
		return preempt
	})
	version := 3
	if g.classic {
		version = 2
	}
	g.maybe(f, "version", func() any { version = oneOf(g, 2, 3); return version })
	g.maybe(f, "advertisementInterval", func() any {
		switch {
		case version == 2 && strings.Contains(g.families, "6"): // IPv6 needs version 3
			return g.duration(1, 40, time.Second)
		case version == 2:
			return g.duration(1, 255, time.Second)
		}
		return g.duration(1, 4095, 10*time.Millisecond) // only version 3 has fractions of a second
	})
	g.maybe(f, "notify", func() any {
		notify := fields{}
		for _, event := range []string{"master", "backup", "fault", "stop"} {
			g.maybe(notify, event, g.command)
		}
		return notify
	})
	g.maybe(f, "extraInstance", func() any {
		lines := []string{"garp_master_delay 1", "garp_master_repeat 2", "garp_lower_prio_repeat 1", "# why: {", "", "higher_prio_send_advert true",
			"smtp_alert false", "virtual_rules {\n}"}
		if version == 2 && g.families == "4" {
			lines = append(lines, "authentication {\n  auth_type PASS\n  auth_pass k8s-lb\n}")
		}
		return g.lines(lines...)
	})
	return f
}

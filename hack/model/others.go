package model

import (
	"net/netip"
	"time"
)

// client is a neighbour that uses the virtual IP. It keeps the MAC from the last ARP packet, as a kernel does.
type client struct {
	*lan
	mac string
	at  string // MAC of the virtual IP; "" if not known
}

func newClient(l *lan, mac string) *client {
	c := &client{lan: l, mac: mac}
	l.join(mac, c)
	return c
}

func (c *client) hear(f frame) {
	if f.kind == claim && f.addr == vip {
		c.at = f.from
	}
}

// look asks for the MAC of the virtual IP once a second until the client knows it.
func (c *client) look() {
	if c.at == "" {
		c.send(frame{kind: whoHas, from: c.mac, addr: vip})
		c.after(time.Second, c.look)
	}
}

// device has the virtual IP by mistake: it answers ARP requests for it, and serves nothing there.
type device struct {
	*lan
	mac     string
	on      bool
	refuses bool        // the device refuses connections; otherwise it does not answer requests
	timer   *time.Timer // for the next advertisement; nil if it has sent none
}

func newDevice(l *lan, mac string) *device {
	d := &device{lan: l, mac: mac}
	l.join(mac, d)
	return d
}

func (d *device) hear(f frame) {
	switch {
	case !d.on || f.addr != vip:
	case f.kind == whoHas:
		d.send(frame{kind: claim, from: d.mac, to: f.from, addr: vip})
	case f.kind == syn && d.refuses:
		d.send(frame{kind: refused, from: d.mac, to: f.from, addr: vip, number: f.number})
	}
}

// put gives the device the address, which the device announces, or takes it away.
func (d *device) put(on bool) {
	if d.on = on; on {
		d.send(frame{kind: claim, from: d.mac, addr: vip})
	}
}

// advertise sends advertisements of a virtual router from a source address, with the lowest priority, until stop is called.
func (d *device) advertise(router int, sender netip.Addr, period time.Duration) {
	d.send(frame{kind: advert, from: d.mac, sender: sender, router: router, priority: 1})
	d.timer = d.after(period, func() { d.advertise(router, sender, period) })
}

func (d *device) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}

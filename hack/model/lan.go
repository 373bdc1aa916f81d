package model

import (
	"net/netip"
	"time"
)

// frame is what goes over the LAN.
type frame struct {
	kind     kind
	from, to string     // MACs; to "" is everyone
	addr     netip.Addr // asked for, claimed, or connected to
	sender   netip.Addr // who advertises
	priority int        // of an advertisement; 0 is a goodbye
	router   int        // the virtual router that it belongs to, by its id
	number   uint64     // which connection request it belongs to
}

type kind int

const (
	advert   kind = iota // VRRP advertisement (RFC 9568 §5)
	whoHas               // ARP request for an address of somebody else (RFC 826)
	claim                // the sender says that it holds the address: an ARP answer, or gratuitous (RFC 5227 §3)
	syn                  // TCP connection request
	accepted             // SYN and ACK
	refused              // RST
)

// station is who is on the LAN.
type station interface {
	hear(frame)
}

// lan is an Ethernet with a switch. Its normal delays are those of a quiet one.
type lan struct {
	*world
	stations map[string]station // by MAC
	order    []string           // MACs, so that the same seed draws the same delays
	cut      map[[2]string]int  // how many faults keep frames from passing from one to the other
	loss     map[string]float64 // share of what a station sends and should hear that is lost
	slow     map[string]time.Duration
	goodbyes map[string]bool // stations whose goodbyes are lost
	requests uint64
	due      map[string]time.Time // when the last advertisement arrives that went a way
	overtook bool                 // a goodbye arrives before an advertisement that was sent before it
}

const (
	leastDelay = 30 * time.Microsecond
	mostDelay  = 400 * time.Microsecond
	overtaken  = 0.01                 // share of the frames that others overtake …
	overtaking = 3 * time.Millisecond // … within this
)

func newLAN(w *world) *lan {
	return &lan{world: w, stations: map[string]station{}, cut: map[[2]string]int{}, loss: map[string]float64{}, slow: map[string]time.Duration{}, goodbyes: map[string]bool{}, due: map[string]time.Time{}}
}

func (l *lan) join(mac string, s station) {
	l.stations[mac] = s
	l.order = append(l.order, mac)
}

// send delivers a frame to its receivers, unless it is lost.
func (l *lan) send(f frame) {
	for _, mac := range l.order {
		if mac == f.from || f.to != "" && f.to != mac || l.cut[[2]string{f.from, mac}] > 0 {
			continue
		}
		way := f.from + " " + mac
		lost := 1 - (1-l.loss[f.from])*(1-l.loss[mac])
		goodbye := f.kind == advert && f.priority == 0
		if lost > 0 && l.random("loss "+way).Float64() < lost || goodbye && l.goodbyes[f.from] {
			continue
		}
		delay := l.within("delay "+way, leastDelay, mostDelay)
		if slow := max(l.slow[f.from], l.slow[mac]); slow > 0 {
			delay += l.within("slow "+way, slow/4, slow)
		} else if l.random("overtaken "+way).Float64() < overtaken {
			delay += l.within("overtaking "+way, 0, overtaking)
		}
		if f.kind == advert {
			arrives := time.Now().Add(delay)
			l.overtook = l.overtook || goodbye && arrives.Before(l.due[way])
			l.due[way] = arrives
		}
		s := l.stations[mac]
		l.after(delay, func() { s.hear(f) })
	}
}

// part cuts one direction, or ends that.
func (l *lan) part(from, to string, apart bool) {
	l.cut[[2]string{from, to}] += map[bool]int{true: 1, false: -1}[apart]
}

// isolate cuts a station from all others, or connects it again.
func (l *lan) isolate(mac string, apart bool) {
	for _, other := range l.order {
		if other != mac {
			l.part(mac, other, apart)
			l.part(other, mac, apart)
		}
	}
}

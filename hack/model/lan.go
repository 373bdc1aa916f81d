package model

import (
	"net/netip"
	"time"
)

// frame is a frame on the LAN.
type frame struct {
	kind     kind
	from, to string     // MACs; to "" means broadcast
	addr     netip.Addr // the address asked for, claimed, or connected to
	sender   netip.Addr // source address of an advertisement
	priority int        // priority of an advertisement; 0 is a goodbye
	router   int        // virtual router id of an advertisement
	number   uint64     // number of the connection request
}

type kind int

const (
	advert   kind = iota // VRRP advertisement (RFC 9568 §5)
	whoHas               // ARP request for an address (RFC 826)
	claim                // the sender claims the address: ARP answer or gratuitous ARP (RFC 5227 §3)
	syn                  // TCP connection request
	accepted             // SYN and ACK
	refused              // RST
)

// station is a participant of the LAN.
type station interface {
	hear(frame)
}

// lan is an Ethernet with a switch. The normal delays are those of a LAN without load.
type lan struct {
	*world
	stations map[string]station // by MAC
	order    []string           // MACs in a fixed order, so that the same seed draws the same delays
	cut      map[[2]string]int  // number of faults that block frames, by the MACs of sender and receiver
	loss     map[string]float64 // share of a station's sent and received frames that is lost
	slow     map[string]time.Duration
	goodbyes map[string]bool // stations whose goodbyes are lost
	requests uint64
	due      map[string]time.Time // when the last advertisement arrives, by sender and receiver
	overtook bool                 // a goodbye arrives before an advertisement that was sent earlier
}

const (
	leastDelay = 30 * time.Microsecond
	mostDelay  = 400 * time.Microsecond
	overtaken  = 0.01                 // share of the frames that later frames may overtake
	overtaking = 3 * time.Millisecond // the longest additional delay of such a frame
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

// part blocks one direction, or unblocks it.
func (l *lan) part(from, to string, apart bool) {
	l.cut[[2]string{from, to}] += map[bool]int{true: 1, false: -1}[apart]
}

// isolate cuts a station off from all others, or connects it again.
func (l *lan) isolate(mac string, apart bool) {
	for _, other := range l.order {
		if other != mac {
			l.part(mac, other, apart)
			l.part(other, mac, apart)
		}
	}
}

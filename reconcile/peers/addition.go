package peers

import (
	"encoding/binary"
	"math"
	"time"
)

// An addition follows a message in the same frame, after the message's length: older agents do not read it (link.Message).
// An addition is a list of parts. Each part has a kind (1 octet), a length (1 octet) and that many octets. A receiver skips
// unknown kinds. Kind 0 ends the list, because Ethernet pads short frames with zeros.
const (
	additionEnd      = 0
	additionForwards = 1 // no octets
	additionDrains   = 2 // connections (4 octets), seconds (4 octets)
)

// Addition returns the part of the report that its message does not hold.
func (r Report) Addition() (a []byte) {
	if r.Forwards {
		a = append(a, additionForwards, 0)
	}
	if d := r.Drains; d != nil {
		a = append(a, additionDrains, 8)
		a = binary.BigEndian.AppendUint32(a, uint32(min(max(d.Connections, 0), math.MaxInt32)))
		a = binary.BigEndian.AppendUint32(a, uint32(min(max(d.Remaining/time.Second, 0), math.MaxInt32)))
	}
	return a
}

// Add reads an untrusted addition into the report. It skips malformed and unknown parts.
func (r *Report) Add(a []byte) {
	for len(a) >= 2 && a[0] != additionEnd {
		kind, part := a[0], a[2:]
		if len(part) < int(a[1]) {
			return
		}
		part, a = part[:a[1]], part[a[1]:]
		switch {
		case kind == additionForwards && len(part) == 0:
			r.Forwards = true
		case kind == additionDrains && len(part) == 8:
			connections, seconds := binary.BigEndian.Uint32(part), binary.BigEndian.Uint32(part[4:])
			if connections <= math.MaxInt32 && seconds <= math.MaxInt32 {
				r.Drains = &Drains{Connections: int(connections), Remaining: time.Duration(seconds) * time.Second}
			}
		}
	}
}

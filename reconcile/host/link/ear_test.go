package link

import (
	"testing"
	"time"
)

// TestEar: an Ear returns the receive times of advertisements, although they are read much later. It reports when some were
// dropped.
func TestEar(t *testing.T) {
	a, b := cable(t)
	for _, test := range []struct {
		id    Identity
		frame string
	}{{id3, advert3}, {id6, advert6}} {
		etherType := typeIPv4
		if test.id.Family != id3.Family {
			etherType = typeIPv6
		}
		var e *Ear
		a.do(func() (err error) { e, err = OpenEar("eth", test.id); return err })
		defer e.Close()
		take := func() ([]Beat, bool) {
			t.Helper()
			heard, lost, err := e.Take()
			if err != nil {
				t.Fatal(err)
			}
			return heard, lost
		}
		send(b, etherType, bytesOf(test.frame))
		if heard, lost := take(); len(heard) > 0 || !lost {
			t.Errorf("%+v: right after the opening: %v, lost %t: its times are not those of the kernel yet", test.id, heard, lost)
		}
		time.Sleep(stampsSettle)
		var sent []time.Time
		for _, pause := range []time.Duration{30 * time.Millisecond, 60 * time.Millisecond, 0} {
			sent = append(sent, time.Now())
			send(b, etherType, bytesOf(test.frame))
			send(b, etherType, with(bytesOf(test.frame), len(bytesOf(test.frame))-1, 0xaa)) // wrong checksum
			time.Sleep(pause)
		}
		read := time.Now()
		heard, lost := take()
		if len(heard) != 3 || lost {
			t.Fatalf("%+v: heard %+v, lost %t", test.id, heard, lost)
		}
		for i, beat := range heard {
			next := read
			if i+1 < len(sent) {
				next = sent[i+1]
			}
			if want, _ := parseAdvert(bytesOf(test.frame), test.id); beat.Advert != want || beat.At.Before(sent[i]) || beat.At.After(next) {
				t.Errorf("%+v: beat %d, sent at %v: %+v at %v", test.id, i, sent[i], beat.Advert, beat.At)
			}
		}
		if heard, lost := take(); len(heard) > 0 || lost {
			t.Errorf("%+v: heard %+v again, lost %t", test.id, heard, lost)
		}
		for range 400 {
			send(b, etherType, bytesOf(test.frame))
		}
		many := 0
		for again := true; again; {
			heard, lost := take()
			if many += len(heard); many > 0 && len(heard) > 0 && !lost {
				t.Errorf("%+v: of 400 at once %d are kept, and none is said to be lost", test.id, many)
			}
			again = len(heard) > 0
		}
		if many < 50 || many > 350 {
			t.Errorf("%+v: %d of 400 are kept", test.id, many)
		}
	}
	var e *Ear
	a.do(func() (err error) { e, err = OpenEar("eth", id3); return err })
	defer e.Close()
	a.ip("link set eth down")
	if _, _, err := e.Take(); err == nil {
		t.Error("the interface is down, and nobody says so")
	}
}

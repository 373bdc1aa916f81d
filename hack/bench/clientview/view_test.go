package main

import (
	"errors"
	"io"
	"testing"
	"time"
)

func TestRow(t *testing.T) {
	struck := time.Now()
	at := func(seconds float64) time.Time { return struck.Add(time.Duration(seconds * float64(time.Second))) }
	ended := func(server string, seconds float64, last string, err error) *stream {
		s := &stream{server: server, done: make(chan struct{}), at: at(seconds), last: last, err: err}
		close(s.done)
		return s
	}
	failed := errors.New("reset")
	v := &view{
		victims: map[string]bool{"cp1": true}, struck: struck, healed: at(20),
		requests: []request{{at(-1), time.Millisecond, nil}, {at(0.04), 2 * time.Second, failed}, {at(3), 1500 * time.Millisecond, nil}, {at(6), 0, failed}, {at(20.5), 0, failed}, {at(22), 0, nil}},
		watches: []*stream{ended("cp1", 10, "cp1", nil), ended("cp1", 10.04, "cp1", nil), ended("cp1", 0.02, "cp1", io.ErrUnexpectedEOF),
			{server: "cp2", done: make(chan struct{})}, ended("cp3", 4, "cp3", failed)},
		list: ended("cp1", 13, "end", nil),
	}
	v.takeStreams()
	if got, want := v.row("x"), "| x | 2 of 4, begun after 0.0–6.0 s | 1, at most 1.5 s | 1 cut after 0.0 s, 2 ended by the server after 10.0 s"+
		" | 1 cut after 4.0 s, 1 stay | complete | 1 failed, the last begun after 0.5 s |\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	v = &view{struck: struck, healed: at(1), list: ended("cp1", 0.5, "item", failed)}
	v.takeStreams()
	if got, want := v.row("x"), "| x | 0 of 0 | 0 | – | – | cut after 0.5 s | 0 failed |\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

package main

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// after returns functions for times, and for ended streams, this many seconds after a fault.
func after(struck time.Time) (at func(seconds float64) time.Time, ended func(server string, seconds float64, last string, err error) *stream) {
	at = func(seconds float64) time.Time { return struck.Add(time.Duration(seconds * float64(time.Second))) }
	ended = func(server string, seconds float64, last string, err error) *stream {
		s := &stream{server: server, done: make(chan struct{}), at: at(seconds), last: last, err: err}
		close(s.done)
		return s
	}
	return at, ended
}

func TestRow(t *testing.T) {
	struck := time.Now()
	at, ended := after(struck)
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

// TestBroken: the clients' view is compared with the manual's promises, and each violation is
// reported.
func TestBroken(t *testing.T) {
	struck := time.Now()
	at, ended := after(struck)
	failed := errors.New("reset")
	type seen struct {
		failed  []float64 // when the failed requests began
		watches []*stream
		list    *stream
	}
	stays := func(server string) *stream { return &stream{server: server, done: make(chan struct{})} }
	whole := ended("cp1", 13, "end", nil)
	byName := map[string]fault{}
	for _, f := range faults {
		byName[f.name] = f
	}
	sigterm, killed, hung := faults[0], byName["killed with SIGKILL"], byName["hung"]
	for name, test := range map[string]struct {
		promise promise
		seen    seen
		want    []string
	}{
		"500":                     {sick, seen{nil, []*stream{ended("cp1", 62.8, "cp1", failed), stays("cp2")}, whole}, nil},
		"500, a request":          {sick, seen{[]float64{5}, nil, whole}, []string{"1 requests failed, want at most 0"}},
		"500, cut early":          {sick, seen{nil, []*stream{ended("cp1", 3, "cp1", failed)}, whole}, []string{"a watch of cp1 ended after 3.0 s, want 59.0 s to 66.0 s"}},
		"500, cut late":           {sick, seen{nil, []*stream{ended("cp1", 67, "cp1", failed)}, whole}, []string{"a watch of cp1 ended after 67.0 s, want 59.0 s to 66.0 s"}},
		"500, never cut":          {sick, seen{nil, []*stream{stays("cp1")}, whole}, []string{"a watch of cp1 stays, want it to end by 66.0 s"}},
		"500, the LIST is cut":    {sick, seen{nil, nil, ended("cp1", 5, "item", failed)}, []string{"the LIST is not complete: cut after 5.0 s"}},
		"500, the LIST stands":    {sick, seen{nil, nil, stays("cp1")}, []string{"the LIST is not complete: stands still"}},
		"500, another":            {sick, seen{nil, []*stream{ended("cp2", 9, "cp2", nil)}, whole}, []string{"a watch of cp2 ended after 9.0 s, which nothing happened to"}},
		"500, after the heal":     {sick, seen{[]float64{100.5, 103}, nil, whole}, []string{"a request failed that began 3.0 s after the heal: reset"}},
		"SIGTERM":                 {sigterm.one, seen{nil, []*stream{ended("cp1", 10, "cp1", nil)}, ended("cp1", 10.7, "item", failed)}, nil},
		"SIGTERM, cut":            {sigterm.one, seen{nil, []*stream{ended("cp1", 10, "cp1", failed)}, whole}, []string{"a watch of cp1 was cut after 10.0 s, want the server to end it"}},
		"SIGTERM, all":            {sigterm.all, seen{[]float64{10.1, 30}, []*stream{ended("cp1", 10, "cp1", nil)}, whole}, nil},
		"SIGTERM, all, early":     {sigterm.all, seen{[]float64{4, 10.1}, nil, whole}, []string{"1 requests failed while none may, one begun after 4.0 s"}},
		"killed":                  {killed.one, seen{[]float64{-0.01, 0.1}, []*stream{ended("cp1", 0.1, "cp1", failed)}, whole}, nil},
		"killed, not seen":        {killed.one, seen{[]float64{0.1, 7}, nil, whole}, []string{"1 requests failed while none may, one begun after 7.0 s"}},
		"killed, no other server": {killed.one, seen{[]float64{1, 1.1, 1.2, 1.3, 1.4, 1.5}, nil, whole}, []string{"6 requests failed, want at most 5"}},
		"hung":                    {hung.one, seen{[]float64{0, 1, 2, 3, 4, 5, 6, 6.8}, []*stream{ended("cp1", 6.8, "cp1", failed)}, whole}, nil},
		"hung, not seen":          {hung.one, seen{nil, []*stream{stays("cp1")}, whole}, []string{"a watch of cp1 stays, want it to end by 9.0 s"}},
	} {
		v := &view{victims: map[string]bool{"cp1": true}, struck: struck, healed: at(100), watches: test.seen.watches, list: test.seen.list}
		for _, began := range test.seen.failed {
			v.requests = append(v.requests, request{at(began), 0, failed})
		}
		v.requests = append(v.requests, request{at(50), 0, nil}, request{at(101.5), 0, nil})
		v.takeStreams()
		if diff := cmp.Diff(test.want, test.promise.broken(v)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

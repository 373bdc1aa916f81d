package lab_test

import (
	"testing"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

func TestControlPlaneModes(t *testing.T) {
	ctx, l := newLab(t)
	cp, err := l.AddControlPlane(ctx, "cp1", prefix(21))
	if err != nil {
		t.Fatal(err)
	}
	client, err := l.AddClient(ctx, "client", prefix(50))
	if err != nil {
		t.Fatal(err)
	}
	target := cp.Addr().String()
	for _, c := range []struct {
		mode        lab.Mode
		ready, name bool // whether /readyz and the name are answered within the timeout
	}{
		{lab.OK, true, true},
		{lab.Fail(503), false, true},
		{lab.Unauthorized, false, true},
		{lab.Hang, false, false},
		{lab.Refuse, false, false},
		{lab.Plain, false, false},
		{lab.Stranger, true, true}, // a client of the lab accepts any certificate
		{lab.Slow(20 * time.Millisecond), true, true},
		{lab.Slow(300 * time.Millisecond), false, false},
		{lab.OK, true, true},
	} {
		if err := cp.Set(c.mode); err != nil {
			t.Fatal(err)
		}
		p, err := client.Probe(target, lab.ProbeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
		r := p.Stop()
		t.Logf("%s: %+v", cp.Mode(), r)
		// All or none, except for a few that a busy machine delays.
		if good := r.ByServer["cp1"]; c.name && good < r.Total*3/4 || !c.name && good > 0 || r.Total < 20 {
			t.Errorf("%s: %d of %d are good", c.mode, good, r.Total)
		}
		if ready := get(t, client, target, "/readyz"); ready != c.ready {
			t.Errorf("%s: ready is %v", c.mode, ready)
		}
	}
	if n := cp.Requests(); n.Readyz < 5 || n.Other < 100 {
		t.Errorf("counted %+v", n)
	}
}

func TestLongConnections(t *testing.T) {
	ctx, l := newLab(t)
	cp, err := l.AddControlPlane(ctx, "cp1", prefix(21))
	if err != nil {
		t.Fatal(err)
	}
	client, err := l.AddClient(ctx, "client", prefix(50))
	if err != nil {
		t.Fatal(err)
	}
	long, err := client.LongConn(ctx, cp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer long.Close()
	for _, m := range []lab.Mode{lab.Hang, lab.OK, lab.Fail(500)} {
		if err := cp.Set(m); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
		if _, cut, err := long.Cut(); cut || long.Server != "cp1" {
			t.Errorf("%s: cut: %v", m, err)
		}
	}
	if err := cp.Set(lab.Refuse); err != nil {
		t.Fatal(err)
	}
	select {
	case <-long.Done():
	case <-time.After(time.Second):
		t.Error("a connection outlived its server")
	}
}

// TestProbeMeasuresGap makes a gap of a known length and probes it.
func TestProbeMeasuresGap(t *testing.T) {
	ctx, l := newLab(t)
	cp, err := l.AddControlPlane(ctx, "cp1", prefix(21))
	if err != nil {
		t.Fatal(err)
	}
	client, err := l.AddClient(ctx, "client", prefix(50))
	if err != nil {
		t.Fatal(err)
	}
	p, err := client.Probe(cp.Addr().String(), lab.ProbeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	calm, begin := p.Report(), time.Now()
	if err := cp.Set(lab.Refuse); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	if err := cp.Set(lab.OK); err != nil {
		t.Fatal(err)
	}
	fault := time.Since(begin)
	time.Sleep(500 * time.Millisecond)
	r := p.Stop()
	t.Logf("calm: %+v; a fault of %s: %+v", calm, fault, r)
	if calm.Failed > 5 || calm.Total < 180 || calm.Total > 205 {
		t.Errorf("in a calm second: %+v", calm)
	}
	if off := (r.Gap - fault).Abs(); off > 40*time.Millisecond {
		t.Errorf("a fault of %s is measured as %s", fault, r.Gap)
	}
}

func get(t *testing.T, client *lab.Client, target, path string) bool {
	t.Helper()
	ctx, cancel := contextWithTimeout(t, 200*time.Millisecond)
	defer cancel()
	_, err := client.GetPath(ctx, target, path)
	return err == nil
}

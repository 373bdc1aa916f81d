package peers

import (
	"reflect"
	"testing"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
)

// TestAddition: Add reads what Addition wrote, also with the padding of a short frame after it and an unknown part before it.
func TestAddition(t *testing.T) {
	for _, want := range []Report{{}, {Forwards: true}, {Drains: &Drains{37, 492 * time.Second}}, {Forwards: true, Drains: &Drains{}}} {
		for _, a := range [][]byte{want.Addition(), append(want.Addition(), 0, 0, 0), append([]byte{99, 3, 1, 2, 3}, want.Addition()...)} {
			var got Report
			if got.Add(a); !reflect.DeepEqual(got, want) {
				t.Errorf("%v: got %+v, want %+v", a, got, want)
			}
		}
	}
}

// TestMessageIsAsBefore: the fields of the addition do not change the message, because older agents refuse a longer one.
func TestMessageIsAsBefore(t *testing.T) {
	r := at(t, "lb1", host.RoleMaster, vip, pairNodes).Report
	plain := r.Message()
	r.Forwards, r.Drains = true, &Drains{37, time.Minute}
	if !reflect.DeepEqual(plain, r.Message()) {
		t.Error("the message is another one")
	}
}

func TestCannotForward(t *testing.T) {
	old := at(t, "lb2", host.RoleBackup, vip, trio).Report
	able := but(at(t, "lb3", host.RoleBackup, vip, trio).Report, func(r *Report) { r.Forwards = true })
	table := heard(at(t, "lb1", host.RoleMaster, vip, trio), old, able)
	if got := table.CannotForward(start); !reflect.DeepEqual(got, []string{"lb2"}) {
		t.Errorf("got %v", got)
	}
	if got := table.CannotForward(start.Add(time.Hour)); got != nil {
		t.Errorf("an hour later: %v", got)
	}
}

func TestDrainsBeside(t *testing.T) {
	drains := but(at(t, "lb2", host.RoleFault, vip, trio).Report, func(r *Report) { r.Drains = &Drains{37, time.Minute} })
	self, lb3 := at(t, "lb1", host.RoleMaster, vip, trio), at(t, "lb3", host.RoleBackup, vip, trio).Report
	for want, table := range map[string]Table{"lb2": heard(self, drains, lb3), "": heard(self, drains)} {
		if got := table.DrainsBeside(start); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func FuzzAdd(f *testing.F) {
	f.Add(Report{Forwards: true, Drains: &Drains{37, time.Minute}}.Addition())
	f.Add([]byte{2, 255})
	f.Fuzz(func(t *testing.T, a []byte) {
		var r, again Report
		r.Add(a)
		if again.Add(r.Addition()); !reflect.DeepEqual(r, again) {
			t.Errorf("%v: %+v, again %+v", a, r, again)
		}
	})
}

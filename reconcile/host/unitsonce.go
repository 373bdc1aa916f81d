package host

import (
	"context"
	"sync"
)

// UnitsOnce asks a host once for each of its units, for all of them at the same time and while other things are looked at:
// systemd takes some milliseconds to tell the hundreds of properties of one. It asks for any other unit when Unit is called.
type UnitsOnce struct {
	Observer
	answers map[string]func() (Unit, error)
	asked   sync.WaitGroup
}

// Wait waits until all answers have come.
func (o *UnitsOnce) Wait() { o.asked.Wait() }

// AskUnits asks for units. The caller waits with Wait before it is done with the host.
func AskUnits(ctx context.Context, o Observer, names ...string) *UnitsOnce {
	units := &UnitsOnce{Observer: o, answers: map[string]func() (Unit, error){}}
	for _, name := range names {
		answer := sync.OnceValues(func() (Unit, error) { return o.Unit(ctx, name) })
		units.answers[name] = answer
		units.asked.Go(func() { _, _ = answer() }) // Unit returns the error
	}
	return units
}

// Unit is the state of a unit: the answer that has come or comes, or that to a question of its own.
func (o *UnitsOnce) Unit(ctx context.Context, name string) (Unit, error) {
	if answer, asked := o.answers[name]; asked {
		return answer()
	}
	return o.Observer.Unit(ctx, name)
}

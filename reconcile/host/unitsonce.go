package host

import (
	"context"
	"sync"
)

// UnitsOnce reads each of the given units of a host once, all in parallel and in the background: systemd takes some
// milliseconds to list the hundreds of properties of a unit. Other units are read when Unit is called.
type UnitsOnce struct {
	Observer
	answers map[string]func() (Unit, error)
	asked   sync.WaitGroup
}

// Wait waits until all answers have arrived.
func (o *UnitsOnce) Wait() { o.asked.Wait() }

// AskUnits starts to read the named units. The caller calls Wait before it stops using the host.
func AskUnits(ctx context.Context, o Observer, names ...string) *UnitsOnce {
	units := &UnitsOnce{Observer: o, answers: map[string]func() (Unit, error){}}
	for _, name := range names {
		answer := sync.OnceValues(func() (Unit, error) { return o.Unit(ctx, name) })
		units.answers[name] = answer
		units.asked.Go(func() { _, _ = answer() }) // Unit returns the error
	}
	return units
}

// Unit returns the state of a unit: the answer of the background query, or of a new query for another unit.
func (o *UnitsOnce) Unit(ctx context.Context, name string) (Unit, error) {
	if answer, asked := o.answers[name]; asked {
		return answer()
	}
	return o.Observer.Unit(ctx, name)
}

package fake

import (
	"context"
	"fmt"
	"maps"
	"strings"
)

// Stopped is the panic value of a writer at which the agent is killed (see [Host.StopBefore]).
type Stopped struct{ Effect string }

// Error names the effect.
func (s Stopped) Error() string { return "the agent was killed at: " + s.Effect }

// fault describes the injected faults.
type fault struct {
	count      int // effects since it was set
	failAt     int
	failFor    int
	failWith   error
	stopBefore int
	stopAfter  int
	stopWithin int
	methods    map[string]error
}

// FailAt makes the n-th effect from now (from 1) fail and do nothing. An effect is a call of a writer.
func (h *Host) FailAt(n int, err error) {
	h.fault.count, h.fault.failAt, h.fault.failFor, h.fault.failWith = 0, n, 1, err
}

// FailFrom makes the n-th effect from now and all later ones fail, like a full disk.
func (h *Host) FailFrom(n int, err error) {
	h.FailAt(n, err)
	h.fault.failFor = 1 << 30
}

// StopBefore kills the agent right before the n-th effect from now: the call panics with [Stopped].
func (h *Host) StopBefore(n int) { h.fault.count, h.fault.stopBefore = 0, n }

// StopAfter kills the agent right after the n-th effect from now: the effect happened, but the agent did not see its
// result.
func (h *Host) StopAfter(n int) { h.fault.count, h.fault.stopAfter = 0, n }

// StopWithin kills the agent, and dpkg with it, half-way through the n-th effect from now. If the effect changes packages,
// some are done and one is half done. If it removes a tree, some files are gone. Other effects have no middle: the agent is
// killed before them.
func (h *Host) StopWithin(n int) { h.fault.count, h.fault.stopWithin = 0, n }

// half is called between two packages. If the agent is killed here, this package is half done.
func (h *Host) half(p *pkg) {
	if f := &h.fault; f.count > 0 && f.count == f.stopWithin {
		p.broken = true
		panic(Stopped{h.Log[len(h.Log)-1] + ", half-way"})
	}
}

// interrupted returns apt's error after such an interruption.
func (h *Host) interrupted() error {
	for name, p := range h.packages {
		if p.broken {
			return fmt.Errorf("apt-get: E: dpkg was interrupted at %s, you must manually run 'dpkg --configure -a' to correct the problem", name)
		}
	}
	return nil
}

// FailMethod makes every call of a method ("LoadFirewall", "Unit") fail, including observers; nil ends that.
func (h *Host) FailMethod(name string, err error) {
	methods := maps.Clone(h.fault.methods)
	if methods == nil {
		methods = map[string]error{}
	}
	if methods[name] = err; err == nil {
		delete(methods, name)
	}
	h.fault.methods = methods
}

// Heal removes all injected faults. Busy and Forbidden stay.
func (h *Host) Heal() { h.fault = fault{} }

// Killed runs an agent and says whether StopBefore, StopAfter or StopWithin killed it.
func Killed(agent func()) (killed bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, killed = r.(Stopped); !killed {
				panic(r)
			}
		}
	}()
	agent()
	return false
}

// look is the start of every observer method.
func (h *Host) look(ctx context.Context, method string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return h.fault.methods[method]
}

// effect runs every writer method.
func (h *Host) effect(ctx context.Context, method, what string, change func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f := &h.fault
	f.count++
	name := fmt.Sprintf("%s %s", method, what)
	h.Log = append(h.Log, name)
	h.ticks++
	switch {
	case f.count == f.stopBefore, f.count == f.stopWithin && !strings.HasSuffix(method, "Packages") && method != "RemoveTree":
		panic(Stopped{name})
	case f.methods[method] != nil:
		return f.methods[method]
	case f.failAt > 0 && f.count >= f.failAt && f.count-f.failAt < f.failFor:
		return f.failWith
	}
	err := change()
	if f.count == f.stopAfter || f.count == f.stopWithin { // a single package has no half-way
		panic(Stopped{name})
	}
	return err
}

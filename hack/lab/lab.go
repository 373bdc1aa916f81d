package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

var errClosed = errors.New("cannot use a lab that is closed")

type logFunc func(format string, args ...any)

// Options of a lab.
type Options struct {
	// Log reports slow operations, line by line; nil: no log.
	Log func(format string, args ...any)
}

func (o Options) log(format string, args ...any) {
	if o.Log != nil {
		o.Log(format, args...)
	}
}

// A Lab is an isolated network with all its stations. Its methods are safe for concurrent use.
type Lab struct {
	log    logFunc
	unlock func()

	mu     sync.Mutex
	names  map[string]bool
	hosts  []*Host
	close  []func() // end control planes and clients
	closed bool
}

// New makes an empty lab. It waits until a lab of another process with the same Lane has ended, and logs that it waits.
// It removes what a killed one left.
func New(ctx context.Context, opts Options) (*Lab, error) {
	if err := Available(); err != nil {
		return nil, err
	}
	unlock, err := lockFile(ctx, filepath.Join(StateDir, "lock"), opts.log)
	if err != nil {
		return nil, err
	}
	l := &Lab{log: opts.log, unlock: unlock, names: map[string]bool{}}
	if err := errors.Join(sweep(ctx), makeSwitch(ctx)); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Close ends the lab at once and removes all of it. It may be called more than once.
func (l *Lab) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	defer l.unlock()
	for _, h := range l.hosts {
		h.kill()
	}
	for _, end := range l.close {
		end()
	}
	for _, h := range l.hosts {
		h.retire()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return sweep(ctx)
}

// claim reserves a station's name.
func (l *Lab) claim(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errClosed
	}
	if l.names[name] {
		return fmt.Errorf("cannot add %s: the name is taken", name)
	}
	l.names[name] = true
	return nil
}

// adopt registers a function that ends a station when the lab closes. If the lab is closed already, it ends the station
// now.
func (l *Lab) adopt(end func()) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		end()
		return errClosed
	}
	l.close = append(l.close, end)
	return nil
}

// adoptHost registers a host to be ended when the lab closes.
func (l *Lab) adoptHost(h *Host) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errClosed
	}
	l.hosts = append(l.hosts, h)
	return nil
}

func (l *Lab) forget(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.names, name)
}

// Hosts lists the hosts in the order in which they were added.
func (l *Lab) Hosts() []*Host {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*Host(nil), l.hosts...)
}

// Sweep removes what a killed lab of this Lane left. It fails while a lab is running.
func Sweep() error {
	if os.Geteuid() != 0 {
		return errors.New("cannot sweep: not root")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	unlock, err := lockFile(ctx, filepath.Join(StateDir, "lock"), Options{}.log)
	if err != nil {
		return fmt.Errorf("cannot sweep while a lab is alive: %w", err)
	}
	defer unlock()
	ctx, cancel = context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return sweep(ctx)
}

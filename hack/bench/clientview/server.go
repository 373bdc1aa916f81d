package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

// A server is a process in place of a kube-apiserver, in a network namespace of its own.
type server struct {
	name, address    string
	program, certKey string
	station          *lab.Client

	mu      sync.Mutex
	process *exec.Cmd
	ended   chan struct{} // closed when the process has ended
	again   chan error    // receives the result of the restart after a fault with starts
}

// startServers starts three servers, and returns their certificates too.
func startServers(ctx context.Context, stage *lab.Stage, program, dir string) (all []*server, certificates []byte, err error) {
	for i := range 3 {
		s := &server{name: fmt.Sprintf("cp%d", i+1), address: fmt.Sprintf("198.51.100.%d", 21+i), program: program}
		s.certKey = filepath.Join(dir, s.name+".pem")
		if s.station, err = stage.AddClient(ctx, s.name, netip.MustParsePrefix(s.address+"/24")); err != nil {
			return all, nil, err
		}
		if err := s.start(ctx, 0); err != nil {
			return all, nil, err
		}
		all = append(all, s)
		var text []byte
		if err := lab.Until(ctx, 5*time.Second, func() bool { text, err = os.ReadFile(s.certKey); return err == nil && len(text) > 0 }); err != nil {
			return all, nil, fmt.Errorf("%s does not start: %w", s.name, err)
		}
		certificates = append(certificates, onlyCertificates(text)...)
	}
	return all, certificates, nil
}

// start starts the process; delay is how long it serves on after SIGTERM.
func (s *server) start(ctx context.Context, delay time.Duration) error {
	cmd := s.station.Command(ctx, s.program, "-name", s.name, "-bind-address", s.address, "-tls-cert-file", s.certKey, "-shutdown-delay-duration", delay.String())
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start %s: %w", s.name, err)
	}
	ended := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process, s.ended = cmd, ended
	go func() { _ = cmd.Wait(); close(ended) }()
	return nil
}

// signal sends the process a signal; the channel of end is closed when the process has ended.
func (s *server) signal(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process.Process.Signal(sig)
}

func (s *server) end() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// restart kills the process, and starts another one.
func (s *server) restart(ctx context.Context, delay time.Duration) error {
	_ = s.signal(syscall.SIGKILL) // it may have ended already
	<-s.end()
	return s.start(ctx, delay)
}

// strike makes the fault on the server.
func (s *server) strike(ctx context.Context, f fault) error {
	ended := s.end()
	if err := s.signal(f.signal); err != nil || !f.starts {
		return err
	}
	s.again = make(chan error, 1)
	go func() {
		select {
		case <-ended:
			s.again <- s.start(ctx, f.delay)
		case <-ctx.Done():
			s.again <- ctx.Err()
		}
	}()
	return nil
}

// heal ends the fault.
func (s *server) heal(ctx context.Context, f fault) error {
	switch {
	case f.heal != 0:
		return s.signal(f.heal)
	case f.starts:
		return <-s.again
	}
	select {
	case <-s.end():
		return s.start(ctx, f.delay)
	default: // its last request is in progress
		return s.restart(ctx, f.delay)
	}
}

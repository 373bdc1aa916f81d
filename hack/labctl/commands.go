package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

// do runs one command from the other terminal.
func (s *stage) do(ctx context.Context, args []string, w io.Writer) error {
	args = append(args, "", "", "") // missing arguments are empty
	switch args[0] {
	case "status":
		return s.status(w)
	case "partition":
		return s.Partition(s.hosts[0], s.hosts[1])
	case "heal":
		return s.Heal()
	case "cp":
		return s.setMode(args[1], args[2])
	case "get":
		server, err := s.Client.Get(ctx, args[1])
		if err == nil {
			fmt.Fprintln(w, server)
		}
		return err
	case "probe":
		return s.probe(ctx, args[1], args[2], w)
	}
	for _, h := range s.hosts {
		if h.Name() == args[1] {
			return onHost(ctx, h, args, w)
		}
	}
	return fmt.Errorf("cannot %s %s: no such command or host; see labctl help", args[0], args[1])
}

func onHost(ctx context.Context, h *lab.Host, args []string, w io.Writer) error {
	switch args[0] {
	case "pid":
		if !h.Up() {
			return fmt.Errorf("cannot enter %s: it is down", h.Name())
		}
		fmt.Fprintln(w, h.Pid())
	case "push":
		info, err := os.Stat(args[2])
		if err != nil {
			return err
		}
		return h.CopyIn(args[2], args[3], info.Mode())
	case "crash":
		h.Crash()
	case "start":
		return h.Start(ctx)
	case "shutdown":
		return h.Shutdown(ctx)
	case "reboot":
		return h.Reboot(ctx)
	case "cut":
		return h.CutLink()
	case "restore":
		return h.RestoreLink()
	default:
		return fmt.Errorf("cannot %s a host; see labctl help", args[0])
	}
	return nil
}

func (s *stage) setMode(name, text string) error {
	mode, err := lab.ParseMode(text)
	if err != nil {
		return err
	}
	for _, cp := range s.Planes {
		if cp.Name() == name {
			return cp.Set(mode)
		}
	}
	return fmt.Errorf("cannot find control plane %q", name)
}

func (s *stage) status(w io.Writer) error {
	for _, h := range s.hosts {
		state := "down"
		if h.Up() {
			list, err := h.Addresses()
			if err != nil {
				return err
			}
			state = fmt.Sprint("up, holds ", list)
		}
		fmt.Fprintf(w, "%-7s %-9s %s\n", h.Name(), h.Release(), state)
	}
	for _, cp := range s.Planes {
		n := cp.Requests()
		fmt.Fprintf(w, "%-7s %-9s %s, asked %d times for /readyz, %d times for more\n", cp.Name(), cp.Mode(), cp.Addr(), n.Readyz, n.Other)
	}
	return nil
}

// probe probes a target for a duration and prints the result.
func (s *stage) probe(ctx context.Context, target, duration string, w io.Writer) error {
	if duration == "" {
		duration = "10s"
	}
	wait, err := time.ParseDuration(duration)
	if err != nil {
		return err
	}
	p, err := s.Client.Probe(target, lab.ProbeOptions{})
	if err != nil {
		return err
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
	}
	r := p.Stop()
	fmt.Fprintf(w, "%d probes, %d failed %v, gap %s (a probe started up to %s late), answered by %v\n", r.Total, r.Failed, r.Errors,
		r.Gap.Round(100*time.Microsecond), r.Late.Round(100*time.Microsecond), r.ByServer)
	if r.Open > 20*time.Millisecond {
		fmt.Fprintf(w, "no good one in the last %s\n", r.Open.Round(100*time.Microsecond))
	}
	return nil
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"rlb.dev/rlb-agent/hack/lab"
)

var socketPath = filepath.Join(lab.StateDir, "control")

// A reply is the answer to a command; a command is a JSON list of words.
type reply struct {
	Output string
	Error  string
}

// serve runs the commands of other labctl processes until ctx ends.
func serve(ctx context.Context, s *stage) error {
	_ = os.Remove(socketPath) // the lab's lock is held, so no process listens there
	l, err := net.Listen("unix", socketPath)
	if err != nil {
		return err
	}
	if err := os.Chmod(socketPath, 0o600); err != nil {
		return errors.Join(err, l.Close())
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			var args []string
			if json.NewDecoder(conn).Decode(&args) != nil {
				return
			}
			var out bytes.Buffer
			var r reply
			if err := s.do(ctx, args, &out); err != nil {
				r.Error = err.Error()
			}
			r.Output = out.String()
			_ = json.NewEncoder(conn).Encode(r)
		}()
	}
}

// ask sends a command to the labctl that runs the lab.
func ask(ctx context.Context, args []string, w io.Writer) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", socketPath)
	if err != nil {
		return fmt.Errorf("cannot reach a lab; is labctl up running? %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := json.NewEncoder(conn).Encode(args); err != nil {
		return err
	}
	var r reply
	if err := json.NewDecoder(conn).Decode(&r); err != nil {
		return fmt.Errorf("cannot read the lab's answer: %w", err)
	}
	_, _ = io.WriteString(w, r.Output)
	if r.Error != "" {
		return errors.New(r.Error)
	}
	return nil
}

// enter replaces this process by a shell or a command on a host; it keeps the terminal.
func enter(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("cannot enter without a host's name")
	}
	var pid strings.Builder
	if err := ask(ctx, []string{"pid", args[0]}, &pid); err != nil {
		return err
	}
	n, err := strconv.Atoi(strings.TrimSpace(pid.String()))
	if err != nil {
		return err
	}
	command := args[1:]
	if len(command) == 0 {
		command = []string{"bash", "-l"}
	}
	command = lab.EnterArgs(n, command...)
	program, err := exec.LookPath(command[0])
	if err != nil {
		return err
	}
	return syscall.Exec(program, command, os.Environ())
}

package apt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian/program"
)

// transientPrefix is the prefix of the units in which apt and dpkg run.
const transientPrefix = "rlb-apt-"

// transient runs a command in a systemd unit of its own, so that neither a stop of the agent nor its sandbox affects dpkg.
// It returns all output, and passes notable lines to Progress while the command runs. The end of ctx only ends the waiting.
func (m *Manager) transient(ctx context.Context, do string, c program.Command) (log string, err error) {
	path, err := m.programs.Find(c.Name)
	if err != nil {
		return "", host.Cannot(do, err)
	}
	if err := m.awaitTransients(ctx); err != nil {
		return "", host.Cannot(do, err)
	}
	tail, err := m.startTail()
	if err != nil {
		return "", host.Cannot(do, err)
	}
	defer tail.close()

	unit := fmt.Sprintf("%s%d-%d", transientPrefix, os.Getpid(), m.transients.Add(1))
	args := []string{
		"--quiet", "--wait", "--collect", "--unit=" + unit,
		"--description=rlb-agent: " + do,
		"--property=StandardOutput=append:" + m.logFile(),
		"--property=StandardError=append:" + m.logFile(),
	}
	for _, assignment := range program.Environment {
		args = append(args, "--setenv="+assignment)
	}
	args = append(append(args, "--", path), c.Args...)

	ended := make(chan struct{})
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		tail.follow(ended, do, m.programs.Progress)
	}()
	out, err := m.programs.Run(ctx, program.Command{Name: "systemd-run", Args: args, Limit: program.NoLimit})
	close(ended)
	<-followed
	log = tail.text()
	switch {
	case err != nil:
		return log, host.Cannot(do, err)
	case out.Code == 0:
		return log, nil
	case log != "":
		return log, program.Failure(do, c.Name, program.Output{Stderr: log, Code: out.Code})
	}
	return log, program.Failure(do, "systemd-run", out)
}

// awaitTransients waits for units that a former run of the agent may have left running.
func (m *Manager) awaitTransients(ctx context.Context) error {
	for said := false; ; said = true {
		out, err := m.programs.Do(ctx, "look for running installations", program.Command{Name: "systemctl", Args: []string{
			"list-units", "--no-legend", "--plain", "--state=active,activating,reloading,deactivating", transientPrefix + "*"}})
		if err != nil {
			return err
		}
		units := strings.Fields(out.Stdout)
		if len(units) == 0 {
			return nil
		}
		if !said {
			m.programs.Progress("waiting for a former installation to end: " + units[0])
		}
		if err := program.Sleep(ctx, m.programs.Pause); err != nil {
			return err
		}
	}
}

// A logTail reads new text in apt's log.
type logTail struct {
	file *os.File
	read bytes.Buffer // all that was read
	rest string       // an incomplete line
	last string       // the last reported line; apt repeats itself
	said time.Time    // when text was last appended
}

// silence is how long apt and dpkg may write nothing before that is reported, repeatedly. They are never killed.
const silence = time.Minute

// maxLog is the size above which the log is truncated.
const maxLog = 1 << 20

func (m *Manager) startTail() (*logTail, error) {
	if err := os.MkdirAll(m.run, 0o755); err != nil {
		return nil, host.Cannot("make "+m.run, err)
	}
	file, err := os.OpenFile(m.logFile(), os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	end, err := file.Seek(0, io.SeekEnd)
	if err == nil && end > maxLog {
		if err = file.Truncate(0); err == nil {
			_, err = file.Seek(0, io.SeekStart)
		}
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &logTail{file: file}, nil
}

func (t *logTail) close() { _ = t.file.Close() } // nothing was written

func (t *logTail) text() string { return t.read.String() }

// follow reports each notable line and each minute of silence until ended, and then the remaining lines.
func (t *logTail) follow(ended <-chan struct{}, do string, tell func(string)) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	t.said = began
	for {
		select {
		case <-ended:
			t.more(tell)
			return
		case <-tick.C:
			t.more(tell)
			if time.Since(t.said) >= silence {
				t.said = time.Now()
				tell(fmt.Sprintf("still waiting after %v: %s", time.Since(began).Round(time.Second), do))
			}
		}
	}
}

func (t *logTail) more(tell func(string)) {
	fresh, err := io.ReadAll(t.file)
	if err != nil {
		return // the end of the command does not depend on the log
	}
	if len(fresh) > 0 {
		t.said = time.Now()
	}
	t.read.Write(fresh)
	t.rest += string(fresh)
	for {
		line, rest, whole := strings.Cut(t.rest, "\n")
		if !whole {
			return
		}
		t.rest = rest
		if line = strings.TrimSpace(line); line != t.last && worthTelling(line) {
			t.last = line
			tell(line)
		}
	}
}

func worthTelling(line string) bool {
	for _, prefix := range []string{"Get:", "Unpacking ", "Setting up ", "Removing ", "Purging ", "Err:", "W: ", "E: ", "dpkg: "} {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return false
}

func (m *Manager) logFile() string { return filepath.Join(m.run, "apt.log") }

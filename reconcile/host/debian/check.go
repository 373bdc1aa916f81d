package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"rlb.dev/rlb-agent/api/yamlfile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian/program"
	"rlb.dev/rlb-agent/reconcile/host/debian/systemd"
	"rlb.dev/rlb-agent/render"
)

// Check asks the real programs to check rendered files. If both refuse, the error joins both refusals.
func (h *Host) Check(ctx context.Context, files []render.File) (unchecked []string, err error) {
	_, unchecked, err = h.CheckAll(ctx, files)
	return unchecked, err
}

// CheckAll is like Check, but also returns HAProxy's messages about the user's own lines in a file that HAProxy accepts,
// one for each field. (keepalived reports only what it refuses.)
func (h *Host) CheckAll(ctx context.Context, files []render.File) (warned []host.Verdict, unchecked []string, err error) {
	dir, remove, err := h.checkDir()
	if err != nil {
		return nil, nil, err
	}
	defer remove()

	var refusals []error
	for _, file := range files {
		var checker string
		var args []string
		candidate := filepath.Join(dir, filepath.Base(file.Path))
		switch file.Kind {
		case render.HAProxyConfig:
			checker = "haproxy"
			args = append([]string{"-c"}, h.configArgs(ctx, "haproxy.service", file.Path, candidate)...) // with -q it would not give a reason
		case render.KeepalivedConfig:
			if v := keepalivedEmpty(file); v != nil {
				refusals = append(refusals, v)
				continue
			}
			checker, args = "keepalived", []string{"-t", "-f", candidate}
		default:
			continue
		}
		if _, err := h.programs.Find(checker); err != nil {
			unchecked = append(unchecked, checker)
			continue
		}
		if err := os.WriteFile(candidate, trackable(file.Data, dir), 0o600); err != nil {
			return nil, nil, wrap("check "+file.Path, err)
		}
		out, err := h.programs.Run(ctx, program.Command{Name: checker, Args: args})
		if err != nil {
			return nil, nil, wrap("check "+file.Path, err)
		}
		r := refusal(checker, candidate, file, out)
		switch {
		case out.Signal != 0 && !slices.ContainsFunc(r.Lines, hasPlace):
			// Some keepalived 2.2.7 crash in their own test: that is no verdict. One that named lines before it crashed has
			// given one.
			unchecked = append(unchecked, checker)
		case out.Code != 0 || checker == "keepalived" && h.complainsOnly(ctx, out):
			refusals = append(refusals, r)
		case checker == "haproxy":
			h.accept(file, args, candidate)
			warned = warnings(candidate, file, out)
		}
	}
	if len(refusals) == 1 {
		return warned, unchecked, refusals[0]
	}
	return warned, unchecked, errors.Join(refusals...)
}

// checkDir makes a private directory (0700) for candidates, below the agent's own directory. remove deletes it completely.
func (h *Host) checkDir() (dir string, remove func(), err error) {
	const do = "make a directory for the check"
	below, made := h.run, false
	if !h.root {
		below = "" // a check on another machine than the host
	} else if err := os.Mkdir(h.run, 0o755); err == nil {
		made = true
		_ = os.Chmod(h.run, 0o755) // whatever the umask: it stays if it is in use at the end
	} else if !errors.Is(err, fs.ErrExist) {
		return "", nil, wrap(do, err)
	}
	dir, err = os.MkdirTemp(below, "rlb-check-")
	if err != nil {
		return "", nil, wrap(do, err)
	}
	return dir, func() {
		_ = os.RemoveAll(dir) // a leftover under /run is harmless
		if made {
			_ = os.Remove(h.run) // unless it is in use by now
		}
	}, nil
}

// trackable redirects the tracked files into dir if their directory does not exist on this host yet: keepalived 2.1 refuses
// to track a file in a missing directory.
func trackable(data []byte, dir string) []byte {
	for _, path := range []string{render.FaultFile, render.DrainFile} {
		if _, err := os.Stat(filepath.Dir(path)); err != nil {
			data = bytes.ReplaceAll(data, []byte(path), []byte(filepath.Join(dir, filepath.Base(path))))
		}
	}
	return data
}

// keepalivedEmpty refuses a file without an instance. keepalived -t accepts it, but with it the virtual IPs would be
// dropped.
func keepalivedEmpty(file render.File) error {
	if bytes.Contains(file.Data, []byte("vrrp_instance")) {
		return nil
	}
	return &host.Refusal{Program: "keepalived", Lines: []host.Verdict{{
		Path: file.Path, Line: 1, Text: "the file has no vrrp_instance: keepalived would run and do nothing"}}}
}

// complainsOnly says whether an old keepalived reports errors without an exit status: 2.1 and older always end their test
// with 0, and write nothing to stderr if they find no errors. (From 2.2 on the exit status is reliable.)
func (h *Host) complainsOnly(ctx context.Context, out program.Output) bool {
	complaints := slices.DeleteFunc(strings.Split(out.Stderr, "\n"), render.HarmlessComplaint)
	if len(complaints) == 0 {
		return false
	}
	version, err := h.ProgramVersion(ctx, "keepalived")
	return err == nil && (strings.HasPrefix(version, "2.0.") || strings.HasPrefix(version, "2.1.") || strings.HasPrefix(version, "1."))
}

func hasPlace(v host.Verdict) bool { return v.Line > 0 }

// refusal returns the messages of a program about a file, without repetitions. Of messages about the lines that all servers
// have, it keeps the first.
func refusal(checker, candidate string, file render.File, out program.Output) *host.Refusal {
	r := &host.Refusal{Program: checker}
	parse := parseHAProxy
	if checker == "keepalived" {
		parse = parseKeepalived
	}
	var causes *render.Causes // computed once, because a large file takes a while
	said := map[host.Verdict]bool{}
	for line := range strings.Lines(out.Stderr) {
		v, ok := complaint(parse, line, candidate, file.Path)
		if !ok {
			continue
		}
		if causes == nil {
			causes = file.Causes()
		}
		if v.Path == file.Path || v.Path == "" {
			v.Origin = causes.Of(v.Line, v.Text)
		}
		key := v
		switch {
		case render.OnEachServer(v.Origin):
			key = host.Verdict{Origin: v.Origin}
		case v.Origin != "": // raw lines are rendered for each family, and for the backend that fails open
			key = host.Verdict{Origin: v.Origin, Text: v.Text}
		}
		if !said[key] && len(r.Lines) < yamlfile.MaxProblems {
			r.Lines = append(r.Lines, v)
		}
		said[key] = true
	}
	if len(r.Lines) == 0 {
		words := program.LastWords(strings.ReplaceAll(out.Stderr+out.Stdout, candidate, file.Path))
		if words == "" {
			words = fmt.Sprintf("%s ended with status %d and printed nothing", checker, out.Code)
		}
		r.Lines = []host.Verdict{{Text: words}}
	}
	return r
}

// complaint parses a program's message about the file at path, which the program read as candidate.
func complaint(parse func(string) (host.Verdict, bool), line, candidate, path string) (host.Verdict, bool) {
	v, ok := parse(strings.TrimSpace(line))
	v.Text = strings.ReplaceAll(v.Text, candidate, path)
	if v.Path == candidate || v.Path == "" && v.Line > 0 { // keepalived names its file only if it reads several
		v.Path = path
	}
	return v, ok
}

// warnings returns HAProxy's messages about the user's own lines in a file that it accepted, the first of each field. A
// line without effect causes an alert in some versions and a warning in others.
func warnings(candidate string, file render.File, out program.Output) (all []host.Verdict) {
	var causes *render.Causes
	said := map[string]bool{"": true}
	for line := range strings.Lines(out.Stderr) {
		v, ok := complaint(parseHAProxy, strings.Replace(line, "[WARNING]", "[ALERT]", 1), candidate, file.Path)
		if !ok || v.Path != file.Path && v.Path != "" {
			continue
		}
		if causes == nil {
			causes = file.Causes()
		}
		v.Origin = causes.OfOwn(v.Line, v.Text)
		if !said[v.Origin] && len(all) < yamlfile.MaxProblems {
			all = append(all, v)
		}
		said[v.Origin] = true
	}
	return all
}

var (
	haproxyLine  = regexp.MustCompile(`^\[ALERT\] +(?:\S+ )?\(\d+\) : (?:config : )?(.*)$`)
	haproxyPlace = regexp.MustCompile(`(?:^parsing )?\[(/[^\]:]+):(\d+)\](?: ?: )?`)

	keepalivedLine = regexp.MustCompile(`^\((?:([^()]+): )?Line (\d+)\) (.*)$`)
)

// parseHAProxy parses an error of haproxy -c: "[ALERT]    (PID) : config : parsing [FILE:LINE] : message", before 2.4 with
// a date and without "config".
func parseHAProxy(line string) (host.Verdict, bool) {
	m := haproxyLine.FindStringSubmatch(line)
	if m == nil || strings.HasPrefix(m[1], "Error(s) found in configuration file") || m[1] == "Fatal errors found in configuration." {
		return host.Verdict{}, false
	}
	v := host.Verdict{Text: m[1]}
	if at := haproxyPlace.FindStringSubmatchIndex(v.Text); at != nil {
		v.Path = v.Text[at[2]:at[3]]
		v.Line, _ = strconv.Atoi(v.Text[at[4]:at[5]]) // digits
		if at[0] == 0 {
			v.Text = v.Text[at[1]:]
		}
	}
	return v, true
}

// parseKeepalived parses a line of keepalived -t: "(FILE: Line N) message", or a message without a place.
func parseKeepalived(line string) (host.Verdict, bool) {
	if render.HarmlessComplaint(line) {
		return host.Verdict{}, false
	}
	if m := keepalivedLine.FindStringSubmatch(line); m != nil {
		number, _ := strconv.Atoi(m[2]) // digits
		return host.Verdict{Path: m[1], Line: number, Text: m[3]}, true
	}
	return host.Verdict{Text: line}, true
}

var programVersion = regexp.MustCompile(`(?i)^(?:ha-?proxy version |keepalived v)([0-9]\S*)`)

// ProgramVersion returns the version that haproxy or keepalived prints, for machines without dpkg.
func (h *Host) ProgramVersion(ctx context.Context, name string) (string, error) {
	do := "ask " + name + " for its version"
	out, err := h.programs.Do(ctx, do, program.Command{Name: name, Args: []string{"-v"}})
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(out.Stdout + out.Stderr) { // keepalived prints it to stderr
		if m := programVersion.FindStringSubmatch(line); m != nil {
			return m[1], nil
		}
	}
	return "", fmt.Errorf("cannot %s: unexpected answer %q", do, out.Stdout+out.Stderr)
}

// configArgs returns the -f arguments of the program's unit, with candidate in place of the file at path. Other files and
// directories are kept, because their settings also apply to the candidate.
func (h *Host) configArgs(ctx context.Context, unit, path, candidate string) []string {
	alone := []string{"-f", candidate}
	p, err := h.systemd.Properties(ctx, unit)
	if err != nil { // without systemd there is no unit
		return alone
	}
	env, err := p.Environment()
	if err != nil {
		return alone
	}
	var started []string
	if commands := p.Commands("ExecStart"); len(commands) > 0 {
		started = systemd.ExpandArgs(commands[0], env)
	}
	configs := configsOf(started)
	at := slices.Index(configs, path)
	if at < 0 {
		return alone
	}
	configs[at] = candidate
	var args []string
	for _, config := range configs {
		args = append(args, "-f", config)
	}
	return args
}

// configsOf returns the values of all -f options of a command line, in order.
func configsOf(args []string) (configs []string) {
	for i := 1; i < len(args); i++ {
		if args[i-1] == "-f" {
			configs = append(configs, args[i])
			i++
		}
	}
	return configs
}

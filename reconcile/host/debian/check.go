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

// Check asks the real programs what they think of rendered files. Where both refuse, the error joins both refusals.
func (h *Host) Check(ctx context.Context, files []render.File) (unchecked []string, err error) {
	_, unchecked, err = h.CheckAll(ctx, files)
	return unchecked, err
}

// CheckAll is Check that also tells what HAProxy says of the user's own lines in a file that it takes, once a field.
// (What keepalived says of a file, it refuses.)
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
			args = append([]string{"-c"}, h.configArgs(ctx, "haproxy.service", file.Path, candidate)...) // with -q it would not say why
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
			// Some keepalived 2.2.7 die of their own test: no verdict. One that named lines before it died has
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

// checkDir is a new directory of ours alone (0700) for candidates, below our own one. remove leaves nothing of it.
func (h *Host) checkDir() (dir string, remove func(), err error) {
	const do = "make a directory for the check"
	below, made := h.run, false
	if !h.root {
		below = "" // a check off the host
	} else if err := os.Mkdir(h.run, 0o755); err == nil {
		made = true
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
			_ = os.Remove(h.run) // unless somebody uses it by now
		}
	}, nil
}

// trackable leads the tracked files of a host that has no place for them yet into dir: keepalived 2.1 refuses to track
// what lies in no directory.
func trackable(data []byte, dir string) []byte {
	for _, path := range []string{render.FaultFile, render.DrainFile} {
		if _, err := os.Stat(filepath.Dir(path)); err != nil {
			data = bytes.ReplaceAll(data, []byte(path), []byte(filepath.Join(dir, filepath.Base(path))))
		}
	}
	return data
}

// keepalivedEmpty refuses what keepalived -t takes though it would drop the VIP: a file without an instance.
func keepalivedEmpty(file render.File) error {
	if bytes.Contains(file.Data, []byte("vrrp_instance")) {
		return nil
	}
	return &host.Refusal{Program: "keepalived", Lines: []host.Verdict{{
		Path: file.Path, Line: 1, Text: "the file has no vrrp_instance: keepalived would run and do nothing"}}}
}

// complainsOnly says whether this is a keepalived that complains without a status: 2.1 and before end their test with 0
// whatever they found, and with nothing on stderr where they found nothing. (From 2.2 on the status can be trusted.)
func (h *Host) complainsOnly(ctx context.Context, out program.Output) bool {
	complaints := slices.DeleteFunc(strings.Split(out.Stderr, "\n"), render.HarmlessComplaint)
	if len(complaints) == 0 {
		return false
	}
	version, err := h.ProgramVersion(ctx, "keepalived")
	return err == nil && (strings.HasPrefix(version, "2.0.") || strings.HasPrefix(version, "2.1.") || strings.HasPrefix(version, "1."))
}

func hasPlace(v host.Verdict) bool { return v.Line > 0 }

// refusal is what a program said of a file, each thing once, and of words that stand on the lines of all servers the first.
func refusal(checker, candidate string, file render.File, out program.Output) *host.Refusal {
	r := &host.Refusal{Program: checker}
	parse := parseHAProxy
	if checker == "keepalived" {
		parse = parseKeepalived
	}
	var causes *render.Causes // of a large file they take a while
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
			words = fmt.Sprintf("%s ended with status %d and said nothing", checker, out.Code)
		}
		r.Lines = []host.Verdict{{Text: words}}
	}
	return r
}

// complaint is what a line of a program says of the file at path, which it read as candidate.
func complaint(parse func(string) (host.Verdict, bool), line, candidate, path string) (host.Verdict, bool) {
	v, ok := parse(strings.TrimSpace(line))
	v.Text = strings.ReplaceAll(v.Text, candidate, path)
	if v.Path == candidate || v.Path == "" && v.Line > 0 { // keepalived names its file only where it reads several
		v.Path = path
	}
	return v, ok
}

// warnings are what HAProxy said of the user's own lines in a file that it took, the first thing of each field. A line
// without effect is an alert of some versions and a warning of others.
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

// parseHAProxy reads an error of haproxy -c: "[ALERT]    (PID) : config : parsing [FILE:LINE] : message", before 2.4
// with a date and without "config".
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

// parseKeepalived reads a line of keepalived -t: "(FILE: Line N) message", or a message without a place.
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

// ProgramVersion is the version that haproxy or keepalived tells of itself, for machines without dpkg.
func (h *Host) ProgramVersion(ctx context.Context, name string) (string, error) {
	do := "ask " + name + " for its version"
	out, err := h.programs.Do(ctx, do, program.Command{Name: name, Args: []string{"-v"}})
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(out.Stdout + out.Stderr) { // keepalived tells it on stderr
		if m := programVersion.FindStringSubmatch(line); m != nil {
			return m[1], nil
		}
	}
	return "", fmt.Errorf("cannot %s: unexpected answer %q", do, out.Stdout+out.Stderr)
}

// configArgs are the arguments that give a program the configuration that its unit gives it, with a candidate in the place
// of the file at path. Other files and directories stay: what they say counts for the candidate too.
func (h *Host) configArgs(ctx context.Context, unit, path, candidate string) []string {
	alone := []string{"-f", candidate}
	p, err := h.systemd.Properties(ctx, unit)
	if err != nil { // no systemd: then no unit
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

// configsOf are the values of all options -f of a command line, in order.
func configsOf(args []string) (configs []string) {
	for i := 1; i < len(args); i++ {
		if args[i-1] == "-f" {
			configs = append(configs, args[i])
			i++
		}
	}
	return configs
}

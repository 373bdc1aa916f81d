package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/api/yamlfile"
	"rlb.dev/rlb-agent/cmd/rlb-agent/firstspec"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/importer"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/reconcile/state"
	"rlb.dev/rlb-agent/render"
)

// importCommand makes a spec of installed files.
func (a *app) importCommand() *cobra.Command {
	var (
		haproxy, keepalived, profile string
		nodes                        []string
	)
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Make a spec of an installed haproxy.cfg and keepalived.conf",
		Long: `Make a spec of an installed haproxy.cfg and keepalived.conf, and print it. The files may be from any author. Standard error
has a line for each directive that it does not carry over, or not as it was, and for each field that the files cannot
show. A spec that is not complete is printed too, with what it lacks and exit code 3. Needs no root, and changes nothing.`,
		Example: "  rlb-agent import > spec.yaml\n" +
			"  rlb-agent import --haproxy haproxy.cfg --keepalived keepalived.conf --node lb1=192.168.3.11,lb2=192.168.3.12\n" +
			"  ssh lb1 cat /etc/haproxy/haproxy.cfg | rlb-agent import --haproxy - --profile standard",
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o := importer.Options{Profile: api.Profile(profile), Schema: ownSchema()}
			if o.Profile != "" && o.Profile != api.Standard && o.Profile != api.Classic {
				return usageError{fmt.Errorf("cannot import for profile %q: it is standard or classic", profile)}
			}
			var err error
			if o.Nodes, err = namedNodes(nodes); err != nil {
				return usageError{err}
			}
			files, err := a.installed(cmd.Context(), haproxy, keepalived)
			if err != nil {
				return usageError{err}
			}
			return a.imported(importer.Import(files[0], files[1], o))
		},
	}
	f := cmd.Flags()
	f.StringVar(&haproxy, "haproxy", "", "the haproxy.cfg; - is standard input (default: the one of haproxy.service)")
	f.StringVar(&keepalived, "keepalived", "", "the keepalived.conf; - is standard input (default: the one of keepalived.service)")
	f.StringVar(&profile, "profile", "", "standard or classic (default: the one that leaves the shorter spec)")
	f.StringSliceVar(&nodes, "node", nil, "a load balancer: NAME=ADDRESS, or several; a name twice for an address of each family")
	return cmd
}

// namedNodes parses --node: the load balancers.
func namedNodes(texts []string) (nodes []api.Node, err error) {
	for _, text := range texts {
		m, err := firstspec.ParseMember(text)
		if err != nil || m.Port != 0 || m.Name == "" {
			return nil, fmt.Errorf("cannot understand --node %q: it is NAME=ADDRESS", text)
		}
		at := slices.IndexFunc(nodes, func(n api.Node) bool { return n.Name == m.Name })
		if at < 0 {
			at, nodes = len(nodes), append(nodes, api.Node{Name: m.Name})
		}
		nodes[at].Addresses = append(nodes[at].Addresses, m.Address)
	}
	return nodes, nil
}

// installed reads the two files. If a flag names one, only the named files are read. Otherwise it reads the files of
// the units and skips a missing one.
func (a *app) installed(ctx context.Context, haproxy, keepalived string) (files [2]importer.File, err error) {
	named := haproxy != "" || keepalived != ""
	if haproxy == "-" && keepalived == "-" {
		return files, errors.New("cannot read both files from standard input")
	}
	if !named {
		haproxy, keepalived = render.DefaultHAProxyConfig, render.DefaultKeepalivedConfig
		if h, err := a.host(); err == nil {
			defer h.Close()
			haproxy, keepalived = configs(ctx, h)
		}
	}
	for i, path := range []string{haproxy, keepalived} {
		if path == "" {
			continue
		}
		files[i].Name = path
		data, err := a.input(path)
		switch {
		case err != nil && !(errors.Is(err, fs.ErrNotExist) && !named):
			return files, fmt.Errorf("cannot import %s: %w", path, err)
		case len(data) > yamlfile.MaxFileSize:
			return files, fmt.Errorf("cannot import %s: it has more than %d bytes", path, yamlfile.MaxFileSize)
		case err == nil:
			files[i].Data = append([]byte{}, data...) // not nil: nil means no such file
		}
	}
	if files[0].Data == nil && files[1].Data == nil {
		return files, fmt.Errorf("cannot import: this machine has neither %s nor %s; --haproxy and --keepalived name others", haproxy, keepalived)
	}
	return files, nil
}

// configs returns the configuration files of this machine's units.
func configs(ctx context.Context, h host.Observer) (haproxy, keepalived string) {
	var units [2]host.Unit
	for i, name := range []string{host.HAProxyUnit, host.KeepalivedUnit} {
		if unit, err := h.Unit(ctx, name); err == nil { // on an error the default path is used
			units[i] = unit
		}
	}
	return plan.HAProxyConfig(units[0]), plan.KeepalivedConfig(units[1])
}

// imported prints a spec, and on standard error what the spec does not carry over or lacks.
func (a *app) imported(result importer.Result) error {
	for _, note := range result.Notes {
		fmt.Fprintln(a.stderr, note)
	}
	for _, field := range result.Unshown {
		fmt.Fprintln(a.stderr, "not in the files: "+field)
	}
	if _, err := fmt.Fprint(a.stdout, result.Text); err != nil {
		return usageError{err}
	}
	doc, err := api.Parse("imported spec", []byte(result.Text))
	if err != nil {
		return err
	}
	if warnings := doc.Warnings(api.HostFacts{}); len(warnings) > 0 {
		fmt.Fprintln(a.stderr, a.problems(warnings))
	}
	return nil
}

// suggestImport logs each configuration on this machine that its first spec will replace.
func (a *app) suggestImport(ctx context.Context, h host.Observer) {
	if memory, err := state.ReadMemory(ctx, h); err == nil && memory.Generation > 0 {
		return
	}
	haproxy, keepalived := configs(ctx, h)
	for _, f := range []struct {
		path  string
		words []string // a file that somebody configured has one of these words; the package's own file has none
	}{{haproxy, []string{"\nfrontend ", "\nlisten "}}, {keepalived, []string{"\nvrrp_instance "}}} {
		data, err := os.ReadFile(f.path)
		if err == nil && !render.IsRendered(data) && slices.ContainsFunc(f.words, func(word string) bool { return strings.Contains("\n"+string(data), word) }) {
			a.log.Info(f.path + " is not the agent's: the spec replaces it, and teardown brings it back; rlb-agent import makes a spec of it")
		}
	}
}

package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile/importer"
	"rlb.dev/rlb-agent/render"
)

// importedSpec is what problems of an imported spec call it.
const importedSpec = "imported spec"

// importFlags are where the files are, and what they cannot show.
type importFlags struct {
	haproxy, keepalived, profile string
	nodes                        []string
}

// importCommand makes a spec of the installed files.
func (a *app) importCommand() *cobra.Command {
	var flags importFlags
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Print a spec made of an installed haproxy.cfg and keepalived.conf",
		Long: `Print a spec made of an installed haproxy.cfg and keepalived.conf, and change nothing. What the spec does not carry over
is listed on standard error, line by line with the reason, and so is what no file can show. Where the spec is not valid as
it is, the problems follow, and the status is 3.`,
		Example: "  rlb-agent import > spec.yaml\n" +
			"  rlb-agent import --haproxy old/haproxy.cfg --keepalived old/keepalived.conf --node lb1=192.168.3.11,lb2=192.168.3.12",
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			haproxy, herr := a.installed(cmd, "haproxy", flags.haproxy)
			keepalived, kerr := a.installed(cmd, "keepalived", flags.keepalived)
			nodes, nerr := parseNodes(flags.nodes)
			profile, perr := parseProfile(flags.profile)
			err := errors.Join(herr, kerr, nerr, perr)
			if err == nil && haproxy.Data == nil && keepalived.Data == nil {
				err = fmt.Errorf("cannot import: there is neither %s nor %s; name the files with --haproxy and --keepalived", haproxy.Name, keepalived.Name)
			}
			if err != nil {
				return usageError{err}
			}
			return a.printImport(importer.Import(haproxy, keepalived, importer.Options{Profile: profile, Nodes: nodes}))
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.haproxy, "haproxy", render.DefaultHAProxyConfig, "HAProxy's configuration; - is standard input")
	f.StringVar(&flags.keepalived, "keepalived", render.DefaultKeepalivedConfig, "keepalived's configuration; - is standard input")
	f.StringVar(&flags.profile, "profile", "", "standard or classic (default: the one that leaves the shorter spec)")
	f.StringSliceVar(&flags.nodes, "node", nil, "a load balancer: [NAME=]ADDRESS, or several")
	return cmd
}

// printImport prints the spec, and on standard error what a person must know of it.
func (a *app) printImport(result importer.Result) error {
	if _, err := fmt.Fprint(a.stdout, result.Text); err != nil {
		return usageError{err}
	}
	for _, note := range result.Notes {
		fmt.Fprintln(a.stderr, note)
	}
	for _, field := range result.Unshown {
		fmt.Fprintln(a.stderr, "the files do not show "+field)
	}
	_, err := api.Parse(importedSpec, []byte(result.Text))
	return err
}

// installed reads an installed file. One that nobody named may be missing.
func (a *app) installed(cmd *cobra.Command, flag, path string) (importer.File, error) {
	data, err := a.input(path)
	if errors.Is(err, fs.ErrNotExist) && !cmd.Flags().Changed(flag) {
		return importer.File{Name: path}, nil
	}
	if err != nil {
		return importer.File{}, fmt.Errorf("cannot read the configuration of %s: %w", flag, err)
	}
	if data == nil {
		data = []byte{}
	}
	return importer.File{Name: path, Data: data}, nil
}

func parseProfile(text string) (api.Profile, error) {
	switch p := api.Profile(text); p {
	case "", api.Standard, api.Classic:
		return p, nil
	}
	return "", fmt.Errorf("cannot import with profile %q: it is %s or %s", text, api.Standard, api.Classic)
}

// parseNodes reads the values of --node.
func parseNodes(texts []string) (nodes []api.Node, err error) {
	members, err := parseLoadBalancers(texts)
	for i, m := range members {
		if m.Name == "" {
			m.Name = fmt.Sprintf("lb%d", i+1)
		}
		nodes = append(nodes, api.Node{Name: m.Name, Addresses: []string{m.Address}})
	}
	return nodes, err
}

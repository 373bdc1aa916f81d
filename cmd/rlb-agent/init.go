package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/cmd/rlb-agent/firstspec"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian"
)

// initCommand writes a first spec.
func (a *app) initCommand() *cobra.Command {
	var given firstspec.Given
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a first spec file; never overwrites one",
		Example: "  rlb-agent init --vip 192.168.3.240 --server 192.168.3.251,192.168.3.252,192.168.3.253\n" +
			"  rlb-agent init --vip 192.168.3.240 --node lb1=192.168.3.11,lb2=192.168.3.12 --server cp1=192.168.3.251:6443\n" +
			"  kubectl get nodes -o json | rlb-agent init --vip 192.168.3.240 --nodes-file - --spec spec.yaml",
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if port := given.Port; cmd.Flags().Changed("port") && (port < 1 || port > 65535) {
				return usageError{fmt.Errorf("cannot listen on --port %d: it is 1 to 65535", port)}
			}
			wishes, notes, err := given.Wishes(a.input)
			if err != nil {
				return usageError{err}
			}
			wishes.Schema = ownSchema()
			return a.firstSpec(cmd.Context(), wishes, notes)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&given.VirtualIPs, "vip", nil, "a virtual IP, or several")
	f.StringSliceVar(&given.Servers, "server", nil, "a kube-apiserver: [NAME=]ADDRESS[:PORT], or several")
	f.StringSliceVar(&given.Nodes, "node", nil, "a load balancer: [NAME=]ADDRESS, or several")
	f.StringVar(&given.Kubeconfig, "kubeconfig", "", "take the kube-apiserver of this kubeconfig's current context")
	f.StringVar(&given.NodesFile, "nodes-file", "", "take the control planes from this output of kubectl get nodes -o json; - is standard input")
	f.StringVar(&given.Interface, "interface", "", "interface of the virtual IPs (default: the one whose subnet holds them)")
	f.StringVar(&given.Service, "service", "kube-apiserver", "name of the service")
	f.IntVar(&given.Port, "port", 0, "port of the service (default 6443, or 8443 where a load balancer is a control plane)")
	return cmd
}

// ownSchema returns the path of the JSON Schema installed with this program, or "".
func ownSchema() string {
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	return installedSchema(self)
}

// installedSchema returns the path of the JSON Schema installed with a program: PREFIX/share for PREFIX/sbin, as "make
// install" and the Debian package install them; "" if it is missing.
func installedSchema(program string) string {
	path := filepath.Join(filepath.Dir(filepath.Dir(program)), "share/rlb-agent/schema.json")
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// firstSpec writes the spec if it is valid and the file does not exist, and prints what was assumed.
func (a *app) firstSpec(ctx context.Context, wishes firstspec.Wishes, notes []string) error {
	if a.spec != "-" {
		if _, err := os.Lstat(a.spec); err == nil {
			return usageError{fmt.Errorf("cannot write %s: it is there already; edit it, or write to another file with --spec", a.spec)}
		}
	}
	text, assumed := wishes.Text()
	doc, err := api.Parse(a.spec, []byte(text))
	if err != nil {
		fmt.Fprint(a.stderr, text) // the problems name its lines
		return err
	}
	h, err := a.host()
	if err != nil {
		return err
	}
	defer h.Close()
	assumed = append(assumed, network(ctx, h, doc)...)
	if a.spec == "-" {
		fmt.Fprint(a.stdout, text)
	} else if err := writeNew(a.spec, []byte(text)); err != nil {
		return usageError{fmt.Errorf("cannot write %s: %w", a.spec, err)}
	}
	for _, note := range assumed {
		fmt.Fprintln(a.stderr, "assumed: "+note)
	}
	for _, note := range notes {
		fmt.Fprintln(a.stderr, "note: "+note)
	}
	if warnings := doc.Warnings(api.HostFacts{}); len(warnings) > 0 {
		fmt.Fprintln(a.stderr, a.problems(warnings))
	}
	if a.spec != "-" {
		agent, _ := h.Unit(ctx, host.AgentUnit) // the zero value if systemd does not answer
		fmt.Fprintf(a.stdout, "wrote %s; %s\n", a.spec, afterInit(a.spec, agent))
	}
	return nil
}

// afterInit returns the next command to run after a first spec was written.
func afterInit(spec string, agent host.Unit) string {
	const look = "next: rlb-agent --once --dry-run"
	switch {
	case spec != defaultSpec:
		return look + " --spec " + spec + ", then install it as " + defaultSpec
	case agent.Active() || agent.ActiveState == "activating":
		return host.AgentUnit + " runs and brings it into force now: rlb-agent status --watch"
	case agent.LoadState != "loaded":
		return look + ", then rlb-agent --once"
	case agent.Enabled():
		return look + ", then systemctl start rlb-agent"
	}
	return look + ", then systemctl enable --now rlb-agent"
}

// network tells for each virtual IP on which interface it will be, or that none fits.
func network(ctx context.Context, h *debian.Host, doc *api.Document) []string {
	interfaces, err := h.Interfaces(ctx)
	if err != nil {
		return nil
	}
	var notes []string
	for _, vip := range doc.Spec.VirtualIPs {
		where := fmt.Sprintf("%s lies in a subnet of the load balancers; it is in none of this machine's", vip.Addr())
		if name, subnet := host.Holder(interfaces, vip.Addr()); name != "" {
			where = fmt.Sprintf("%s is an address of %s, the subnet of interface %s", vip.Addr(), subnet, name)
		}
		notes = append(notes, where)
	}
	return notes
}

// writeNew writes a new file completely or not at all; it never overwrites. It creates a missing directory.
func writeNew(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, ".rlb-init-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(file.Name())) }()
	_, err = file.Write(data)
	if err = errors.Join(err, file.Chmod(0o644), file.Sync(), file.Close()); err != nil {
		return err
	}
	err = os.Link(file.Name(), path) // unlike rename, link never replaces a file that was created meanwhile
	if errors.Is(err, fs.ErrExist) {
		return errors.New("it is there already")
	}
	return err
}

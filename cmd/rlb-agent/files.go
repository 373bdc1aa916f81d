package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/api/yamlfile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian"
	"rlb.dev/rlb-agent/reconcile/host/rootpath"
	"rlb.dev/rlb-agent/reconcile/plan"
	"rlb.dev/rlb-agent/render"
)

// check has the installed programs check the rendered files, and logs which program could not. warned has the warnings
// about files that they accept. keepalived looks up its interface. If this machine has no such interface,
// keepalived.conf is not checked: the verdict would be about the machine, not the spec.
func (a *app) check(ctx context.Context, h *debian.Host, doc *api.Document, look plan.Look) (warned yamlfile.Problems, err error) {
	files, d := look.Checkable(), look.Desired
	if len(files) < len(d.Files) {
		a.log.Warn("not checked: the files for a version that is not installed yet")
	}
	interfaces, err := h.Interfaces(ctx)
	if err != nil || !slices.ContainsFunc(interfaces, func(i host.Interface) bool { return i.Name == d.Facts.Interface }) {
		files = slices.DeleteFunc(slices.Clone(files), func(f render.File) bool { return f.Kind == render.KeepalivedConfig })
		a.log.Warn(fmt.Sprintf("not checked by keepalived: interface %s is not on this machine", d.Facts.Interface))
	}
	verdicts, unchecked, err := h.CheckAll(ctx, files)
	for _, program := range unchecked {
		a.log.Warn("not checked: " + program)
	}
	for _, v := range verdicts {
		warned = append(warned, v.Warning("haproxy", doc))
	}
	return warned, plan.Placed(err, doc)
}

// renderCommand prints the files, or writes them under a directory.
func (a *app) renderCommand() *cobra.Command {
	var (
		flags factFlags
		dir   string
	)
	cmd := &cobra.Command{
		Use:     "render [FILE]",
		Short:   "Print the rendered files, or write them under a directory at their paths on the host",
		Example: "  rlb-agent render\n  rlb-agent render --output-dir out --node lb1 spec.yaml\n  rlb-agent render --spec - < spec.yaml",
		Args:    atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := a.fileOrSpec(cmd, args)
			if err != nil {
				return err
			}
			_, h, look, err := a.rendering(cmd.Context(), path, flags.facts())
			if err != nil {
				return err
			}
			defer h.Close()
			files := look.Desired.Files
			if dir != "" {
				return writeUnder(dir, files)
			}
			for i, f := range files {
				if i > 0 {
					fmt.Fprintln(a.stdout)
				}
				fmt.Fprintf(a.stdout, "==> %s <==\n%s", f.Path, f.Data)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "output-dir", "", "write the files under this directory")
	flags.register(cmd)
	return cmd
}

// writeUnder writes the files under a directory. It follows no link below it: root may run this in a directory of other
// users.
func writeUnder(dir string, files []render.File) error {
	err := os.MkdirAll(dir, 0o755)
	for _, f := range files {
		if err == nil {
			err = writeBelow(dir, f)
		}
	}
	if err != nil {
		return usageError{fmt.Errorf("cannot write the rendered files under %s: %w", dir, err)}
	}
	return nil
}

func writeBelow(dir string, f render.File) error {
	below, err := rootpath.Below(dir, filepath.Dir(f.Path), true)
	if err != nil {
		return err
	}
	defer below.Close() //nolint:errcheck // nothing was written to it
	fd, err := unix.Openat(int(below.Fd()), filepath.Base(f.Path), unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, uint32(f.Mode))
	if err != nil {
		return &fs.PathError{Op: "open", Path: f.Path, Err: err}
	}
	file := os.NewFile(uintptr(fd), f.Path)
	_, err = file.Write(f.Data)
	return errors.Join(err, file.Close())
}

// diffCommand shows how the installed files differ from the rendered ones.
func (a *app) diffCommand() *cobra.Command {
	var on onFlags
	cmd := &cobra.Command{
		Use:     "diff",
		Short:   "Show how the installed files differ from the rendered ones",
		Example: "  rlb-agent diff\n  rlb-agent diff --on root@lb1,root@lb2",
		Args:    atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := on.withoutSpec(cmd); err != nil {
				return err
			}
			if on.given(cmd) {
				return a.diffOn(cmd.Context(), on)
			}
			doc, h, err := a.specAndHost(a.spec)
			if err != nil {
				return err
			}
			defer h.Close()
			look, err := a.find(cmd.Context(), h, doc)
			if err != nil {
				return err
			}
			a.unchecked(look)
			diffs := look.FileDiffs()
			fmt.Fprint(a.stdout, strings.Join(diffs, ""))
			if len(diffs) > 0 {
				return errDifferent
			}
			return nil
		},
	}
	on.register(cmd)
	return cmd
}

// factFlags are facts about a host, given by flags because the command runs on another machine.
type factFlags struct{ node, iface, haproxy, keepalived string }

func (f *factFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.node, "node", "", "render for this node of the spec")
	cmd.Flags().StringVar(&f.iface, "interface", "", "interface of the virtual IPs")
	cmd.Flags().StringVar(&f.haproxy, "haproxy-version", "", "render for this version of HAProxy")
	cmd.Flags().StringVar(&f.keepalived, "keepalived-version", "", "render for this version of keepalived")
}

func (f *factFlags) facts() render.Facts {
	return render.Facts{
		Node: f.node, Interface: f.iface,
		HAProxyVersion: render.Version(f.haproxy), KeepalivedVersion: render.Version(f.keepalived),
	}
}

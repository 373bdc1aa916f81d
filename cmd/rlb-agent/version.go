package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"rlb.dev/rlb-agent/api"
)

// version is set by the build (make build); after a plain "go install" the module's version is
// used.
var version = ""

// versionInfo is what "version -o json" prints. Fields are added, never renamed.
type versionInfo struct {
	Version     string   `json:"version"`     // of the agent
	GoVersion   string   `json:"goVersion"`   // of the Go that built it
	Platform    string   `json:"platform"`    // "linux/arm64"
	APIVersions []string `json:"apiVersions"` // that a spec may have
}

func (a *app) versionCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  rlb-agent version\n  rlb-agent version -o json",
		Args:    atMost(0),
		RunE: func(*cobra.Command, []string) (err error) {
			v := versionInfo{agentVersion(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, []string{api.APIVersion}}
			switch output {
			case "text":
				_, err = fmt.Fprintf(a.stdout, "rlb-agent %s %s %s\n", v.Version, v.GoVersion, v.Platform)
			case "json":
				err = encodeJSON(a.stdout, v)
			case "yaml":
				err = encodeYAML(a.stdout, v)
			default:
				return usageError{fmt.Errorf("cannot print a version as %q: it is text, json or yaml", output)}
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text, json or yaml")
	return cmd
}

func agentVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

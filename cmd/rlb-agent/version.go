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
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := knownFormat(cmd, "a version", output); err != nil {
				return err
			}
			v := versionInfo{agentVersion(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, []string{api.APIVersion}}
			return encode(a.stdout, output, v, func() error {
				_, err := fmt.Fprintf(a.stdout, "rlb-agent %s %s %s\n", v.Version, v.GoVersion, v.Platform)
				return err
			})
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

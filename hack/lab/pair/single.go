package pair

import (
	"context"
	"fmt"
	"time"

	"rlb.dev/rlb-agent/hack/lab"
)

// Single boots one host with the programs installed, starts the agent's daemon on it with the spec and more files, and
// waits until the host holds the virtual IP.
func Single(ctx context.Context, stage *lab.Stage, release lab.Release, agent, spec string, more ...lab.File) (*lab.Host, error) {
	files, err := Files(agent, "hack/systemd/rlb-agent.service")
	if err != nil {
		return nil, err
	}
	files = append(append(files, more...), lab.File{Path: SpecFile, Data: []byte(spec)})
	hosts, err := stage.AddHosts(ctx, lab.HostOptions{Installed: true, Files: files}, release)
	if err != nil {
		return nil, err
	}
	h := hosts[0]
	if _, err := h.Run(ctx, "systemctl", "enable", "--now", "rlb-agent"); err != nil {
		return nil, err
	}
	if err := lab.Until(ctx, 30*time.Second, func() bool { return Holds(h) }); err != nil {
		return nil, fmt.Errorf("the host does not hold the virtual IP: %w", err)
	}
	return h, nil
}

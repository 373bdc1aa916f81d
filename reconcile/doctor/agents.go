package doctor

import (
	"context"
	"fmt"
	"strings"

	"rlb.dev/rlb-agent/reconcile/state"
)

// peerAgents checks the reports of the peers' agents that the daemon on this host has received.
func peerAgents(ctx context.Context, e *exam) (found []Finding, note string, err error) {
	table, err := state.ReadPeers(ctx, e.host)
	if err != nil {
		return nil, "", err
	}
	if !table.Alive(e.Now) {
		return nil, "nothing was heard: the daemon does not run here", nil
	}
	var heard []string
	for _, p := range table.Peers {
		switch {
		case p.Goodbye:
			found = append(found, warningf("the agent of "+p.Node+" was stopped", "on "+p.Node+": systemctl start rlb-agent; after a teardown: remove it from nodes",
				"%s", p.GoodbyeText()))
			continue
		case !table.Fresh(p.Node, e.Now):
			continue
		case p.Drained:
			found = append(found, warningf(p.Node+" is drained", "rlb-agent undrain on "+p.Node, "%s does not join the virtual router and cannot take over from this host", p.Node))
		}
		heard = append(heard, p.Node)
		if ours := table.Self.Agent; p.Agent != ours {
			found = append(found, warningf(p.Node+" runs another version of rlb-agent", "install the same version on both hosts", "%s runs %s, this host %s", p.Node, p.Agent, ours))
		}
	}
	switch v := table.InSync(e.Now); v.Reason {
	case "SpecDiffers":
		found = append(found, warningf("the specs of the hosts differ", "rlb-agent push, or copy the spec to every node", "%s", v.Message))
	case "PeerSilent":
		if len(found) == 0 || len(table.Self.Nodes) > 1 {
			found = append(found, warningf("no agent of a peer is heard",
				"start rlb-agent there (systemctl enable --now rlb-agent), and let Ethernet frames of type 0x88b5 pass between the hosts", "%s", v.Message))
		}
	}
	if len(heard) > 0 {
		note = fmt.Sprintf("heard %s", strings.Join(heard, ", "))
	}
	return found, note, nil
}

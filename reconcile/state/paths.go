package state

import "rlb.dev/rlb-agent/reconcile/host"

// StatusFile is where the last run leaves its status, for programs that read files.
const StatusFile = host.RunDir + "/status.json"

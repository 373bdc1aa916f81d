package state

import (
	"context"
	"time"

	"rlb.dev/rlb-agent/reconcile/headroom"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/peers"
)

// GuardRecord is what the guard of the local HAProxy reports to keepalived, and why.
type GuardRecord struct {
	Fault   bool              `json:"fault"`            // this host must not hold the virtual IPs
	Reason  string            `json:"reason,omitempty"` // why, in words
	Since   time.Time         `json:"since,omitzero"`   // time of the last change of Fault
	HAProxy host.HAProxyState `json:"haproxy,omitempty"`
	// Conflict says which other host holds the virtual IPs too, and what to check.
	Conflict string `json:"conflict,omitempty"`
	// Claimed says which device answers for a virtual IP without serving it. Nothing is done about it.
	Claimed string `json:"claimed,omitempty"`
}

// DriftRecord counts since the boot how often the host differed from its spec.
type DriftRecord struct {
	Found    int         `json:"found"`    // times that the host differed although the spec was not edited
	Repaired int         `json:"repaired"` // times that the difference was repaired
	Last     *DriftEvent `json:"last,omitempty"`
}

// DriftEvent is one difference of the host from its spec.
type DriftEvent struct {
	Time     time.Time `json:"time"`
	Steps    []string  `json:"steps,omitempty"` // steps of the repair
	Repaired bool      `json:"repaired"`
	By       string    `json:"by,omitempty"`    // the user or program that changed the host, if known
	Error    string    `json:"error,omitempty"` // why it was not repaired
}

// RoleRecord is the role that the daemon saw last, and the cause of the last change.
type RoleRecord struct {
	Role        host.Role `json:"role"`
	Since       time.Time `json:"since,omitzero"`
	Reason      string    `json:"reason,omitempty"` // why it changed, in words
	Transitions int       `json:"transitions"`      // changes seen since the daemon's start
}

// Socket is a unix socket that the daemon made. A socket at the same path with another time is not the daemon's.
type Socket struct {
	Path string    `json:"path"`
	Made time.Time `json:"made"` // modification time of its inode, in UTC
}

// ReadSocket reads the last socket that the daemon made; the zero value if it made none.
func ReadSocket(ctx context.Context, o host.Observer) (Socket, error) {
	return ReadDerived[Socket](ctx, o, SocketFile)
}

// Write writes the record for the next daemon.
func (s Socket) Write(ctx context.Context, h host.Host) error {
	return WriteDerived(ctx, h, SocketFile, s)
}

// ReadGuard reads the guard's record. It is the zero value without a daemon.
func ReadGuard(ctx context.Context, o host.Observer) (GuardRecord, error) {
	return ReadDerived[GuardRecord](ctx, o, GuardFile)
}

// ReadDrift reads the drift since the boot. It is the zero value without a daemon.
func ReadDrift(ctx context.Context, o host.Observer) (DriftRecord, error) {
	return ReadDerived[DriftRecord](ctx, o, DriftFile)
}

// ReadPeers reads the daemon's table of its peers. Without a daemon the table is the zero value or is not alive.
func ReadPeers(ctx context.Context, o host.Observer) (peers.Table, error) {
	return ReadDerived[peers.Table](ctx, o, PeersFile)
}

// ReadHeadroom reads what the daemon measured in the last hour. Without a daemon the record is the zero value or is not
// alive.
func ReadHeadroom(ctx context.Context, o host.Observer) (headroom.Record, error) {
	return ReadDerived[headroom.Record](ctx, o, HeadroomFile)
}

// ReadRole reads the role that the daemon saw last. It is the zero value without a daemon.
func ReadRole(ctx context.Context, o host.Observer) (RoleRecord, error) {
	return ReadDerived[RoleRecord](ctx, o, RoleFile)
}

// Write writes the record for the status.
func (r GuardRecord) Write(ctx context.Context, h host.Host) error {
	return WriteDerived(ctx, h, GuardFile, r)
}

// Write writes the record for the status.
func (r DriftRecord) Write(ctx context.Context, h host.Host) error {
	return WriteDerived(ctx, h, DriftFile, r)
}

// Write writes the record for the status.
func (r RoleRecord) Write(ctx context.Context, h host.Host) error {
	return WriteDerived(ctx, h, RoleFile, r)
}

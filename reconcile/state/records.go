package state

import (
	"context"
	"time"

	"rlb.dev/rlb-agent/reconcile/headroom"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/peers"
)

// GuardRecord is what the guard of the local HAProxy tells keepalived, and why.
type GuardRecord struct {
	Fault   bool              `json:"fault"`            // this host must not hold the virtual IPs
	Reason  string            `json:"reason,omitempty"` // why, in words
	Since   time.Time         `json:"since,omitzero"`   // of the last change of fault
	HAProxy host.HAProxyState `json:"haproxy,omitempty"`
	// Conflict says which other host holds the virtual IPs too, and what to look at.
	Conflict string `json:"conflict,omitempty"`
	// Claimed says which device answers for a virtual IP without serving it. Nothing is done about it.
	Claimed string `json:"claimed,omitempty"`
}

// DriftRecord counts what was found on the host that was not as the spec says, since the boot.
type DriftRecord struct {
	Found    int         `json:"found"`    // times that the host differed without an edit of the spec
	Repaired int         `json:"repaired"` // times that it was brought back
	Last     *DriftEvent `json:"last,omitempty"`
}

// DriftEvent is one time that the host differed.
type DriftEvent struct {
	Time     time.Time `json:"time"`
	Steps    []string  `json:"steps,omitempty"` // what a repair does
	Repaired bool      `json:"repaired"`
	By       string    `json:"by,omitempty"`    // who changed it, where that can be known
	Error    string    `json:"error,omitempty"` // why it was not repaired
}

// RoleRecord is the role as the daemon saw it last, and how it came to it.
type RoleRecord struct {
	Role        host.Role `json:"role"`
	Since       time.Time `json:"since,omitzero"`
	Reason      string    `json:"reason,omitempty"` // why it changed, in words
	Transitions int       `json:"transitions"`      // changes seen since the daemon's start
}

// Socket is a unix socket that the daemon made. Another one that is there later was made at another time.
type Socket struct {
	Path string    `json:"path"`
	Made time.Time `json:"made"` // of its inode, in UTC
}

// ReadSocket is the last socket that the daemon made; the zero value where it made none.
func ReadSocket(ctx context.Context, o host.Observer) (Socket, error) {
	return ReadDerived[Socket](ctx, o, SocketFile)
}

// Write keeps the record for the next daemon.
func (s Socket) Write(ctx context.Context, h host.Host) error {
	return WriteDerived(ctx, h, SocketFile, s)
}

// ReadGuard is what the guard left. Without a daemon it is the zero value.
func ReadGuard(ctx context.Context, o host.Observer) (GuardRecord, error) {
	return ReadDerived[GuardRecord](ctx, o, GuardFile)
}

// ReadDrift is the drift that was seen since the boot. Without a daemon it is the zero value.
func ReadDrift(ctx context.Context, o host.Observer) (DriftRecord, error) {
	return ReadDerived[DriftRecord](ctx, o, DriftFile)
}

// ReadPeers is what the daemon knows of its peers. Without a daemon it is the zero value, or one that is not alive.
func ReadPeers(ctx context.Context, o host.Observer) (peers.Table, error) {
	return ReadDerived[peers.Table](ctx, o, PeersFile)
}

// ReadHeadroom is what the daemon measured in the last hour. Without a daemon it is the zero value, or one that is not
// alive.
func ReadHeadroom(ctx context.Context, o host.Observer) (headroom.Record, error) {
	return ReadDerived[headroom.Record](ctx, o, HeadroomFile)
}

// ReadRole is the role as the daemon saw it last. Without a daemon it is the zero value.
func ReadRole(ctx context.Context, o host.Observer) (RoleRecord, error) {
	return ReadDerived[RoleRecord](ctx, o, RoleFile)
}

// Write leaves the record for the status.
func (r GuardRecord) Write(ctx context.Context, h host.Host) error {
	return WriteDerived(ctx, h, GuardFile, r)
}

// Write leaves the record for the status.
func (r DriftRecord) Write(ctx context.Context, h host.Host) error {
	return WriteDerived(ctx, h, DriftFile, r)
}

// Write leaves the record for the status.
func (r RoleRecord) Write(ctx context.Context, h host.Host) error {
	return WriteDerived(ctx, h, RoleFile, r)
}

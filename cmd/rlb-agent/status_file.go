package main

import (
	"context"
	"sync"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
)

// statusFile is the status that is left for other programs. A run and an event between two runs write it one at a time.
type statusFile struct{ mutex sync.Mutex }

func (f *statusFile) write(ctx context.Context, h host.Host, report reconcile.Report) (reconcile.Status, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return reconcile.WriteStatus(ctx, h, report)
}

// statusFileOf is the status file of one host.
type statusFileOf struct {
	*statusFile
	host host.Host
}

// Follow brings the file up to date after an event between two runs.
func (f statusFileOf) Follow(ctx context.Context, doc *api.Document) (reconcile.Status, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return reconcile.FollowStatus(ctx, f.host, doc)
}

// runObserver is told of the end of each run, and of the status after it.
type runObserver interface {
	RunEnded(reconcile.Status, reconcile.Result)
}

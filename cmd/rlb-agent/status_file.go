package main

import (
	"context"
	"sync"

	"rlb.dev/rlb-agent/api"
	"rlb.dev/rlb-agent/reconcile"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/status"
)

// statusFile is the status that is left for other programs. A run and an event between two runs write it one at a time.
type statusFile struct{ mutex sync.Mutex }

func (f *statusFile) write(ctx context.Context, h host.Host, report status.Report) (status.Status, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return status.Write(ctx, h, report)
}

// statusFileOf is the status file of one host.
type statusFileOf struct {
	*statusFile
	host host.Host
}

// Follow brings the file up to date after an event between two runs.
func (f statusFileOf) Follow(ctx context.Context, doc *api.Document) (status.Status, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return status.Follow(ctx, f.host, doc)
}

// runObserver is told of the end of each run, and of the status after it.
type runObserver interface {
	RunEnded(status.Status, reconcile.Result)
}

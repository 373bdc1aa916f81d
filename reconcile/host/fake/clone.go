package fake

import (
	"bytes"
	"maps"
	"slices"

	"rlb.dev/rlb-agent/api"
)

// Clone returns a copy of the host in the same state, with an empty Log and without injected faults. Fields such as Busy
// and Taken are kept.
func (h *Host) Clone() *Host {
	c := *h
	c.Log, c.fault = nil, fault{}
	c.Net = slices.Clone(h.Net)
	c.Adverts, c.OnLink, c.Detached = slices.Clone(h.Adverts), slices.Clone(h.OnLink), slices.Clone(h.Detached)
	c.Sessions, c.OldSessions = maps.Clone(h.Sessions), maps.Clone(h.OldSessions)
	c.Archive, c.Busy, c.Taken, c.Forbidden = maps.Clone(h.Archive), maps.Clone(h.Busy), maps.Clone(h.Taken), maps.Clone(h.Forbidden)
	c.Answers = maps.Clone(h.Answers)
	c.files, c.manager = maps.Clone(h.files), maps.Clone(h.manager)
	for path, f := range c.files {
		f.Data = bytes.Clone(f.Data)
		c.files[path] = f
	}
	c.packages, c.units, c.tables = map[string]*pkg{}, map[string]*unit{}, map[api.Family]table{}
	for name, p := range h.packages {
		clone := *p
		c.packages[name] = &clone
	}
	for name, u := range h.units {
		clone := *u
		clone.servers = slices.Clone(u.servers)
		c.units[name] = &clone
	}
	for family, t := range h.tables {
		c.tables[family] = t.clone()
	}
	c.kernel = h.kernel.clone()
	return &c
}

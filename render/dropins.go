package render

import (
	"time"

	"rlb.dev/rlb-agent/render/vrrp"
)

// What the agent adds to the units of the packages (systemd.unit(5), drop-ins).
const (
	KeepalivedDropIn = "/etc/systemd/system/keepalived.service.d/rlb.conf"
	HAProxyDropIn    = "/etc/systemd/system/haproxy.service.d/rlb.conf"
)

// KeepalivedTemp is where keepalived writes its state when asked (2.2.7 and newer; 2.1 knows /tmp only). Only root may
// write there, so that nobody else can be in the way. It holds from keepalived's next start on.
const KeepalivedTemp = "/run/rlb/keepalived"

// dropIns are those that the units need.
func (r *renderer) dropIns() (files []File) {
	if f, needed := r.keepalivedDropIn(); needed {
		files = append(files, f)
	}
	if r.tracksFiles() || r.restricts() {
		files = append(files, r.haproxyDropIn())
	}
	return files
}

// keepalivedDropIn renders what Debian's unit of keepalived lacks, if anything.
func (r *renderer) keepalivedDropIn() (File, bool) {
	moved := r.facts.KeepalivedConfig != DefaultKeepalivedConfig
	if !moved && !r.tracksFiles() {
		return File{}, false
	}
	l := newLines()
	l.add("", "[Unit]")
	if moved {
		// the unit starts only if the file at the usual place is not empty, wherever the one in force lies
		l.add("", "ConditionFileNotEmpty=")
		l.add("", "ConditionFileNotEmpty=%s", r.facts.KeepalivedConfig)
	}
	if r.tracksFiles() {
		// A keepalived that was killed leaves the virtual IPs on the interface until it is started again. The start takes
		// them away, so the peer must have them by then: a start too early would leave nobody holding them.
		l.add("", "StartLimitIntervalSec=0")
		l.add("", "")
		l.add("", "[Service]")
		l.add("", "Restart=on-failure")
		l.add("", "RestartSec=%dms", vrrp.TakeoverTime(r.spec).Milliseconds()+restartMargin.Milliseconds())
		l.add("", "RuntimeDirectory=rlb rlb/keepalived") // where the tracked file lies, and what keepalived writes
		l.add("", "RuntimeDirectoryPreserve=yes")
		l.add("", "Environment=TMPDIR=%s", KeepalivedTemp)
	}
	return l.file(KeepalivedDropIn, SystemdUnit), true
}

// restartMargin is for the peer's announcement to be on its way.
const restartMargin = 80 * time.Millisecond

// handoverTime is how long a HAProxy that is to stop serves on: in it the agent hears that it is being stopped, where no
// agent runs keepalived is told by the stop itself, and a peer takes over, so that nobody finds the virtual IPs without a HAProxy. One that died is not waited for.
// Where packets are forwarded to it, handoverStop says how long.
const handoverTime = 100 * time.Millisecond

// haproxyDropIn renders what makes a stop of HAProxy a hand-over: systemd runs ExecStop before it sends any signal
// (systemd.service(5)). And where not everyone may reach it, it starts with the rules that keep the others out: they are
// loaded again before each start, since others may have flushed them.
func (r *renderer) haproxyDropIn() File {
	l := newLines()
	if r.restricts() {
		l.add("", "[Unit]")
		l.add("", "After=%s", FirewallUnit)
		l.add("", "")
	}
	l.add("", "[Service]")
	if r.restricts() {
		r.loadRules(l, "ExecStartPre=+")
	}
	if r.hands() {
		r.handoverStop(l)
	} else if r.tracksFiles() {
		if tell := r.tellFault(false); tell != "" {
			l.add("", "ExecStartPost=-/bin/sh -c '%s'", tell)
		}
		l.add("", "ExecStop=-/bin/sh -c '%ssleep %.1f'", r.tellFault(true), handoverTime.Seconds())
	}
	return l.file(HAProxyDropIn, SystemdUnit)
}

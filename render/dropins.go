package render

import (
	"time"

	"rlb.dev/rlb-agent/render/vrrp"
)

// The agent's drop-ins for the units of the packages (systemd.unit(5)).
const (
	KeepalivedDropIn = "/etc/systemd/system/keepalived.service.d/rlb.conf"
	HAProxyDropIn    = "/etc/systemd/system/haproxy.service.d/rlb.conf"
)

// KeepalivedTemp is the directory to which keepalived writes its state on request (2.2.7 and newer; 2.1 uses /tmp only).
// Only root may write there, so that no other user can block the file. It takes effect at keepalived's next start.
const KeepalivedTemp = "/run/rlb/keepalived"

// dropIns returns the drop-ins that the units need.
func (r *renderer) dropIns() (files []File) {
	if f, needed := r.keepalivedDropIn(); needed {
		files = append(files, f)
	}
	if r.tracksFiles() || r.restricts() {
		files = append(files, r.haproxyDropIn())
	}
	return files
}

// keepalivedDropIn renders the drop-in for Debian's unit of keepalived, if it needs one.
func (r *renderer) keepalivedDropIn() (File, bool) {
	moved := r.facts.KeepalivedConfig != DefaultKeepalivedConfig
	if !moved && !r.tracksFiles() {
		return File{}, false
	}
	l := newLines()
	l.add("", "[Unit]")
	if moved {
		// Debian's unit requires a file at the default path that is not empty, even if keepalived reads another file.
		l.add("", "ConditionFileNotEmpty=")
		l.add("", "ConditionFileNotEmpty=%s", r.facts.KeepalivedConfig)
	}
	if r.tracksFiles() {
		// A keepalived that was killed leaves the virtual IPs on the interface until it is started again. The start
		// removes them. The peer must have them by then: after a start that is too early, no node holds them.
		l.add("", "StartLimitIntervalSec=0")
		l.add("", "")
		l.add("", "[Service]")
		l.add("", "Restart=on-failure")
		l.add("", "RestartSec=%dms", vrrp.TakeoverTime(r.spec).Milliseconds()+restartMargin.Milliseconds())
		l.add("", "RuntimeDirectory=rlb rlb/keepalived") // for FaultFile and KeepalivedTemp
		l.add("", "RuntimeDirectoryPreserve=yes")
		l.add("", "Environment=TMPDIR=%s", KeepalivedTemp)
	}
	return l.file(KeepalivedDropIn, SystemdUnit), true
}

// restartMargin is the time for the peer to announce the virtual IPs.
const restartMargin = 80 * time.Millisecond

// handoverTime is how long a HAProxy that is being stopped still serves. In this time the agent notices the stop (if no
// agent runs, the stop itself writes FaultFile for keepalived), and a peer takes over. The virtual IPs therefore always
// lead to a HAProxy that runs. There is no wait for a HAProxy that died. With forwarding, handoverStop sets the time.
const handoverTime = 100 * time.Millisecond

// haproxyDropIn renders the drop-in that makes a stop of HAProxy a hand-over: systemd runs ExecStop before it sends any
// signal (systemd.service(5)). If only some sources may reach HAProxy, the firewall rules are loaded again before each
// start, because another program may have flushed them.
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

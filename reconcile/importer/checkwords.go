package importer

import (
	"path"
	"regexp"
	"slices"

	"rlb.dev/rlb-agent/api"
)

var isFile = regexp.MustCompile(`^/[A-Za-z0-9/._+@:,=-]+$`)

// checkWords imports how a check verifies the server, and removes the options that the agent writes itself from the other
// options of the servers.
func (m *mapping) checkWords(h *api.HealthCheck, overTLS bool, targets []target) {
	if h.Type == api.CheckHTTPS {
		m.authority(h, targets)
	}
	if m.own {
		return
	}
	for i := range targets {
		t := &targets[i]
		t.extra = slices.DeleteFunc(t.extra, func(o string) bool {
			switch {
			case h.Type == api.CheckHTTPS && !t.has("ssl") && (o == "verify none" || o == "verify required" || o == t.settings["ca-file"].text):
				return true
			case !overTLS && o == "verify none":
				return true
			case h.Host != "" && relative(o) == "check-sni "+h.Host, o == "init-state up":
				return true
			}
			return m.profile == api.Standard && o == "on-marked-down shutdown-sessions"
		})
		if overTLS && h.Type == api.CheckTCP && t.has("check-ssl") { // the check is a TLS handshake
			t.extra = append([]string{"check-ssl"}, t.extra...)
		}
	}
}

// authority imports the CA file for the servers' certificates.
func (m *mapping) authority(h *api.HealthCheck, targets []target) {
	for _, t := range targets {
		o, has := t.settings["ca-file"]
		if !has || t.settings["verify"].value == "none" {
			continue
		}
		file := o.value
		if m.caBase != "" && !path.IsAbs(file) {
			file = path.Join(m.caBase, file)
		}
		switch {
		case !isFile.MatchString(file) || path.Clean(file) != file:
			m.lost(t.line, directive(t.statement)+" ca-file", "healthCheck.caFile is an absolute path of letters, digits and /._+@:,=-")
		case h.CAFile != "" && h.CAFile != file:
			m.lost(t.line, directive(t.statement)+" ca-file", "a service has one health check for all servers")
		default:
			h.CAFile = file
		}
	}
	for _, t := range targets {
		if h.CAFile == "" && t.has("check") && t.settings["verify"].value != "none" {
			m.note(t.line, directive(t.statement)+" verify", "carried over without a verification of the certificate, because it names no ca-file")
			return
		}
	}
}

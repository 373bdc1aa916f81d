package importer

import (
	"slices"
	"strings"

	"rlb.dev/rlb-agent/api"
)

// ownGlobals are the statements that the agent writes into global_defs itself.
var ownGlobals = []string{"enable_script_security", "vrrp_version", "vrrp_skip_check_adv_addr", "vrrp_garp_master_refresh", "vrrp_priority",
	"vrrp_no_swap", "max_auto_priority"}

// globalDefs reports the statements of global_defs that the agent does not write.
func (m *mapping) globalDefs(c configuration, b *block) {
	for _, s := range b.children {
		switch name := s.word(0); {
		case c.ours, slices.Contains(ownGlobals, name), name == "script_user" && s.word(1) == "root":
		case name == "script_user":
			m.lost(s.line, name, "keepalived runs the programs of vrrp.notify as root")
		case strings.HasPrefix(name, "notification_email"), strings.HasPrefix(name, "smtp_"):
			m.lost(s.line, name, "the agent sends no mail; metrics and vrrp.notify tell of a change")
		case name == "router_id", name == "lvs_id":
			m.lost(s.line, name, "it names the host in mails only")
		default:
			m.lost(s.line, name, "global_defs is the agent's own")
		}
	}
}

// reactions imports what the instance tracks, the programs that it runs, and the raw lines.
func (m *mapping) reactions(c configuration, router *block, grouped bool) {
	places := []*block{router}
	for _, b := range c.children {
		if b.word(0) == "vrrp_sync_group" && hasMember(b, router.word(1)) {
			places = append(places, b)
		}
	}
	m.haproxyCheck(c, places)
	if c.ours {
		m.ownNotify(places, grouped)
		m.ownRaw(c, router, grouped)
		return
	}
	for i, place := range places {
		for _, s := range place.children {
			switch {
			case i > 0 && s.word(0) == "group":
			case m.notify(s):
			case i > 0 && !slices.Contains([]string{"track_script", "track_file", "track_interface"}, s.word(0)):
				m.lost(s.line, s.word(0), "the sync group is the agent's own")
			default:
				m.instanceLine(c, s)
			}
		}
	}
}

func hasMember(group *block, name string) bool {
	list := group.find("group")
	return list != nil && slices.ContainsFunc(list.children, func(s *block) bool { return slices.Contains(s.words, name) })
}

// haproxyCheck imports the check of HAProxy from the first tracked script.
func (m *mapping) haproxyCheck(c configuration, places []*block) {
	scripts := map[string]*block{}
	for _, b := range c.children {
		if b.word(0) == "vrrp_script" {
			scripts[b.word(1)] = b
		}
	}
	check := &m.spec.VRRP.Check
	for _, place := range places {
		tracked := place.find("track_script")
		if tracked == nil {
			continue
		}
		for _, s := range tracked.children {
			script := scripts[s.word(0)]
			delete(scripts, s.word(0))
			m.lostWeight(s)
			switch {
			case script == nil:
			case check.Interval == nil:
				m.script(c, script, check)
			default:
				m.lost(script.line, "vrrp_script "+script.word(1), "there is one check, that of haproxy.service")
			}
		}
	}
	if !c.ours && check.Interval == nil {
		m.note(places[0].line, "vrrp_instance "+places[0].word(1), "carried over with a check of haproxy.service, because a load balancer without HAProxy must not hold the virtual IPs")
	}
}

// script imports the times of a script. Missing ones get the defaults of keepalived.
func (m *mapping) script(c configuration, b *block, check *api.Check) {
	check.Interval, check.Rise, check.Fall = ms(1000), new(1), new(1)
	for _, s := range b.children {
		switch s.word(0) {
		case "interval":
			check.Interval = m.seconds(s)
		case "rise":
			check.Rise = m.blockNumber(s, 1, 1000)
		case "fall":
			check.Fall = m.blockNumber(s, 1, 1000)
		case "script":
			if command := strings.Join(s.words[1:], " "); !c.ours && !asksHAProxy(command) {
				m.lost(s.line, "script", "there is one check, whether haproxy.service is active; its times are carried over")
			}
		case "weight":
			m.lostWeight(s)
		case "user", "init_fail":
		default:
			m.lost(s.line, s.word(0), "vrrp.check has interval, rise and fall")
		}
	}
}

// lostWeight reports a weight, by which a failure changes the priority.
func (m *mapping) lostWeight(s *block) {
	if at := slices.Index(s.words, "weight") + 1; at > 0 && at < len(s.words) && s.words[at] != "0" {
		m.lost(s.line, "weight", "keepalived enters FAULT at a failure and gives up the virtual IPs, whatever the priority")
	}
}

// asksHAProxy says whether a command checks whether HAProxy runs, as the agent's own check does.
func asksHAProxy(command string) bool {
	words := strings.Fields(command)
	return strings.Contains(command, "haproxy") && len(words) > 1 &&
		slices.ContainsFunc([]string{"killall", "pidof", "pgrep", "systemctl", "pkill"}, func(program string) bool {
			return words[0] == program || strings.HasSuffix(words[0], "/"+program)
		})
}

// notify imports a program that keepalived runs on a change of the role. It returns false for other statements.
func (m *mapping) notify(s *block) bool {
	n := &m.spec.VRRP.Notify
	field := map[string]*api.Command{"notify_master": &n.Master, "notify_backup": &n.Backup, "notify_fault": &n.Fault, "notify_stop": &n.Stop}[s.word(0)]
	if field == nil {
		return false
	}
	words := strings.Fields(s.word(1))
	if slices.ContainsFunc(words, func(word string) bool { return !isArgument(word) }) || len(words) == 0 || len(words) > 20 || !strings.HasPrefix(words[0], "/") || len(s.words) > 2 && s.word(2) != "root" {
		m.lost(s.line, s.word(0), "vrrp.notify takes the absolute path of a program that runs as root, and arguments of letters, digits and /._+@:,=%%-")
		return true
	}
	if *field == nil {
		*field = words
	}
	return true
}

func isArgument(word string) bool {
	return len(word) <= 1024 && !strings.ContainsFunc(word, func(c rune) bool {
		return c > 0x7e || !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.ContainsRune("/._+@:,=%-", c))
	})
}

// instanceLine keeps a statement of an instance as a raw line if the spec has no field for it, or reports it.
func (m *mapping) instanceLine(c configuration, s *block) {
	name := s.word(0)
	_, mapped := api.FieldFor(name)
	switch {
	case mapped, name == "track_script", name == "virtual_ipaddress_excluded":
	case name == "authentication":
		m.authentication(c, s)
	case name == "track_interface":
		m.trackInterface(s)
	case name == "track_file", name == "track_process", name == "vrrp_track_process":
		m.lost(s.line, name, "the spec has no files or processes that are tracked")
	case name == "smtp_alert", name == "lvs_sync_daemon_interface", name == "lvs_sync_daemon_inteface":
		m.lost(s.line, name, "the agent sends no mail, and HAProxy balances in place of the kernel's IPVS")
	case strings.HasPrefix(name, "@"), strings.ContainsAny(strings.Join(s.words, " "), "$~"):
		m.lost(s.line, name, "it depends on conditions or variables of keepalived")
	default:
		m.rawBlock(c, s)
	}
}

// passwordSize is how much of a password VRRP version 2 sends, in bytes (RFC 2338 §5.3.10). keepalived -t refuses a longer one.
const passwordSize = 8

// authentication keeps the password of version 2 as raw lines. Without the password keepalived would drop the advertisements of
// the other load balancers.
func (m *mapping) authentication(c configuration, s *block) {
	v := &m.spec.VRRP
	isIPv6 := func(vip api.VirtualIP) bool { return api.FamilyOf(vip.Addr()) == api.IPv6 }
	if v.Version == nil || *v.Version != 2 || slices.ContainsFunc(m.spec.VirtualIPs, isIPv6) {
		m.lost(s.line, s.word(0), "VRRP version 3 has none; load balancers with and without one do not hear each other, so that all must change together")
		return
	}
	begin := len(v.ExtraInstance)
	m.rawBlock(c, s)
	m.note(s.line, s.word(0), "carried over to vrrp.extraInstance; VRRP version 2 sends the password in clear text")
	if p := s.find("auth_pass"); p != nil && len(p.word(1)) > passwordSize {
		for i, line := range v.ExtraInstance[begin:] {
			v.ExtraInstance[begin+i] = strings.Replace(line, p.word(1), strings.ToValidUTF8(p.word(1)[:passwordSize], ""), 1)
		}
	}
}

// trackInterface keeps the tracked interfaces without virtual IPs as raw lines. The loss of one with virtual IPs is a fault
// anyway.
func (m *mapping) trackInterface(s *block) {
	var others []string
	for _, i := range s.children {
		name, line := i.word(0), strings.Join(i.words, " ")
		switch {
		case name == m.spec.VRRP.Interface, slices.ContainsFunc(m.spec.VirtualIPs, func(v api.VirtualIP) bool { return v.Interface == name }):
			m.lostWeight(i)
		case !isRawLine(line):
			m.lost(i.line, s.word(0), "it holds control characters, or is not UTF-8")
		default:
			others = append(others, line)
		}
	}
	if len(others) > 0 {
		m.spec.VRRP.ExtraInstance = slices.Concat(m.spec.VRRP.ExtraInstance, []string{"track_interface {"}, others, []string{"}"})
	}
}

// rawBlock keeps the lines of a statement as raw lines of the instance.
func (m *mapping) rawBlock(c configuration, s *block) {
	for number := s.line; number <= s.last && number <= len(c.lines); number++ {
		line := strings.TrimSpace(c.lines[number-1])
		if !isRawLine(line) {
			m.lost(number, s.word(0), "it holds control characters, or is not UTF-8")
			continue
		}
		m.spec.VRRP.ExtraInstance = append(m.spec.VRRP.ExtraInstance, line)
	}
}

// ownNotify imports the programs of a rendered file: those of the sync group if there is one, else those of the instance.
func (m *mapping) ownNotify(places []*block, grouped bool) {
	if grouped && len(places) > 1 {
		places = places[1:]
	}
	for _, s := range places[0].children {
		m.notify(s)
	}
}

// ownRaw imports the raw lines of a rendered instance: all lines after the generated ones.
func (m *mapping) ownRaw(c configuration, router *block, grouped bool) {
	end := router.line
	for _, s := range router.children {
		name := s.word(0)
		_, generated := api.FieldFor(name)
		if !grouped {
			generated = generated || name == "track_script" && s.find(checkScript) != nil || name == "track_file" && s.find("rlb-fault") != nil ||
				name == "track_interface" && slices.ContainsFunc(m.spec.VirtualIPs, func(v api.VirtualIP) bool { return v.Interface != "" && s.find(v.Interface) != nil })
		}
		if !generated {
			break
		}
		end = s.last
	}
	for number := end + 1; number <= len(c.lines) && c.lines[number-1] != "}"; number++ { // the closing brace of the instance is not indented
		line := strings.TrimPrefix(c.lines[number-1], "    ")
		if isRawLine(line) {
			m.spec.VRRP.ExtraInstance = append(m.spec.VRRP.ExtraInstance, line)
		}
	}
}

// checkScript is the name of the agent's own vrrp_script.
const checkScript = "chk_haproxy"

// otherBlocks reports tracked files, and sync groups without an imported virtual router.
func (m *mapping) otherBlocks(c configuration, router *block) {
	for _, b := range c.children {
		switch {
		case c.ours:
		case b.word(0) == "vrrp_sync_group" && (router == nil || !hasMember(b, router.word(1))):
			m.lost(b.line, "vrrp_sync_group "+b.word(1), "it has no virtual router that is carried over")
		case b.word(0) == "track_file", b.word(0) == "vrrp_track_file":
			m.lost(b.line, b.word(0), "the spec has no files that are tracked")
		}
	}
}

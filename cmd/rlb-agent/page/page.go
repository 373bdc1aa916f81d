// Package page renders the status page for people: one host and its peers. It is pure: a View in, HTML out.
//
// All text of a View is untrusted: the journal, HAProxy's checks and the peers' agents can hold anything. It is cut to
// a bounded length, freed of unprintable characters, and escaped (by gomponents; html/template would make the linker
// keep every method of every type, 2.7 MB more). No text of a View becomes an attribute that a browser executes or
// follows.
//
// The page is complete without its script. The script replaces the parts that have changed, and keeps ages up to date.
package page

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed" // the style and the script
	"encoding/hex"
	"strconv"
	"time"

	g "maragu.dev/gomponents"

	"rlb.dev/rlb-agent/reconcile/events"
	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/status"
)

// View is what a page shows.
type View struct {
	Status  status.Status
	Events  []events.Event // oldest first
	NoStory string         // why there are no events, or ""
	Changes []Change       // of specs that wait
}

// Change is a spec that is not in force for good.
type Change struct {
	Title string // "the spec in force → generation 5"
	Diff  string // unified; "" where Note says why there is none
	Note  string
}

// Style and Script are served at StylePath and ScriptPath.
var (
	//go:embed page.css
	Style []byte
	//go:embed page.js
	Script []byte
)

// Paths that the page requests.
const (
	StylePath  = "/page.css"
	ScriptPath = "/page.js"
	StreamPath = "/stream" // server-sent events: "version" with the version of the page, "alive" every few seconds
)

// Policy is the Content-Security-Policy of the page: it loads nothing from other sites, runs no inline script, has no
// inline style, sends nothing, cannot be framed, and its script cannot turn text into elements (Trusted Types).
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " +
	"form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// Level is how urgently a host needs attention.
type Level string

// The levels.
const (
	Well      Level = "good" // green
	Attention Level = "warn" // amber: it serves, but needs attention
	Broken    Level = "bad"  // red: clients are not served properly, or it is not known whether they are
)

// LevelOf returns the level of a status.
func LevelOf(s status.Status, now time.Time) Level {
	_, mood := status.Verdict(s, now)
	part := s.Role == host.RoleMaster || s.Role == host.RoleBackup // in the virtual router
	out := s.Drained && !part
	switch {
	case mood == status.Good && part && !s.Drained:
		return Well
	case out || part && s.Is("Serving"):
		return Attention
	}
	return Broken
}

// HTML returns the page, and a version that changes whenever its content changes.
func HTML(v View, now time.Time) (html []byte, version string) {
	var body, all bytes.Buffer
	s := v.Status
	level := LevelOf(s, now)
	name := short(cmp.Or(s.Node, s.Host, "rlb-agent"), maxName)
	title := words[level].mark + " " + name + " " + string(s.Role)
	// a bytes.Buffer never fails
	_ = g.Group{header(s, name), main(v, level, now), footer(s)}.Render(&body)
	sum := sha256.Sum256(append([]byte(title), body.Bytes()...))
	version = hex.EncodeToString(sum[:8])
	_ = g.Group{
		g.Raw("<!doctype html>"),
		tag("html", attr("lang", "en"),
			tag("head",
				tag("meta", attr("charset", "utf-8")),
				tag("meta", attr("name", "viewport"), attr("content", "width=device-width, initial-scale=1")),
				tag("meta", attr("name", "color-scheme"), attr("content", "light dark")),
				tag("title", plain(title)),
				tag("link", attr("rel", "icon"), attr("href", iconPath(level)), attr("type", "image/svg+xml")),
				tag("link", attr("rel", "stylesheet"), attr("href", StylePath)),
				tag("script", attr("src", ScriptPath), attr("defer")),
				tag("noscript", tag("meta", attr("http-equiv", "refresh"), attr("content", "5"))),
			),
			tag("body", attr("data-version", version), attr("data-now", strconv.FormatInt(now.UnixMilli(), 10)), g.Raw(body.String())),
		),
	}.Render(&all)
	return all.Bytes(), version
}

func iconPath(l Level) string { return "/icon-" + string(l) + ".svg" }

// Icon returns the tab icon at a path.
func Icon(path string) (svg []byte, ok bool) {
	for _, l := range []Level{Well, Attention, Broken} {
		if iconPath(l) == path {
			return []byte(icons[l]), true
		}
	}
	return nil, false
}

// icons differ in shape too, not only in color.
var icons = map[Level]string{
	Well:      `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="8" fill="#0b7a3b"/><path d="M4 8.5l3 3 5-6" fill="none" stroke="#fff" stroke-width="2"/></svg>`,
	Attention: `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path d="M8 0l8 15H0z" fill="#b36b00"/><path d="M8 5v5m0 1.500v2" stroke="#fff" stroke-width="2"/></svg>`,
	Broken:    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path d="M5 0h6l5 5v6l-5 5H5l-5-5V5z" fill="#b3261e"/><path d="M5 5l6 6m0-6l-6 6" stroke="#fff" stroke-width="2"/></svg>`,
}

// words names each level; mark begins the tab's title.
var words = map[Level]struct{ word, mark string }{
	Well: {"All is well", "✓"}, Attention: {"Needs attention", "!"}, Broken: {"Not serving", "✕"},
}

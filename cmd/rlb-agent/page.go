package main

import (
	"bytes"
	"context"
	"fmt"
	"html"
	"strings"
	"time"

	"rlb.dev/rlb-agent/cmd/rlb-agent/httpd"
	"rlb.dev/rlb-agent/reconcile/status"
)

// metricsPage is what metrics.address shows.
func (e *endpoints) metricsPage(ctx context.Context, path string) (httpd.Page, bool) {
	switch path {
	case "/metrics":
		return httpd.Page{Type: expositionType, Body: e.expose(ctx, true)}, true
	case "/":
		return httpd.Page{Type: "text/html; charset=utf-8", Body: []byte("<!DOCTYPE html><title>rlb-agent</title><a href=\"/metrics\">metrics</a>\n")}, true
	}
	return httpd.Page{}, false
}

// webPage is what web.address shows.
func (e *endpoints) webPage(ctx context.Context, path string) (httpd.Page, bool) {
	switch path {
	case "/":
		return httpd.Page{Type: "text/html; charset=utf-8", Body: statusHTML(e.now(ctx), time.Now())}, true
	case "/status.json":
		var b bytes.Buffer
		if err := statusJSON(&b, e.now(ctx)); err != nil {
			return httpd.Page{Code: 503, Type: "text/plain; charset=utf-8", Body: []byte(err.Error() + "\n")}, true
		}
		return httpd.Page{Type: "application/json", Body: b.Bytes()}, true
	}
	return e.metricsPage(ctx, path)
}

const pageHead = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="2">
<title>%s</title>
<style>
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70em; margin: 1.5em auto; padding: 0 1em }
table { border-collapse: collapse; width: 100%% }
th { text-align: left; font-weight: 600; white-space: pre; vertical-align: top; padding-right: 1.5em }
td { vertical-align: top; padding-right: 1.5em }
td.cell { white-space: nowrap; font-variant-numeric: tabular-nums }
td.text { width: 100%%; overflow-wrap: anywhere }
tr.bad td { color: #c22 }
tr.good td.cell:last-of-type { color: inherit }
footer { margin-top: 1.5em; opacity: .6 }
</style>
</head>
<body>
<h1>%s</h1>
<table>
`

// statusHTML is the status as a page that asks for itself again every other second.
func statusHTML(s status.Status, now time.Time) []byte {
	title := html.EscapeString(strings.TrimSpace(join(" ", s.Node, string(s.Role))))
	if title == "" {
		title = "rlb-agent"
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, pageHead, title, title)
	for _, r := range statusRows(s, now) {
		fmt.Fprintf(&b, "<tr class=\"%s\"><th scope=\"row\">%s</th>", r.mood, html.EscapeString(r.label))
		for _, cell := range r.cells {
			fmt.Fprintf(&b, "<td class=\"cell\">%s</td>", html.EscapeString(cell))
		}
		fmt.Fprintf(&b, "<td class=\"text\" colspan=\"%d\">%s</td></tr>\n", maxCells+1-len(r.cells), html.EscapeString(r.text))
	}
	b.WriteString("</table>\n<footer><a href=\"/status.json\">status.json</a> · <a href=\"/metrics\">metrics</a></footer>\n</body>\n</html>\n")
	return b.Bytes()
}

// maxCells is the largest number of cells that a row has.
const maxCells = 2

package export

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"strings"
	"time"

	"rlb.dev/rlb-agent/reconcile/status"
)

const (
	typeHTML = "text/html; charset=utf-8"
	typeJSON = "application/json"
	typeText = "text/plain; charset=utf-8"
)

// answer is what a client gets.
type answer struct {
	code int
	kind string // its Content-Type
	body []byte
}

// pages are the answers at one address by the path, without its query. ok is false where there is no page.
type pages func(ctx context.Context, path string) (a answer, ok bool)

// metricsPages are what metrics.address shows.
func (e *Exporter) metricsPages(ctx context.Context, path string) (answer, bool) {
	switch path {
	case "/metrics":
		return answer{http.StatusOK, expositionType, e.expose(ctx, true)}, true
	case "/":
		return answer{http.StatusOK, typeHTML, []byte("<!DOCTYPE html><title>rlb-agent</title><a href=\"/metrics\">metrics</a>\n")}, true
	}
	return answer{}, false
}

// webPages are what web.address shows.
func (e *Exporter) webPages(ctx context.Context, path string) (answer, bool) {
	switch path {
	case "/":
		return answer{http.StatusOK, typeHTML, statusHTML(e.now(ctx), time.Now())}, true
	case "/status.json":
		data, err := json.MarshalIndent(e.now(ctx), "", "  ")
		if err != nil {
			return textAnswer(http.StatusInternalServerError, "cannot write the status: "+err.Error()), true
		}
		return answer{http.StatusOK, typeJSON, append(data, '\n')}, true
	}
	return e.metricsPages(ctx, path)
}

// textAnswer is a page of one line.
func textAnswer(code int, text string) answer { return answer{code, typeText, []byte(text + "\n")} }

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
	title := html.EscapeString(strings.TrimSpace(s.Node + " " + string(s.Role)))
	if title == "" {
		title = "rlb-agent"
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, pageHead, title, title)
	for _, r := range status.Rows(s, now) {
		fmt.Fprintf(&b, "<tr class=\"%s\"><th scope=\"row\">%s</th>", r.Mood, html.EscapeString(r.Label))
		for _, cell := range r.Cells {
			fmt.Fprintf(&b, "<td class=\"cell\">%s</td>", html.EscapeString(cell))
		}
		fmt.Fprintf(&b, "<td class=\"text\" colspan=\"%d\">%s</td></tr>\n", status.MaxCells+1-len(r.Cells), html.EscapeString(r.Text))
	}
	b.WriteString("</table>\n<footer><a href=\"/status.json\">status.json</a> · <a href=\"/metrics\">metrics</a></footer>\n</body>\n</html>\n")
	return b.Bytes()
}

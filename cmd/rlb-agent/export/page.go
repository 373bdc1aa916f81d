package export

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"rlb.dev/rlb-agent/cmd/rlb-agent/page"
)

const (
	typeHTML  = "text/html; charset=utf-8"
	typeJSON  = "application/json"
	typeText  = "text/plain; charset=utf-8"
	typeStyle = "text/css; charset=utf-8"
	typeJS    = "text/javascript; charset=utf-8"
	typeSVG   = "image/svg+xml"
)

// answer is an HTTP answer.
type answer struct {
	code   int
	kind   string // Content-Type
	body   []byte
	stream bool // instead of the body: server-sent events until the client disconnects
}

// pages returns the answer for a path without its query. ok is false if there is no such page.
type pages func(ctx context.Context, path string) (a answer, ok bool)

// metricsPages serves metrics.address.
func (e *Exporter) metricsPages(ctx context.Context, path string) (answer, bool) {
	switch path {
	case "/metrics":
		return answer{code: http.StatusOK, kind: expositionType, body: e.expose(ctx, true)}, true
	case "/":
		return answer{code: http.StatusOK, kind: typeHTML, body: []byte("<!DOCTYPE html><title>rlb-agent</title><a href=\"/metrics\">metrics</a>\n")}, true
	}
	return answer{}, false
}

// webPages serves web.address.
func (e *Exporter) webPages(ctx context.Context, path string) (answer, bool) {
	switch path {
	case "/":
		e.story.read(e.Story, e.watchers.poke, storyWait)
		html, _ := page.HTML(e.view(ctx), time.Now())
		return answer{code: http.StatusOK, kind: typeHTML, body: html}, true
	case page.StylePath:
		return answer{code: http.StatusOK, kind: typeStyle, body: page.Style}, true
	case page.ScriptPath:
		return answer{code: http.StatusOK, kind: typeJS, body: page.Script}, true
	case page.StreamPath:
		return answer{code: http.StatusOK, stream: true}, true
	case "/status.json":
		data, err := json.MarshalIndent(e.now(ctx), "", "  ")
		if err != nil {
			return textAnswer(http.StatusInternalServerError, "cannot write the status: "+err.Error()), true
		}
		return answer{code: http.StatusOK, kind: typeJSON, body: append(data, '\n')}, true
	}
	if icon, ok := page.Icon(path); ok {
		return answer{code: http.StatusOK, kind: typeSVG, body: icon}, true
	}
	return e.metricsPages(ctx, path)
}

// textAnswer is an answer of one line.
func textAnswer(code int, text string) answer {
	return answer{code: code, kind: typeText, body: []byte(text + "\n")}
}

// view returns what the page shows now.
func (e *Exporter) view(ctx context.Context) page.View {
	v := page.View{Status: e.now(ctx)}
	v.Events, v.NoStory = e.story.get()
	v.Changes = e.changes.of(ctx, e.Config, v.Status)
	return v
}

// Command browser shows a page in a real Chromium, controlled by a test in another process: it reads commands from
// standard input and answers each with one line of JSON. It is a module of its own, because a browser's protocol is
// large and nothing else here needs it. It must run in the network namespace of the page: the browser runs there too.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Command is what to do.
type Command struct {
	Do     string // wait, eval, shot, tree or troubles
	Text   string // of wait: an expression that becomes true; of eval: any expression; of shot: the file
	Within time.Duration
	Width  int64
	Height int64
	Dark   bool
}

// Answer is the result of a command.
type Answer struct {
	Error string
	Value any
}

// Node is one element of the accessibility tree, which a screen reader reads.
type Node struct{ Role, Name string }

func main() {
	at := flag.String("url", "", "the page to open")
	flag.Parse()
	if err := run(*at); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(at string) error {
	dir, err := os.MkdirTemp("", "browser-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(dir),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-domain-reliability", true),
		chromedp.Flag("hide-scrollbars", true), chromedp.Env("HOME="+dir))
	ctx, stop := chromedp.NewExecAllocator(context.Background(), options...)
	defer stop()
	b := &browser{at: at}
	ctx, cancel := chromedp.NewContext(ctx, chromedp.WithListener(b.hear))
	defer cancel()
	if err := chromedp.Do(ctx, enable, chromedp.Navigate(at)); err != nil {
		return fmt.Errorf("cannot open %s: %w", at, err)
	}
	answers := json.NewEncoder(os.Stdout)
	_ = answers.Encode(Answer{Value: "open"})
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var c Command
		var a Answer
		err := json.Unmarshal(lines.Bytes(), &c)
		if err == nil {
			a.Value, err = b.do(ctx, c)
		}
		if err != nil {
			a.Error = err.Error()
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
	return nil
}

func enable(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
	_, err := cdp.Call(ctx, t, log.Enable, cdp.Empty{})
	if err == nil {
		_, err = cdp.Call(ctx, t, network.Enable, network.EnableParams{})
	}
	return chromedp.Void{}, err
}

type browser struct {
	at       string
	mutex    sync.Mutex
	troubles []string
}

// hear records what a page must not do: log an error, violate its policy, throw, or send a request to another site.
func (b *browser) hear(event any) {
	text := ""
	switch e := event.(type) {
	case *log.EventEntryAdded:
		text = fmt.Sprintf("log: %s %s: %s %s", e.Entry.Level, e.Entry.Source, e.Entry.Text, e.Entry.URL)
	case *runtime.EventConsoleAPICalled:
		text = fmt.Sprintf("console: %s", e.Type)
	case *runtime.EventExceptionThrown:
		text = fmt.Sprintf("exception: %s", e.ExceptionDetails.Text)
	case *network.EventRequestWillBeSent:
		own, _ := url.Parse(b.at)
		if asked, err := url.Parse(e.Request.URL); err != nil || asked.Host != own.Host {
			text = "request: " + e.Request.URL
		}
	}
	if text != "" {
		b.mutex.Lock()
		b.troubles = append(b.troubles, text)
		b.mutex.Unlock()
	}
}

func (b *browser) do(ctx context.Context, c Command) (any, error) {
	switch c.Do {
	case "wait":
		for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
			if ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](c.Text)); err != nil || ok {
				return time.Since(began), err
			}
			if time.Since(began) > c.Within {
				seen, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText"))
				return nil, fmt.Errorf("not within %v: %s; the page says %q", c.Within, c.Text, seen)
			}
		}
	case "eval":
		return chromedp.Run(ctx, chromedp.Evaluate[any](c.Text))
	case "shot":
		return nil, shot(ctx, c)
	case "tree":
		return tree(ctx)
	case "troubles":
		b.mutex.Lock()
		defer b.mutex.Unlock()
		return slices.Clone(b.troubles), nil
	}
	return nil, fmt.Errorf("cannot %q", c.Do)
}

// shot saves a picture of the page; without a height, of the whole page.
func shot(ctx context.Context, c Command) error {
	scheme := map[bool]string{false: "light", true: "dark"}[c.Dark]
	media := func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
		})
		return chromedp.Void{}, err
	}
	height := c.Height
	if height == 0 {
		height = 800
	}
	if err := chromedp.Do(ctx, media, chromedp.EmulateViewport(c.Width, height)); err != nil {
		return err
	}
	take := chromedp.CaptureScreenshot()
	if c.Height == 0 {
		take = chromedp.FullScreenshot(100)
	}
	picture, err := chromedp.Run(ctx, take)
	if err != nil {
		return err
	}
	return os.WriteFile(c.Text, picture, 0o644)
}

// tree returns the page's accessibility tree, which a screen reader announces.
func tree(ctx context.Context) (all []Node, err error) {
	result, err := chromedp.Run(ctx, func(ctx context.Context, t *chromedp.Target) (accessibility.GetFullAXTreeResult, error) {
		result, err := cdp.Call(ctx, t, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
		if err != nil {
			return accessibility.GetFullAXTreeResult{}, err
		}
		return result, nil
	})
	if err != nil {
		return nil, err
	}
	for _, n := range result.Nodes {
		if !n.Ignored {
			all = append(all, Node{value(n.Role), value(n.Name)})
		}
	}
	return all, nil
}

func value(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	var text string
	if json.Unmarshal(v.Value, &text) != nil {
		return strings.TrimSpace(string(v.Value))
	}
	return text
}

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// A Browser is a real Chromium on a laptop with one open page (hack/browser).
type Browser struct {
	world   *World
	say     *json.Encoder
	answers *json.Decoder
}

// browserBinary is the program that controls Chromium: the value of this variable, else built for the test.
var browserBinary = os.Getenv("RLB_BROWSER")

// Open opens a page in a browser on the laptop. The browser ends with the test.
func (l *Laptop) Open(url string) *Browser {
	w := l.World
	w.Helper()
	program := browserBinary
	if program == "" {
		program = filepath.Join(l.Dir, "browser")
		if out, err := exec.CommandContext(w.Context(), "go", "build", "-C", "../../browser", "-o", program, ".").CombinedOutput(); err != nil {
			w.Fatalf("%v\n%s", err, out)
		}
	}
	// The test's context ends before the cleanup, and a killed browser would leave its files.
	cmd := l.Command(context.WithoutCancel(w.Context()), program, "-url", url)
	in, err := cmd.StdinPipe()
	if err != nil {
		w.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.Fatal(err)
	}
	cmd.Stderr = w.Output()
	if err := cmd.Start(); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	b := &Browser{w, json.NewEncoder(in), json.NewDecoder(bufio.NewReader(out))}
	b.answer("open "+url, nil)
	return b
}

// command is a command of hack/browser.
type command struct {
	Do            string
	Text          string
	Within        time.Duration `json:",omitempty"`
	Width, Height int
	Dark          bool
}

// ask sends a command, and reads its answer.
func (b *Browser) ask(c command, value any) {
	b.world.Helper()
	if err := b.say.Encode(c); err != nil {
		b.world.Fatal(err)
	}
	b.answer(c.Do+" "+c.Text, value)
}

func (b *Browser) answer(to string, value any) {
	b.world.Helper()
	var a struct {
		Error string
		Value json.RawMessage
	}
	switch err := b.answers.Decode(&a); {
	case err == io.EOF:
		b.world.Fatalf("%s: the browser has ended", to)
	case err != nil:
		b.world.Fatal(err)
	case a.Error != "":
		b.world.Fatalf("%s: %s", to, a.Error)
	}
	if value != nil {
		if err := json.Unmarshal(a.Value, value); err != nil {
			b.world.Fatalf("%s: %v: %s", to, err, a.Value)
		}
	}
}

// Wait waits until an expression is true on the page, and returns how long that took.
func (b *Browser) Wait(expression string, within time.Duration) (took time.Duration) {
	b.world.Helper()
	b.ask(command{Do: "wait", Text: expression, Within: within}, &took)
	return took
}

// Eval evaluates an expression on the page into value.
func (b *Browser) Eval(expression string, value any) {
	b.world.Helper()
	b.ask(command{Do: "eval", Text: expression}, value)
}

// Shot saves a picture of the page with this width; height 0 means the whole page.
func (b *Browser) Shot(file string, width, height int, dark bool) {
	b.world.Helper()
	b.ask(command{Do: "shot", Text: file, Width: width, Height: height, Dark: dark}, nil)
}

// Told is what a screen reader announces for one element.
type Told struct{ Role, Name string }

// Tree returns what a screen reader announces for the page.
func (b *Browser) Tree() (all []Told) {
	b.world.Helper()
	b.ask(command{Do: "tree"}, &all)
	return all
}

// Troubles returns errors and messages of the page's console, violations of its policy, and requests to other
// sites.
func (b *Browser) Troubles() (all []string) {
	b.world.Helper()
	b.ask(command{Do: "troubles"}, &all)
	return all
}

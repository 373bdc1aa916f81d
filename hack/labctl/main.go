// Command labctl brings up the lab of real hosts for interactive use: a pair of hosts, three control planes and a
// client.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"rlb.dev/rlb-agent/hack/lab"
)

const usage = `usage: labctl COMMAND

  cache [RELEASE…]            build the trees of the releases (bullseye bookworm trixie) if they are not there
  up [-release R] [-release2 R] [-installed]
                              bring the lab up and keep it until Ctrl-C: hosts lb1 and lb2 (198.51.100.11 and .12),
                              control planes cp1, cp2 and cp3 (.21 to .23), and a client (.50)
  sweep                       remove what a killed lab left

while the lab is up, from another terminal:

  status                      what is there and how it is
  enter HOST [COMMAND…]       a shell, or one command, on a host
  push HOST FILE PATH         copy a file into a host
  crash|start|shutdown|reboot|cut|restore HOST
  partition | heal            drop all frames between lb1 and lb2; stop that
  cp NAME MODE                ok, fail[=CODE], unauthorized, hang, refuse or slow=DURATION
  get TARGET                  ask once, such as 198.51.100.100:9000, and show who answered
  probe TARGET [DURATION]     ask every 5 ms and sum up (10s if no duration is given)
`

func main() {
	log.SetFlags(log.Ltime)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := dispatch(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "labctl:", err)
		stop()
		os.Exit(1)
	}
}

func dispatch(ctx context.Context, args []string) error {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	switch args[0] {
	case "cache":
		return cache(ctx, args[1:])
	case "up":
		return up(ctx, args[1:])
	case "sweep":
		return lab.Sweep()
	case "enter":
		return enter(ctx, args[1:])
	case "help", "-h", "--help":
		fmt.Print(usage)
		return nil
	default:
		return ask(ctx, args, os.Stdout)
	}
}

func cache(ctx context.Context, names []string) error {
	var releases []lab.Release
	for _, name := range names {
		r, err := lab.ParseRelease(name)
		if err != nil {
			return err
		}
		releases = append(releases, r)
	}
	return lab.EnsureCaches(ctx, lab.Options{Log: log.Printf}, releases...)
}

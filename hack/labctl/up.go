package main

import (
	"context"
	"errors"
	"flag"
	"log"

	"rlb.dev/rlb-agent/hack/lab"
)

// A stage is the lab that labctl brings up.
type stage struct {
	*lab.Stage
	hosts []*lab.Host
}

// up runs the lab until ctx ends.
func up(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	first := flags.String("release", "bookworm", "Debian of both hosts")
	second := flags.String("release2", "", "Debian of lb2, if it is another")
	installed := flags.Bool("installed", false, "begin with haproxy and keepalived installed")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *second == "" {
		*second = *first
	}
	one, err := lab.ParseRelease(*first)
	other, oerr := lab.ParseRelease(*second)
	if err := errors.Join(err, oerr); err != nil {
		return err
	}
	s, err := lab.NewStage(ctx, lab.Options{Log: log.Printf}, 3)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	hosts, err := s.AddHosts(ctx, lab.HostOptions{Installed: *installed}, one, other)
	if err != nil {
		return err
	}
	log.Print("the lab is up; Ctrl-C ends it")
	return serve(ctx, &stage{s, hosts})
}

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/netip"

	"rlb.dev/rlb-agent/hack/lab"
)

// A stage is the lab that labctl brings up.
type stage struct {
	lab    *lab.Lab
	hosts  [2]*lab.Host
	cps    []*lab.ControlPlane
	client *lab.Client
}

// up keeps the lab until ctx ends.
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
	var releases [2]lab.Release
	for i, name := range []string{*first, *second} {
		if releases[i], err = lab.ParseRelease(name); err != nil {
			return err
		}
	}
	l, err := lab.New(ctx, lab.Options{Log: log.Printf})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	s, err := build(ctx, l, releases, *installed)
	if err != nil {
		return err
	}
	log.Print("the lab is up; Ctrl-C ends it")
	return serve(ctx, s)
}

func address(last int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(last)}), 24)
}

func build(ctx context.Context, l *lab.Lab, releases [2]lab.Release, installed bool) (*stage, error) {
	s := &stage{lab: l}
	errs := make(chan error)
	for i, r := range releases {
		go func() {
			var err error
			s.hosts[i], err = l.AddHost(ctx, fmt.Sprintf("lb%d", i+1), r, lab.HostOptions{Addr: address(11 + i), Installed: installed})
			errs <- err
		}()
	}
	err := errors.Join(<-errs, <-errs)
	for i := 1; i <= 3 && err == nil; i++ {
		var cp *lab.ControlPlane
		cp, err = l.AddControlPlane(ctx, fmt.Sprintf("cp%d", i), address(20+i))
		s.cps = append(s.cps, cp)
	}
	if err == nil {
		s.client, err = l.AddClient(ctx, "client", address(50))
	}
	return s, err
}

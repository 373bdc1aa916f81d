package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Main runs a program until it ends or is interrupted, and exits: with code 1 after an error, which it prints.
func Main(name string, run func(context.Context) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(1)
	}
}

// OnStage calls do with a new stage with this number of control planes, and closes the stage. It fails if this machine
// cannot run a lab.
func OnStage(ctx context.Context, o Options, planes int, do func(*Stage) error) (err error) {
	if err := Available(); err != nil {
		return err
	}
	stage, err := NewStage(ctx, o, planes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stage.Close()) }()
	return do(stage)
}

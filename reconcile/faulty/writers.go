package faulty

import (
	"context"
	"fmt"
	"strings"

	"rlb.dev/rlb-agent/api"
)

func (h faultyHost) RefreshPackages(ctx context.Context) error {
	return h.effect("RefreshPackages", nil, func() error { return h.real.RefreshPackages(ctx) })
}

func (h faultyHost) InstallPackages(ctx context.Context, packages ...string) (brought []string, err error) {
	err = h.effect("InstallPackages "+strings.Join(packages, " "), nil, func() (err error) {
		brought, err = h.real.InstallPackages(ctx, packages...)
		return err
	})
	return brought, err
}

func (h faultyHost) PurgePackages(ctx context.Context, names ...string) error {
	return h.effect("PurgePackages "+strings.Join(names, " "), nil, func() error { return h.real.PurgePackages(ctx, names...) })
}

func (h faultyHost) RepairPackages(ctx context.Context) error {
	return h.effect("RepairPackages", nil, func() error { return h.real.RepairPackages(ctx) })
}

func (h faultyHost) HoldPackage(ctx context.Context, name string, hold bool) error {
	return h.effect(fmt.Sprintf("HoldPackage %s %t", name, hold), nil, func() error { return h.real.HoldPackage(ctx, name, hold) })
}

func (h faultyHost) RemoveFile(ctx context.Context, path string) error {
	return h.effect("RemoveFile "+path, nil, func() error { return h.real.RemoveFile(ctx, path) })
}

func (h faultyHost) RemoveTree(ctx context.Context, path string) error {
	return h.effect("RemoveTree "+path, nil, func() error { return h.real.RemoveTree(ctx, path) })
}

func (h faultyHost) LoadFirewall(ctx context.Context, family api.Family, rules string) error {
	return h.effect("LoadFirewall "+family.String(), nil, func() error { return h.real.LoadFirewall(ctx, family, rules) })
}

// unit does an effect on a unit, or, where name is "", on systemd itself.
func (h faultyHost) unit(ctx context.Context, verb, name string, do func(context.Context, string) error) error {
	return h.effect(strings.TrimSpace(verb+" "+name), nil, func() error { return do(ctx, name) })
}

func (h faultyHost) MaskUnit(ctx context.Context, name string) error {
	return h.unit(ctx, "MaskUnit", name, h.real.MaskUnit)
}

func (h faultyHost) UnmaskUnit(ctx context.Context, name string) error {
	return h.unit(ctx, "UnmaskUnit", name, h.real.UnmaskUnit)
}

func (h faultyHost) EnableUnit(ctx context.Context, name string) error {
	return h.unit(ctx, "EnableUnit", name, h.real.EnableUnit)
}

func (h faultyHost) DisableUnit(ctx context.Context, name string) error {
	return h.unit(ctx, "DisableUnit", name, h.real.DisableUnit)
}

func (h faultyHost) ReloadManager(ctx context.Context) error {
	return h.unit(ctx, "ReloadManager", "", func(ctx context.Context, _ string) error { return h.real.ReloadManager(ctx) })
}

func (h faultyHost) StartUnit(ctx context.Context, name string) error {
	return h.unit(ctx, "StartUnit", name, h.real.StartUnit)
}

func (h faultyHost) StopUnit(ctx context.Context, name string) error {
	return h.unit(ctx, "StopUnit", name, h.real.StopUnit)
}

func (h faultyHost) RestartUnit(ctx context.Context, name string) error {
	return h.unit(ctx, "RestartUnit", name, h.real.RestartUnit)
}

func (h faultyHost) Runtime(ctx context.Context, command string) error {
	return h.effect("Runtime "+command, nil, func() error { return h.real.Runtime(ctx, command) })
}

func (h faultyHost) RunDetached(ctx context.Context, unit string, args ...string) error {
	return h.effect("RunDetached "+unit, nil, func() error { return h.real.RunDetached(ctx, unit, args...) })
}

func (h faultyHost) ReloadUnit(ctx context.Context, name string) error {
	return h.unit(ctx, "ReloadUnit", name, h.real.ReloadUnit)
}

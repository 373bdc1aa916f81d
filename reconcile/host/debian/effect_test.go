package debian

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian/program/recorded"
)

// TestEveryWriterIsAnEffect: every writer is one effect under its own name, and does nothing if the hook does nothing.
func TestEveryWriterIsAnEffect(t *testing.T) {
	injected := errors.New("injected")
	var name string
	h, f := newFakeWith(t, func(effect string, _, _ func() error) error {
		name += effect + ";"
		return injected
	})
	check := func(writer string, err error) {
		if !errors.Is(err, injected) || strings.Count(name, ";") != 1 || strings.Fields(strings.TrimSuffix(name, ";"))[0] != writer {
			t.Errorf("%s: effects %q, %v", writer, name, err)
		}
		name = ""
	}
	for _, writers := range []reflect.Type{
		reflect.TypeFor[host.FileWriter](), reflect.TypeFor[host.PackageWriter](), reflect.TypeFor[host.UnitWriter](),
		reflect.TypeFor[host.FirewallWriter](), reflect.TypeFor[host.HAProxyWriter](),
	} {
		for m := range writers.Methods() {
			method := reflect.ValueOf(h).MethodByName(m.Name)
			args := []reflect.Value{reflect.ValueOf(t.Context())}
			for i := 1; i < method.Type().NumIn() && !(method.Type().IsVariadic() && i == method.Type().NumIn()-1); i++ {
				args = append(args, reflect.Zero(method.Type().In(i)))
			}
			out := method.Call(args)
			err, _ := out[len(out)-1].Interface().(error)
			check(m.Name, err)
		}
	}
	ctx := context.Background()
	check("KillUnit", h.KillUnit(ctx, "x"))
	check("HastenVRRP", h.HastenVRRP(ctx, 1))
	check("Suspend", h.Suspend(1<<30))
	check("Resume", h.Resume(1<<30))
	check("TellKeepalived", h.TellKeepalived(true))
	check("RemoveAddress", h.RemoveAddress(ctx, "x", netip.Prefix{}))
	if len(f.Ran) > 0 {
		t.Errorf("ran %q", f.Ran)
	}
}

// TestTornFile: a torn write leaves half of a file under a name that the next write removes.
func TestTornFile(t *testing.T) {
	h, _ := newFake(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	h.effect = func(_ string, torn, _ func() error) error { return torn() }
	recorded.WantError(t, h.WriteFile(t.Context(), path, []byte("0123456789"), 0o600, os.Getuid(), os.Getgid()), "")
	if left := names(t, dir); len(left) != 1 || left[0] == "file" {
		t.Fatalf("left %q", left)
	}
	h.effect = nil
	recorded.WantError(t, h.WriteFile(t.Context(), path, []byte("0123456789"), 0o600, os.Getuid(), os.Getgid()), "")
	if left := names(t, dir); len(left) != 1 || left[0] != "file" {
		t.Errorf("left %q", left)
	}
}

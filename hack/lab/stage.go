package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
)

// A Stage is the usual lab: control planes cp1, cp2 … at 198.51.100.21 and up, and a client at 198.51.100.50.
type Stage struct {
	*Lab
	Planes []*ControlPlane
	Client *Client
}

// NewStage makes a lab with this number of control planes and a client.
func NewStage(ctx context.Context, opts Options, planes int) (*Stage, error) {
	l, err := New(ctx, opts)
	if err != nil {
		return nil, err
	}
	s := &Stage{Lab: l}
	for i := range planes {
		var cp *ControlPlane
		if cp, err = l.AddControlPlane(ctx, fmt.Sprintf("cp%d", i+1), At(21+i)); err != nil {
			break
		}
		s.Planes = append(s.Planes, cp)
	}
	if err == nil {
		s.Client, err = l.AddClient(ctx, "client", At(50))
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return s, nil
}

// At returns the lab's address with this last byte.
func At(last int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(last)}), net4.Bits())
}

// AddHosts boots hosts of these releases at the same time. They are named lb1, lb2 …, after existing ones, at
// 198.51.100.11 and up; opts is the same for all, except the address.
func (s *Stage) AddHosts(ctx context.Context, opts HostOptions, releases ...Release) ([]*Host, error) {
	there := len(s.Hosts())
	hosts, errs := make([]*Host, len(releases)), make([]error, len(releases))
	done := make(chan struct{})
	for i, release := range releases {
		n := there + i
		own := opts
		own.Addr = At(11 + n)
		if n >= 10 { // after the control planes and the client
			own.Addr = At(50 + n)
		}
		go func() {
			hosts[i], errs[i] = s.AddHost(ctx, fmt.Sprintf("lb%d", n+1), release, own)
			done <- struct{}{}
		}()
	}
	for range releases {
		<-done
	}
	return hosts, errors.Join(errs...)
}

// LocalFile reads a file of the machine to be written to hosts at path.
func LocalFile(src, path string, mode fs.FileMode) (File, error) {
	data, err := os.ReadFile(src)
	return File{Path: path, Data: data, Mode: mode}, err
}

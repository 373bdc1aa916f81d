package importer

import (
	"fmt"
	"reflect"
	"slices"

	"rlb.dev/rlb-agent/api"
)

// shorten empties every field whose value is the default.
func shorten(s *api.LoadBalancerSpec) {
	services := s.Services
	s.Services = nil
	leaveOut(s, func(shorter api.LoadBalancerSpec) api.LoadBalancerSpec {
		shorter.SetDefaults()
		return shorter
	})
	s.Services = services
	for i := range s.Services {
		of := &s.Services[i]
		leaveOut(of, func(shorter api.Service) api.Service {
			shorter.Servers = slices.Clone(shorter.Servers)
			spec := api.LoadBalancerSpec{Profile: s.Profile, Services: []api.Service{shorter}}
			spec.SetDefaults()
			return spec.Services[0]
		})
		for j := range of.Servers {
			if server := &of.Servers[j]; server.Name == fmt.Sprintf("server%d", j+1) {
				server.Name = ""
			}
		}
	}
}

// leaveOut empties each field of a struct, also in nested structs, if the defaults restore the same whole.
func leaveOut[T any](whole *T, defaulted func(T) T) {
	full := defaulted(*whole)
	var try func(field reflect.Value)
	try = func(field reflect.Value) {
		if field.Kind() == reflect.Struct {
			for i := range field.NumField() {
				try(field.Field(i))
			}
			return
		}
		if field.IsZero() {
			return
		}
		before := reflect.New(field.Type()).Elem()
		before.Set(field)
		if field.SetZero(); !reflect.DeepEqual(defaulted(*whole), full) {
			field.Set(before)
		}
	}
	try(reflect.ValueOf(whole).Elem())
}

package api

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// TestValuesAreWrittenShort: values have their short form in JSON (and in YAML made from it), and are read back equal.
func TestValuesAreWrittenShort(t *testing.T) {
	for want, value := range map[string]any{
		`"10.0.0.1/24"`:                          VirtualIP{Address: "10.0.0.1/24"},
		`{"address":"::1","interface":"eth1"}`:   VirtualIP{"::1", "eth1"},
		`"*"`:                                    Strings{"*"},
		`["10.0.0.1","127.0.0.1"]`:               Strings{"10.0.0.1", "127.0.0.1"},
		`"/bin/a"`:                               Command{"/bin/a"},
		`["/bin/a","b"]`:                         Command{"/bin/a", "b"},
		`["one","two"]`:                          Lines{"one", "two"},
		`"4h"`:                                   Duration(4 * 3600e9),
		`"1h1m1s"`:                               Duration(3661e9),
		`{"master":["/m","x"],"backup":"/b"}`:    Notify{Master: Command{"/m", "x"}, Backup: Command{"/b"}},
		`{"connect":"1s"}`:                       Timeouts{Connect: new(Duration(1e9))},
		`{"name":"n","addresses":["10.0.0.1"]}`:  Node{Name: "n", Addresses: []string{"10.0.0.1"}},
		`{"interval":"2s","rise":3}`:             Check{Interval: new(Duration(2e9)), Rise: new(3)},
		`{"address":"a","port":1,"backup":true}`: Server{Address: "a", Port: new(1), Backup: true},
	} {
		data, err := json.Marshal(value)
		if err != nil || string(data) != want {
			t.Errorf("got %s, %v, want %s", data, err, want)
		}
	}
}

func TestVirtualIPForms(t *testing.T) {
	const replaced = "[192.168.3.240]"
	doc := mustParse(t, with(t, replaced, "[10.0.0.1/24, {address: 'fd00::1', interface: eth1}]"))
	want := []VirtualIP{{Address: "10.0.0.1/24"}, {"fd00::1", "eth1"}}
	if !reflect.DeepEqual(doc.Spec.VirtualIPs, want) || doc.Spec.VirtualIPs[1].Addr().String() != "fd00::1" {
		t.Errorf("got %+v", doc.Spec.VirtualIPs)
	}
	checkRuleTable(t, map[string]rule{
		"address":     {replaced, "[{address: 10.0.0.x}]", `3:24: virtualIPs[0].address: must be an IPv4 address of four numbers from 0 to 255, got "10.0.0.x"`, "[{address: 10.0.0.1}]"},
		"no address":  {replaced, "[{interface: eth1}]", `3:14: virtualIPs[0]: required field "address" is missing`, "[{address: 10.0.0.1, interface: eth1}]"},
		"empty":       {replaced, "['']", `3:14: virtualIPs[0]: must not be empty`, "['10.0.0.1']"},
		"interface":   {replaced, "[{address: 10.0.0.1, interface: lo}]", `3:45: virtualIPs[0].interface: must not be the loopback interface, which keepalived refuses, got "lo"`, "[{address: 10.0.0.1, interface: eth1.5}]"},
		"unknown":     {replaced, "[{address: 10.0.0.1, dev: eth1}]", `3:34: virtualIPs[0].dev: unknown field, did you mean "interface"?`, "[{address: 10.0.0.1}]"},
		"a number":    {replaced, "[10]", `3:14: virtualIPs[0]: must be an address or a mapping of address and interface, got 10`, "[10.0.0.1]"},
		"twice":       {replaced, "[10.0.0.1, {address: 10.0.0.1, interface: eth1}]", `3:24: virtualIPs[1]: must be unique, got the same as virtualIPs[0]`, "[10.0.0.1, {address: 10.0.0.2, interface: eth1}]"},
		"bind, twice": {"", "  bind: [10.0.0.1, 10.0.0.1]", `9:20: services[0].bind[1]: must not listen twice on the same address`, "  bind: [10.0.0.1, 127.0.0.1]"},
		"bind, all":   {"", "  bind: [10.0.0.1, '*']", `9:20: services[0].bind[1]: must not listen twice on the same address`, "  bind: ['*']"},
		"bind, none":  {"", "  bind: []", `9:9: services[0].bind: must have 1 to 50 entries, got 0`, "  bind: '*'"},
		"bind, map":   {"", "  bind: {}", `9:9: services[0].bind: must be a string or a list of strings, got a mapping`, "  bind: ['*']"},
	})
}

// TestForeignNames: every value of the table is an existing field or a sentence.
func TestForeignNames(t *testing.T) {
	for typ, names := range foreign {
		for name, text := range names {
			field, sentence := known(name, typ)
			if field == "" && !strings.Contains(sentence, " ") || field != "" && sentence != "" {
				t.Errorf("%s: %s leads to %q", typ.Name(), name, text)
			}
			if strings.ToLower(name) != name || strings.ContainsAny(name, "_-") {
				t.Errorf("%s: %s is never looked up", typ.Name(), name)
			}
		}
	}
}

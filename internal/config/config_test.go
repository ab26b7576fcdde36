// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/hooknet/hooknet/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plain compares what a file means, not where it says so.
var plain = cmp.Options{
	cmpopts.IgnoreTypes(config.Position{}),
	cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{}),
}

func prefixes(words ...string) []netip.Prefix {
	var prefixes []netip.Prefix
	for _, word := range words {
		prefixes = append(prefixes, netip.MustParsePrefix(word))
	}
	return prefixes
}

var (
	prefix  = netip.MustParsePrefix
	address = netip.MustParseAddr
)

func TestExample(t *testing.T) {
	got, err := config.Load("../../examples/router.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := &config.Config{
		Instances: []config.Instance{{
			Name: "r1",
			Interfaces: []config.Interface{{
				Name: "tun0", Driver: config.DriverLinux, Device: "hn-red", Queues: 1, Offload: true, Coalesce: true, MTU: 1500,
				Addresses: prefixes("10.0.1.1/24", "fd00:1::1/64"),
				Host: config.Host{
					Namespace: "red",
					Addresses: prefixes("10.0.1.2/24", "fd00:1::2/64"),
					Routes: []config.HostRoute{
						{Destination: prefix("0.0.0.0/0"), Gateway: address("10.0.1.1")},
						{Destination: prefix("::/0"), Gateway: address("fd00:1::1")},
					},
				},
			}, {
				Name: "tun1", Device: "hn-blue", Queues: 1, Offload: true, Coalesce: true, MTU: 1500,
				Addresses: prefixes("10.0.2.1/24", "fd00:2::1/64"),
				Host: config.Host{
					Namespace: "blue",
					Addresses: prefixes("10.0.2.2/24", "fd00:2::2/64"),
					Routes:    []config.HostRoute{{Destination: prefix("0.0.0.0/0")}, {Destination: prefix("::/0")}},
				},
			}},
			Routes: []config.Route{
				{Destination: prefix("10.9.0.0/16"), Interface: "cable0", Gateway: address("10.0.12.2")},
				{Destination: prefix("fd00:9::/48"), Interface: "cable0", MTU: 1400},
				{Destination: prefix("10.66.0.0/16"), Type: config.RouteBlackhole},
				{Destination: prefix("fd00:9::/48"), Type: config.RouteUnreachable, Metric: 100},
				{Destination: prefix("10.67.0.0/16"), Type: config.RouteUnreachable},
				{Destination: prefix("10.68.0.0/16"), Type: config.RouteProhibit},
			},
		}, {
			Name: "r2",
			Interfaces: []config.Interface{{
				Name: "tun0", Device: "hn-lab", Queues: 1, Offload: true, Coalesce: true, MTU: 1500,
				Addresses: prefixes("10.9.0.1/16", "fd00:9::1/48"),
				Host:      config.Host{Addresses: prefixes("10.9.0.2/16", "fd00:9::2/48")},
			}},
			Routes: []config.Route{
				{Destination: prefix("0.0.0.0/0"), Interface: "cable0"},
				{Destination: prefix("::/0"), Interface: "cable0"},
			},
		}},
		Cables: []config.Cable{{MTU: 1500, Ends: [2]config.CableEnd{
			{Instance: "r1", Interface: "cable0", Addresses: prefixes("10.0.12.1/30", "fd00:12::1/64")},
			{Instance: "r2", Interface: "cable0", Addresses: prefixes("10.0.12.2/30", "fd00:12::2/64")},
		}}},
	}
	if diff := cmp.Diff(want, got, plain); diff != "" {
		t.Errorf("examples/router.yaml (-want +got):\n%s", diff)
	}
}

// TestEveryKeyIsDocumented keeps docs/configuration.md complete: an unknown key's message lists those that are known.
func TestEveryKeyIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"top":        "q1q: 1",
		"instance":   "instances: [{q1q: 1}]",
		"interface":  "instances: [{interfaces: [{q1q: 1}]}]",
		"host":       "instances: [{interfaces: [{host: {q1q: 1}}]}]",
		"host route": "instances: [{interfaces: [{host: {routes: [{q1q: 1}]}}]}]",
		"route":      "instances: [{routes: [{q1q: 1}]}]",
		"cable":      "cables: [{q1q: 1}]",
		"end":        "cables: [{ends: [{q1q: 1}]}]",
	} {
		_, err := config.Parse("f", []byte(text))
		_, list, found := strings.Cut(errorText(err), `unknown key "q1q", expected one of `)
		if !found {
			t.Errorf("%s: no list of keys in %v", name, err)
			continue
		}
		list, _, _ = strings.Cut(list, "\n")
		for _, key := range strings.FieldsFunc(strings.ReplaceAll(list, " or ", " "), func(r rune) bool { return r == ',' || r == ' ' }) {
			if !strings.Contains(string(doc), "| `"+key+"` |") {
				t.Errorf("%s: key %s has no row in docs/configuration.md", name, key)
			}
		}
	}
}

func TestDefaults(t *testing.T) {
	const text = `
instances:
  - name: r1
    interfaces:
      - name: a
      - {name: b, driver: water}
      - {name: c, driver: auto, offload: false, queues: 4, mtu: 65535, addresses: , host: }
cables:
`
	got, err := config.Parse("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := &config.Config{Instances: []config.Instance{{Name: "r1", Interfaces: []config.Interface{
		{Name: "a", Device: "a", Queues: 1, Offload: true, Coalesce: true, MTU: 1500},
		{Name: "b", Device: "b", Queues: 1, Driver: config.DriverWater, MTU: 1500},
		{Name: "c", Device: "c", Queues: 4, MTU: 65535},
	}}}}
	if diff := cmp.Diff(want, got, plain); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, want := got.Instances[0].Interfaces[1].At.String(), "f:6:9"; got != want {
		t.Errorf("position of b: got %s, want %s", got, want)
	}
}

// TestScalarsAreTakenAsWritten shows words that YAML would read as numbers, truths or octal, and are names here.
func TestScalarsAreTakenAsWritten(t *testing.T) {
	for _, word := range []string{"010", "0x1f", "1e3", "no", "true", "'~x'", `"r1"`, "2026-01-02", "1.0"} {
		got, err := config.Parse("f", []byte("instances: [{name: r, interfaces: [{name: "+word+"}]}]"))
		if err != nil {
			t.Errorf("%s: %v", word, err)
			continue
		}
		if got, want := got.Instances[0].Interfaces[0].Name, strings.Trim(word, `'"`); got != want {
			t.Errorf("got name %s, want %s", got, want)
		}
	}
}

func TestDefaultRoute(t *testing.T) {
	for name, test := range map[string]struct {
		addresses, route string
		want             []string
	}{
		"both families":          {"[10.0.0.1/24, 'fd00::1/64']", "to: default, interface: a", []string{"0.0.0.0/0", "::/0"}},
		"no addresses":           {"[]", "to: default, interface: a", []string{"0.0.0.0/0", "::/0"}},
		"IPv4 addresses":         {"[10.0.0.1/24]", "to: default, interface: a", []string{"0.0.0.0/0"}},
		"IPv6 addresses":         {"['fd00::1/64']", "to: default, interface: a", []string{"::/0"}},
		"IPv4 gateway":           {"[10.0.0.1/24, 'fd00::1/64']", "to: default, via: 10.0.0.2", []string{"0.0.0.0/0"}},
		"IPv6 gateway":           {"[10.0.0.1/24, 'fd00::1/64']", "to: default, via: fd00::2", []string{"::/0"}},
		"link-local gateway":     {"[10.0.0.1/24]", "to: default, interface: a, via: fe80::2", []string{"::/0"}},
		"blackhole":              {"[10.0.0.1/24]", "to: default, type: blackhole", []string{"0.0.0.0/0", "::/0"}},
		"one address, not a net": {"[]", "to: 10.1.2.3, interface: a", []string{"10.1.2.3/32"}},
	} {
		text := "instances: [{name: r, interfaces: [{name: a, addresses: " + test.addresses + "}], routes: [{" + test.route + "}]}]"
		got, err := config.Parse("f", []byte(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var destinations []string
		for _, route := range got.Instances[0].Routes {
			destinations = append(destinations, route.Destination.String())
		}
		if diff := cmp.Diff(test.want, destinations); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestGuards(t *testing.T) {
	got, err := config.Parse("f", []byte(`
instances:
  - name: r
    interfaces:
      - {name: a, source_validation: loose, pass_source_routes: true, clamp_mss: true}
      - {name: b, source_validation: off}
      - {name: c, source_validation: strict, clamp_mss: false}
  - name: s
cables:
  - ends:
      - {instance: r, interface: x, source_validation: loose, clamp_mss: true}
      - {instance: s, interface: x}
`))
	if err != nil {
		t.Fatal(err)
	}
	var guards []config.Guards
	for _, i := range got.Instances[0].Interfaces {
		guards = append(guards, i.Guards)
	}
	for _, end := range got.Cables[0].Ends {
		guards = append(guards, end.Guards)
	}
	want := []config.Guards{
		{SourceValidation: config.SourceLoose, PassSourceRoutes: true, ClampMSS: true},
		{SourceValidation: config.SourceOff},
		{},
		{SourceValidation: config.SourceLoose, ClampMSS: true},
		{},
	}
	if diff := cmp.Diff(want, guards); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for kind, want := range map[config.SourceValidation]string{0: "strict", 1: "loose", 2: "off", 3: "SourceValidation(3)"} {
		if kind.String() != want {
			t.Errorf("%d is called %s, want %s", kind, kind, want)
		}
	}
}

func TestRouteMetric(t *testing.T) {
	got, err := config.Parse("f", []byte("instances: [{name: r, routes: [{to: 10.0.0.0/8, type: blackhole, metric: 2147483647}, {to: 10.0.0.0/8, type: prohibit}]}]"))
	if err != nil {
		t.Fatal(err)
	}
	if r := got.Instances[0].Routes; len(r) != 2 || r[0].Metric != config.MaxMetric || r[1].Metric != 0 {
		t.Errorf("%+v", r)
	}
}

func TestLoad(t *testing.T) {
	directory := t.TempDir()
	if _, err := config.Load(filepath.Join(directory, "missing.yaml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: got %v, want fs.ErrNotExist", err)
	}
	if _, err := config.Load(directory); err == nil || config.Problems(err) != nil {
		t.Errorf("a directory: got %v, want the error of reading it", err)
	}
	large := filepath.Join(directory, "large.yaml")
	if err := os.WriteFile(large, []byte(strings.Repeat("#\n", config.MaxFileSize)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := config.Load(large)
	if got, want := errorText(err), large+": found more than 1048576 bytes, expected a configuration file"; got != want {
		t.Errorf("too large: got %s, want %s", got, want)
	}
}

func TestExplain(t *testing.T) {
	_, err := config.Parse("r.yaml", []byte("instances:\r\n  - {nmae: r1}\r\n  - nmae: r1\r\n"))
	want := `r.yaml:2:6: instances[0]: found unknown key "nmae", expected one of interfaces, name or routes (did you mean name?)
      - {nmae: r1}
         ^
r.yaml:3:5: instances[1]: found unknown key "nmae", expected one of interfaces, name or routes (did you mean name?)
      - nmae: r1
        ^
r.yaml:3:11: instances[1].name: found the instance r1 again, expected a name of its own: the first is in line 2
      - nmae: r1
              ^`
	if diff := cmp.Diff(want, config.Explain(err)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := len(config.Problems(err)); got != 3 {
		t.Errorf("got %d problems, want 3", got)
	}
	if got, want := config.Explain(fs.ErrNotExist), fs.ErrNotExist.Error(); got != want {
		t.Errorf("another error: got %q, want %q", got, want)
	}
	if got := (&config.Problem{Source: "\tx: é1", At: config.Position{Column: 6}}).Excerpt(); !strings.HasSuffix(got, "\n    \t    ^") {
		t.Errorf("caret below a tab and a two-byte letter: got %q", got)
	}
}

func TestEnumerations(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{config.DriverAuto.String(), "auto"},
		{config.DriverWater.String(), "water"},
		{config.Driver(9).String(), "Driver(9)"},
		{config.RouteUnicast.String(), "unicast"},
		{config.RouteType(9).String(), "RouteType(9)"},
	} {
		if test.got != test.want {
			t.Errorf("got %s, want %s", test.got, test.want)
		}
	}
}

// FuzzParse: no text makes Parse panic; what it accepts keeps the promises of Config, and what it refuses has a place.
func FuzzParse(f *testing.F) {
	example, err := os.ReadFile("../../examples/router.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(example))
	for _, test := range refusals(f) {
		f.Add(test.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := config.Parse("f", []byte(text))
		if (got == nil) == (err == nil) {
			t.Fatalf("got config %v and error %v", got, err)
		}
		if err == nil {
			checkPromises(t, got)
			return
		}
		problems := config.Problems(err)
		if len(problems) == 0 {
			t.Errorf("no problem in %v", err)
		}
		for _, problem := range problems {
			if lines := 1 + strings.Count(text, "\n"); problem.At.Line < 0 || problem.At.Line > lines+1 {
				t.Errorf("%v: the file has %d lines", problem, lines)
			}
			if problem.Found == "" || problem.Expected == "" {
				t.Errorf("%+v says too little", problem)
			}
			if strings.Contains(problem.Error(), "\n") {
				t.Errorf("%q is more than one line", problem)
			}
			problem.Excerpt()
		}
	})
}

func checkPromises(t *testing.T, got *config.Config) {
	t.Helper()
	if len(got.Instances) == 0 {
		t.Error("no instances")
	}
	links := map[string]map[string]bool{}
	devices := map[string]bool{}
	link := func(instance, name string, mtu int, addresses ...netip.Prefix) {
		if links[instance] == nil || links[instance][name] || name == "" || len(name) > config.MaxDeviceName {
			t.Errorf("instance %q, interface %q: unknown, twice or malformed", instance, name)
		}
		links[instance][name] = true
		if mtu < config.MinMTU || mtu > config.MaxMTU {
			t.Errorf("MTU %d", mtu)
		}
		for _, address := range addresses {
			if !address.IsValid() || address.Addr().Is6() && mtu < config.MinMTU6 {
				t.Errorf("address %s with MTU %d", address, mtu)
			}
		}
	}
	for _, instance := range got.Instances {
		if links[instance.Name] != nil || instance.Name == "" {
			t.Errorf("instance name %q", instance.Name)
		}
		links[instance.Name] = map[string]bool{}
		for _, i := range instance.Interfaces {
			link(instance.Name, i.Name, i.MTU, append(i.Addresses, i.Host.Addresses...)...)
			key := i.Host.Namespace + "/" + i.Device
			if devices[key] || i.Device == "" || len(i.Device) > config.MaxDeviceName {
				t.Errorf("device %q", key)
			}
			devices[key] = true
			if i.Queues < 1 || i.Queues > config.MaxQueues || i.Driver == config.DriverWater && (i.Offload || i.Queues != 1) || i.Coalesce && !i.Offload {
				t.Errorf("queues %d, offload %t, coalesce %t, driver %s", i.Queues, i.Offload, i.Coalesce, i.Driver)
			}
			for _, route := range i.Host.Routes {
				checkRoute(t, route.Destination, route.Gateway)
			}
		}
	}
	for _, cable := range got.Cables {
		if cable.Ends[0].Instance == cable.Ends[1].Instance {
			t.Errorf("a cable from %s to itself", cable.Ends[0].Instance)
		}
		for _, end := range cable.Ends {
			link(end.Instance, end.Interface, cable.MTU, end.Addresses...)
		}
	}
	for _, instance := range got.Instances {
		type row struct {
			destination netip.Prefix
			metric      uint32
		}
		rows := map[row]bool{}
		for _, route := range instance.Routes {
			checkRoute(t, route.Destination, route.Gateway)
			at := row{route.Destination, route.Metric}
			if rows[at] {
				t.Errorf("two routes to %s with metric %d", route.Destination, route.Metric)
			}
			rows[at] = true
			if (route.Type == config.RouteUnicast) != links[instance.Name][route.Interface] {
				t.Errorf("%s route out of interface %q", route.Type, route.Interface)
			}
		}
	}
}

func checkRoute(t *testing.T, destination netip.Prefix, gateway netip.Addr) {
	t.Helper()
	if !destination.IsValid() || destination != destination.Masked() {
		t.Errorf("destination %s", destination)
	}
	if gateway.IsValid() && gateway.Is4() != destination.Addr().Is4() {
		t.Errorf("destination %s by way of %s", destination, gateway)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestConfigIsPlain keeps pointers and interfaces out of Config: a copy of it shares nothing but slices.
func TestConfigIsPlain(t *testing.T) {
	var visit func(typ reflect.Type, path string)
	visit = func(typ reflect.Type, path string) {
		switch {
		case typ.PkgPath() == "net/netip":
		case typ.Kind() == reflect.Struct:
			for i := range typ.NumField() {
				visit(typ.Field(i).Type, path+"."+typ.Field(i).Name)
			}
		case typ.Kind() == reflect.Slice, typ.Kind() == reflect.Array:
			visit(typ.Elem(), path+"[]")
		case typ.Kind() == reflect.Pointer, typ.Kind() == reflect.Interface, typ.Kind() == reflect.Map, typ.Kind() == reflect.Func:
			t.Errorf("%s is a %s", path, typ)
		}
	}
	visit(reflect.TypeFor[config.Config](), "Config")
}

package etcd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
)

const fleetYAML = `
overlay: {port: 4790}
hosts:
  - {name: hv2, underlay: 192.0.2.2, roles: [hypervisor, loadbalancer]}
  - {name: hv1, underlay: 192.0.2.1, roles: [hypervisor], state: down}
  - {name: edge1, underlay: 192.0.2.254, roles: [edge], uplink: eth1}
tenants:
  - name: zeta
    vni: 200
    interfaces:
      - {name: vm-z, host: hv2, device: tap-z, mac: "52:54:00:00:00:0f", addresses: [10.0.0.12, "fd00::12"]}
  - name: acme
    vni: 100
    interfaces:
      - {name: vm-a, host: hv1, device: tap-a, mac: "52:54:00:00:00:0a", addresses: [10.0.0.12]}
      - {name: vm-b, host: hv2, device: tap-b, mac: "52:54:00:00:00:0b", addresses: [10.0.0.47]}
    natGateway: {addresses: [45.86.152.23], portsPerHost: 1024}
    loadBalancers:
      - {name: web, address: 45.86.152.23, listeners: [{protocol: tcp, port: 443}], backends: [{interface: vm-a}, {interface: vm-b}]}
    timeouts: {udp: 3m}
`

var here = layout{"/culvert"}

func parseFleet(t testing.TB, text string) (*config.Fleet, *portmap.Lock) {
	t.Helper()
	fleet, err := config.Parse("fleet.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	lock, err := portmap.Allocate(nil, fleet)
	if err != nil {
		t.Fatal(err)
	}
	return fleet, lock
}

func encodeFleet(t testing.TB, fleet *config.Fleet, lock *portmap.Lock) image {
	t.Helper()
	objects, err := split(fleet, lock)
	if err != nil {
		t.Fatal(err)
	}
	return encode(here, objects)
}

var same = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty()}

// TestRoundTrip lays a fleet out and reads it back, twice with the same loader: the second time nothing is asked for.
// TestReadVerdicts reads what an older host has written about a VM that answered its probe with very much.
func TestReadVerdicts(t *testing.T) {
	text := `[{"backend":"acme/web/vm-a","since":"2026-01-01T00:00:00Z","why":"\u001b[2J` + strings.Repeat("x", 65_000) + `"}]`
	list, ok := readVerdicts([]byte(text))
	if !ok || len(list) != 1 || len(list[0].Why) > 200 || strings.Contains(list[0].Why, "\x1b") {
		t.Errorf("%t, %.300q", ok, list)
	}
}

func TestRoundTrip(t *testing.T) {
	fleet, lock := parseFleet(t, fleetYAML)
	i := encodeFleet(t, fleet, lock)
	l := loader{layout: here}
	asked := 0
	get := func(ctx context.Context, keys []string) (map[string][]byte, error) {
		asked += len(keys)
		return i.get(ctx, keys)
	}
	for _, want := range []int{len(i.values), 0} {
		asked = 0
		gotFleet, gotLock, err := l.load(t.Context(), i.root, get)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(fleet, gotFleet, same); diff != "" {
			t.Errorf("fleet (-written +read):\n%s", diff)
		}
		if diff := cmp.Diff(lock, gotLock, same); diff != "" {
			t.Errorf("lock (-written +read):\n%s", diff)
		}
		if asked != want {
			t.Errorf("asked for %d values, want %d", asked, want)
		}
	}
}

// TestOneChange changes one interface of a large fleet: no more than its tenant, and the page that lists it, is new.
func TestOneChange(t *testing.T) {
	large := &config.Fleet{Overlay: config.DefaultOverlay(), Hosts: []config.Host{{Name: "hv1", Underlay: netip.MustParseAddr("192.0.2.1")}}}
	for i := range 5000 {
		large.Tenants = append(large.Tenants, config.Tenant{Name: fmt.Sprintf("t%d", i), VNI: config.VNI(i + 1)})
	}
	lock, err := portmap.Allocate(nil, large)
	if err != nil {
		t.Fatal(err)
	}
	before := encodeFleet(t, large, lock)
	for name, change := range map[string]func(*config.Fleet){
		"change": func(f *config.Fleet) { f.Tenants[2500].VNI = 9999 },
		"remove": func(f *config.Fleet) { f.Tenants = slices.Delete(f.Tenants, 2500, 2501) },
		"insert": func(f *config.Fleet) {
			f.Tenants = slices.Insert(f.Tenants, 2500, config.Tenant{Name: "new", VNI: 9999})
		},
	} {
		fleet := *large
		fleet.Tenants = slices.Clone(large.Tenants)
		change(&fleet)
		fresh := 0
		for key, value := range encodeFleet(t, &fleet, lock).values {
			if _, ok := before.values[key]; !ok {
				fresh += len(value)
			}
		}
		if fresh == 0 || fresh > 100<<10 {
			t.Errorf("%s: %d bytes are new", name, fresh)
		}
	}
}

// TestDamaged takes away, cuts and changes each value: it is never taken for a fleet.
func TestDamaged(t *testing.T) {
	fleet, lock := parseFleet(t, fleetYAML)
	good := encodeFleet(t, fleet, lock)
	for key := range good.values {
		for name, harm := range map[string]func(map[string][]byte){
			"missing": func(v map[string][]byte) { delete(v, key) },
			"cut":     func(v map[string][]byte) { v[key] = v[key][:len(v[key])-1] },
			"changed": func(v map[string][]byte) { v[key] = append(slices.Clone(v[key]), "# more\n"...) },
			"empty":   func(v map[string][]byte) { v[key] = nil },
		} {
			bad := image{good.root, maps.Clone(good.values)}
			harm(bad.values)
			l := loader{layout: here}
			if _, _, err := l.load(t.Context(), bad.root, bad.get); !errors.Is(err, errFleet) || !strings.Contains(err.Error(), key) {
				t.Errorf("%s %s: error %v", key, name, err)
			}
		}
	}
}

// TestForged lays out what belongs together in no fleet.
func TestForged(t *testing.T) {
	fleet, lock := parseFleet(t, fleetYAML)
	objects, err := split(fleet, lock)
	if err != nil {
		t.Fatal(err)
	}
	find := func(name string) int {
		return slices.IndexFunc(objects, func(o Object) bool { return o.String() == name })
	}
	with := func(o Object) []Object { return append(slices.Clone(objects), o) }
	without := func(name string) []Object { return slices.Delete(slices.Clone(objects), find(name), find(name)+1) }
	host := objects[find("host hv1")]
	for name, tt := range map[string]struct {
		objects []Object
		words   string
	}{
		"twice the same":      {with(host), "is listed twice"},
		"twice the same name": {with(Object{kindHost, "hv1", append([]byte("# other\n"), host.Text...)}), "is there twice"},
		"another name":        {with(Object{kindHost, "hv9", host.Text}), "object host hv9 holds something else"},
		"another kind":        {with(Object{kindTenant, "hv1", host.Text}), "object tenant hv1 holds something else"},
		"unknown kind":        {with(Object{"king", "hv1", host.Text}), "unknown kind; upgrade culvert"},
		"no numbers":          {without("numbers"), "host hv2 has no id"},
		"no blocks":           {without("blocks acme"), "the lock does not go with the fleet"},
		"a host less":         {without("host hv2"), "is not in the fleet"},
		"unknown field":       {with(Object{kindHost, "hv9", []byte("hosts:\n  - {name: hv9, king: 1}\n")}), `host hv9:2:17: "king"`},
	} {
		i := encode(here, tt.objects)
		l := loader{layout: here}
		if _, _, err := l.load(t.Context(), i.root, i.get); !errors.Is(err, errFleet) || !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%s: error %v, want %q", name, err, tt.words)
		}
	}
}

func TestChanges(t *testing.T) {
	fleet, lock := parseFleet(t, fleetYAML)
	old := &Fleet{Fleet: fleet, Lock: lock, Revision: 7}
	say := func(text string) (out []string, changed bool) {
		next, _ := parseFleet(t, text)
		nextLock, err := portmap.Allocate(lock, next)
		if err != nil {
			t.Fatal(err)
		}
		changes, changed, err := old.Changes(next, nextLock)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			sign := "~"
			if c.Old == nil {
				sign = "+"
			} else if c.New == nil {
				sign = "-"
			}
			out = append(out, sign+" "+c.Object.String())
		}
		return out, changed
	}
	for name, tt := range map[string]struct {
		edit    []string
		want    string
		changed bool
	}{
		"nothing":   {nil, "[]", false},
		"ports":     {[]string{"1024", "2048"}, "[~ tenant acme]", true},
		"overlay":   {[]string{"port: 4790", "port: 4789"}, "[~ overlay]", true},
		"rename":    {[]string{"edge1", "edge2"}, "[- host edge1 + host edge2]", true},
		"the order": {[]string{"name: zeta\n    vni: 200", "name: zeta\n    vni: 200\n    conntrack: {max: 5}"}, "[~ tenant zeta]", true},
	} {
		got, changed := say(strings.NewReplacer(tt.edit...).Replace(fleetYAML))
		if fmt.Sprint(got) != tt.want || changed != tt.changed {
			t.Errorf("%s: %v, %t; want %s", name, got, changed, tt.want)
		}
	}
	// The order alone is a change, too: ports are handed out by it.
	turned := *fleet
	turned.Hosts = slices.Clone(fleet.Hosts)
	slices.Reverse(turned.Hosts)
	if changes, changed, err := old.Changes(&turned, lock); err != nil || !changed || len(changes) != 0 {
		t.Errorf("turned: %v, %t, %v", changes, changed, err)
	}
}

// TestPages draws objects and reads their pages back in order.
func TestPages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var objects []Object
		for i := range rapid.IntRange(0, 2000).Draw(t, "objects") {
			objects = append(objects, Object{kindHost, fmt.Sprint("h", i), []byte(fmt.Sprint(i, rapid.Bool().Draw(t, "text")))})
		}
		if len(objects) > 0 && rapid.Bool().Draw(t, "large") {
			objects[0].Text = make([]byte, rapid.IntRange(chunkSize-1, 3*chunkSize).Draw(t, "size"))
		}
		i := encode(here, objects)
		keys, err := pageKeys(here, i.root)
		if err != nil {
			t.Fatal(err)
		}
		var entries []entry
		for _, key := range keys {
			more, err := parsePage(i.values[key])
			if err != nil {
				t.Fatal(err)
			}
			entries = append(entries, more...)
		}
		if len(entries) != len(objects) {
			t.Fatalf("%d entries of %d objects", len(entries), len(objects))
		}
		for n, e := range entries {
			var text []byte
			for _, key := range e.keys(here) {
				if len(i.values[key]) > chunkSize {
					t.Fatalf("a value of %d bytes", len(i.values[key]))
				}
				text = append(text, i.values[key]...)
			}
			if e.kind != objects[n].Kind || e.name != objects[n].Name || string(text) != string(objects[n].Text) {
				t.Fatalf("entry %d is %s %s", n, e.kind, e.name)
			}
		}
	})
}

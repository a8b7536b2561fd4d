package topology

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
)

// summary says of each tenant on a host what it plays and who the peers are, on one line.
func summary(h Host) []string {
	var out []string
	for _, t := range h.Tenants {
		var b strings.Builder
		fmt.Fprintf(&b, "%s %s", t.Name, roles(t.Hypervisor, t.Edge))
		for _, p := range t.Peers {
			fmt.Fprintf(&b, " %s:%s", p.Host, roles(p.Hypervisor, p.Edge))
		}
		out = append(out, b.String())
	}
	return out
}

func roles(hypervisor, edge bool) string {
	out := ""
	if hypervisor {
		out += "h"
	}
	if edge {
		out += "e"
	}
	return out
}

func TestRoles(t *testing.T) {
	down := func(host string) []string {
		return []string{"{name: " + host + ",", "{name: " + host + ", state: down,"}
	}
	tests := []struct {
		name, host string
		edits      []string
		want       []string
	}{
		{"hypervisor", "hv1", nil, []string{"acme h hv2:h edge4:e mix5:he", "blue h hv3:h edge4:e mix5:e", "zeta h hv3:h"}},
		{"hypervisor of one tenant", "hv2", nil, []string{"acme h hv1:h edge4:e mix5:he"}},
		{"edge", "edge4", nil, []string{"acme e hv1:h hv2:h mix5:he", "blue e hv1:h hv3:h mix5:e"}},
		{"both", "mix5", nil, []string{"acme he hv1:h hv2:h edge4:e", "blue e hv1:h hv3:h edge4:e"}},
		{"holds nothing", "lb6", nil, nil},
		{"peer down", "hv1", down("hv2"), []string{"acme h edge4:e mix5:he", "blue h hv3:h edge4:e mix5:e", "zeta h hv3:h"}},
		{"edge down", "hv2", down("edge4"), []string{"acme h hv1:h mix5:he"}},
		{"hypervisor itself down", "hv2", down("hv2"), []string{"acme h hv1:h edge4:e mix5:he"}},
		{"edge itself down", "edge4", down("edge4"), nil},
		{"both itself down", "mix5", down("mix5"), []string{"acme h hv1:h hv2:h edge4:e"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fleet := parse(t, tt.edits...)
			got := summary(compute(t, fleet, allocate(t, nil, fleet), tt.host))
			if !slices.Equal(got, tt.want) {
				t.Errorf("holds %q\nwant  %q", got, tt.want)
			}
		})
	}
}

func TestHost(t *testing.T) {
	fleet := parse(t)
	lock := allocate(t, nil, fleet)
	h := compute(t, fleet, lock, "mix5")
	if h.Name != "mix5" || h.Underlay != netip.MustParseAddr("192.0.2.5") || h.Port != 4789 || h.Uplink != "eth2" {
		t.Errorf("host %+v", h)
	}
	acme := h.tenant("acme")
	want := Peer{
		Host: "mix5", ID: 5, Underlay: netip.MustParseAddr("192.0.2.5"), MAC: config.MAC{2, 0x63, 0x76, 0, 0, 5},
		IPv4: netip.MustParseAddr("100.64.0.5"), IPv6: netip.MustParseAddr("fd00:c0de::5"), Hypervisor: true, Edge: true,
	}
	if acme.Self != want {
		t.Errorf("self %+v\nwant %+v", acme.Self, want)
	}
	for _, p := range acme.Peers {
		if other := compute(t, fleet, lock, p.Host).tenant("acme").Self; other != p {
			t.Errorf("mix5 sees %+v\nwhich is  %+v", p, other)
		}
	}
	if acme.Namespace() != "culvert-acme" || acme.Device() != "vx100" || acme.UplinkPort() != "cv100" {
		t.Errorf("names %s %s %s", acme.Namespace(), acme.Device(), acme.UplinkPort())
	}
}

// TestNamesFit holds the longest names against the kernel's limit of 15 bytes (IFNAMSIZ with its NUL, linux/if.h).
func TestNamesFit(t *testing.T) {
	tenant := Tenant{VNI: 1<<24 - 1}
	for _, name := range []string{tenant.Device(), tenant.UplinkPort(), UplinkDevice} {
		if len(name) > 15 {
			t.Errorf("device name %s is longer than 15 bytes", name)
		}
	}
}

func TestRemote(t *testing.T) {
	tests := []struct {
		host, tenant string
		edits        []string
		want         []string
	}{
		{"hv1", "acme", nil, []string{"10.0.0.47 via 100.64.0.2", "fd00::47 via fd00:c0de::2", "10.0.0.99 via 100.64.0.5"}},
		{"hv2", "acme", nil, []string{"fd00::12 via fd00:c0de::1", "10.0.0.12 via 100.64.0.1", "10.0.0.13 via 100.64.0.1", "10.0.0.99 via 100.64.0.5"}},
		{"mix5", "acme", nil, []string{"10.0.0.47 via 100.64.0.2", "fd00::47 via fd00:c0de::2", "fd00::12 via fd00:c0de::1", "10.0.0.12 via 100.64.0.1", "10.0.0.13 via 100.64.0.1"}},
		{"edge4", "acme", nil, nil},
		{"mix5", "blue", nil, nil},
		{"hv1", "zeta", nil, []string{"10.0.0.2 via 100.64.0.3"}},
		{"hv1", "acme", []string{"{name: hv2,", "{name: hv2, state: down,"}, []string{"10.0.0.99 via 100.64.0.5"}},
		{"hv1", "acme", []string{"hosts:", "overlay: {ipv4: 10.200.0.0/16, ipv6: \"fd11::/64\"}\nhosts:"},
			[]string{"10.0.0.47 via 10.200.0.2", "fd00::47 via fd11::2", "10.0.0.99 via 10.200.0.5"}},
	}
	for _, tt := range tests {
		t.Run(tt.host+" "+tt.tenant, func(t *testing.T) {
			fleet := parse(t, tt.edits...)
			var got []string
			for _, r := range compute(t, fleet, allocate(t, nil, fleet), tt.host).tenant(tt.tenant).Remote {
				got = append(got, fmt.Sprintf("%s via %s", r.Address, r.Peer.Overlay(r.Address)))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("remote %q\nwant   %q", got, tt.want)
			}
		})
	}
}

func TestInterfaces(t *testing.T) {
	fleet := parse(t)
	lock := allocate(t, nil, fleet)
	for host, want := range map[string][]string{"hv1": {"vm-x", "vm-y"}, "hv3": {"vm-z"}, "edge4": nil} {
		var got []string
		for _, i := range compute(t, fleet, lock, host).tenant("blue").Interfaces {
			got = append(got, i.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("interfaces on %s: %q, want %q", host, got, want)
		}
	}
}

func TestErrors(t *testing.T) {
	tests := []struct {
		name, host string
		harm       func(*portmap.Lock)
		want       string
	}{
		{"unknown host", "hv9", func(*portmap.Lock) {}, `the fleet has no host "hv9"; name one of it with --host, or add it under hosts`},
		{"host without id", "hv1", func(l *portmap.Lock) { delete(l.Hosts, "hv3") }, "host hv3 has no id in the lock; run `culvert allocate`"},
		{"empty lock", "hv1", func(l *portmap.Lock) { *l = portmap.Lock{} }, "host hv1 has no id in the lock; run `culvert allocate`"},
		{"tenant without blocks", "hv1", func(l *portmap.Lock) { delete(l.Tenants, "acme") }, "tenant acme has no blocks in the lock; run `culvert allocate`"},
		{"host without block", "hv1", func(l *portmap.Lock) { dropClaim(l, "acme", portmap.Claimant{Host: "hv1"}) }, "host hv1 of tenant acme has no block in the lock; run `culvert allocate`"},
		{"interface without block", "hv1", func(l *portmap.Lock) { dropClaim(l, "blue", portmap.Claimant{Interface: "vm-y"}) }, "interface vm-y of tenant blue has no block in the lock; run `culvert allocate`"},
		{"retired blocks alone", "hv2", func(l *portmap.Lock) {
			for i := range l.Tenants["acme"].Claims {
				c := &l.Tenants["acme"].Claims[i]
				c.Retired, c.Blocks = c.Blocks, nil
			}
		}, "host hv2 of tenant acme has no block in the lock; run `culvert allocate`"},
		// What the host does not need is no error.
		{"other host without block", "hv1", func(l *portmap.Lock) { dropClaim(l, "acme", portmap.Claimant{Host: "hv2"}) }, ""},
		{"edge without blocks", "edge4", func(l *portmap.Lock) { delete(l.Tenants, "acme") }, ""},
		{"tenant elsewhere", "hv2", func(l *portmap.Lock) { delete(l.Tenants, "blue") }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fleet := parse(t)
			lock := allocate(t, nil, fleet)
			tt.harm(lock)
			got := ""
			if _, err := For(fleet, lock, tt.host); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("error %q\nwant  %q", got, tt.want)
			}
		})
	}
}

func dropClaim(l *portmap.Lock, tenant string, claimant portmap.Claimant) {
	t := l.Tenants[tenant]
	t.Claims = slices.DeleteFunc(t.Claims, func(c portmap.Claim) bool { return c.Claimant == claimant })
}

// TestDeterminism computes twice from fleets that differ in nothing but the order of tenants.
func TestDeterminism(t *testing.T) {
	fleet := parse(t)
	lock := allocate(t, nil, fleet)
	for _, h := range fleet.Hosts {
		first := compute(t, fleet, lock, h.Name)
		turned := *fleet
		turned.Tenants = slices.Clone(fleet.Tenants)
		slices.Reverse(turned.Tenants)
		for range 10 { // maps have another order each time
			again := compute(t, &turned, lock, h.Name)
			if diff := cmp.Diff(first, again, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
				t.Fatalf("%s differs (-first +again):\n%s", h.Name, diff)
			}
		}
	}
}

// TestDownHost leaves the VMs of a host that is down without a way, but known: they are not outside.
func TestDownHost(t *testing.T) {
	fleet, err := config.Parse("fleet.yaml", []byte(`
hosts:
  - {name: hv1, underlay: 192.0.2.1, roles: [hypervisor]}
  - {name: hv2, underlay: 192.0.2.2, roles: [hypervisor], state: down}
tenants:
  - name: acme
    vni: 100
    interfaces:
      - {name: vm-a, host: hv1, device: tap-a, mac: "52:54:00:00:00:0a", addresses: [10.0.0.12]}
      - {name: vm-b, host: hv2, device: tap-b, mac: "52:54:00:00:00:0b", addresses: [10.0.0.47, "fd00::47"]}
`))
	if err != nil {
		t.Fatal(err)
	}
	lock, err := portmap.Allocate(nil, fleet)
	if err != nil {
		t.Fatal(err)
	}
	host, err := For(fleet, lock, "hv1")
	if err != nil {
		t.Fatal(err)
	}
	tenant := host.Tenants[0]
	want := []netip.Addr{netip.MustParseAddr("10.0.0.47"), netip.MustParseAddr("fd00::47")}
	if len(tenant.Remote) != 0 || !slices.Equal(tenant.Unreachable, want) {
		t.Errorf("remote %v, unreachable %v, want none and %v", tenant.Remote, tenant.Unreachable, want)
	}
	if tenant.Nowhere.IPv4 != netip.MustParseAddr("100.64.0.0") || tenant.Overlay != config.DefaultOverlay() {
		t.Errorf("nowhere is %v in %v", tenant.Nowhere, tenant.Overlay)
	}
}

// TestMaxEntries shows that a tenant's maximum reaches its hosts, and no other tenant's.
func TestMaxEntries(t *testing.T) {
	fleet := parse(t, "portsPerHost: 1024}", "portsPerHost: 1024}\n    conntrack: {max: 2000}")
	host := compute(t, fleet, allocate(t, nil, fleet), "hv1")
	if acme, blue := host.tenant("acme").MaxEntries, host.tenant("blue").MaxEntries; acme != 2000 || blue != 0 {
		t.Errorf("acme may have %d entries and blue %d, want 2000 and 0", acme, blue)
	}
}

package etcd

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"net/netip"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/source/etcd"
)

const fleetYAML = `
hosts:
  - {name: hv1, underlay: 192.0.2.1, roles: [hypervisor]}
  - {name: hv2, underlay: 192.0.2.2, roles: [hypervisor]}
  - {name: edge1, underlay: 192.0.2.254, roles: [edge], uplink: eth1}
tenants:
  - name: acme
    vni: 100
    interfaces:
      - {name: vm-a, host: hv1, device: tap-a, mac: "52:54:00:00:00:0a", addresses: [10.0.0.12]}
      - {name: vm-b, host: hv2, device: tap-b, mac: "52:54:00:00:00:0b", addresses: [10.0.0.47]}
    natGateway: {addresses: [45.86.152.23], portsPerHost: 1024}
`

func parse(t testing.TB, edits ...string) *config.Fleet {
	t.Helper()
	fleet, err := config.Parse("fleet.yaml", []byte(strings.NewReplacer(edits...).Replace(fleetYAML)))
	if err != nil {
		t.Fatal(err)
	}
	return fleet
}

func allocate(t testing.TB, old *portmap.Lock, fleet *config.Fleet) *portmap.Lock {
	t.Helper()
	lock, err := portmap.Allocate(old, fleet)
	if err != nil {
		t.Fatal(err)
	}
	return lock
}

// push replaces what is there.
func push(t testing.TB, s *etcd.Store, fleet *config.Fleet) int64 {
	t.Helper()
	old, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	revision, err := s.Replace(t.Context(), old, fleet, allocate(t, old.Lock, fleet))
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

var same = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty()}

// expectFleet reads what is there and compares it with the fleet.
func expectFleet(t testing.TB, s *etcd.Store, want *config.Fleet) *etcd.Fleet {
	t.Helper()
	got, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.Fleet, same); diff != "" {
		t.Errorf("fleet (-pushed +read):\n%s", diff)
	}
	return got
}

func TestPush(t *testing.T) {
	c := newCluster(t, 1)
	s := c.open()
	if empty := expectFleet(t, s, &config.Fleet{}); empty.Revision != 0 {
		t.Errorf("revision %d of nothing", empty.Revision)
	}
	first := parse(t)
	revision := push(t, s, first)
	got := expectFleet(t, s, first)
	if got.Revision != revision {
		t.Errorf("revision %d, want %d", got.Revision, revision)
	}
	if diff := cmp.Diff(allocate(t, nil, first), got.Lock, same); diff != "" {
		t.Errorf("lock (-pushed +read):\n%s", diff)
	}
	second := parse(t, "1024", "2048", "name: hv2", "name: hv3", "host: hv2", "host: hv3")
	push(t, s, second)
	expectFleet(t, s, second)
	before := len(c.keys(prefix))
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys := c.keys(prefix)
	if len(keys) >= before {
		t.Errorf("%d keys before, %d after the sweep", before, len(keys))
	}
	for _, key := range keys {
		if strings.Contains(key, "hv2") {
			t.Errorf("%s is still there", key)
		}
	}
	expectFleet(t, s, second)
	// The same once more takes nothing but the switch, and nothing is lost that is in use again.
	push(t, s, first)
	push(t, s, second)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	expectFleet(t, s, second)
}

// TestLoser replaces a fleet that somebody else has replaced since it was read.
func TestLoser(t *testing.T) {
	s := newCluster(t, 1).open()
	old, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	winner := parse(t)
	push(t, s, winner)
	loser := parse(t, "1024", "4096")
	if _, err := s.Replace(t.Context(), old, loser, allocate(t, nil, loser)); !errors.Is(err, etcd.ErrChanged) {
		t.Fatalf("error %v, want that the fleet has changed", err)
	}
	expectFleet(t, s, winner)
}

// bigFleet is a fleet with an interface of every tenant on several hosts.
func bigFleet(hosts, tenants, interfaces int) *config.Fleet {
	fleet := &config.Fleet{Overlay: config.DefaultOverlay()}
	next := netip.MustParseAddr("172.16.0.1")
	for i := range hosts {
		fleet.Hosts = append(fleet.Hosts, config.Host{Name: fmt.Sprintf("hv%d", i), Underlay: next, Roles: []config.Role{config.Hypervisor}, State: config.Up})
		next = next.Next()
	}
	public := netip.MustParseAddr("45.0.0.0")
	for i := range tenants {
		tenant := config.Tenant{Name: fmt.Sprintf("t%d", i), VNI: config.VNI(i + 1)}
		tenant.NATGateway = &config.NATGateway{Addresses: []netip.Addr{public}, PortsPerHost: 512}
		public = public.Next()
		private := netip.MustParseAddr("10.0.0.1")
		for j := range interfaces {
			tenant.Interfaces = append(tenant.Interfaces, config.Interface{
				Name: fmt.Sprintf("vm-%d", j), Host: fleet.Hosts[(i*7+j%100)%hosts].Name, Device: fmt.Sprintf("t%dx%d", i, j),
				MAC: config.MAC{0x52, 0x54, byte(i >> 8), byte(i), byte(j >> 8), byte(j)}, Addresses: []netip.Addr{private},
			})
			private = private.Next()
		}
		fleet.Tenants = append(fleet.Tenants, tenant)
	}
	return fleet
}

// TestBig pushes 10 000 hosts, and a tenant whose document is larger than what etcd takes in one request.
func TestBig(t *testing.T) {
	s := newCluster(t, 1).open()
	for _, fleet := range []*config.Fleet{bigFleet(10_000, 1_000, 10), bigFleet(100, 1, 20_000)} {
		push(t, s, fleet)
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		expectFleet(t, s, fleet)
	}
}

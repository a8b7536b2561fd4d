package lab

import (
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/netns"
)

var labs atomic.Int32

// testOptions gives each test a lab of its own and takes it away afterwards.
func testOptions(t *testing.T) Options {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	name := fmt.Sprintf("lt%dx%d", os.Getpid(), labs.Add(1))
	t.Cleanup(func() {
		if err := Down(name); err != nil {
			t.Error(err)
		}
		if left, err := netns.List(prefixOf(name)); err != nil || len(left) > 0 {
			t.Errorf("namespaces left after Down: %v, %v", left, err)
		}
	})
	return Options{Name: name}
}

func testFleet() *config.Fleet {
	addr := netip.MustParseAddr
	return &config.Fleet{
		Overlay: config.DefaultOverlay(),
		Hosts: []config.Host{
			{Name: "hv1", Underlay: addr("192.0.2.1"), Roles: []config.Role{config.Hypervisor}, State: config.Up},
			{Name: "hv2", Underlay: addr("192.0.2.2"), Roles: []config.Role{config.Hypervisor}, State: config.Up},
			{Name: "edge1", Underlay: addr("192.0.2.254"), Roles: []config.Role{config.Edge}, Uplink: "eth1", State: config.Up},
			{Name: "edge2", Underlay: addr("192.0.2.253"), Roles: []config.Role{config.Edge}, Uplink: "eth1", State: config.Up},
		},
		Tenants: []config.Tenant{{
			Name: "acme", VNI: 100,
			Interfaces: []config.Interface{
				{Name: "vm-a", Host: "hv1", Device: "tap-a", MAC: config.MAC{0x52, 0x54, 0, 0, 0, 0xa}, Addresses: []netip.Addr{addr("10.0.0.12"), addr("fd00::12")}},
				{Name: "vm-b", Host: "hv2", Device: "tap-b", MAC: config.MAC{0x52, 0x54, 0, 0, 0, 0xb}, Addresses: []netip.Addr{addr("10.0.0.47")}},
			},
			NATGateway: &config.NATGateway{Addresses: []netip.Addr{addr("203.0.113.23")}, PortsPerHost: 1024},
			VirtualIPs: []config.VirtualIP{{Addresses: []netip.Addr{addr("203.0.113.30"), addr("2001:db8::30")}, Interface: "vm-a"}},
		}},
	}
}

func up(t *testing.T, fleet *config.Fleet, opts Options) *Lab {
	t.Helper()
	l, err := Up(fleet, opts)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

package portmap_test

import (
	"fmt"
	"net/netip"
	"os"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
)

// Three VMs of one tenant on two hypervisors share one public address.
func exampleFleet() *config.Fleet {
	return &config.Fleet{
		Overlay: config.Overlay{IPv4: netip.MustParsePrefix("100.64.0.0/10"), IPv6: netip.MustParsePrefix("fd00:c0de::/64")},
		Hosts:   []config.Host{{Name: "hv1"}, {Name: "hv2"}},
		Tenants: []config.Tenant{{
			Name:       "acme",
			VNI:        100,
			Interfaces: []config.Interface{{Name: "vm-a", Host: "hv1"}, {Name: "vm-b", Host: "hv2"}, {Name: "vm-c", Host: "hv2"}},
			NATGateway: &config.NATGateway{Addresses: []netip.Addr{netip.MustParseAddr("45.86.152.23")}, PortsPerHost: 1024},
		}},
	}
}

func ExampleAllocate() {
	fleet := exampleFleet()
	lock, err := portmap.Allocate(nil, fleet)
	if err != nil {
		fmt.Println(err)
		return
	}
	text, _ := portmap.Encode(lock)
	os.Stdout.Write(text)

	fleet.Tenants[0].NATGateway.PortsPerHost = 2048
	lock, _ = portmap.Allocate(lock, fleet)
	for _, c := range lock.Tenants["acme"].Claims {
		fmt.Println(c.Claimant, c.Blocks)
	}
	// Output:
	// # Written by "culvert allocate" out of the fleet document. Do not edit, or hosts may disagree about who owns a port.
	// # Keep it under version control beside the fleet document, and review its changes like any other.
	// version: 1
	// nextHost: 3
	// nextBackend: 1
	// hosts:
	//   hv1: 1
	//   hv2: 2
	// tenants:
	//   acme:
	//     hosts:
	//       hv1: [45.86.152.23:1024-2047]
	//       hv2: [45.86.152.23:2048-3071]
	// host hv1 [45.86.152.23 1024-2047 (1024 ports) 45.86.152.23 4096-5119 (1024 ports)]
	// host hv2 [45.86.152.23 2048-4095 (2048 ports)]
}

func ExampleTenant_Owner() {
	lock, _ := portmap.Allocate(nil, exampleFleet())
	who, block, ok := lock.Tenants["acme"].Owner(netip.MustParseAddr("45.86.152.23"), 2345)
	fmt.Println(who, block.Ports(), ok)
	// Output: host hv2 2048-3071 (1024 ports) true
}

func ExampleProve() {
	fleet := exampleFleet()
	lock, _ := portmap.Allocate(nil, fleet)
	lock.Tenants["acme"].Claims[1].Blocks[0].First = 1472
	lock.Tenants["acme"].Claims[1].Blocks[0].Last = 2495
	fmt.Println(portmap.Prove(lock, fleet))
	// Output: one-owner: port 1472 of 45.86.152.23 belongs to host hv1 and host hv2 of tenant acme
}

package portmap

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/culvertnet/culvert/config"
)

func TestShortage(t *testing.T) {
	for _, test := range []struct {
		name   string
		fleet  *config.Fleet
		old    string // acme's blocks of hv1, with retired ones after a bar
		others string // retired blocks of vm-a
		want   string
	}{
		{"a new host", aFleet("hv1 hv2 hv3", "vm-a@hv1 vm-b@hv2 vm-c@hv3", perHost(32256, addrA)), "", "",
			"tenant acme: host hv3 wants 32256 ports on one address, 32256 are missing (45.86.152.23 has 64512 of 64512 taken); " +
				"add an address to natGateway.addresses of tenant acme, or lower portsPerHost"},
		{"per interface, two addresses", aFleet("hv1", "vm-a@hv1 vm-b@hv1 vm-c@hv1", perInterface(40000-40000%64, addrA, addrB)), "", "",
			"tenant acme: interface vm-c wants 40000 ports on one address, 15488 are missing (45.86.152.23 has 40000 of 64512 taken, " +
				"45.86.152.24 has 40000 of 64512 taken); add an address to natGateway.addresses of tenant acme, or lower portsPerInterface"},
		{"growth counts what one has", aFleet("hv1 hv2", "vm-a@hv1 vm-b@hv2", perHost(32320, addrA)), "23:1024-32639", "",
			"tenant acme: host hv2 wants 32320 ports on one address, 128 are missing (45.86.152.23 has 32320 of 64512 taken)"},
		{"growth counts the free ports beside it", aFleet("hv1", "vm-a@hv1", perHost(2048, addrA)), "23:1024-2047", "23:2048-65471",
			"tenant acme: host hv1 wants 2048 ports on one address, 960 are missing (45.86.152.23 has 64448 of 64512 taken)"},
		{"retired blocks are named", aFleet("hv1 hv2", "vm-a@hv1 vm-b@hv2", perHost(64, addrA)), "23:1024-1087 | 23:1088-65535", "",
			"or lower portsPerHost, or release the tenant's retired blocks (64448 ports) once they have drained"},
		{"no address", aFleet("hv1", "vm-a@hv1", perHost(64)), "", "",
			"tenant acme: host hv1 wants 64 ports on one address, 64 are missing; add an address"},
	} {
		t.Run(test.name, func(t *testing.T) {
			old := NewLock()
			if active, retired, _ := strings.Cut(test.old, "|"); active != "" {
				old.Tenants["acme"] = &Tenant{Claims: []Claim{{Claimant{Host: "hv1"}, someBlocks(active), someBlocks(retired)}}}
			}
			if test.others != "" {
				vm := Claim{Claimant: Claimant{Interface: "vm-a"}, Retired: someBlocks(test.others)}
				old.Tenants["acme"].Claims = append(old.Tenants["acme"].Claims, vm)
			}
			wantError(t, old, test.fleet, test.want)
			_, err := Allocate(old, test.fleet)
			var s *Shortage
			if !errors.As(err, &s) || s.Tenant != "acme" {
				t.Errorf("not a shortage: %v", err)
			}
		})
	}
}

// More pieces than slots are no use: the ports would never be dealt.
func TestShortageOfContiguousPorts(t *testing.T) {
	f := aFleet("hv1", "vm-a@hv1", perHost(65*64, addrA))
	var every []uint16
	for p := FirstPort; p <= LastPort; p += 2 * Granule {
		every = append(every, uint16(p))
	}
	f.Tenants[0].LoadBalancers = listening(every...)
	wantError(t, nil, f, "host hv1 wants 4160 ports on one address, the free ones are in more than 64 pieces (45.86.152.23 has 32256 of 64512 taken)")
	f.Tenants[0].NATGateway.PortsPerHost = 64 * 64
	lock := mustAllocate(t, nil, f)
	if c := lock.Tenants["acme"].Claims[0]; len(c.Blocks) != Slots {
		t.Errorf("%d blocks", len(c.Blocks))
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	f := aFleet("hv1", "vm-a@hv1 vm-b@hv1", perInterface(Capacity, addrA))
	f.Tenants = append(f.Tenants,
		config.Tenant{Name: "both", NATGateway: &config.NATGateway{PortsPerHost: 64, PortsPerInterface: 64}},
		config.Tenant{Name: "odd", NATGateway: perHost(100, addrB)},
		config.Tenant{Name: "none", NATGateway: perHost(0, addrB)},
		config.Tenant{Name: "much", NATGateway: perInterface(Capacity+Granule, addrB)},
		config.Tenant{Name: "lost", NATGateway: perHost(64, addrB), Interfaces: someInterfaces("vm-a@hv9")},
	)
	for _, want := range []string{
		"tenant acme: interface vm-b wants 64512 ports",
		"tenant both: natGateway has portsPerHost and portsPerInterface; remove one",
		"tenant odd: natGateway.portsPerHost is 100; give a multiple of 64 up to 64512",
		"tenant none: natGateway.portsPerHost is 0; give",
		"tenant much: natGateway.portsPerInterface is 64576; give",
		`tenant lost: interface vm-a is on host "hv9", which the fleet does not have; add the host`,
	} {
		wantError(t, nil, f, want)
	}
}

func TestListenerInABlock(t *testing.T) {
	f := aFleet("hv1", "vm-a@hv1", perHost(1024, addrA))
	lock := mustAllocate(t, nil, f)
	f.Tenants[0].LoadBalancers = append(listening(443, 1500), config.Balancer{Name: "elsewhere", Address: addrB, Listeners: listening(1600)[0].Listeners})
	wantError(t, lock, f, "tenant acme: load balancer web listens on 45.86.152.23:1500, which lies in the active block 1024-2047 (1024 ports) of host hv1; "+
		"let it listen on a port below 1024 or on a free one such as 65472")
	f.Tenants[0].NATGateway.PortsPerHost = 64
	wantError(t, lock, f, "which lies in the retired block 1088-2047 (960 ports) of host hv1; let it listen on a port below 1024 or on a free one such as 65472, "+
		"or release the tenant's retired blocks once they have drained")
	f.Tenants[0].LoadBalancers = listening(2500)
	f.Tenants[0].NATGateway.Addresses = []netip.Addr{addrB}
	wantClaims(t, mustAllocate(t, lock, f), "host hv1: 24:1024-1087")
}

// The order in which claimants are served decides who is short: those who have something come first.
func TestNewcomersAreShortFirst(t *testing.T) {
	f := aFleet("new old", "vm-old@old", perHost(32256, addrA))
	lock := mustAllocate(t, nil, f)
	f.Tenants[0].Interfaces = someInterfaces("vm-new@new vm-old@old")
	f.Tenants[0].NATGateway.PortsPerHost = Capacity
	_, err := Allocate(lock, f)
	var s *Shortage
	if !errors.As(err, &s) || s.Claimant.Host != "new" || !slices.Equal(s.Addresses, []Fill{{addrA, Capacity}}) {
		t.Errorf("error %v", err)
	}
}

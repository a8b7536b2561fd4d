package portmap

import (
	"slices"
	"testing"

	"github.com/culvertnet/culvert/config"
)

func TestBlock(t *testing.T) {
	b := aBlock("23:1024-2047")
	if b.Size() != 1024 || b.Ports() != "1024-2047 (1024 ports)" {
		t.Errorf("%d ports, printed as %q", b.Size(), b.Ports())
	}
	for port, want := range map[uint16]bool{1023: false, 1024: true, 2047: true, 2048: false} {
		if b.Contains(addrA, port) != want || b.Contains(addrB, port) {
			t.Errorf("port %d: %v, on another address %v", port, !want, b.Contains(addrB, port))
		}
	}
	whole := Block{addrA, FirstPort, LastPort}
	if whole.Size() != Capacity || whole.run() != (run{firstGranule, endGranule}) || whole.run().block(addrA) != whole {
		t.Errorf("the largest block has %d ports and is the run %v", whole.Size(), whole.run())
	}
	sorted := someBlocks("9:1024-1087 23:1024-1087 23:1024-2047 23:1088-1151 100:1024-1087")
	shuffled := []Block{sorted[3], sorted[4], sorted[0], sorted[2], sorted[1]}
	if slices.SortFunc(shuffled, Block.Compare); !slices.Equal(shuffled, sorted) {
		t.Errorf("sorted to %v", shuffled)
	}
}

// A tenant without a NAT gateway is in the lock only for its backends.
func TestTenantWithoutGateway(t *testing.T) {
	f := aFleet("hv1", "vm-a@hv1", nil)
	if lock := mustAllocate(t, nil, f); len(lock.Tenants) != 0 {
		t.Errorf("tenants %v", lock.Tenants)
	}
	f.Tenants[0].LoadBalancers = []config.Balancer{{Name: "web", Address: addrA, Backends: []config.Backend{{Interface: "vm-a"}}}}
	lock := clone(t, mustAllocate(t, nil, f))
	if acme := lock.Tenants["acme"]; len(acme.Claims) != 0 || acme.Backends[BackendKey("web", "vm-a")] != 1 {
		t.Errorf("acme %v", acme)
	}
	f.Tenants[0].NATGateway = perHost(64, addrB)
	wantClaims(t, mustAllocate(t, lock, f), "host hv1: 24:1024-1087")
}

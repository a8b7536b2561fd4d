package main

import (
	"net/netip"
	"testing"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
)

// TestAllocateVacated notes that a virtual IP has left although nothing else of the lock changes, and once only.
func TestAllocateVacated(t *testing.T) {
	address := netip.MustParseAddr("45.86.152.23")
	before := &config.Fleet{
		Overlay: config.Overlay{},
		Hosts:   []config.Host{{Name: "hv1"}},
		Tenants: []config.Tenant{{Name: "acme", Interfaces: []config.Interface{{Name: "vm-a", Host: "hv1"}},
			VirtualIPs: []config.VirtualIP{{Addresses: []netip.Addr{address}, Interface: "vm-a"}}}},
	}
	next := &config.Fleet{Overlay: before.Overlay, Hosts: before.Hosts, Tenants: []config.Tenant{before.Tenants[0]}}
	next.Tenants[0].VirtualIPs = nil
	old := &portmap.Lock{Hosts: map[string]portmap.HostID{"hv1": 1}, NextHost: 2, NextBackend: 1}
	never := func(portmap.Freed) bool { return false }
	lock, err := allocate(old, before, next, nil, never)
	if err != nil {
		t.Fatal(err)
	}
	if tenant := lock.Tenants["acme"]; tenant == nil || len(tenant.Freed) != 1 || tenant.Freed[0].Block.Address != address {
		t.Fatalf("acme has %+v", tenant)
	}
	if again, err := allocate(lock, next, next, nil, never); err != nil || again != lock {
		t.Errorf("the same fleet again: %v, another lock %t", err, again != lock)
	}
	if _, err := allocate(lock, next, before, nil, never); err == nil {
		t.Error("the address came back before all know")
	}
	// What was kept in the lock for nothing else changed does not hold up what comes.
	if back, err := allocate(lock, next, before, nil, nil); err != nil || len(back.Tenants) != 0 {
		t.Errorf("when all know: %v, %v", back, err)
	}
}

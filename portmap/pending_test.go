package portmap

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/culvertnet/culvert/config"
)

// blue is a second tenant, without anything public.
func blue(f *config.Fleet) (*config.Fleet, *config.Tenant) {
	f = copyFleet(f)
	f.Tenants = append(f.Tenants, config.Tenant{Name: "blue", VNI: 200, Interfaces: someInterfaces("vm-z@hv1")})
	return f, &f.Tenants[1]
}

func vip(a netip.Addr, nic string) []config.VirtualIP {
	return []config.VirtualIP{{Addresses: []netip.Addr{a}, Interface: nic}}
}

// TestPending has listeners and virtual IPs come where ports were given up: not in the same step, nor before all know.
func TestPending(t *testing.T) {
	fleet := aFleet("hv1 hv2", "vm-a@hv1 vm-b@hv2", perHost(1024, addrA))
	old := mustAllocate(t, nil, fleet)
	left := copyFleet(fleet)
	left.Tenants[0].Interfaces = someInterfaces("vm-a@hv1")
	moved := copyFleet(fleet)
	moved.Tenants[0].NATGateway = perHost(1024, addrB)

	listens := copyFleet(left)
	listens.Tenants[0].LoadBalancers = listening(2500)
	blueIP, b := blue(moved)
	b.VirtualIPs = vip(addrA, "vm-z")
	ownIP := copyFleet(moved)
	ownIP.Tenants[0].VirtualIPs = vip(addrA, "vm-a")
	blueWeb, b := blue(moved)
	b.LoadBalancers = listening(443)
	for _, tt := range []struct {
		name        string
		first, next *config.Fleet
		want        string
	}{
		{"a listener on a freed port", left, listens, "tenant acme: load balancer web, port 2500, comes to 45.86.152.23, where host hv2 of tenant acme gave up ports 2048-3071"},
		{"another tenant's virtual IP", moved, blueIP, "tenant blue: virtual IP 45.86.152.23 comes to 45.86.152.23, where host hv1 of tenant acme gave up ports 1024-2047"},
		{"a virtual IP of its own", moved, ownIP, "tenant acme: virtual IP 45.86.152.23 comes to"},
		{"another tenant's listener", moved, blueWeb, "tenant blue: load balancer web, port 443, comes to"},
	} {
		var p *Pending
		if _, err := Allocate(old, tt.next); !errors.As(err, &p) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s at once: %v", tt.name, err)
		}
		lock := mustAllocate(t, old, tt.first)
		if _, err := Allocate(lock, tt.next); !errors.As(err, &p) {
			t.Errorf("%s before all know: %v", tt.name, err)
		}
		wrong := mustAllocate(t, Settle(lock, nil), tt.next)
		for name, was := range lock.Tenants {
			kept := *was
			if is := wrong.Tenants[name]; is != nil {
				kept = *is
			}
			kept.Freed = was.Freed
			wrong.Tenants[name] = &kept
		}
		if err := Prove(wrong, tt.next); err == nil || !strings.Contains(err.Error(), string(NotYet)) {
			t.Errorf("%s is proved: %v", tt.name, err)
		}
	}
	// What has nothing to do with it goes on.
	listens.Tenants[0].LoadBalancers = listening(443, 4000)
	mustAllocate(t, old, listens)
}

// TestVacateListeners gives up the ports of listeners that leave an address for NAT, where no other one stays beside them.
func TestVacateListeners(t *testing.T) {
	before := aFleet("hv1", "vm-a@hv1", perHost(1024, addrA))
	before.Tenants[0].LoadBalancers = listening(443, 8070, 8080, 9000)
	before.Tenants[0].LoadBalancers[0].Backends = []config.Backend{{Interface: "vm-a"}}
	old := mustAllocate(t, nil, before)
	next := copyFleet(before)
	next.Tenants[0].LoadBalancers = listening(8081)
	base, _ := Vacate(old, before, next)
	if got := freedOf(t, mustAllocate(t, base, next), "acme"); got != "freedInterfaces: vm-a: [45.86.152.23:8960-9023]" {
		t.Errorf("freed %s", got)
	}
}

// TestVacate gives up addresses that leave a virtual IP or a load balancer.
func TestVacate(t *testing.T) {
	fleet := aFleet("hv1 hv2", "vm-a@hv1 vm-b@hv2", perHost(1024, addrB))
	ip := copyFleet(fleet)
	ip.Tenants[0].VirtualIPs = vip(addrA, "vm-b")
	web := copyFleet(fleet)
	web.Tenants[0].LoadBalancers = listening(443)
	web.Tenants[0].LoadBalancers[0].Backends = []config.Backend{{Interface: "vm-b"}}
	for _, before := range []*config.Fleet{ip, web} {
		old := mustAllocate(t, nil, before)
		next, b := blue(fleet)
		b.NATGateway = perHost(1024, addrA)
		base, any := Vacate(old, before, next)
		var short *Shortage
		if _, err := Allocate(base, next); !any || !errors.As(err, &short) || short.Held != Capacity {
			t.Errorf("at once: %v", err)
		}
		b.NATGateway, b.VirtualIPs = nil, vip(addrA, "vm-z")
		var p *Pending
		if _, err := Allocate(base, next); !errors.As(err, &p) {
			t.Errorf("as a virtual IP: %v", err)
		}
		b.VirtualIPs = nil
		base, _ = Vacate(old, before, fleet)
		lock := Date(before, old, mustAllocate(t, base, fleet), 7)
		if got := freedOf(t, lock, "acme"); got != "freedHosts: hv2: [45.86.152.23:1024-65535@7]" {
			t.Errorf("freed %s", got)
		}
		// Another VM, or another backend, is not another owner of the address.
		same := copyFleet(before)
		same.Tenants[0].Interfaces = someInterfaces("vm-a@hv1 vm-b@hv1")
		if _, any := Vacate(old, before, same); any {
			t.Error("an address that stays was given up")
		}
	}
}
